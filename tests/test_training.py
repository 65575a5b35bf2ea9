"""The network: its gradients are those of its loss, and the experiments show what the textbooks say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kernels import digits, training
from kernels.activations import RECORDS, lookup
from kernels.backends import OWN
from kernels.report.rows import check

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def images():
    found, labels = digits.data()
    return found[:50].astype(np.float64), labels[:50]


def loss(net: digits.Network, images: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(net.probabilities(images)[np.arange(len(labels)), labels]).mean())


def wide(net: digits.Network) -> digits.Network:
    layers = tuple((weights.astype(np.float64), bias.astype(np.float64)) for weights, bias in net.layers)
    return replace(net, layers=layers, learned=tuple(own.astype(np.float64) for own in net.learned))


@pytest.mark.parametrize("name", ["tanh", "swish", "prelu", "threshold", "swiglu"])
def test_gradients_are_those_of_the_loss(name, images):
    net = wide(digits.network(name, (64, 8, 6, 10), np.random.default_rng(1)))
    found = digits.gradients(net, *images)
    arrays = [one for layer in net.layers for one in layer] + list(net.learned)
    by = [one for layer in found.layers for one in layer] + [np.reshape(one, 1) for one in found.learned]
    assert len(net.learned) == (2 if name in ("swish", "prelu") else 0)
    for array, gradient in zip(arrays, by, strict=True):
        at = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        before = array[at]
        ends = []
        for step in (-1e-5, 1e-5):
            array[at] = before + step
            ends.append(loss(net, *images))
        array[at] = before
        assert (ends[1] - ends[0]) / 2e-5 == pytest.approx(gradient[at], rel=1e-3, abs=1e-8)


def ran(kind: str, experiment: str, name: str) -> dict:
    wanted = (kind, (experiment, name))
    (found,) = [one for one in training.experiments(True, (), 0) if (one.kind, one.key) == wanted]
    (row,) = found.run()
    assert check(row) is None
    assert training.key(row) == found.key
    return row


def test_a_network_learns_with_its_parameters():
    row = ran("learning", "ordinary", "prelu")
    assert row["accuracy"][-1] > 0.9 > row["accuracy"][0]
    assert row["loss"][-1] < 0.2
    assert row["parameters"][0] == [0.25, 0.25] != row["parameters"][-1]
    assert ran("learning", "ordinary", "prelu") == row


def test_a_network_of_gated_pairs_learns():
    row = ran("learning", "ordinary", "reglu")
    assert row["accuracy"][-1] > 0.9
    assert row["dead"][0] == 0
    assert 0.2 < row["zeros"][0] < 0.8


def test_units_of_relu_die_and_those_of_elu_do_not():
    relu, elu = (ran("learning", "negative bias", name) for name in ("relu", "elu"))
    assert relu["dead"][-1] > 0.5
    assert relu["accuracy"][-1] < 0.2
    assert elu["dead"][-1] == 0
    assert elu["accuracy"][-1] > 0.9


def test_gradients_vanish_with_sigmoid_and_selu_normalises_itself():
    sigmoid, selu = (ran("layers", "1 / inputs", name) for name in ("sigmoid", "selu"))
    assert sigmoid["gradient"][0] < 1e-4 * sigmoid["gradient"][-1]
    assert 0.5 < selu["variance"][-1] < 2
    assert abs(selu["mean"][-1]) < 0.2
    relu = ran("layers", "8 / inputs", "relu")
    assert relu["variance"][-1] > 1e3 * relu["variance"][0]


def test_every_function_of_a_hidden_layer_has_its_experiments():
    keys = {one.key for one in training.experiments(True, (), 0) if one.kind == "learning"}
    assert {name for _, name in keys} == {record.name for record in RECORDS if record.kind != "row"}


def test_a_step_is_timed_by_backend(monkeypatch):
    monkeypatch.setattr(training, "OWN", {name: OWN[name] for name in ("numpy", "fastest")})
    monkeypatch.setattr(training, "STEP_SIZES", (64, 8, 10))
    monkeypatch.setattr(training, "STEP_BATCH", 16)
    found = training.steps(lookup("relu"), 0.01)
    assert [row["backend"] for row in found] == ["numpy", "fastest"]
    assert all(check(row) is None for row in found)
