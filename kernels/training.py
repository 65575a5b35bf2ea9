"""What an activation does to a network: experiments with the digits perceptron and our own kernels.

Each gives one row of numbers, which the report draws. "learning" trains, "layers" looks at ten layers before any
training, "step" times a step of training by backend.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernels import digits, measure
from kernels.activations import MEASURED, RECORDS, Activation, lookup
from kernels.backends import OWN
from kernels.digits import Network

Row = dict[str, Any]

KINDS = ("learning", "layers", "step")

#: Images that the network is not trained on.
HELD_OUT = 360
#: A unit is dead when less than this is left of its gradient for every image.
DEAD = 0.01
#: (name, learning rate, bias of hidden units at the start): what kills units of relu, beside what does not.
CONDITIONS = (("ordinary", digits.RATE, 0.0), ("high rate", 0.7, 0.0), ("negative bias", digits.RATE, -1.0))
#: Those that are trained under every condition.
MORTAL = ("relu", "leaky_relu", "elu", "selu", "tanh", "swish")
#: (name, variance of the weights times the inputs of a layer).
SCALES = (("1 / inputs", 1.0), ("2 / inputs", 2.0), ("8 / inputs", 8.0))
DEPTH, WIDTH = 10, 64
#: The network whose step is timed: wide enough that a step is more than its calls.
STEP_SIZES, STEP_BATCH = (64, 256, 256, 10), 256


@dataclass(frozen=True)
class Experiment:
    """One row that is still to be made; ``key`` tells it from the others."""

    kind: str
    key: tuple
    run: Callable[[], list[Row]]


def available() -> None:
    """ImportError where there are no images."""
    digits.data()


def experiments(everything: bool, timed: Sequence[str], step_seconds: float) -> Iterator[Experiment]:
    """All of them; with everything, of every function that a hidden layer can have."""
    records = [record for record in (RECORDS if everything else MEASURED) if record.kind != "row"]
    for record in records:
        for name, rate, bias in CONDITIONS:
            if name == "ordinary" or record.name in MORTAL:
                run = functools.partial(learning, record, name, rate, bias)
                yield Experiment("learning", (name, record.name), run)
    for record in records:
        for name, scale in SCALES:
            yield Experiment("layers", (name, record.name), functools.partial(layers, record, name, scale))
    for name in timed:
        yield Experiment("step", (name,), functools.partial(steps, lookup(name), step_seconds))


def key(row: Row) -> tuple:
    """What tells an experiment's row from others of its kind."""
    return (row["activation"],) if row["kind"] == "step" else (row["experiment"], row["activation"])


# ---------------------------------------------------------------- learning
def learning(record: Activation, name: str, rate: float, bias: float) -> list[Row]:
    """Train, and look after each epoch: the same images, weights and order for every function."""
    images, labels = digits.data()
    rng = np.random.default_rng(digits.SEED)
    shuffled = rng.permutation(len(images))
    train, test = shuffled[HELD_OUT:], shuffled[:HELD_OUT]
    net = digits.network(record.name, digits.SIZES, rng)
    for _, at in net.layers[:-1]:
        at += np.float32(bias)
    seen = [_look(net, images, labels, test)]
    for _ in range(digits.EPOCHS):
        with np.errstate(over="ignore", invalid="ignore"):
            digits.epoch(net, images[train], labels[train], rng, rate)
            seen.append(_look(net, images, labels, test))
    numbers = {what: [one[what] for one in seen] for what in seen[0]}
    return [{"kind": "learning", "experiment": name, "activation": record.name, "rate": rate, "bias": bias, **numbers}]


def _look(net: Network, images: np.ndarray, labels: np.ndarray, test: np.ndarray) -> Row:
    z = net.pre_activations(images)
    probabilities = net.softmax(z[-1])
    right = probabilities[np.arange(len(labels)), labels]
    hidden = [(one, net.parameters(k)) for k, one in enumerate(z[:-1])]
    outputs = [net.function(one, *own) for one, own in hidden]
    slopes = [
        _largest(net.function.backward(np.ones_like(y), one, *own), y.shape[1])
        for y, (one, own) in zip(outputs, hidden, strict=True)
    ]
    return {
        "loss": _number(-np.log(np.maximum(right, digits.SMALLEST)).mean()),
        "accuracy": float((probabilities[test].argmax(axis=1) == labels[test]).mean()),
        "dead": float((np.concatenate(slopes) < DEAD).mean()),
        "zeros": _zeros(outputs),
        "parameters": [_number(own[0]) for own in net.learned],
    }


def _largest(slopes: np.ndarray, units: int) -> np.ndarray:
    """The steepest slope of each unit over all images, of a pair that of its steeper half."""
    return np.abs(slopes).reshape(-1, units).max(axis=0)


def _zeros(outputs: Sequence[np.ndarray]) -> float:
    """The share of outputs that are exactly 0."""
    return float(np.mean([(one == 0).mean() for one in outputs]))


def _number(value: float) -> float | None:
    """None for what a row can't hold."""
    return float(value) if np.isfinite(value) else None


# ---------------------------------------------------------------- ten layers
def layers(record: Activation, name: str, scale: float) -> list[Row]:
    """Mean, variance and zeros of each layer's outputs, and the norm of the gradient that reaches it, untrained."""
    images, labels = digits.data()
    images = standardised(images)
    sizes = (images.shape[1], *[WIDTH] * DEPTH, 10)
    net = digits.network(record.name, sizes, np.random.default_rng(digits.SEED), scale)
    with np.errstate(over="ignore", invalid="ignore"):
        z = net.pre_activations(images)[:-1]
        outputs = [net.function(one, *net.parameters(k)) for k, one in enumerate(z)]
        found = digits.gradients(net, images, labels)
        row = {
            "mean": [_number(one.mean(dtype=np.float64)) for one in outputs],
            "variance": [_number(one.var(dtype=np.float64)) for one in outputs],
            "zeros": [_zeros([one]) for one in outputs],
            "gradient": [_number(np.linalg.norm(one.astype(np.float64))) for one in found.hidden],
        }
    return [{"kind": "layers", "experiment": name, "activation": record.name, "scale": scale, **row}]


def standardised(images: np.ndarray) -> np.ndarray:
    """Each pixel with mean 0 and, where it is not the same in every image, variance 1."""
    spread = images.std(axis=0)
    return (images - images.mean(axis=0)) / np.where(spread > 0, spread, 1)


# ---------------------------------------------------------------- the time of a step
def steps(record: Activation, budget_s: float) -> list[Row]:
    """Seconds of a step of training, forward and backward, by backend; matrix products are NumPy's for all."""
    images, labels = (one[:STEP_BATCH] for one in digits.data())
    net = digits.network(record.name, STEP_SIZES, np.random.default_rng(digits.SEED))
    names = [name for name, backend in OWN.items() if name != "python" and backend.reason() is None]
    nets = [replace(net, backend=name) for name in names]
    for one in nets:
        digits.gradients(one, images, labels)
    timed = [
        measure.Timed("f(net, images, labels)", f=digits.gradients, net=one, images=images, labels=labels)
        for one in nets
    ]
    timings = measure.sample(timed, budget_s, np.random.default_rng(0))
    about = {"kind": "step", "activation": record.name, "batch": STEP_BATCH, "sizes": list(STEP_SIZES)}
    return [
        {**about, "backend": name, "seconds_q1": t.q1, "seconds_median": t.median, "seconds_q3": t.q3}
        for name, t in zip(names, timings, strict=True)
    ]
