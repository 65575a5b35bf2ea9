"""Whatever the input rules accept gives the answer of the plain array of the same values."""

from __future__ import annotations

import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from kernels.backends import OWN

#: Around the edges of the blocks, and above the number of elements from which threads work.
LENGTHS = (1, 2, 15, 16, 17, 1023, 1024, 1025, 8191, 8192, 8193, 16385)


# ---------------------------------------------------------------- layouts
def test_layouts(function, arguments, layouts, values, assert_same):
    x, g = values((3, 5), np.float32), values((3, 5), np.float32, seed=1)
    expected = function(*arguments(x, g))
    for name, layout in layouts.items():
        assert_same(function(*arguments(layout(x), layout(g))), expected, name)


def test_mixed_layouts(function, arguments, values, assert_same):
    x, g = values((4, 6)), values((4, 6), seed=1)
    expected = function(*arguments(x, g))
    assert_same(function(*arguments(np.asfortranarray(x), g)), expected)
    assert_same(function(*arguments(x, g[:, ::-1].copy()[:, ::-1])), expected)
    assert_same(function(*arguments(x.astype(">f8"), np.asfortranarray(g))), expected)


def test_read_only(function, arguments, values, assert_same):
    x, g = values((3, 5)), values((3, 5), seed=1)
    expected = function(*arguments(x, g))
    x.flags.writeable = g.flags.writeable = False
    assert_same(function(*arguments(x, g)), expected)


def test_broadcast_views(function, arguments, values, assert_same):
    x, g = np.broadcast_to(values(5), (3, 5)), np.broadcast_to(values((3, 1), seed=1), (3, 5))
    assert_same(function(*arguments(x, g)), function(*arguments(x.copy(), g.copy())))


def test_byte_swapped_of_every_dtype(record, backend, dtype, values, assert_same):
    if dtype.name == "bfloat16":
        pytest.skip("bfloat16 has no other byte order")
    function, x = kernels.get(record.name, backend), values(9, dtype)
    got = function(x.astype(dtype.newbyteorder()), *record.example_parameters)
    assert_same(got, function(x, *record.example_parameters))
    assert got.dtype.isnative


def test_lengths_around_the_blocks(record, form, backend, arguments, values, assert_same):
    """Each element is computed as if it stood alone, at every length, strided and not, in both classes."""
    if not record.elementwise or form == "backward_parameters":
        pytest.skip("not elementwise")
    x, g = values(max(LENGTHS), np.float32), values(max(LENGTHS), np.float32, seed=1)
    lengths = (1, 17, 1025) if backend == "python" else LENGTHS
    for accuracy in ("fast", "accurate"):
        function = kernels.get(record.name, backend, accuracy=accuracy)
        function = function if form == "value" else getattr(function, form)
        whole = function(*arguments(x, g))
        whole = whole if isinstance(whole, tuple) else (whole,)
        for n in lengths:
            for step in (1, 2):
                got = function(*arguments(np.repeat(x[:n], step)[::step], np.repeat(g[:n], step)[::step]))
                for one, other in zip(got if isinstance(got, tuple) else (got,), whole, strict=True):
                    assert_same(one, other[:n])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_view(data):
    """Views of any shape, order and stride."""
    shape = data.draw(st.lists(st.integers(0, 4), min_size=0, max_size=5).map(tuple))
    steps = data.draw(st.tuples(*[st.sampled_from((1, 2, -1, -3)) for _ in shape]))
    axes = data.draw(st.permutations(range(len(shape))))
    whole = np.random.default_rng(0).standard_normal([n * abs(s) for n, s in zip(shape, steps, strict=True)])
    x = np.asarray(whole)[tuple(slice(None, None, s) for s in steps)].transpose(axes)
    for name, backend in OWN.items():
        if backend.reason() is None:
            sigmoid = kernels.get("sigmoid", name)
            got = sigmoid.backward(x, x)
            assert np.shape(got) == x.shape
            np.testing.assert_array_equal(got, sigmoid.backward(x.copy("C"), x.copy("C")))


# ---------------------------------------------------------------- dtypes
def test_floating_dtypes_stay(function, dtypes, arguments, values):
    for dtype in dtypes:
        result = function(*arguments(values((2, 3), dtype)))
        for one in result if isinstance(result, tuple) else (result,):
            assert one.dtype == dtype
            assert type(one) is (dtype.type if one.ndim == 0 else np.ndarray)


def test_integers_and_booleans_compute_in_float64(function, arguments, assert_same):
    for kind in ("?", *"bBhHiIlLqQ", ">i4", ">u2"):
        x = np.array([[0, 1], [1, 0]], kind)
        wide = x.astype(np.float64)
        assert_same(function(*arguments(x, x[::-1])), function(*arguments(wide, wide[::-1])), kind)


def test_integers_at_the_ends_of_their_range(backend):
    relu = kernels.get("relu", backend)
    for kind in "bBhHiIlLqQ":
        info = np.iinfo(kind)
        got = relu(np.array([info.min, info.max], kind))
        assert got.tolist() == [0.0, float(info.max)]


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 2**64 - 1, -(2**63), 2**64, 10**30])
def test_long_python_integers_are_rounded_to_float64(backend, number):
    relu = kernels.get("relu", backend)
    assert relu(number) == max(float(number), 0.0)
    assert list(relu([number, 1])) == [max(float(number), 0.0), 1.0]


def test_gradient_and_x_of_two_dtypes_promote(backend):
    relu = kernels.get("relu", backend)
    g, x = np.array([1.0, 2.0]), np.array([1.0, -1.0], np.float32)
    assert relu.backward(g, x).dtype == np.float64
    assert relu.backward(g.astype(np.float16), x).dtype == np.float32
    assert relu.backward(np.array([1, 2]), x).dtype == np.float64
    assert relu.backward(2.0, x).dtype == np.float32  # Python's numbers are weak
    np.testing.assert_array_equal(relu.backward(2, x), [2, 0])


def test_signalling_nan_is_a_quiet_matter(backend, accuracy):
    relu = kernels.get("relu", backend, accuracy=accuracy)
    signalling = np.array([0x7F800001] * 3, np.uint32).view(np.float32)
    assert np.isnan(relu(signalling)).all()
    assert np.isnan(relu(signalling[::2])).all()
    assert np.isnan(np.asarray(relu.backward(np.array([0x7C01], np.uint16).view(np.float16), np.float32([1])))).all()


def test_overflow_is_infinity_without_a_warning(backend):
    """As in the direct path, which can not warn; and a warning as an error must not leave ``out`` half written."""
    leaky = kernels.get("leaky_relu", backend)
    assert leaky(np.full(3, -60000, np.float16), 3.0).tolist() == [-np.inf] * 3
    assert leaky(np.full(3, -3e38, np.float32), 3.0).tolist() == [-np.inf] * 3
    assert leaky(np.full(6, -3e38, np.float32)[::2], 3.0).tolist() == [-np.inf] * 3
    assert leaky.backward(np.full(3, 1e308), np.full(3, -1.0), 100.0).tolist() == [np.inf] * 3
    prelu = kernels.get("prelu", backend)
    assert prelu.backward_parameters(np.full(3, 3e38, np.float32), np.full(3, -1, np.float32), 0.5) == -np.inf


# ---------------------------------------------------------------- kinds
def test_a_scalar_gives_a_scalar(function, arguments, form, backend):
    for scalar in (3, -2.5, True, np.float32(1.5), np.float64(-1.5), np.int8(3), np.bool_(True)):
        result = function(*arguments(scalar))
        if form == "jacobian":
            assert np.shape(result) == (1, 1)
            continue
        of_python = backend == "python" and not isinstance(scalar, np.generic)
        expected = float if of_python else np.float32 if isinstance(scalar, np.float32) else np.float64
        for one in result if isinstance(result, tuple) else (result,):
            assert type(one) is expected


def test_a_0d_array_gives_a_numpy_scalar(function, arguments, form, dtypes):
    for dtype in dtypes:
        result = function(*arguments(np.array(0.5, dtype)))
        for one in result if isinstance(result, tuple) else (result,):
            assert type(one) is (np.ndarray if form == "jacobian" else dtype.type)


def test_lists(function, arguments, form, backend):
    for given_ in [1, -2, 3], [[1.0, -2.0], [3.0, 4.0]], [True, False], (1, -2), [], [[]], [np.float64(1), -2]:
        result = function(*arguments(given_))
        expected = function(*arguments(np.array(given_, np.float64)))
        for one, other in zip(*(r if isinstance(r, tuple) else (r,) for r in (result, expected)), strict=True):
            if form == "backward_parameters":
                assert np.ndim(one) == 0
            else:
                assert type(one) is (list if backend == "python" else np.ndarray)
            assert np.asarray(one, np.float64).tolist() == other.tolist()


def test_lists_of_numpy_scalars_keep_their_dtype(backend):
    result = kernels.get("sigmoid", backend)([np.float32(0), np.float32(1)])
    assert isinstance(result, list) if backend == "python" else result.dtype == np.float32


@pytest.mark.parametrize("buffer", [array.array("f", [1, -2]), memoryview(array.array("d", [1, -2])), range(-1, 1)])
def test_buffers_and_sequences(backend, buffer):
    assert list(kernels.get("relu", backend)(buffer)) == [max(v, 0) for v in buffer]


def test_memory_maps(backend, tmp_path):
    path = tmp_path / "x.dat"
    np.array([1.0, -2.0, 3.0]).tofile(path)
    x = np.memmap(path, np.float64, mode="r")
    result = kernels.get("relu", backend)(x)
    assert type(result) is np.ndarray
    assert result.tolist() == [1, 0, 3]


def test_empty(function, arguments, form):
    for shape in (0,), (0, 3), (3, 0), (2, 0, 4), (0, 0):
        for kind in (np.float32, np.float64, np.float16, np.int64):
            result = function(*arguments(np.empty(shape, kind)))
            expected = {"jacobian": (*shape, shape[-1]), "backward_parameters": ()}.get(form, shape)
            for one in result if isinstance(result, tuple) else (result,):
                assert np.shape(one) == expected
                assert one.dtype == (np.float64 if kind is np.int64 else kind)


def test_grad_output_broadcasts_to_x(record, backend, values, assert_same):
    x = values((3, 5), np.float32)
    for form in {"backward", "backward_from_output", "backward_parameters"} & set(record.forms):
        function = getattr(kernels.get(record.name, backend), form)
        for shape in (), (1,), (5,), (1, 5), (3, 1):
            g = values(shape or 1, np.float32).reshape(shape)
            expected = function(np.broadcast_to(g, x.shape).copy(), x, *record.example_parameters)
            assert_same(function(g, x, *record.example_parameters), expected, shape)


def test_inputs_are_left_alone(function, arguments, values):
    x, g = values((3, 5)), values((3, 5), seed=1)
    before = x.copy(), g.copy()
    function(*arguments(x, g))
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(g, before[1])


def test_results_are_new_memory(function, arguments, values):
    x = values((3, 5))
    result = function(*arguments(x))
    for one in result if isinstance(result, tuple) else (result,):
        assert not np.shares_memory(one, x)
        assert one.ndim == 0 or one.flags.writeable


def test_results_lie_in_memory_like_x(backend):
    x = np.asfortranarray(np.linspace(-3, 3, 600, dtype=np.float32).reshape(20, 30))
    y = kernels.get("sigmoid", backend)(x)
    assert y.flags.f_contiguous
    np.testing.assert_array_equal(y, kernels.get("sigmoid", backend)(np.ascontiguousarray(x)))
