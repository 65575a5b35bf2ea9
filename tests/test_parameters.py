"""Parameters: defaults, every way to give them, their rounding, prelu's weights, gradients of the learnable ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import kernels
from kernels import oracle
from kernels.activations import RECORDS
from kernels.backends import OWN

PARAMETRISED = [record for record in RECORDS if record.parameters]
LEARNABLE = [record for record in RECORDS if record.learnable]
every_parametrised = pytest.mark.parametrize(
    ("record", "form"),
    [pytest.param(r, form, id=f"{r.name}.{form}") for r in PARAMETRISED for form in r.forms],
)
every_learnable = pytest.mark.parametrize("record", LEARNABLE, ids=lambda r: r.name)


@pytest.fixture
def arrays(form, values):
    """``arrays(x, g)``: the array arguments of the form."""
    return lambda x, g=None: (values(x.shape, x.dtype, seed=1) if g is None else g, x) if "backward" in form else (x,)


def with_first(record, number) -> tuple:
    """Parameters of which the first one is that number, the others the record's examples."""
    return (number, *record.example_parameters[1:])


@every_parametrised
def test_every_way_to_give_a_parameter(function, record, form, arrays, values, assert_same):
    names = [p.name for p in record.parameters]
    numbers = [0.5 + k for k in range(len(names))]
    for x in values(9, np.float32), values((3, 4))[:, ::2], [1.0, -2.0]:
        inputs = (x, x) if "backward" in form else (x,)
        expected = function(*inputs, *numbers)
        assert_same(function(*inputs, **dict(zip(names, numbers, strict=True))), expected)
        for kind in (np.float64, np.float32, np.array, lambda v: np.array([v])):
            assert np.array_equal(np.ravel(function(*inputs, *map(kind, numbers))), np.ravel(expected))
        assert np.array_equal(
            function(*inputs, *[int(n * 2) for n in numbers]), function(*inputs, *[n * 2 for n in numbers])
        )
        assert np.array_equal(function(*inputs, *[True for _ in numbers]), function(*inputs, *[1.0 for _ in numbers]))


@every_parametrised
def test_keywords_in_any_order(function, record, form, values, assert_same):
    x, g = values(9, np.float32), values(9, np.float32, seed=1)
    params = {p.name: number for p, number in zip(record.parameters, with_first(record, 0.5), strict=True)}
    named = {"y" if form == "backward_from_output" else "x": x, **params}
    if "backward" in form:
        named["grad_output"] = g
    inputs = (g, x) if "backward" in form else (x,)
    expected = function(*inputs, *params.values())
    for order in itertools.permutations(named):
        assert_same(function(**{name: named[name] for name in order}), expected, order)
    fresh = {"".join(list(name)): value for name, value in named.items()}  # names that are not interned
    assert_same(function(**fresh), expected)
    assert_same(function(*inputs, *(), **params), expected)


@every_parametrised
def test_defaults(function, record, arrays, values, assert_same):
    x = values(9)
    defaults = [p.default for p in record.parameters]
    if None in defaults:
        name = record.parameters[defaults.index(None)].name
        with pytest.raises(TypeError, match=name):
            function(*arrays(x))
    else:
        assert_same(function(*arrays(x)), function(*arrays(x), *defaults))


@every_parametrised
def test_a_parameter_is_rounded_to_the_dtype_of_the_array(record, form, backend, dtype, arrays, values, assert_same):
    function = kernels.get(record.name, backend, accuracy="accurate")
    function = function if form == "value" else getattr(function, form)
    rounded = [float(np.array(1 / 3 + k).astype(dtype)) for k in range(len(record.parameters))]
    given = [1 / 3 + k for k in range(len(record.parameters))]
    for x in values(9, dtype), values((4, 6), dtype)[:, ::2]:
        assert_same(function(*arrays(x), *given), function(*arrays(x), *rounded))


@every_parametrised
def test_a_parameter_too_large_for_the_dtype_is_infinite(function, record, form, arrays, values, assert_same):
    """The same with and without the direct path, and no warning."""
    x = -np.abs(values(6, np.float32)) - 1
    spread = np.repeat(x, 2)[::2]
    g = np.ones(6, np.float32)
    infinite = function(*arrays(x, g), *with_first(record, np.inf))
    assert_same(function(*arrays(x, g), *with_first(record, 1e39)), infinite)
    assert_same(function(*arrays(spread, g), *with_first(record, 1e39)), infinite)
    assert_same(function(*arrays(x, g), *with_first(record, np.float64(1e39))), infinite)


@every_parametrised
def test_odd_parameters(function, record, form, arrays, values, assert_same):
    """Zero, negative, huge, infinite and NaN: the direct path and the general one agree."""
    x = values(6, np.float32)
    spread = np.repeat(x, 2)[::2]
    restricted = form == "backward_from_output" and record.parameters[0].nonnegative_from_output
    for number in (0, 0.0, -0.0, -0.5, 70000, -70000, 2**60, 1e30, np.inf, -np.inf, np.nan):
        if restricted and not number >= 0:
            continue
        params = with_first(record, number)
        assert_same(function(*arrays(x), *params), function(*arrays(spread), *params), number)
        other_kind = with_first(record, np.array(number, np.float32))
        assert_same(function(*arrays(x), *params), function(*arrays(x), *other_kind), number)


@pytest.mark.parametrize("single", [True, False], ids=["float32", "float64"])
@pytest.mark.parametrize("parameter", [-0.7, 0.3, 3.0, 50.0])
@pytest.mark.parametrize("name", ["celu", "softcap"])
def test_a_quotient_in_an_exponent_is_not_rounded(name, parameter, single, backend):
    """The record's bounds hold whatever the parameter: exp multiplies an error of x / parameter by up to 88 or 745."""
    if not OWN[backend].compiled:
        pytest.skip("bounds of these texts are for their example parameter")
    dtype, reach = (np.float32, 110.0) if single else (np.float64, 750.0)
    record, parameter = kernels.ACTIVATIONS[name], float(dtype(parameter))
    rng = np.random.default_rng(5)
    x = parameter * np.concatenate([rng.uniform(-reach, reach, 400), rng.uniform(-2, 2, 400), rng.normal(0, 1e-9, 50)])
    x = x.astype(dtype)
    for form in "value", "derivative":
        exact, function = oracle.lookup(record, form), kernels.get(name, backend)
        got = (function if form == "value" else function.derivative)(x, parameter)
        errors = [oracle.ulp_error(a, exact(float(b), parameter), dtype) for a, b in zip(got, x, strict=True)]
        bounds = record.ulp[form]
        assert max(errors) <= (bounds.float32 if single else bounds.float64), x[int(np.argmax(errors))]


def test_from_output_refuses_negative_parameters(record, backend):
    names = [p.name for p in record.parameters if p.nonnegative_from_output]
    if not (names and record.from_output):
        pytest.skip("has no such parameter")
    function, out = kernels.get(record.name, backend).backward_from_output, np.full(3, 77.0)
    for number in (-1, -0.5, -1e-300, -np.inf, np.nan, np.float32(-1), np.array(-2.0)):
        for x in np.ones(3), np.ones(6)[::2], [1.0, 2.0, 3.0]:
            with pytest.raises(ValueError, match=f"{names[0]} >= 0.*backward") as caught:
                function(np.ones(3), x, number, out=out)
            assert "given" in str(caught.value)
    assert (out == 77.0).all()
    assert function(1.0, 1.0, 0.0) == function(1.0, 1.0, -0.0) == 1.0


# ---------------------------------------------------------------- prelu's weights
SHAPE = (2, 3, 4)
WEIGHTS = {
    "scalar": ((), None),
    "one element": ((1,), None),
    "one element, many axes": ((1, 1, 1, 1), None),
    "per channel": ((3,), (1, 3, 1)),
    "broadcast": ((1, 3, 1), (1, 3, 1)),
    "broadcast first": ((2, 1, 1), (2, 1, 1)),
    "broadcast last": ((1, 1, 4), (1, 1, 4)),
    "a plane": ((2, 1, 4), (2, 1, 4)),
    "elementwise": ((2, 3, 4), (2, 3, 4)),
}


@pytest.fixture(params=WEIGHTS)
def weight(request):
    """(weight, the same spread over x)"""
    shape, laid_out = WEIGHTS[request.param]
    numbers = np.random.default_rng(3).random(shape).astype(np.float32)
    return numbers, np.broadcast_to(numbers.reshape(laid_out or ()), SHAPE)


def test_prelu_of_every_weight(backend, accuracy, weight, values, assert_same):
    prelu = kernels.get("prelu", backend, accuracy=accuracy)
    given, spread = weight
    for dtype in (np.float32, np.float64, np.float16):
        x, g = values(SHAPE, dtype), values(SHAPE, dtype, seed=1)
        w = spread.astype(dtype)
        value, slope = np.where(x > 0, x, w * x), np.where(x > 0, dtype(1), w)
        for laid_out in x, np.asfortranarray(x), x[:, :, ::-1].copy()[:, :, ::-1], x.astype(x.dtype.newbyteorder()):
            np.testing.assert_array_equal(prelu(laid_out, given), value)
            np.testing.assert_array_equal(prelu.derivative(laid_out, given), slope)
            np.testing.assert_array_equal(prelu.backward(g, laid_out, given), g * slope)
            np.testing.assert_array_equal(prelu.value_and_derivative(laid_out, given), (value, slope))
            np.testing.assert_array_equal(prelu(laid_out, given.tolist()), value)
            np.testing.assert_array_equal(prelu(laid_out, given.astype(np.float64)), value)
            out = np.empty_like(laid_out)
            assert prelu(laid_out, given, out=out) is out
            np.testing.assert_array_equal(out, value)


def test_gradient_of_every_weight(backend, accuracy, weight, values):
    prelu = kernels.get("prelu", backend, accuracy=accuracy)
    given, spread = weight
    for dtype in (np.float32, np.float64):
        x, g = values(SHAPE, dtype), values(SHAPE, dtype, seed=1)
        products = g.astype(np.float64) * np.minimum(x, 0)
        axes = tuple(k for k in range(3) if spread.strides[k] == 0)
        expected = products.sum(axis=axes).reshape(given.shape)
        got = prelu.backward_parameters(g, x, given)
        assert np.shape(got) == given.shape
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=4 * np.finfo(dtype).eps, atol=1e-15)
        for order in np.asfortranarray, lambda a: a[::-1].copy()[::-1]:
            np.testing.assert_array_equal(prelu.backward_parameters(order(g), order(x), given), got)


@pytest.mark.parametrize("n", [2, 1023, 1024, 1025, 8191, 8192, 8193, 16385, 65537])
def test_a_weight_an_element_around_the_blocks(backend, accuracy, n, values):
    """The last block of one element is no scalar weight."""
    if backend == "python" and n > 8193:
        pytest.skip("long")
    prelu = kernels.get("prelu", backend, accuracy=accuracy)
    for dtype in (np.float32, np.float64):
        x, w, g = -np.abs(values(n, dtype)) - 1, values(n, dtype, seed=1), values(n, dtype, seed=2)
        np.testing.assert_array_equal(prelu(x, w), x * w)
        np.testing.assert_array_equal(prelu.derivative(x, w), w)
        np.testing.assert_array_equal(prelu.backward(g, x, w), g * w)
        np.testing.assert_array_equal(prelu.value_and_derivative(x, w), (x * w, w))


@pytest.mark.parametrize(
    ("x_shape", "weight_shape"),
    [((3,), (2,)), ((2, 3), (2,)), ((2, 3, 4), (4,)), ((2, 3), (3, 2)), ((2, 3), (1, 2, 3)), ((), (2,)), ((2, 3), (0,)),
     ((4, 3), (3, 1))],
)  # fmt: skip
def test_weights_that_do_not_fit(backend, x_shape, weight_shape):
    prelu, x = kernels.get("prelu", backend), np.ones(x_shape)
    out = np.full(x_shape, 77.0)
    calls = [
        lambda w: prelu(x, w, out=out),
        lambda w: prelu.backward(x, x, w, out=out),
        lambda w: prelu.backward_parameters(x, x, w),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="weight") as caught:
            call(np.ones(weight_shape))
        assert str(weight_shape) in str(caught.value)
        assert str(x_shape) in str(caught.value)
    assert (out == 77.0).all()


def test_weights_of_empty_arrays(backend):
    prelu = kernels.get("prelu", backend)
    for shape, weight in (
        ((0,), 0.5),
        ((0, 3), np.ones(3)),
        ((2, 0), np.ones(0)),
        ((0, 3, 4), np.ones(3)),
        ((0,), np.ones(0)),
    ):
        x = np.empty(shape, np.float32)
        assert prelu(x, weight).shape == shape
        gradient = prelu.backward_parameters(x, x, weight)
        assert np.shape(gradient) == np.shape(weight)
        assert (np.asarray(gradient) == 0).all()


@pytest.mark.parametrize("bad", [np.complex64, np.longdouble, object, "U3", "M8[s]"], ids=str)
def test_weights_of_wrong_dtypes(backend, bad):
    with pytest.raises(TypeError, match="weight"):
        kernels.get("prelu", backend)(np.ones((2, 3)), np.zeros(3, bad))


# ---------------------------------------------------------------- gradients of learnable parameters
@every_learnable
def test_parameter_gradient_is_the_slope_in_the_parameter(record, backend, accuracy, values):
    function = kernels.get(record.name, backend, accuracy=accuracy)
    x, g, h = values((5, 7)), values((5, 7), seed=1), 1e-6
    for parameter in (0.3, 1.0, 2.0):
        slope = (g * (function(x, parameter + h) - function(x, parameter - h))).sum() / (2 * h)
        assert function.backward_parameters(g, x, parameter) == pytest.approx(slope, rel=1e-7, abs=1e-8)


@every_learnable
def test_parameter_gradient_of_infinities_does_not_warn(record, backend):
    function = kernels.get(record.name, backend)
    g, x = np.array([[np.inf, 1, np.nan], [-np.inf, -np.inf, 0]]), np.array([[1.0, -1, -1], [-np.inf, -1, np.inf]])
    parameters = [0.5] + ([np.array([0.1, 0.2, 0.3])] if record.learnable.broadcasts else [])
    for parameter in parameters:
        assert np.isnan(function.backward_parameters(g, x, parameter)).any()
    assert abs(function.backward_parameters(np.full(9, 3e38, np.float32), np.full(9, -1, np.float32), 0.5)) == np.inf


@every_learnable
def test_parameter_gradient_does_not_depend_on_the_layout(record, backend, layouts, values):
    function = kernels.get(record.name, backend).backward_parameters
    x, g = values((40, 300)), values((40, 300), seed=1)
    expected = function(g, x, 0.5)
    for name, layout in layouts.items():
        assert function(layout(g), layout(x), 0.5) == expected, name


def test_the_gradient_of_a_weight_has_the_dtype_of_x(backend, dtype, values):
    prelu = kernels.get("prelu", backend)
    x = values((4, 3), dtype)
    for w in dtype.type(0.25), np.full(3, 0.25, dtype):
        gradient = prelu.backward_parameters(np.ones_like(x), x, w)
        assert gradient.dtype == dtype
        assert np.shape(gradient) == np.shape(w)


def test_the_gradient_of_a_weight_is_rounded_once(backend):
    """In bfloat16 a tie and a little more, which float32 on the way would lose."""
    bfloat16 = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    g, x = np.array([[1], [2**-8], [2**-40]], bfloat16) * np.ones(2, bfloat16), np.full((3, 2), -1, bfloat16)
    gradient = kernels.get("prelu", backend).backward_parameters
    assert gradient(g[:, 0], x[:, 0], 0.25) == -(1 + 2**-7)
    assert gradient(g, x, np.full(2, 0.25, bfloat16)).tolist() == [-(1 + 2**-7)] * 2


@pytest.mark.parametrize("output", [0, 1])
def test_a_weight_array_may_be_an_output(backend, accuracy, values, output):
    x, weight = values((40, 50), np.float32), values((40, 50), np.float32, seed=1)
    prelu = kernels.get("prelu", backend, accuracy=accuracy)
    expected = prelu(x, weight), prelu.derivative(x, weight)
    pair = [np.empty_like(x), np.empty_like(x)]
    pair[output] = weight
    for result, right in zip(prelu.value_and_derivative(x, weight, out=tuple(pair)), expected, strict=True):
        np.testing.assert_array_equal(result, right)
