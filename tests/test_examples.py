"""The worked examples hold in every backend, level and accuracy class; the public names are what they promise."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest

import kernels


def test_relu_of_scalars(contestant, accuracy):
    relu = kernels.get("relu", contestant, accuracy=accuracy)
    assert relu(5) == 5
    assert relu(-3) == 0


def test_relu_of_a_list(contestant, accuracy):
    assert list(kernels.get("relu", contestant, accuracy=accuracy)([1, -2, 3])) == [1, 0, 3]


def test_relu_derivative_at_zero_is_zero(contestant, accuracy):
    relu = kernels.get("relu", contestant, accuracy=accuracy)
    assert relu.derivative(0) == 0
    assert list(relu.derivative([-1.0, -0.0, 0.0, 2.0])) == [0, 0, 0, 1]


def test_relu_of_arrays(contestant, accuracy, dtype):
    relu = kernels.get("relu", contestant, accuracy=accuracy)
    x = np.array([1, -2, 3], dtype)
    np.testing.assert_array_equal(relu(x), np.array([1, 0, 3], dtype))
    np.testing.assert_array_equal(relu.derivative(np.zeros(3, dtype)), np.zeros(3, dtype))
    np.testing.assert_array_equal(relu.backward(x, x), np.array([1, 0, 3], dtype))


def test_gradients_of_relu(contestant, accuracy):
    relu = kernels.get("relu", contestant, accuracy=accuracy)
    assert list(relu.backward([2, 2, 2], [1, -2, 3])) == [2, 0, 2]
    assert list(relu.backward_from_output([2, 2, 2], [1, 0, 3])) == [2, 0, 2]
    value, derivative = relu.value_and_derivative([1, -2, 3])
    assert (list(value), list(derivative)) == ([1, 0, 3], [1, 0, 1])


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("leaky_relu", -2, -0.02),
        ("elu", 0, 0),
        ("selu", 0, 0),
        ("sigmoid", 0, 0.5),
        ("logistic", 0, 0.5),
        ("tanh", 0, 0),
        ("silu", 0, 0),
        ("softmax", 7, 1),
    ],
)
def test_other_examples(name, x, expected, contestant, accuracy):
    assert kernels.get(name, contestant, accuracy=accuracy)(x) == pytest.approx(expected, rel=1e-15)


def test_softmax_of_equal_entries(contestant, accuracy):
    assert list(kernels.get("softmax", contestant, accuracy=accuracy)([3, 3, 3, 3])) == [0.25] * 4


def test_special_values_of_scalars(record, contestant):
    function = kernels.get(record.name, contestant)
    for special in record.special:
        params = record.example_parameters
        assert function(special.x, *params) == pytest.approx(special.value, rel=1e-14)
        assert function.derivative(special.x, *params) == pytest.approx(special.derivative, rel=1e-14)


@pytest.mark.parametrize(("module", "accuracy"), [("kernels.fastest", "fast"), ("kernels.accurate", "accurate")])
def test_every_name_and_alias_is_importable(module, accuracy):
    namespace = importlib.import_module(module)
    assert set(namespace.__all__) == set(kernels.ACTIVATIONS)
    for name in kernels.ACTIVATIONS:
        assert getattr(namespace, name) is kernels.get(name, accuracy=accuracy)
        assert getattr(namespace, name) is getattr(namespace, kernels.ACTIVATIONS[name].name)


def test_importing_by_name():
    from kernels.fastest import logistic, relu, sigmoid, silu, softmax, swish

    assert sigmoid is logistic
    assert swish is silu
    assert relu is kernels.get("relu") is kernels.get("relu", "fastest") is kernels.get("relu", accuracy="fast")
    assert softmax is not kernels.get("softmax", "numpy")


def test_star_import_gives_every_name():
    namespace: dict = {}
    exec("from kernels.fastest import *", namespace)
    assert set(kernels.ACTIVATIONS) <= set(namespace)


def test_get_gives_the_same_object_again(contestant, accuracy):
    assert kernels.get("silu", contestant, accuracy=accuracy) is kernels.get("swish", contestant, accuracy=accuracy)


def test_the_examples_of_the_package_text():
    result = doctest.testmod(kernels)
    assert result.attempted > 0
    assert result.failed == 0
