"""Measuring: what a case is, how samples are taken, and that results are judged rightly. No test asserts a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kernels import measure
from kernels.activations import RECORDS
from kernels.backends import OWN
from kernels.measure import DATA, FORMS, Case, Timed, prepare, sample

AVAILABLE = [name for name, backend in OWN.items() if backend.reason() is None]
RELU = Case("relu", "value", "numpy", "float32", 1000)


class Fake(Timed):
    """A contestant that takes as long as it is told and notes when it was asked."""

    def __init__(self, name: str, log: list, nanoseconds: float):
        self.name, self.log, self.nanoseconds = name, log, nanoseconds

    def run(self, loops: int) -> int:
        self.log.append(self.name)
        return int(self.nanoseconds * loops * (1 + 0.01 * (len(self.log) % 7)))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(measure, "settle", lambda: None)


# ---------------------------------------------------------------- cases
def test_ids_read_as_documented():
    assert replace(RELU, backend="").id == "relu-float32-1000"
    assert RELU.id == "relu-float32-1000-numpy"
    odd = Case("gelu", "backward", "cython:x86-64-v3", "float64", 10, "accurate", "digits", True, True, 1)
    assert odd.id == "gelu-backward-float64-10-cython:x86-64-v3-digits-accurate-allocate-cold-threads1"


def test_a_group_is_everything_but_backend_data_and_output():
    alike = replace(RELU, backend="cython", data="negative", allocate=True, keep=True)
    assert alike.group == RELU.group
    changes = {"n": 10, "cold": True, "form": "derivative", "threads": 1, "accuracy": "accurate"}
    groups = {replace(RELU, **{key: value}).group for key, value in changes.items()}
    assert len(groups | {RELU.group}) == len(changes) + 1


# ---------------------------------------------------------------- preparing
@pytest.mark.parametrize("backend", AVAILABLE)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_every_form_is_prepared_and_judged(record, form, backend):
    if form not in record.forms:
        pytest.skip(f"{record.name} has no {form}")
    prepared = prepare(Case(record.name, form, backend, "float32", 300))
    results = prepared.result()
    assert len(results) == (2 if form == "value_and_derivative" else 1)
    assert all(result.size == (150 if record.gate and form == "value" else 300) for result in results)
    assert measure.ulp(prepared) < 600
    assert prepared.run(2) > 0


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_float64_is_judged_by_the_oracle(record):
    form = "value" if record.elementwise else "backward"
    assert measure.ulp(prepare(Case(record.name, form, "numpy", "float64", 50))) < 20


@pytest.mark.parametrize("change", [{"cold": True}, {"allocate": True}, {"threads": 1}, {"accuracy": "accurate"}])
def test_every_condition_runs(change):
    prepared = prepare(replace(RELU, backend="fastest", **change))
    assert sample([prepared], 0.001, np.random.default_rng(0))[0].median > 0
    np.testing.assert_array_equal(prepared.result()[0], np.maximum(prepared.inputs[0], 0))


def test_pure_python_takes_lists():
    prepared = prepare(replace(RELU, backend="python"))
    assert isinstance(prepared.inputs[0], list)
    assert isinstance(prepared.call(), list)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_data_are_finite_varied_and_the_same_each_time(data, dtype):
    if data == "digits":
        pytest.importorskip("sklearn")
    (x,) = measure.make_inputs(replace(RELU, data=data, dtype=dtype))
    assert x.dtype == dtype
    assert np.isfinite(x).all()
    assert len(np.unique(x)) > 900
    measure.release_data()
    np.testing.assert_array_equal(measure.make_inputs(replace(RELU, data=data, dtype=dtype))[0], x)


def test_a_wrong_result_shows():
    prepared = prepare(RELU)
    off = np.nextafter(prepared.result()[0], np.float32(np.inf), dtype=np.float32)
    prepared.call = lambda: off
    assert measure.ulp(prepared) == pytest.approx(1.0)
    prepared.call = lambda: np.full(1000, np.nan, np.float32)
    assert measure.ulp(prepared) == np.inf


def test_one_wrong_element_at_the_end_shows():
    prepared = prepare(replace(RELU, n=1_000_000))
    result = prepared.result()[0].copy()
    result[-1] += 1000
    prepared.call = lambda: result
    assert measure.ulp(prepared) > 1000


# ---------------------------------------------------------------- sampling
def test_contestants_take_turns():
    log: list[str] = []
    contestants = [Fake(name, log, 1e7) for name in "abc"]
    sample(contestants, 0.0, np.random.default_rng(0))
    rounds = log[len(contestants) :]  # before them, each was calibrated
    for k in range(0, len(rounds), 3):
        assert sorted(rounds[k : k + 3]) == ["a", "b", "c"]


def test_the_order_of_a_round_is_random():
    log: list[str] = []
    sample([Fake(name, log, 1e7) for name in "abcdef"], 10.0, np.random.default_rng(0))
    assert len({tuple(log[k : k + 6]) for k in range(6, 36, 6)}) > 1


def test_quartiles_are_in_order_and_near_the_truth():
    (timing,) = sample([Fake("a", [], 5000)], 0.05, np.random.default_rng(0))
    assert timing.q1 <= timing.median <= timing.q3
    assert timing.median == pytest.approx(5e-6, rel=0.1)
    assert timing.samples >= measure.FEWEST
    assert timing.loops > 1


def test_a_budget_of_nothing_still_gives_samples():
    timings = sample([Fake(name, [], 1e9) for name in "ab"], 0.0, np.random.default_rng(0))
    assert [timing.samples for timing in timings] == [measure.FEWEST] * 2
    assert [timing.loops for timing in timings] == [1, 1]


def test_nothing_to_sample():
    assert sample([], 1.0, np.random.default_rng(0)) == []


def test_threads_are_restored():
    from kernels import threads

    before = threads.get_num_threads()
    with measure.limited_threads(1):
        assert threads.get_num_threads() == 1
    assert threads.get_num_threads() == before


def test_one_slow_call_does_not_set_the_loops():
    fake = Fake("a", [], 1e5)
    slow = iter([8e6])
    plain = fake.run
    fake.run = lambda loops: int(next(slow, 0)) or plain(loops)
    (timing,) = sample([fake], 1.0, np.random.default_rng(0))
    assert timing.loops > 10


def test_outputs_are_kept_for_a_sample_and_no_longer():
    prepared = prepare(replace(RELU, allocate=True, keep=True))
    held = []
    prepared.kept = type("Kept", (list,), {"clear": lambda self: held.append(len(self))})(prepared.kept)
    prepared.timer.timeit(3)
    assert prepared.most_loops == measure.KEPT // prepared.case.bytes
    prepared = prepare(replace(RELU, n=10**7, allocate=True, keep=True))
    assert measure._Sampler(prepared, 1e12).loops <= prepared.most_loops
    assert prepared.kept == []


def test_memory_of_a_call_is_its_temporaries():
    x = 4 * RELU.n
    assert measure.peak_memory(prepare(replace(RELU, allocate=True))) == pytest.approx(x, rel=0.5)
    assert measure.peak_memory(prepare(RELU)) < x / 2
    assert measure.peak_memory(prepare(replace(RELU, n=10**6))) is None


# ---------------------------------------------------------------- ceiling, memory, data of a network
@pytest.mark.parametrize("threads", [1, 2])
def test_roofs_lie_side_by_side(threads):
    roofs = measure.roofs(threads)
    assert roofs[0].first == 0
    assert roofs[-1].last is None
    assert [roof.last for roof in roofs[:-1]] == [roof.first for roof in roofs[1:]]
    assert all(roof.first < roof.bytes <= (roof.last or roof.bytes) for roof in roofs)


def test_copies_within_a_cache_are_timed(monkeypatch):
    monkeypatch.setattr(measure, "COPIED", 1 << 16)
    ways = measure.roof_speeds(measure.Roof("L1d", 0, 1 << 15, 1 << 14), 1, budget_s=0.01)
    assert not ways or (len(ways) == 3 and all(speed > 0 for speed in ways.values()))


def test_repeated_copies_are_whole():
    dispatch = pytest.importorskip("kernels.native.dispatch")
    x = np.arange(100_003, dtype=np.float32)
    for threads in (1, 2, 3):
        out = np.zeros_like(x)
        dispatch.copy(x, out, 0, threads, 1, 3)
        np.testing.assert_array_equal(out, x)
    with pytest.raises(ValueError, match="at least 1"):
        dispatch.copy(x, out, 0, 1, 1, 0)


@pytest.mark.parametrize("threads", [1, None])
def test_the_ceiling_is_of_ways_to_copy(threads):
    ways = measure.copy_ceiling(1 << 21, threads, budget_s=0.01)
    assert all(speed > 0 for speed in ways.values())
    assert not any("relu" in way for way in ways)


def test_memory_grows_with_the_array():
    assert measure.memory_needed(replace(RELU, n=10**8)) > measure.memory_needed(RELU)
    assert measure.memory_needed(replace(RELU, backend="python")) > measure.memory_needed(RELU)


def test_the_network_has_learned():
    pytest.importorskip("sklearn")
    from kernels import digits

    images, labels = digits.data()
    guesses = digits.train().probabilities(images).argmax(axis=1)
    assert (guesses == labels).mean() > 0.9


def test_pre_activations_are_repeated_where_there_are_too_few():
    pytest.importorskip("sklearn")
    from kernels import digits

    many = digits.pre_activations(200_000, np.float64)
    assert many.shape == (200_000,)
    assert many.dtype == np.float64
    np.testing.assert_array_equal(many[:1000], digits.pre_activations(1000, np.float64))


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch):
    from kernels import digits

    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    digits.data.cache_clear()
    with pytest.raises(ImportError, match=r"scikit-learn.*pip install"):
        digits.data()
