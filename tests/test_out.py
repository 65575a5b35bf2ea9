"""``out`` takes the result: itself, into x, into grad_output, laid out and overlapping in any way."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from kernels.backends import OWN


def _method(name, form, backend, accuracy="fast"):
    function = kernels.get(name, backend, accuracy=accuracy)
    return function if form == "value" else getattr(function, form)


def _outs(form, *arrays):
    return arrays if form == "value_and_derivative" else arrays[0]


def test_out_is_returned_and_holds_the_result(function, arguments, takes_out, form, values, assert_same):
    x, g = values((3, 5)), values((3, 5), seed=1)
    expected = function(*arguments(x, g))
    out = _outs(form, np.full((3, 5), 7.0), np.full((3, 5), 7.0))
    result = function(*arguments(x, g), out=out)
    assert_same(out, expected)
    if isinstance(out, tuple):
        assert all(a is b for a, b in zip(result, out, strict=True))
    else:
        assert result is out


def test_out_none_is_no_out(function, arguments, takes_out, values, assert_same):
    x = values(9)
    assert_same(function(*arguments(x), out=None), function(*arguments(x)))


def test_out_of_scalars_and_lists(function, arguments, takes_out, form):
    for x in 3.0, np.float64(2), np.array(1.5), [1.0, -2.0], [[]]:
        expected = function(*arguments(np.asarray(x)))
        out = _outs(form, np.empty(np.shape(x)), np.empty(np.shape(x)))
        result = function(*arguments(x), out=out)
        np.testing.assert_array_equal(out, expected)
        assert (result[0] is out[0]) if isinstance(out, tuple) else (result is out)


def test_out_layouts(function, arguments, takes_out, form, layouts, values, assert_same):
    x, g = values((3, 5)), values((3, 5), seed=1)
    expected = function(*arguments(x, g))
    for name, layout in layouts.items():
        outs = layout(np.full((3, 5), 7.0)), layout(np.full((3, 5), 8.0))
        function(*arguments(x, g), out=_outs(form, *outs))
        for one, other in zip(outs, expected if isinstance(expected, tuple) else (expected,), strict=False):
            assert_same(np.array(one, np.float64), other, name)


def test_gaps_of_a_strided_out_stay(function, arguments, takes_out, form, values):
    buffer = np.full((2, 3, 10), 7.0)
    x = values((3, 5))
    function(*arguments(x), out=_outs(form, buffer[0, :, ::2], buffer[1, :, ::2]))
    assert (buffer[:, :, 1::2] == 7.0).all()


def test_out_of_every_dtype(function, form, dtypes, arguments, takes_out, values, assert_same):
    for dtype in dtypes:
        x, g = values((2, 9), dtype), values((2, 9), dtype, seed=1)
        out = _outs(form, np.empty_like(x), np.empty_like(x))
        function(*arguments(x, g), out=out)
        assert_same(out, function(*arguments(x, g)), dtype)


# ---------------------------------------------------------------- aliases
def test_in_place(record, form, backend, accuracy, arguments, takes_out, values, assert_same):
    function = _method(record.name, form, backend, accuracy)
    lengths = (1, 17) if backend == "python" else (1, 17, 1024, 1025, 8193)
    for n, dtype in itertools.product(lengths, (np.float32, np.float64)):
        x, g = values(n, dtype), values(n, dtype, seed=1)
        expected = function(*arguments(x, g))
        if form == "value_and_derivative":
            _pairs_in_place(function, arguments, x, expected, assert_same)
            continue
        into_x = x.copy()
        function(*arguments(into_x, g), out=into_x)
        assert_same(into_x, expected)
        if form.startswith("backward"):
            into_g = g.copy()
            function(*arguments(x, into_g), out=into_g)
            assert_same(into_g, expected)
            square = x.copy()
            both = function(*arguments(x, x))
            function(*arguments(square, square), out=square)
            assert_same(square, both)


def _pairs_in_place(function, arguments, x, expected, assert_same):
    for k in (0, 1):
        outs = [np.empty_like(x), np.empty_like(x)]
        outs[k] = x.copy()
        function(*arguments(outs[k]), out=tuple(outs))
        assert_same(tuple(outs), expected)


def test_in_place_in_any_layout(function, form, arguments, takes_out, layouts, values, assert_same):
    x, g = values((3, 5)), values((3, 5), seed=1)
    expected = function(*arguments(x, g))
    expected = expected[0] if isinstance(expected, tuple) else expected
    for name, layout in layouts.items():
        into = layout(x)
        function(*arguments(into, g), out=_outs(form, into, np.empty((3, 5))))
        assert_same(np.array(into, np.float64), expected, name)


SHIFTS = [(1, 1), (-1, 1), (3, 1), (-1000, 1), (1023, 1), (0, -1), (2, -1), (1, 2), (-5, 3)]


def test_partial_overlap(record, form, backend, accuracy, arguments, takes_out, values, assert_same):
    """x or grad_output, and out, are windows on the same memory, shifted forwards, backwards, and turned around."""
    function = _method(record.name, form, backend, accuracy)
    n = 50 if backend == "python" else 9000
    whole, other = values(n * 3 + 4000, np.float32), values(n, np.float32, seed=1)
    aliases = ("x", "g") if form.startswith("backward") else ("x",)
    for (shift, step), aliased in itertools.product(SHIFTS, aliases):
        buffer = whole.copy()
        source = buffer[2000 : 2000 + n]
        out = buffer[2000 + shift + (n if step < 0 else 0) :: step][:n]
        x, g = (source, other) if aliased == "x" else (other, source)
        expected = function(*arguments(x.copy(), g.copy()))
        function(*arguments(x, g), out=_outs(form, out, np.empty_like(other)))
        case = f"{aliased}, shift {shift}, step {step}"
        assert_same(out.copy(), expected[0] if isinstance(expected, tuple) else expected, case)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    places=st.tuples(*[st.tuples(st.integers(0, 60), st.sampled_from((1, 2, -1, -2))) for _ in range(3)]),
    n=st.integers(0, 20),
    dtype=st.sampled_from((np.float32, np.float64, np.float16)),
    form=st.sampled_from(("value", "backward", "backward_from_output")),
    name=st.sampled_from(("sigmoid", "softmax", "elu")),
)
def test_any_overlap(places, n, dtype, form, name):
    """x, grad_output and out anywhere in one buffer."""
    start = np.random.default_rng(0).random(200).astype(dtype)
    for backend, found in OWN.items():
        if found.reason() is not None:
            continue
        buffer = start.copy()
        x, g, out = (buffer[50 + place :: step][:n] for place, step in places)
        function = _method(name, form, backend)
        inputs = (g, x) if form.startswith("backward") else (x,)
        expected = function(*(a.copy() for a in inputs))
        function(*inputs, out=out)
        np.testing.assert_array_equal(out, expected)


def test_out_of_another_dtype_in_the_same_memory(backend):
    """Integers computed into their own bytes."""
    x = np.arange(-5000, 5000)
    expected = kernels.get("relu", backend)(x)
    np.testing.assert_array_equal(kernels.get("relu", backend)(x, out=x.view(np.float64)), expected)


def test_the_outputs_of_a_pair_may_be_interleaved(backend, accuracy, values, assert_same):
    """They share no element, though the one lies between the other's."""
    function, x = kernels.get("sigmoid", backend, accuracy=accuracy).value_and_derivative, values(50, np.float32)
    buffer = np.zeros((50, 2), np.float32)
    function(x, out=(buffer[:, 0], buffer[:, 1]))
    assert_same((buffer[:, 0].copy(), buffer[:, 1].copy()), function(x))


def test_grad_output_that_is_a_view_of_out(record, backend, values, assert_same):
    """A gradient broadcast from one element of out: every element needs it before out is written."""
    function = kernels.get(record.name, backend).backward
    x, out = values((4, 3)), values((4, 3), seed=1)
    g = np.broadcast_to(out[0, 1:2], (4, 3))
    expected = function(g.copy(), x, *record.example_parameters)
    function(g, x, *record.example_parameters, out=out)
    assert_same(out, expected)


def test_a_weight_that_is_out(backend, values, assert_same):
    prelu = kernels.get("prelu", backend)
    x, weight = values((4, 3)), values((4, 3), seed=1)
    expected = prelu(x, weight.copy())
    prelu(x, weight, out=weight)
    assert_same(weight, expected)
    channel = values((4, 3), seed=2)
    expected = prelu(x, channel[1].copy())
    prelu(x, channel[1], out=channel)
    assert_same(channel, expected)
