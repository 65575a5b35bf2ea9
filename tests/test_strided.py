"""Arrays that lie in memory in any way: computed in blocks where they lie, in threads, their results like them."""

from __future__ import annotations

import numpy as np
import pytest

import kernels
from kernels import memory
from kernels.native import native

LONG = (300, 700)
FORMS = ("value", "derivative", "backward", "value_and_derivative")


@pytest.fixture(params=[1, 2])
def threads(request):
    before = kernels.get_num_threads()
    kernels.set_num_threads(request.param)
    yield
    kernels.set_num_threads(before)


@pytest.fixture
def layouts(layouts):
    """All but one that puts each number on a page of its own, which costs seconds."""
    return {name: layout for name, layout in layouts.items() if name != "huge_strides"}


def method(name: str, form: str):
    function = kernels.get(name)
    return function if form == "value" else getattr(function, form)


def given(form: str, x: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, ...]:
    return (g, x) if form == "backward" else (x,)


@pytest.mark.parametrize("form", FORMS)
def test_long_arrays_in_every_layout(form, layouts, values, dtypes, threads, assert_same):
    function = method("sigmoid", form)
    for dtype in dtypes:
        x, g = values(LONG, dtype), values(LONG, dtype, seed=1)
        expected = function(*given(form, x, g))
        for name, layout in layouts.items():
            if dtype.name == "bfloat16" and "swapped" in name:
                continue
            for a, b in ((layout(x), g), (layout(x), layout(g)), (x, layout(g))):
                assert_same(function(*given(form, a, b)), expected, (name, dtype))


@pytest.mark.parametrize("form", ["value", "derivative", "backward"])
def test_out_in_every_layout(form, layouts, values, threads, assert_same):
    function = method("sigmoid", form)
    x, g = values(LONG, np.float32), values(LONG, np.float32, seed=1)
    expected = function(*given(form, x, g))
    for name, layout in layouts.items():
        for a in (x, layout(x)):
            out = layout(np.zeros_like(x))
            assert function(*given(form, a, g), out=out) is out
            assert_same(out.astype(np.float32), expected, name)


def test_results_lie_like_x(values):
    x = values((6, 40, 50), np.float32)
    for view in (x[::2], x[:, ::-1], x.transpose(1, 2, 0), x[..., 3:7], np.asfortranarray(x), x[:, :1]):
        assert method("relu", "value")(view).strides == np.empty_like(view).strides


def test_gaps_are_left_alone(values, threads):
    for form in ("value", "backward"):
        function = method("gelu", form)
        x = values((3, 200_001), np.float32)
        expected = x.copy()
        part = (slice(None, None, 2), slice(1, None, 3))
        contiguous = np.ascontiguousarray(x[part])
        expected[part] = function(*given(form, contiguous, contiguous))
        function(*given(form, x[part], x[part]), out=x[part])
        np.testing.assert_array_equal(x, expected)


def test_outputs_that_overlap_an_input_partly(values):
    for step in (1, 2, -1):
        x = values(5000, np.float32)
        y = x[::step]
        for source, target in ((y[:-1], y[1:]), (y[1:], y[:-1]), (x[:2000], x[:4000:2])):
            before = x.copy()
            expected = kernels.get("sigmoid")(source.copy())
            kernels.get("sigmoid")(source, out=target)
            np.testing.assert_array_equal(target, expected)
            x[:] = before


def test_more_axes_than_are_taken_in_blocks(values):
    x = values((3,) * 10, np.float32)[(slice(None, None, 2),) * 10]
    np.testing.assert_array_equal(kernels.get("sigmoid")(x), kernels.get("sigmoid")(x.copy()))


def test_weights_in_any_layout(values, assert_same):
    prelu = kernels.get("prelu")
    x, weight = values((4, 30, 500), np.float32), values(30, np.float32, seed=1)
    spread = np.broadcast_to(weight[:, None], x.shape).copy()
    expected = prelu(x, spread)
    assert_same(prelu(x, weight), expected)
    assert_same(prelu(x, spread[..., ::-1].copy()[..., ::-1]), expected)
    assert_same(prelu(np.asfortranarray(x), weight), expected)
    assert_same(prelu.backward(x[::-1], x, weight), prelu.backward(x[::-1].copy(), x, spread))


@pytest.mark.skipif(native("dispatch") is None, reason="without the compiled part no memory is held")
def test_large_outputs_come_from_the_memory_of_collected_ones():
    before = memory.get_limit()
    memory.set_limit(1 << 28)
    try:
        memory.release()
        x = np.ones((1000, 1000), np.float32)[:, ::2]
        y = kernels.get("relu")(x)
        address = y.ctypes.data
        del y
        assert memory.held() > 0
        assert kernels.get("relu")(x).ctypes.data == address
    finally:
        memory.set_limit(before)
