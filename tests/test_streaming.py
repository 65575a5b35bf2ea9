"""Stores past the caches change no bit and nothing beside the output, at any alignment and length."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import kernels
from kernels.native import native

dispatch = native("dispatch")
pytestmark = pytest.mark.skipif(dispatch is None, reason="without the compiled part nothing is streamed")

NEVER, ALWAYS = 2**62, 0
#: Around cache lines, vectors and blocks, and long enough for several chunks of several threads.
LENGTHS = (1, 2, 15, 16, 17, 1023, 1025, 40_011)
OFFSETS = (0, 1, 3, 15)
LONG = 300_011


@pytest.fixture(autouse=True)
def _restored():
    before = dispatch.get_stream_from(), kernels.get_num_threads()
    yield
    dispatch.set_stream_from(before[0])
    kernels.set_num_threads(before[1])


@pytest.fixture(params=["float32", "float64", "float16"])
def real(request):
    return request.param


@pytest.fixture
def call(record, form, real, arguments, values):
    """``call(accuracy, stream_from, n, offset)``: everything around and in the outputs."""
    if form in ("jacobian", "backward_parameters"):
        pytest.skip(f"{form} has no out")

    def run(accuracy, stream_from, n, offset):
        function = kernels.get(record.name, "fastest", accuracy=accuracy)
        function = function if form == "value" else getattr(function, form)
        shape = (n,) if record.elementwise else (n // 5, 5)
        size = int(np.prod(shape))
        x, g = values(shape, real), values(shape, real, seed=1)
        around = [np.full(size + offset + 20, 77, real) for _ in range(2)]
        outs = tuple(a[k + offset : k + offset + size].reshape(shape) for k, a in enumerate(around))
        dispatch.set_stream_from(stream_from)
        function(*arguments(x, g), out=outs if form == "value_and_derivative" else outs[0])
        return tuple(around)

    return run


def test_the_same_bits_and_nothing_else(call, accuracy, assert_same):
    kernels.set_num_threads(1)
    for n, offset in itertools.product(LENGTHS, OFFSETS):
        assert_same(call(accuracy, ALWAYS, n, offset), call(accuracy, NEVER, n, offset), f"{n} elements at {offset}")


def test_the_same_bits_in_threads(call, accuracy, assert_same):
    kernels.set_num_threads(3)
    assert_same(call(accuracy, ALWAYS, LONG, 1), call(accuracy, NEVER, LONG, 1))


@pytest.mark.parametrize("name", ["relu", "sigmoid"])
def test_every_level_streams(name, values):
    x = values(LENGTHS[-1], np.float32)
    expected = kernels.get(name)(x)
    dispatch.set_stream_from(ALWAYS)
    for level in kernels.BACKENDS["cython"].variants():
        np.testing.assert_array_equal(kernels.get(name, f"cython:{level}")(x), expected, level)


@pytest.mark.parametrize("name", ["relu", "sigmoid"])
def test_in_place(name, values):
    x = values(LONG, np.float32)
    expected = kernels.get(name)(x)
    dispatch.set_stream_from(ALWAYS)
    np.testing.assert_array_equal(kernels.get(name)(x, out=x), expected)
