"""Compiled backends and levels give the same bits: any inputs, threads, offsets and lengths."""

from __future__ import annotations

import functools
import itertools
import os

import numpy as np
import pytest

import kernels
from kernels.half import is_half
from kernels.verify import bits
from kernels.verify.checks import rows_or_elements
from kernels.verify.findings import bits_differ
from kernels.verify.halves import numbers
from kernels.verify.inputs import UNSIGNED, evaluate, possible_outputs, quiet, reference_backend, sample

COMPARED = bits.compared()
#: Inputs a function and form; `make bits` takes 10^7. Fewer for one thread without an fma instruction, 30 times slower.
MANY = int(os.environ.get("KERNELS_TEST_INPUTS", 10**6))
FEWER = MANY // 10
WITHOUT_FMA = "cython:x86-64-v2"
#: Whose Jacobians have as many entries.
JACOBIAN_ROWS = (MANY // 10_000, 100)
LENGTHS, OFFSETS = range(1, 68), range(16)

pytestmark = pytest.mark.skipif(not COMPARED, reason="one compiled backend at most, of one level")


@pytest.fixture(autouse=True)
def _restored_threads():
    before = kernels.get_num_threads()
    yield
    kernels.set_num_threads(before)


CLASSES = [("float32", "fast"), ("float32", "accurate"), ("float64", "fast"), ("float16", "fast"), ("bfloat16", "fast")]


@pytest.fixture(params=CLASSES, ids="-".join)
def arithmetic(request) -> tuple[type, str]:
    """(dtype, class): all but float32 have one class."""
    dtype, accuracy = request.param
    if dtype == "bfloat16":
        return pytest.importorskip("ml_dtypes").bfloat16, accuracy
    return np.dtype(dtype).type, accuracy


@functools.cache
def anything(dtype: type, seed: int) -> np.ndarray:
    """Random bit patterns, ordinary numbers, subnormals, special values and neighbours of landmarks, shuffled."""
    rng = np.random.default_rng(seed)
    if is_half(dtype):
        # Twice, for the parallel drivers.
        return rng.permutation(np.tile(numbers(np.dtype(dtype)), 2))
    unsigned = UNSIGNED[dtype]
    patterns = rng.integers(0, np.iinfo(unsigned).max, MANY // 2, dtype=unsigned, endpoint=True).view(dtype)
    subnormal = rng.integers(0, 1 << np.finfo(dtype).nmant, MANY // 100, dtype=unsigned).view(dtype)
    special = sample(dtype, MANY // 1000, seed)
    normal = rng.standard_normal(MANY - patterns.size - 2 * subnormal.size - special.size, np.float32) * np.float32(20)
    return rng.permutation(np.concatenate([quiet(patterns), subnormal, -subnormal, special, normal.astype(dtype)]))


def arrays(record, form: str, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """(x or y, g)"""
    if form == "jacobian":
        x = rows_or_elements(record, dtype, MANY)[0].reshape(-1)[: np.prod(JACOBIAN_ROWS)].reshape(JACOBIAN_ROWS)
        return x, x
    if record.kind == "row":
        x, g = rows_or_elements(record, dtype, MANY)
        return (evaluate(record, "value", reference_backend(), "fast", x, g) if form.endswith("output") else x), g
    if record.gate:
        # The first halves are ordinary numbers, the second ones anything.
        b = anything(dtype, 0)
        b = b[: min(MANY // 2, b.size) // 50 * 50]
        a, g = np.random.default_rng(0).standard_normal((2, b.size)).astype(dtype)
        return np.concatenate([a.reshape(-1, 50), b.reshape(-1, 50)], axis=1), g.reshape(-1, 50)
    x, g = anything(dtype, 0), anything(dtype, 1)
    x = possible_outputs(record, x) if form.endswith("output") else x
    return x, g[: x.size]


def assert_same_bits(got, expected, case: str) -> None:
    """Any NaN equals any NaN."""
    pairs = zip(got, expected, strict=True) if isinstance(expected, tuple) else [(got, expected)]
    for one, other in pairs:
        one, other = np.ravel(one), np.ravel(other)
        different = np.flatnonzero(bits_differ(one, other))
        assert not different.size, (
            f"{case}: {different.size} differ, first {one[different[0]]!r}, {other[different[0]]!r}"
        )


def first(results, count: int | None):
    return tuple(one[:count] for one in results) if isinstance(results, tuple) else results[:count]


def test_many_inputs(record, form, arithmetic):
    dtype, accuracy = arithmetic
    x, g = arrays(record, form, dtype)
    kernels.set_num_threads(1)
    expected = evaluate(record, form, reference_backend(), accuracy, x, g)
    for backend, threads in itertools.product([reference_backend(), *COMPARED], (2, 1)):
        kernels.set_num_threads(threads)
        if backend == WITHOUT_FMA and threads == 1 and form != "backward_parameters":
            got = evaluate(record, form, backend, accuracy, x[:FEWER], g[:FEWER])
            assert_same_bits(got, first(expected, len(x[:FEWER])), f"{backend} with 1 thread")
        else:
            got = evaluate(record, form, backend, accuracy, x, g)
            assert_same_bits(got, expected, f"{backend} with {threads} threads")


def test_every_offset_and_length(record, form, arithmetic):
    """A vector's body, its tail and its alignment are no part of the result."""
    dtype, accuracy = arithmetic
    data = (np.random.default_rng(2).standard_normal((2, OFFSETS[-1] + LENGTHS[-1])) * 5).astype(dtype)
    data[0, ::7], data[0, 3::11] = 0, -np.inf if record.elementwise else -30
    lengths = [n for n in LENGTHS if n % 2 == 0] if record.gate else LENGTHS
    windows = [data[:, offset : offset + n] for n in lengths for offset in OFFSETS]
    if record.gate:
        windows = [(x, g[: x.size // 2]) for x, g in windows]

    def results(backend: str, pairs) -> np.ndarray:
        found = [evaluate(record, form, backend, accuracy, x, g) for x, g in pairs]
        return np.concatenate([np.ravel(one) for one in found])

    expected = results(reference_backend(), [(x.copy(), g.copy()) for x, g in windows])
    for backend in [reference_backend(), *COMPARED]:
        assert_same_bits(results(backend, windows), expected, backend)


def test_all_levels_and_compilers_are_compared():
    compiled = {name for name, backend in kernels.BACKENDS.items() if backend.compiled and backend.reason() is None}
    assert {name.partition(":")[0] for name in [reference_backend(), *COMPARED]} == compiled
    levels = kernels.BACKENDS["cython"].variants() if "cython" in compiled else ()
    assert {f"cython:{level}" for level in levels} <= set(COMPARED)


@pytest.mark.parametrize("wrong", [np.nextafter(np.float32(1), 2), -0.0, np.nan], ids=str)
def test_one_bit_is_a_difference(wrong):
    right = np.array([1, 0, np.nan], np.float32)
    got = np.where([wrong > 0, wrong == 0, False], np.float32(wrong), right).astype(np.float32)
    got[0] = got[0] if wrong == wrong else np.nan
    assert_same_bits(right, right.copy(), "the same")
    assert_same_bits(np.array([-np.nan], np.float32), np.array([np.nan], np.float32), "any NaN")
    with pytest.raises(AssertionError, match="1 differ"):
        assert_same_bits(got, right, "different")
