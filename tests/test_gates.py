"""Gated pairs along any axis, for any shape: the products of the gate by itself, to the bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import kernels
from kernels.activations import RECORDS

PAIRS = [record for record in RECORDS if record.gate]
SENTINEL = 77.0

each_pair = pytest.mark.parametrize("record", PAIRS, ids=lambda record: record.name)
each_form = pytest.mark.parametrize("form", ["value", "backward"])


@pytest.fixture(autouse=True)
def _restored_threads():
    before = kernels.get_num_threads()
    yield
    kernels.set_num_threads(before)


def call(record, form, backend, g, x, accuracy="fast", **keywords):
    function = kernels.get(record.name, backend, accuracy=accuracy)
    return function(x, **keywords) if form == "value" else function.backward(g, x, **keywords)


def composed(record, form, backend, g, x, axis=-1):
    """What the gate by itself gives."""
    gate = kernels.get(record.gate, backend)
    a, b = np.split(x, 2, axis)
    if form == "value":
        return a * gate(b, *record.gate_parameters)
    slope = gate.derivative(b, *record.gate_parameters)
    return np.concatenate([g * gate(b, *record.gate_parameters), g * a * slope], axis)


def data(values, shape, dtype, axis=-1):
    """(g, x)"""
    x = values(shape, dtype)
    return values(np.split(x, 2, axis)[0].shape, dtype, seed=1), x


def same(record, backend, assert_same):
    """Bits, but for pure Python, which computes in float64 whatever it is given."""
    if backend != "python":
        return assert_same
    return lambda got, expected, case="": np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6, err_msg=case)


@each_pair
@each_form
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_axis(record, form, backend, dtype, values, assert_same):
    check = same(record, backend, assert_same)
    for axis in (-3, -2, -1, 0, 1, 2):
        g, x = data(values, (2, 4, 6), dtype, axis)
        expected = composed(record, form, backend, g, x, axis)
        check(call(record, form, backend, g, x, axis=axis), expected, f"axis {axis}")
        out = np.full(expected.shape, SENTINEL, dtype)
        assert call(record, form, backend, g, x, axis=axis, out=out) is out
        check(out, expected, f"out, axis {axis}")


@each_pair
@each_form
def test_every_length(record, form, backend, accuracy, values, assert_same):
    """Short halves, which are gathered, and long ones, over one thread and two."""
    halves = (1, 15, 16, 17, 70, 511, 512, 513, 1024, 3000) if kernels.BACKENDS[backend].compiled else (1, 17)
    inside, check = np.float32, same(record, backend, assert_same)
    if accuracy == "accurate":
        inside, check = np.float64, lambda got, expected, case: np.testing.assert_array_max_ulp(got, expected, 1)
    for half, rows in itertools.product(halves, (1, 3, 100)):
        g, x = data(values, (rows, 2 * half), np.float32)
        expected = composed(record, form, backend, g.astype(inside), x.astype(inside)).astype(np.float32)
        for threads in (1, 2):
            kernels.set_num_threads(threads)
            check(call(record, form, backend, g, x, accuracy), expected, f"{rows} rows of {half}")


@each_pair
@each_form
@pytest.mark.parametrize("half", [5, 600, 40_000])
def test_streamed(record, form, accuracy, half, values, assert_same):
    """Past the caches or not: the same bits, and nothing but the output is written."""
    from kernels.native import native

    dispatch = native("dispatch")
    if dispatch is None:
        pytest.skip("the compiled part is not built")
    g, x = data(values, (90_000 // half, 2 * half), np.float32)
    expected = call(record, form, "fastest", g, x, accuracy)
    before = dispatch.get_stream_from()
    try:
        dispatch.set_stream_from(0)
        for offset in (0, 1, 5):
            around = np.full(expected.size + offset + 20, SENTINEL, np.float32)
            out = around[offset : offset + expected.size].reshape(expected.shape)
            call(record, form, "fastest", g, x, accuracy, out=out)
            assert_same(out.copy(), expected, f"offset {offset}")
            assert (around[:offset] == SENTINEL).all()
            assert (around[offset + expected.size :] == SENTINEL).all()
    finally:
        dispatch.set_stream_from(before)


@each_pair
@each_form
def test_layouts(record, form, backend, layouts, values, assert_same):
    g, x = data(values, (3, 10), np.float32)
    expected = call(record, form, backend, g, x)
    for name, layout in layouts.items():
        assert_same(call(record, form, backend, layout(g), layout(x)), expected, name)
        out = layout(np.full(expected.shape, SENTINEL, np.float32))
        assert call(record, form, backend, g, x, out=out) is out
        assert_same(np.array(out, np.float32), expected, f"out, {name}")


@each_pair
@each_form
def test_dtypes(record, form, backend, dtypes, values):
    for dtype in dtypes:
        g, x = data(values, (2, 6), dtype)
        got = call(record, form, backend, g, x)
        assert got.dtype == dtype
        wide = call(record, form, backend, g.astype(np.float64), x.astype(np.float64))
        tolerance = 1e-14 if dtype == np.float64 else 2.0 ** -{"bfloat16": 7, "float16": 10, "float32": 20}[dtype.name]
        np.testing.assert_allclose(got.astype(np.float64), wide, rtol=tolerance, atol=tolerance)
    assert call(record, form, backend, [1, 2], [1, 2, 3, 4]).__class__ is (list if backend == "python" else np.ndarray)


@each_pair
def test_backward_in_place(record, backend, accuracy, values, assert_same):
    for shape, axis in itertools.product([(4, 6), (2, 3000), (200, 30)], (0, 1)):
        g, x = data(values, shape, np.float32, axis)
        expected = call(record, "backward", backend, g, x, accuracy, axis=axis)
        call(record, "backward", backend, g, x, accuracy, axis=axis, out=x)
        assert_same(x, expected, f"{shape}, axis {axis}")


@each_pair
@each_form
def test_overlapping_out(record, form, backend, values, assert_same):
    """out within x's memory or grad_output's: the result is that of memory apart."""
    for rows, shift in itertools.product((1, 6), (0, 4, 60)):
        buffer = values(600, np.float32)
        g, x = values((rows, 20), np.float32, seed=1), buffer[100 : 100 + 40 * rows].reshape(rows, 40)
        expected = call(record, form, backend, g, x.copy())
        out = buffer[100 + shift : 100 + shift + expected.size].reshape(expected.shape)
        call(record, form, backend, g, x, out=out)
        assert_same(out.copy(), expected, f"{rows} rows, shift {shift}")
    for rows, half in ((6, 20), (300, 20), (2, 4000)):
        buffer = values(2 * rows * half, np.float32)
        g, x = buffer[: rows * half].reshape(rows, half), values((rows, 2 * half), np.float32, seed=1)
        expected, out = call(record, "backward", backend, g.copy(), x), buffer.reshape(rows, 2 * half)
        call(record, "backward", backend, g, x, out=out)
        assert_same(out.copy(), expected, "out begins as grad_output does")
        x = values((rows, 2 * half), np.float32)
        expected, out = call(record, "value", backend, None, x), x.reshape(-1)[: rows * half].reshape(rows, half)
        call(record, "value", backend, None, x, out=out)
        assert_same(out.copy(), expected, "out begins as x does")


@each_pair
def test_special_values(record, backend, accuracy):
    """Of the second half in body and tail: what the gate gives there times the first half, infinities and NaN too."""
    gate = kernels.ACTIVATIONS[record.gate]
    for dtype in (np.float32, np.float64):
        special = [(s.x, s.value, s.derivative) for s in gate.special] + [(np.nan,) * 3]
        for n in (1, 8, 33, 70):
            b, value, slope = (np.resize(column, n).astype(dtype) for column in zip(*special, strict=True))
            a = np.resize(np.array([2.0, -0.5, 1.0], dtype), n)
            x, g = np.concatenate([a, b]), np.resize(np.array([1.0, -4.0], dtype), n)
            np.testing.assert_allclose(call(record, "value", backend, g, x, accuracy), a * value, rtol=1e-6)
            got = call(record, "backward", backend, g, x, accuracy)
            np.testing.assert_allclose(got, np.concatenate([g * value, g * a * slope]), rtol=1e-6)


# ---------------------------------------------------------------- shapes
@each_pair
@each_form
def test_odd_length(record, form, backend):
    for x, axis in ((np.ones(5), -1), (np.ones((4, 3)), 1), (np.ones((3, 4)), 0), (np.ones((2, 7, 2)), -2), (1.0, 0)):
        length = np.atleast_1d(x).shape[axis]
        out = np.full(np.shape(x), SENTINEL)
        with pytest.raises(ValueError, match=rf"axis {axis}, given length {length}"):
            call(record, form, backend, np.ones(2), x, axis=axis, out=out)
        assert (out == SENTINEL).all()


@each_pair
@each_form
def test_empty(record, form, backend):
    for shape, axis in ((0,), 0), ((3, 0), 1), ((0, 4), 1), ((0, 4), 0), ((2, 0, 4), 2):
        x = np.empty(shape, np.float32)
        g = np.split(x, 2, axis)[0]
        expected = (g if form == "value" else x).shape
        assert call(record, form, backend, g, x, axis=axis).shape == expected


@each_pair
def test_grad_output_has_the_shape_of_the_value(record, backend):
    backward, x = kernels.get(record.name, backend).backward, np.ones((2, 6))
    for shape in (2, 6), (4,), (3, 3), (1, 2, 3):
        with pytest.raises(ValueError, match="grad_output") as caught:
            backward(np.ones(shape), x)
        assert str(shape) in str(caught.value)
        assert "(2, 3)" in str(caught.value)
    np.testing.assert_array_equal(backward(1.0, x), backward(np.ones((2, 3)), x))
    np.testing.assert_array_equal(backward(np.ones(3), x), backward(np.ones((2, 3)), x))


@each_pair
@each_form
def test_bad_out(record, form, backend):
    g, x = np.ones((2, 3)), np.ones((2, 6))
    right = (2, 3) if form == "value" else (2, 6)
    for shape in (3, 2), (2, 12), (2,), (2, 3, 1), (2, 6) if form == "value" else (2, 3):
        out = np.full(shape, SENTINEL)
        with pytest.raises(ValueError, match="out has the wrong shape") as caught:
            call(record, form, backend, g, x, out=out)
        assert str(right) in str(caught.value)
        assert (out == SENTINEL).all()
    with pytest.raises(ValueError, match="dtype"):
        call(record, form, backend, g, x, out=np.empty(right, np.float32))


@each_pair
@pytest.mark.parametrize("axis", [2, -3, 10**20, 1.5, None, "rows", (0, 1)], ids=str)
def test_bad_axis(record, backend, axis):
    function, x = kernels.get(record.name, backend), np.ones((2, 4))
    for bad in (lambda: function(x, axis=axis), lambda: function.backward(x, x, axis=axis)):
        with pytest.raises((TypeError, ValueError), match="axis") as caught:
            bad()
        assert str(axis) in str(caught.value)


def test_definitions(backend):
    x = np.array([[1.0, -2.0, 0.5, -3.0]])
    for name, expected in (
        ("glu", [1 / (1 + np.exp(-0.5)), -2 / (1 + np.exp(3.0))]),
        ("reglu", [0.5, 0.0]),
        ("geglu", [0.345731230636632, 6 * 0.0013498980316300946]),
        ("swiglu", [0.5 / (1 + np.exp(-0.5)), 6 / (1 + np.exp(3.0))]),
    ):
        np.testing.assert_allclose(kernels.get(name, backend)(x)[0], expected, rtol=1e-6, atol=1e-12)
