"""The sweep over all float32 inputs: what it goes over, what it finds, and how it goes on after a stop."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import oracle
from kernels.activations import BOUND_OF, RECORDS
from kernels.backends import numpy_vector
from kernels.ulp import near_roots, ulp_errors, ulp_of
from kernels.verify import exhaustive, inputs
from kernels.verify.exhaustive import BLOCK, PATTERNS, Contestant, Sweep

FASTEST = Contestant("fastest", "fast")
SAMPLE = 1 << 22


def test_the_blocks_are_all_inputs():
    sweep = Sweep("relu", "value", None)
    first, last = exhaustive.inputs(sweep, 0), exhaustive.inputs(sweep, PATTERNS // BLOCK - 1)
    assert first.view(np.uint32)[0] == 0
    assert np.array_equal(first.view(np.uint32), np.arange(BLOCK))
    assert last.size == BLOCK
    assert np.isnan(last).all()
    assert PATTERNS == 2**32


def test_a_form_of_the_output_gets_what_can_be_one():
    sweep = Sweep("sigmoid", "backward_from_output", 1.0)
    found = np.concatenate([exhaustive.inputs(sweep, k) for k in range(0, PATTERNS // BLOCK, 1 << 8)])
    assert found.min() == 0
    assert 0.5 < found.max() <= 1


@pytest.mark.parametrize("sweep", list(exhaustive.sweeps([], [])), ids=lambda sweep: sweep.name)
def test_a_sample_is_within_the_bounds(sweep):
    """One block in a thousand; the whole of it takes minutes a form (make exhaustive)."""
    contestants = [FASTEST, Contestant("fastest", "accurate")]
    for one, worst in zip(contestants, exhaustive.run(sweep, contestants, patterns=SAMPLE), strict=True):
        assert 0 <= worst.error <= exhaustive.bound(sweep, one), (one, worst)


def test_every_form_of_one_formula_is_swept():
    forms = {(sweep.activation, sweep.form) for sweep in exhaustive.sweeps([], [])}
    assert forms == {(r.name, f) for r in RECORDS if r.elementwise for f in exhaustive.FORMS if f in r.forms}


@pytest.mark.parametrize("record", [r for r in RECORDS if r.elementwise], ids=lambda record: record.name)
@pytest.mark.parametrize("key", ["value", "derivative", "derivative_from_output"])
def test_the_reference_is_as_good_as_a_judge_must_be(record, key):
    """The NumPy text in float64 against the oracle: below a millionth of a float32's ULP, near roots of an ulp(1)."""
    if key not in record.ulp:
        pytest.skip(f"{record.name} has no {key}")
    form = next(form for form, name in BOUND_OF.items() if name == key)
    x = np.float32(inputs.sample(np.float32, 60))
    x = inputs.outputs(record, x) if key == "derivative_from_output" else x
    text = numpy_vector.bind(record, "backward_from_output" if key.endswith("output") else form, np.float64, "fast")
    params = inputs.parameters(record, np.float32)
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        got = text(np.ones_like(wide), wide, *params) if key.endswith("output") else text(wide, *params)
    for value, at, near in zip(got, wide, near_roots(wide, record.derivative_roots), strict=True):
        exact = oracle.lookup(record, key)(float(at), *params)
        if not np.isfinite(value) or not np.isfinite(float(exact)):
            assert np.isnan(value) == np.isnan(float(exact)), at
            continue
        unit = np.finfo(np.float32).eps if near else ulp_of(np.array([float(exact)]), np.float32)[0]
        assert abs(float(oracle.mp.mpf(float(value)) - exact)) <= 1e-6 * unit, at


def test_a_wrong_result_is_found(monkeypatch):
    sweep = Sweep("relu", "value", None)
    exact = numpy_vector.bind(sweep.record, "value", np.float64, "fast")
    wrong = {np.float32(2): np.float32(2.0000002), np.float32(-3): np.float32(-0.0), np.float32(4): np.float32(np.nan)}
    for at, result in wrong.items():
        x = np.array([1, at, -1], np.float32)
        got = np.maximum(x, 0)
        got[1] = result
        error = ulp_errors(got, exact(x.astype(np.float64)), np.float32)
        assert error[1] >= (0 if result == 0 else 1), at
    assert ulp_errors(np.float32([np.inf]), np.array([3.5e38]), np.float32)[0] == 0
    assert ulp_errors(np.float32([-np.inf]), np.array([3.5e38]), np.float32)[0] == np.inf
    assert ulp_errors(np.float32([np.inf]), np.array([3.0e38]), np.float32)[0] == np.inf
    assert ulp_errors(np.float32([np.nan]), np.array([np.nan]), np.float32)[0] == 0
    assert ulp_errors(np.float32([0]), np.array([np.nan]), np.float32)[0] == np.inf


def test_units_are_those_of_numpy():
    x = inputs.sample(np.float32, 1000)
    x = np.abs(x[np.isfinite(x) & (np.abs(x) < 1e38)])
    np.testing.assert_array_equal(ulp_of(x.astype(np.float64), np.float32), np.spacing(x).astype(np.float64))


@pytest.fixture
def at_commit(monkeypatch):
    """``at_commit(commit, ...)``: as if the code were of this commit, on this machine."""

    def pretend(commit: str | None, **changes) -> dict:
        facts = {"cpu": "a processor", "level": "x86-64-v3", "versions": {}, "commit": commit} | changes
        monkeypatch.setattr(exhaustive.machine, "facts", lambda: facts)
        return facts

    return pretend


def test_rows_are_kept_and_gone_on_from(tmp_path, capsys, at_commit):
    path, facts = tmp_path / "accuracy.jsonl", at_commit("abc")
    todo = list(exhaustive.sweeps(["relu"], ["value", "derivative"]))
    assert exhaustive.check(todo[:1], [FASTEST], path, patterns=SAMPLE) == 0
    first = path.read_text()
    with path.open("a") as file:
        file.write(first[: first.index("}") + 1])
    assert exhaustive.check(todo, [FASTEST], path, patterns=SAMPLE) == 0
    assert path.read_text().startswith(first)
    rows = exhaustive.read(path, facts)
    assert [(row["form"], row["max_ulp"]) for row in rows] == [("value", 0.0), ("derivative", 0.0)]
    assert "relu.derivative" in capsys.readouterr().out


@pytest.mark.parametrize(
    "other",
    [{"commit": "abc+"}, {"commit": None}, {"commit": "d"}, {"level": "x86-64-v2"}, {"versions": {"numpy": "3"}}],
    ids=str,
)
def test_rows_of_other_code_or_another_level_do_not_count(tmp_path, at_commit, other):
    path = tmp_path / "accuracy.jsonl"
    todo = list(exhaustive.sweeps(["relu"], ["value"]))
    at_commit("abc")
    exhaustive.check(todo, [FASTEST], path, patterns=SAMPLE)
    at_commit(**{"commit": "abc"} | other)
    exhaustive.check(todo, [FASTEST], path, patterns=SAMPLE)
    assert len(path.read_text().splitlines()) == 2


def test_a_miss_is_an_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(exhaustive, "bound", lambda *_: 0.1)
    todo = list(exhaustive.sweeps(["sigmoid"], ["value"]))
    assert exhaustive.check(todo, [FASTEST], tmp_path / "accuracy.jsonl", patterns=SAMPLE) == 1
    assert "MISS" in capsys.readouterr().out
