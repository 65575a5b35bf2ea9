"""The traps that others fell into: each has its test here, whatever else holds it too."""

from __future__ import annotations

import math

import numpy as np
import pytest

import kernels
from kernels import measure
from kernels.activations import RECORDS
from kernels.backends import ACCURACIES
from kernels.report import plan

ELEMENTWISE = [pytest.param(record, id=record.name) for record in RECORDS if record.elementwise]
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, 1.0, -1.0, 6.0, -3.0], np.float32)
#: Twice the widest vector of float32, and one.
LONGEST = 33


def results(record, contestant, x):
    """Value, derivative and backward of all-ones of an array."""
    function = kernels.get(record.name, contestant)
    params = record.example_parameters
    return (
        function(x, *params),
        function.derivative(x, *params),
        function.backward(np.ones_like(x), x, *params),
    )


@pytest.mark.parametrize("record", ELEMENTWISE)
def test_max_drops_a_nan_on_one_of_its_sides(record, contestant):
    for n in (1, LONGEST):
        for result in results(record, contestant, np.full(n, np.nan, np.float32)):
            assert np.isnan(result).all()


@pytest.mark.parametrize("record", ELEMENTWISE)
def test_special_values_differ_between_the_vector_body_and_its_tail(record, contestant, assert_same):
    singles = [results(record, contestant, x) for x in SPECIAL[:, None]]
    alone = [np.concatenate(found) for found in zip(*singles, strict=True)]
    for n in range(1, LONGEST + 1):
        order = np.arange(n)[::-1] % SPECIAL.size
        strided = np.repeat(SPECIAL[order], 2)[::2]
        for x in (SPECIAL[order], strided):
            for got, expected in zip(results(record, contestant, x), alone, strict=True):
                assert_same(got, expected[order], f"length {n}, stride {x.strides}")


def test_silu_is_lost_where_the_exponential_is_subnormal(contestant):
    x = np.linspace(-103.9, -88.8, 1000, dtype=np.float32)
    exact = x.astype(np.float64) * np.exp(x.astype(np.float64))
    got = kernels.get("silu", contestant)(x)
    assert (got < 0).all()
    assert np.abs(got - exact).max() <= 8 * 2.0**-149 + 8 * 2.0**-24 * np.abs(exact).max()


def test_one_less_sigmoid_is_zero_from_17_on(contestant):
    x = np.array([17.4, 20.0, 80.0], np.float32)
    got = kernels.get("sigmoid", contestant).derivative(x)
    np.testing.assert_allclose(got, np.exp(-x.astype(np.float64)), rtol=1e-6)


@pytest.mark.parametrize("record", ELEMENTWISE)
@pytest.mark.parametrize("x", [710.0, -710.0, 1e308, -1e308, math.inf, -math.inf])
def test_exp_of_710_raises_in_python(record, x):
    function = kernels.get(record.name, "python")
    assert not math.isnan(function(x, *record.example_parameters))
    assert not math.isnan(function.derivative(x, *record.example_parameters))


@pytest.mark.parametrize(("name", "negative"), [("elu", -0.5), ("leaky_relu", -0.5)])
def test_the_output_does_not_tell_the_input_of_a_negative_parameter(name, negative, backend):
    function, ones = kernels.get(name, backend), np.ones(3)
    with pytest.raises(ValueError, match="backward_from_output"):
        function.backward_from_output(ones, ones, negative)


def test_leaky_relu_in_place_of_a_negative_slope(backend):
    x = np.array([-2.0, 3.0])
    slope = -0.5
    function = kernels.get("leaky_relu", backend)
    expected = function.backward(np.ones(2), x, slope)
    function.backward(np.ones(2), x, slope, out=x)
    assert x.tolist() == expected.tolist() == [slope, 1.0]


@pytest.mark.parametrize("record", ELEMENTWISE)
def test_what_is_not_contiguous_is_read_as_if_it_were(record, contestant, assert_same):
    grid = np.random.default_rng(0).standard_normal((7, 10)).astype(np.float32)
    for view in (grid.T, grid[:, ::3], grid[::-1, ::-1], grid[:, 2:5]):
        for got, expected in zip(
            results(record, contestant, view), results(record, contestant, view.copy()), strict=True
        ):
            assert_same(got, expected)


def test_negative_tails_are_timed_too():
    """A gelu has been seen that is 150 times slower below -14 than on normal numbers."""
    cases = [case for case in plan.make(plan.SCOPES["default"], ["gelu"], ["numpy"]).cases if case.data == "negative"]
    assert cases
    assert measure.make_inputs(cases[0])[0].min() < -14


@pytest.mark.parametrize("name", ["gelu_tanh", "gelu"])
def test_the_cube_of_a_float16_overflows_above_40(name, contestant):
    x = np.array([41.0, 100.0, 6e4, -41.0, -6e4], np.float16)
    got = kernels.get(name, contestant)(x)
    assert got.dtype == np.float16
    assert got[:3].tolist() == x[:3].tolist()
    assert (got[3:] == 0).all()


def test_constants_of_a_definition_are_not_those_of_float32():
    """A selu whose scale is a float32 is one ULP off for some."""
    x = np.abs(np.random.default_rng(0).standard_normal(100_000)).astype(np.float32)
    exact = x.astype(np.float64) * 1.0507009873554804934
    rounded = x * np.float32(1.0507009873554804934)
    unit = np.spacing(exact.astype(np.float32))
    assert (np.abs(rounded - exact) / unit).max() > 0.9
    for accuracy in ACCURACIES:
        got = kernels.get("selu", "fastest", accuracy=accuracy)(x)
        assert (np.abs(got - exact) / unit).max() <= 0.51


def test_a_gradient_is_multiplied_not_selected(contestant):
    relu = kernels.get("relu", contestant)
    got = relu.backward(np.array([-1.0, np.inf]), np.array([-1.0, -1.0]))
    assert got[0] == 0
    assert np.signbit(got[0])
    assert np.isnan(got[1])
