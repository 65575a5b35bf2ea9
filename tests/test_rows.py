"""Row functions along any axis, for any shape; their gradient is the product with their Jacobian."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from kernels import oracle
from kernels.activations import RECORDS
from kernels.backends import OWN
from kernels.verify.findings import bound_of

ROWS = [record for record in RECORDS if record.kind == "row"]
FORMS = ("value", "backward", "backward_from_output")
TOLERANCE = {np.float32: 1e-6, np.float64: 1e-14}

every_row = pytest.mark.parametrize("record", ROWS, ids=lambda r: r.name)


def _call(record, form, backend, x, g, accuracy="fast", **keywords):
    function = kernels.get(record.name, backend, accuracy=accuracy)
    return function(x, **keywords) if form == "value" else getattr(function, form)(g, x, **keywords)


@every_row
@pytest.mark.parametrize("form", FORMS)
def test_every_axis(record, form, backend, accuracy, values, assert_same):
    for dtype in (np.float32, np.float64):
        x, g = values((2, 3, 4), dtype), values((2, 3, 4), dtype, seed=1)
        for axis in (-3, -2, -1, 0, 1, 2):
            moved, moved_g = (np.ascontiguousarray(np.moveaxis(a, axis, -1)) for a in (x, g))
            expected = np.moveaxis(_call(record, form, backend, moved, moved_g, accuracy), -1, axis)
            assert_same(_call(record, form, backend, x, g, accuracy, axis=axis), expected.copy(), f"axis {axis}")
            out = np.full(x.shape, 7, dtype)
            assert _call(record, form, backend, x, g, accuracy, axis=axis, out=out) is out
            assert_same(out, expected.copy(), f"out, axis {axis}")


@every_row
@pytest.mark.parametrize("form", FORMS)
def test_rows_do_not_mix(record, form, backend, values, assert_same):
    """A row gives the same bits alone and among others."""
    for n in (1, 2, 31, 32, 33, 1025):
        x, g = values((5, n), np.float32), values((5, n), np.float32, seed=1)
        together = _call(record, form, backend, x, g)
        for k in range(5):
            assert_same(together[k].copy(), _call(record, form, backend, x[k], g[k]), f"row {k} of {n}")


@every_row
@pytest.mark.parametrize("form", FORMS)
def test_in_place_along_every_axis(record, form, backend, accuracy, values, assert_same):
    x, g = values((3, 4, 5)), values((3, 4, 5), seed=1)
    for axis in (0, 1, 2):
        expected = _call(record, form, backend, x, g, accuracy, axis=axis)
        into = x.copy()
        _call(record, form, backend, into, g, accuracy, axis=axis, out=into)
        assert_same(into, expected)
        if form != "value":
            into = g.copy()
            _call(record, form, backend, x, into, accuracy, axis=axis, out=into)
            assert_same(into, expected)


@every_row
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [1024, 1025, 4100])
def test_rows_longer_than_a_block(record, form, backend, accuracy, n, values, assert_same):
    """What is worked on in blocks, for want of scratch that grows with the row, has the bits of the whole row."""
    if not kernels.BACKENDS[backend].compiled:
        pytest.skip("has no blocks")
    inside = np.float64 if accuracy == "accurate" else np.float32
    x, g = values((2, n), np.float32), values((2, n), np.float32, seed=1)
    x[1] = x[1] * 30 + 5000
    expected = _call(record, form, backend, x.astype(inside), g.astype(inside)).astype(np.float32)
    assert_same(_call(record, form, backend, x, g, accuracy), expected)
    into = x.copy()
    assert_same(_call(record, form, backend, into, g, accuracy, out=into), expected)
    if form != "value":
        assert_same(_call(record, form, backend, x, g, accuracy, out=g), expected)


@every_row
def test_overlapping_rows(record, backend, values, assert_same):
    """Rows that slide over the memory of one another, out among them."""
    buffer = values(40)
    x = np.lib.stride_tricks.sliding_window_view(buffer, 8)[:5]
    expected = _call(record, "value", backend, x.copy(), None)
    assert_same(_call(record, "value", backend, x, None), expected)
    out = buffer.reshape(5, 8)
    _call(record, "value", backend, x, None, out=out)
    assert_same(out.copy(), expected)


@every_row
def test_a_0d_array_is_a_row_of_one(record, backend, dtype):
    x, one = np.array(3, dtype), np.ones((), dtype)
    for form in FORMS:
        expected = _call(record, form, backend, x.reshape(1), one.reshape(1))
        result = _call(record, form, backend, x, one)
        assert type(result) is dtype.type
        assert result == expected[0]
        out = np.full((), 7, dtype)
        assert _call(record, form, backend, x, one, out=out, axis=0) is out
        assert out == expected[0]


@every_row
def test_empty_rows(record, backend):
    for shape in (0,), (3, 0), (0, 3), (2, 0, 3):
        for axis in range(len(shape)):
            x = np.empty(shape, np.float32)
            for form in FORMS:
                out = np.empty_like(x)
                assert _call(record, form, backend, x, x, axis=axis).shape == shape
                assert _call(record, form, backend, x, x, axis=axis, out=out) is out
            rest = shape[:axis] + shape[axis + 1 :]
            jacobian = kernels.get(record.name, backend).jacobian(x, axis=axis)
            assert jacobian.shape == (*rest, shape[axis], shape[axis])


def test_softmax_rows_sum_to_one(backend, accuracy, values):
    for dtype in (np.float32, np.float64):
        x = values((7, 300), dtype) * 20
        y = kernels.get("softmax", backend, accuracy=accuracy)(x)
        assert ((y >= 0) & (y <= 1)).all()
        np.testing.assert_allclose(y.sum(axis=-1, dtype=np.float64), 1, atol=300 * np.finfo(dtype).eps)


def test_softmax_of_shifted_rows(backend):
    """Large entries neither overflow nor warn."""
    softmax = kernels.get("softmax", backend)
    for dtype in (np.float32, np.float64):
        largest = np.finfo(dtype).max
        np.testing.assert_array_equal(softmax(np.array([largest, largest, -largest], dtype)), [0.5, 0.5, 0.0])
        np.testing.assert_array_equal(softmax(np.array([-largest] * 4, dtype)), [0.25] * 4)


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 64, 70])
def test_softmax_of_infinities_and_nan(backend, accuracy, n):
    softmax = kernels.get("softmax", backend, accuracy=accuracy)
    for dtype in (np.float32, np.float64):
        assert np.isnan(softmax(np.full(n, -np.inf, dtype))).all()
        for place in {0, n // 2, n - 1}:
            for special in (np.nan, np.inf):
                row = np.linspace(-1, 1, n).astype(dtype)
                row[place] = special
                got = softmax(row)
                # Frameworks differ at the finite entries beside an infinity: e^(-inf) / NaN is NaN.
                assert np.isnan(got).all(), (place, special)
            row = np.linspace(-1, 1, n + 1).astype(dtype)
            row[place] = -np.inf
            got = softmax(row)
            assert got[place] == 0
            rest = softmax(np.delete(row, place))
            np.testing.assert_allclose(np.delete(got, place), rest, rtol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 64, 70])
def test_softmin_is_softmax_of_minus_x(backend, accuracy, n, values, assert_same):
    softmin, softmax = (kernels.get(name, backend, accuracy=accuracy) for name in ("softmin", "softmax"))
    for dtype in (np.float32, np.float64):
        x, g = values((3, n), dtype), values((3, n), dtype, seed=1)
        x[1, n // 2], x[2, 0] = np.inf, -np.inf
        assert_same(softmin(x), softmax(-x))
        y = softmin(x[:1])
        assert_same(np.abs(softmin.backward_from_output(g[:1], y)), np.abs(softmax.backward_from_output(g[:1], y)))


@pytest.mark.parametrize("n", [2, 31, 32, 33, 64, 70])
def test_log_softmax_of_infinities_and_nan(backend, accuracy, n):
    log_softmax = kernels.get("log_softmax", backend, accuracy=accuracy)
    for dtype in (np.float32, np.float64):
        assert np.isnan(log_softmax(np.full(n, -np.inf, dtype))).all()
        for place in {0, n // 2, n - 1}:
            row = np.linspace(-1, 1, n).astype(dtype)
            for special in (np.nan, np.inf):
                row[place] = special
                assert np.isnan(log_softmax(row)).all(), (place, special)
            row[place] = -np.inf
            got = log_softmax(row)
            assert got[place] == -np.inf
            np.testing.assert_allclose(np.delete(got, place), log_softmax(np.delete(row, place)), rtol=1e-6)
            g = np.ones(n, dtype)
            assert log_softmax.backward(g, row)[place] == 1


@pytest.mark.parametrize("n", [2, 33, 100])
def test_log_softmax_beside_zero(backend, accuracy, n):
    """Where one entry stands out, its value is less the sum of the others' terms, however small."""
    log_softmax = kernels.get("log_softmax", backend, accuracy=accuracy)
    for dtype, gaps in ((np.float32, (1.0, 20.0, 60.0, 87.0)), (np.float64, (1.0, 40.0, 300.0, 700.0))):
        record, compiled = kernels.ACTIVATIONS["log_softmax"], kernels.BACKENDS[backend].compiled
        bound = bound_of(record.ulp["value"], backend, dtype, accuracy)
        for gap in gaps if compiled else gaps[:1]:
            for base in (0.0, -3.0, 1000.0):
                row = np.full(n, base, dtype)
                row[n // 2] += dtype(gap)
                exact = oracle.log_softmax(list(map(float, row)))
                errors = [oracle.ulp_error(a, b, dtype) for a, b in zip(log_softmax(row), exact, strict=True)]
                assert max(errors) <= bound, (gap, base)


def test_sparsemax_of_ordinary_rows(backend, accuracy):
    """Rows with few entries above the threshold and with many: they sum to 1, and what stays out is 0."""
    sparsemax = kernels.get("sparsemax", backend, accuracy=accuracy)
    for dtype, n in itertools.product((np.float32, np.float64), (1, 2, 31, 32, 33, 64, 300)):
        for spread, base in itertools.product((0.001, 0.1, 1.0, 20.0), (0.0, 1000.0)):
            x = (np.random.default_rng(n).standard_normal(n) * spread + base).astype(dtype)
            y, exact = sparsemax(x), np.array(oracle.sparsemax(list(map(float, x))), float)
            eps = np.finfo(dtype).eps
            np.testing.assert_allclose(y, exact, rtol=0, atol=8 * eps)
            assert ((y > 0) == (exact > 0)).all() or np.abs(y - exact)[(y > 0) != (exact > 0)].max() < eps
            assert abs(y.sum(dtype=np.float64) - 1) < n * eps


def test_sparsemax_of_equal_and_apart_entries(backend, accuracy):
    sparsemax = kernels.get("sparsemax", backend, accuracy=accuracy)
    np.testing.assert_array_equal(sparsemax([3.0] * 4), [0.25] * 4)
    np.testing.assert_array_equal(sparsemax([1.0, 0.0, -5.0]), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(sparsemax([0.5, 0.0]), [0.75, 0.25])
    np.testing.assert_array_equal(sparsemax.backward([1.0, 2.0, 4.0], [0.5, 0.0, -5.0]), [-0.5, 0.5, 0.0])
    largest = np.finfo(np.float64).max
    np.testing.assert_array_equal(sparsemax([largest, -largest]), [1.0, 0.0])


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 64, 70])
def test_sparsemax_of_infinities_and_nan(backend, accuracy, n):
    sparsemax = kernels.get("sparsemax", backend, accuracy=accuracy)
    for dtype in (np.float32, np.float64):
        assert np.isnan(sparsemax(np.full(n, -np.inf, dtype))).all()
        g = np.arange(n).astype(dtype)
        for place in {0, n // 2, n - 1}:
            for special in (np.nan, np.inf):
                row = np.linspace(-1, 1, n).astype(dtype)
                row[place] = special
                assert np.isnan(sparsemax(row)).all(), (place, special)
                assert np.isnan(sparsemax.backward(g, row)).all(), (place, special)
            row = np.linspace(-1, 1, n + 1).astype(dtype)
            row[place] = -np.inf
            got = sparsemax(row)
            assert got[place] == 0
            np.testing.assert_allclose(np.delete(got, place), sparsemax(np.delete(row, place)), atol=1e-6)


def test_a_slow_search_ends(backend):
    """Entries of which each pass leaves few behind."""
    x = -np.cumsum(0.5 ** np.arange(60))
    y = kernels.get("sparsemax", backend)(x)
    np.testing.assert_allclose(y, np.array(oracle.sparsemax(list(x)), float), rtol=0, atol=1e-15)


def test_a_bad_row_leaves_the_others_alone(backend, values):
    x = values((4, 9))
    x[1], x[2, 3] = -np.inf, np.nan
    y = kernels.get("softmax", backend)(x)
    assert np.isnan(y).any(axis=-1).tolist() == [False, True, True, False]


@every_row
@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 4), (1, 1), ()])
def test_backward_is_the_product_with_the_jacobian(record, backend, accuracy, shape, values):
    for dtype in (np.float32, np.float64):
        x, g = (np.asarray(values(shape or 1, dtype, seed).reshape(shape)) for seed in (0, 1))
        function = kernels.get(record.name, backend, accuracy=accuracy)
        for axis in range(max(len(shape), 1)):
            jacobian = function.jacobian(x, axis=axis)
            assert jacobian.dtype == dtype
            rows = np.moveaxis(np.atleast_1d(g), axis, -1)
            expected = np.moveaxis(np.einsum("...i,...ij->...j", rows, jacobian), -1, axis).reshape(shape)
            tolerance = 10 * TOLERANCE[dtype]
            np.testing.assert_allclose(function.backward(g, x, axis=axis), expected, rtol=0, atol=tolerance)
            y = function(x, axis=axis)
            np.testing.assert_allclose(function.backward_from_output(g, y, axis=axis), expected, rtol=0, atol=tolerance)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    x=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=70),
    shift=st.floats(-100, 100),
)
def test_softmax_agrees_with_its_definition(x, shift):
    e = np.exp(np.array(x) - max(x))
    for backend, found in OWN.items():
        if found.reason() is None:
            got = kernels.get("softmax", backend)(np.array(x))
            np.testing.assert_allclose(got, e / e.sum(), rtol=1e-13, atol=1e-300)
            shifted = kernels.get("softmax", backend)(np.array(x) + shift)
            np.testing.assert_allclose(shifted, got, rtol=1e-12)
