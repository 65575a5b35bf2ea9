"""The sweeps over all inputs: what they go over, what they are held to, what they find, how they go on after a stop."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kernels.activations import BOUND_OF, RECORDS, lookup
from kernels.backends import PEERS, numpy_vector
from kernels.report import accuracy
from kernels.ulp import ulp_errors, ulp_of
from kernels.verify import bits, exhaustive, inputs, outcomes, references, row_samples, strata, sweeps
from kernels.verify.row_samples import RowSample
from kernels.verify.sweeps import BLOCK, PATTERNS, Entry, Sweep, run

FASTEST = (("fastest", "fast"), ("fastest", "accurate"))
#: Every so manieth input where bounds are held, and where something is only tried; odd, so that all bits change.
STEP, RARELY = 67, 4099
RELU = Entry("relu", "value", None, "float32", "fastest", "fast")


def formulas(dtype: str, kind: str = "elementwise") -> list[tuple[Entry, ...]]:
    """All entries of kernels.fastest and kernels.accurate, by formula."""
    found = exhaustive.by_formula(sweeps.entries([], [], dtype, FASTEST))
    return [group for group in found if group[0].record.kind == kind]


def entry_of(name: str, form: str, **changes) -> Entry:
    return dataclasses.replace(RELU, activation=name, form=form, **changes)


# ---------------------------------------------------------------- what they go over
def test_the_blocks_are_all_inputs():
    sweep = Sweep((RELU,))
    assert sweep.count == PATTERNS == 2**32
    assert len(sweep.blocks) * BLOCK == PATTERNS
    first, last = sweep.inputs(sweep.blocks[0]), sweep.inputs(sweep.blocks[-1])
    assert np.array_equal(first.view(np.uint32), np.arange(BLOCK))
    assert last.size == BLOCK
    assert np.isnan(last).all()


def test_a_form_of_the_output_gets_what_can_be_one():
    sweep = Sweep((entry_of("sigmoid", "backward_from_output", gradient=1.0),))
    found = np.concatenate([sweep.inputs(k) for k in range(0, PATTERNS // BLOCK, 1 << 8)])
    assert found.min() == 0
    assert 0.5 < found.max() <= 1


def test_every_form_of_one_formula_is_swept():
    expected = {(r.name, f) for r in RECORDS for f in sweeps.FORMS_OF[r.kind] if f in r.forms}
    for dtype in ("float32", "float64"):
        groups = [*formulas(dtype), *formulas(dtype, "row")]
        assert {(one.activation, one.form) for group in groups for one in group} == expected
    gradients = {one.gradient for group in formulas("float32") for one in group if one.form == "backward"}
    assert gradients == set(sweeps.GRADIENTS)


def test_float64_goes_through_every_exponent_and_around_every_place():
    record = lookup("swish")
    for exponents, k in zip(strata.STRATA, range(2), strict=True):
        found = strata.stratum(k, BLOCK).view(np.uint64) >> np.uint64(52) & np.uint64(0x7FF)
        assert set(found) == set(exponents)
    dense = strata.dense(record, "derivative")
    for place in (0.0, *record.derivative_roots, 709.78, -745.13):
        at = np.nanmin(np.abs(dense - place))
        assert at <= abs(place) * 1e-3
    root = record.derivative_roots[0]
    assert {root, np.nextafter(root, 0), np.nextafter(root, -9)} <= set(dense)
    assert np.isnan(dense).any()


def test_where_results_change_their_kind_is_found():
    places = strata.changes(lookup("sigmoid"), "value")
    underflow = [x for x in places if -746 < x < -745]
    assert len(underflow) == 1
    sigmoid = numpy_vector.sigmoid
    assert sigmoid(np.array(underflow))[0] == 0 < sigmoid(np.nextafter(underflow, 0))[0]


def test_neighbours_are_consecutive():
    found = strata.neighbours(np.array([0.0, 1.0]), 2)
    tiny = np.finfo(np.float64).smallest_subnormal
    expected = [-2 * tiny, -tiny, 0, tiny, 2 * tiny, 1 - 2**-52, 1 - 2**-53, 1, 1 + 2**-52, 1 + 2**-51]
    assert found.tolist() == expected


# ---------------------------------------------------------------- what they are held to
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("record", [r for r in RECORDS if r.elementwise], ids=lambda record: record.name)
def test_the_reference_is_as_good_as_a_judge_must_be(record, dtype):
    """The NumPy text in the wider format against the oracle: below a millionth of a float32's ULP."""
    for key in record.ulp:
        if dtype is np.float32:
            assert references.error(record.name, key, dtype) <= 1e-6, key
        elif not references.judges_float64(record.name, key):
            assert strata.Sample((entry_of(record.name, form_of(record, key), dtype="float64"),)).is_slow


def form_of(record, key):
    return next(form for form, name in BOUND_OF.items() if name == key and form in record.forms)


def test_longdouble_judges_where_it_is_longer():
    if np.finfo(np.longdouble).nmant < references.ENOUGH_BITS:
        pytest.skip("longdouble is no longer than double here")
    assert references.judges_float64("sigmoid", "value")
    assert references.judges_float64("tanh", "derivative")


def test_a_float_of_any_format_is_an_exact_number():
    third = np.longdouble(1) / 3
    assert references.number(third) * 2**66 == int(third * np.longdouble(2) ** 66)
    assert references.number(np.float64(0.1)) == 0.1


def test_a_power_of_two_that_is_not_reached_has_the_smaller_unit():
    if np.finfo(np.longdouble).nmant < references.ENOUGH_BITS:
        pytest.skip("longdouble is no longer than double here")
    below = 1 - np.longdouble(2) ** -60
    error = ulp_errors(np.array([1.0]), np.array([below]), np.float64)[0]
    assert error == pytest.approx(2**-60 / 2**-53)


def test_a_wrong_result_is_found():
    exact = numpy_vector.bind(lookup("relu"), "value", np.float64, "fast")
    wrong = {np.float32(2): np.float32(2.0000002), np.float32(-3): np.float32(-0.0), np.float32(4): np.float32(np.nan)}
    for at, result in wrong.items():
        x = np.array([1, at, -1], np.float32)
        got = np.maximum(x, 0)
        got[1] = result
        error = ulp_errors(got, exact(x.astype(np.float64)), np.float32)
        assert error[1] >= (0 if result == 0 else 1), at
    assert ulp_errors(np.float32([np.inf]), np.array([3.5e38]), np.float32)[0] == 0
    assert ulp_errors(np.float32([-np.inf]), np.array([3.5e38]), np.float32)[0] == np.inf
    assert ulp_errors(np.float32([np.inf]), np.array([3.0e38]), np.float32)[0] > 1e6
    largest = np.finfo(np.float32).max.astype(np.float64)
    assert ulp_errors(np.float32([np.inf]), np.array([largest]), np.float32)[0] == 1
    assert ulp_errors(np.float32([np.nan]), np.array([np.nan]), np.float32)[0] == 0
    assert ulp_errors(np.float32([0]), np.array([np.nan]), np.float32)[0] == np.inf


def test_a_lost_sign_is_an_error():
    exact, near = np.array([-1e-60, 1e-60, 0.0, -1e-60]), np.array([False, False, False, True])
    errors = sweeps.errors_of(RELU, np.zeros(4, np.float32), exact, near)
    assert np.isinf(errors).tolist() == [True, False, False, False]


def test_units_are_those_of_numpy():
    x = inputs.sample(np.float32, 1000)
    x = np.abs(x[np.isfinite(x) & (np.abs(x) < 1e38)])
    np.testing.assert_array_equal(ulp_of(x.astype(np.float64), np.float32), np.spacing(x).astype(np.float64))


# ---------------------------------------------------------------- what they find
def named(groups) -> list:
    return [pytest.param(group, id=f"{group[0].activation}-{group[0].key}-{group[0].dtype}") for group in groups]


@pytest.mark.parametrize("group", named(formulas("float32")))
def test_a_sample_of_float32_is_within_the_bounds(group):
    """The whole of it takes minutes (make exhaustive)."""
    for one, worst in zip(group, run(Sweep(group, STEP)), strict=True):
        assert 0 <= worst.error <= outcomes.bound("ulp", one), (one, worst)


@pytest.mark.parametrize("group", named(formulas("float64")))
def test_a_sample_of_float64_is_within_the_bounds(group):
    sample = strata.Sample(group, 4 * BLOCK)
    if sample.is_slow:
        sample = dataclasses.replace(sample, wanted=16 * strata.SLOW_BLOCK)
    for one, worst in zip(group, run(sample), strict=True):
        assert 0 <= worst.error <= outcomes.bound("ulp", one), (one, worst)


@pytest.mark.parametrize("group", named([*formulas("float32", "row"), *formulas("float64", "row")]))
def test_a_sample_of_rows_is_within_the_bounds(group):
    """A block of each length, and for float32, where mpmath is not asked, of each spread."""
    blocks = len(row_samples.KINDS if group[0].dtype == "float32" else row_samples.LENGTHS)
    for one, worst in zip(group, run(RowSample(group, blocks * BLOCK)), strict=True):
        assert 0 <= worst.error <= outcomes.bound("ulp", one), (one, worst)


def test_a_wrong_row_is_found():
    sample = RowSample((entry_of("softmax", "value"),), BLOCK)
    (x,) = sample.inputs(0)
    right = sample.prepare()(0)[0]
    assert right.error < 3
    wrong = row_samples._worst(sample.entries[0], x * 0, (x,), np.ones(x.shape), np.full(x.shape, 0.25))
    assert wrong.error == 4
    assert row_samples._worst(sample.entries[0], x * np.nan, (x,), np.ones(x.shape), np.ones(x.shape)).wrong == x.size


def test_mpmath_judges_alone_where_longdouble_does_not(monkeypatch):
    entry = entry_of("sigmoid", "value", dtype="float64")
    quick = run(strata.Sample((entry,), BLOCK))[0]
    monkeypatch.setattr(references, "judges_float64", lambda *_: False)
    monkeypatch.setattr(strata, "SLOW_COUNT", strata.SLOW_BLOCK * 4)
    slow = strata.Sample((entry,), BLOCK)
    assert slow.count < 20 * strata.SLOW_BLOCK
    assert "mpmath judges alone" in slow.note
    assert not Sweep((RELU,)).note
    assert 0.5 < run(slow)[0].error <= quick.error + 0.5


def test_any_error_of_float64_has_a_worst_input(monkeypatch):
    """However large: in longdouble it may be a little less than the nearest double."""
    entry = entry_of("sigmoid", "value", dtype="float64")
    x = strata.stratum(1, 1000)
    for wrong in (x * 3.3e287, np.full(x.size, 1e-9), np.full(x.size, np.nan)):
        with np.errstate(all="ignore"):
            (worst,) = strata._by_longdouble((entry,), [lambda _, wrong=wrong: wrong], x)
        assert worst.wrong or worst.error > 1


def test_a_wrong_bit_is_found(monkeypatch):
    equality = bits.Equality((entry_of("sigmoid", "value"), entry_of("sigmoid", "value", backend="numpy")), RARELY)
    same, other = run(equality)
    assert same.error == 0
    assert 0 < other.error < equality.count
    assert other.got != other.reference


def test_what_has_an_exponential_is_compared_by_bits():
    entries = list(sweeps.entries([], [], "float32", [("fastest", "fast")]))
    compared = {(one.entries[0].activation, one.entries[0].form) for one in bits.equalities(entries)}
    assert {("sigmoid", "value"), ("swish", "derivative"), ("elu", "backward")} <= compared
    assert not {name for name, _ in compared} & {"relu", "leaky_relu", "prelu"}


def test_peers_are_swept_beside():
    numexpr = PEERS["numexpr"]
    if numexpr.reason():
        pytest.skip(numexpr.reason())
    group = tuple(sweeps.entries(["tanh"], [], "float32", [("numexpr", "fast"), ("numexpr", "accurate")]))
    assert [one.form for one in group] == ["value", "derivative", "backward", "backward_from_output"]
    assert {one.accuracy for one in group} == {"fast"}
    assert run(Sweep(group, RARELY))[0].error > 0.5
    scope = exhaustive.Scope((*FASTEST, ("numexpr", "fast")), names=("tanh",), forms=("value",), parts=("float32",))
    steps = {sweep.entries[0].backend: sweep.step for sweep in exhaustive.sweeps(scope)}
    assert steps == {"fastest": 1, "numexpr": exhaustive.PEER_STEP}
    assert exhaustive.PEER_STEP % 2


def test_a_small_sample_of_a_peer_is_not_empty():
    scope = exhaustive.Scope((("torch", "fast"),), names=("softmax",), parts=("float64",), count=1)
    assert all(sweep.count > 0 for sweep in exhaustive.sweeps(scope))


# ---------------------------------------------------------------- rows
@pytest.fixture
def at_commit(monkeypatch):
    """``at_commit(commit, ...)``: as if the code were of this commit, on this machine."""

    def pretend(commit: str | None, **changes) -> dict:
        facts = {"cpu": "a processor", "level": "x86-64-v3", "versions": {}, "commit": commit} | changes
        monkeypatch.setattr(exhaustive.machine, "facts", lambda: facts)
        return facts

    return pretend


def sweeps_of(*forms: str) -> list[Sweep]:
    return [Sweep((entry_of("relu", form),), RARELY) for form in forms]


def test_rows_are_kept_and_gone_on_from(tmp_path, capsys, at_commit):
    path, facts = tmp_path / "accuracy.jsonl", at_commit("abc")
    todo = sweeps_of("value", "derivative")
    assert exhaustive.check(todo[:1], path) == 0
    first = path.read_text()
    with path.open("a") as file:
        file.write(first[: first.index("}") + 1])
    assert "1 sweeps, about 0 minutes" in capsys.readouterr().out
    assert exhaustive.check(todo, path) == 0
    assert path.read_text().startswith(first)
    rows = outcomes.of_this_code(accuracy.read(path), facts)
    assert [(row["form"], row["error"]) for row in rows] == [("value", 0.0), ("derivative", 0.0)]
    assert "relu.derivative" in capsys.readouterr().out


@pytest.mark.parametrize(
    "other",
    [{"commit": "abc+"}, {"commit": None}, {"commit": "d"}, {"level": "x86-64-v2"}, {"versions": {"numpy": "3"}}],
    ids=str,
)
def test_rows_of_other_code_or_another_level_do_not_count(tmp_path, at_commit, other):
    path = tmp_path / "accuracy.jsonl"
    at_commit("abc")
    exhaustive.check(sweeps_of("value"), path)
    at_commit(**{"commit": "abc"} | other)
    exhaustive.check(sweeps_of("value"), path)
    assert len(path.read_text().splitlines()) == 2


def test_a_sample_is_not_the_whole(tmp_path, at_commit):
    path = tmp_path / "accuracy.jsonl"
    at_commit("abc")
    exhaustive.check(sweeps_of("value"), path)
    exhaustive.check([Sweep((RELU,), 2 * RARELY)], path)
    counts = [Sweep((RELU,), step).count for step in (RARELY, 2 * RARELY)]
    assert [row["inputs"] for row in accuracy.read(path)] == counts


def test_a_miss_is_an_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(outcomes, "bound", lambda *_: 0.1)
    assert exhaustive.check([Sweep((entry_of("sigmoid", "value"),), RARELY)], tmp_path / "accuracy.jsonl") == 1
    assert "MISS" in capsys.readouterr().out


def test_the_command_sweeps_what_is_asked_for(tmp_path, monkeypatch, capsys):
    from kernels.verify.__main__ import main

    asked = []
    monkeypatch.setattr(exhaustive, "check", lambda todo, path: asked.extend(todo) or 0)
    assert main(["--exhaustive", "silu", "--accuracy", "fast", "--form", "value", "--count", "1000"]) == 0
    assert [sweep.name for sweep in asked] == ["swish value, float32", "swish.value, bits", "swish value, float64"]
    assert asked[0].count == PATTERNS
    asked.clear()
    assert main(["--exhaustive", "relu", "--part", "float32", "--backend", "numpy,cython", "--form", "backward"]) == 0
    assert {one.backend for one in asked[0].entries} == {"numpy", "cython"}
