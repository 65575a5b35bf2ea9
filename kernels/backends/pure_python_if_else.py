"""The second pure Python text: what a newcomer writes first, if statements and no max, min or abs.

Only functions with a branch are here. NaN fails every comparison, so it falls through to the last line of a formula.
"""

from __future__ import annotations

import math

LARGEST = 1.7976931348623157e308
SELU_SCALE = 1.0507009873554804934
SELU_SCALE_ALPHA = SELU_SCALE * 1.6732632423543772848


# ---------------------------------------------------------------- relu, leaky_relu, prelu
def relu(x):
    if x <= 0.0:
        return 0.0
    return x


def relu_derivative(x):
    if x > 0.0:
        return 1.0
    if x <= 0.0:
        return 0.0
    return x


def relu_derivative_from_output(y):
    return relu_derivative(y)


def leaky_relu(x, negative_slope):
    if x > 0.0:
        return x
    return negative_slope * x


def leaky_relu_derivative(x, negative_slope):
    if x > 0.0:
        return 1.0
    if x <= 0.0:
        return negative_slope
    return x


def leaky_relu_derivative_from_output(y, negative_slope):
    return leaky_relu_derivative(y, negative_slope)


def prelu(x, weight):
    if x > 0.0:
        return x
    return weight * x


def prelu_derivative(x, weight):
    if x > 0.0:
        return 1.0
    if x <= 0.0:
        return weight
    return x


def prelu_parameter_derivative(x, weight):
    if x > 0.0:
        return 0.0
    return x


# ---------------------------------------------------------------- identity, relu6, hardtanh, threshold
def identity_derivative(x):
    if x != x:
        return x
    return 1.0


def relu6(x):
    if x <= 0.0:
        return 0.0
    if x > 6.0:
        return 6.0
    return x


def relu6_derivative(x):
    if x <= 0.0:
        return 0.0
    if x >= 6.0:
        return 0.0
    if x != x:
        return x
    return 1.0


def hardtanh(x, min_val, max_val):
    if x > max_val:
        return max_val
    if x < min_val:
        return min_val
    return x


def hardtanh_derivative(x, min_val, max_val):
    if x <= min_val:
        return 0.0
    if x >= max_val:
        return 0.0
    if x != x:
        return x
    return 1.0


def threshold(x, threshold, value):
    if x <= threshold:
        return value
    return x


def threshold_derivative(x, threshold, value):
    if x > threshold:
        return 1.0
    if x <= threshold:
        return 0.0
    return x


# ---------------------------------------------------------------- rrelu, relu_squared
def rrelu(x, lower, upper):
    return leaky_relu(x, 0.5 * (lower + upper))


def rrelu_derivative(x, lower, upper):
    return leaky_relu_derivative(x, 0.5 * (lower + upper))


def relu_squared(x):
    if x <= 0.0:
        return 0.0
    return x * x


def relu_squared_derivative(x):
    if x <= 0.0:
        return 0.0
    return 2.0 * x


# ---------------------------------------------------------------- hardshrink, softshrink
def hardshrink(x, lambd):
    if x > lambd:
        return x
    if x < -lambd:
        return x
    if x != x:
        return x
    return 0.0


def hardshrink_derivative(x, lambd):
    if x > lambd:
        return 1.0
    if x < -lambd:
        return 1.0
    if x != x:
        return x
    return 0.0


def softshrink(x, lambd):
    if x > lambd:
        return x - lambd
    if x < -lambd:
        return x + lambd
    if x != x:
        return x
    return 0.0


def softshrink_derivative(x, lambd):
    return hardshrink_derivative(x, lambd)


# ---------------------------------------------------------------- hardsigmoid, hardswish
def hardsigmoid(x):
    if x <= -3.0:
        return 0.0
    if x >= 3.0:
        return 1.0
    return (x + 3.0) / 6.0


def hardsigmoid_derivative(x):
    if x <= -3.0:
        return 0.0
    if x >= 3.0:
        return 0.0
    if x != x:
        return x
    return 1.0 / 6.0


def hardswish(x):
    if x <= -3.0:
        return -0.0
    if x >= 3.0:
        return x
    return x * ((x + 3.0) / 6.0)


def hardswish_derivative(x):
    if x <= -3.0:
        return 0.0
    if x >= 3.0:
        return 1.0
    return (2.0 * x + 3.0) / 6.0


# ---------------------------------------------------------------- softsign, squareplus, sparse_plus, sparse_sigmoid
def softsign(x):
    if x > LARGEST:
        return 1.0
    if x < -LARGEST:
        return -1.0
    if x < 0.0:
        return x / (1.0 - x)
    return x / (1.0 + x)


def softsign_derivative(x):
    if x < 0.0:
        x = -x
    return 1.0 / (1.0 + x) / (1.0 + x)


def sparse_plus(x):
    if x <= -1.0:
        return 0.0
    if x >= 1.0:
        return x
    half = 0.5 * (x + 1.0)
    return half * half


def sparse_plus_derivative(x):
    return sparse_sigmoid(x)


def sparse_sigmoid(x):
    if x <= -1.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    return 0.5 * (x + 1.0)


def sparse_sigmoid_derivative(x):
    if x <= -1.0:
        return 0.0
    if x >= 1.0:
        return 0.0
    if x != x:
        return x
    return 0.5


# ---------------------------------------------------------------- elu, selu
def elu(x, alpha):
    if x > 0.0:
        return x
    return alpha * math.expm1(x)


def elu_derivative(x, alpha):
    if x > 0.0:
        return 1.0
    return alpha * math.exp(x)


def elu_derivative_from_output(y, alpha):
    if y > 0.0:
        return 1.0
    return y + alpha


def selu(x):
    if x > 0.0:
        return SELU_SCALE * x
    return SELU_SCALE_ALPHA * math.expm1(x)


def selu_derivative(x):
    if x > 0.0:
        return SELU_SCALE
    return SELU_SCALE_ALPHA * math.exp(x)


def selu_derivative_from_output(y):
    if y > 0.0:
        return SELU_SCALE
    return y + SELU_SCALE_ALPHA


# ---------------------------------------------------------------- sigmoid
def sigmoid(x):
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def sigmoid_derivative(x):
    if x > 0.0:
        x = -x
    e = math.exp(x)
    return e / (1.0 + e) ** 2


# ---------------------------------------------------------------- softplus, logsigmoid
def softplus(x, beta):
    if beta == 0.0:
        return math.copysign(math.inf, beta)
    t = beta * x
    if t > 0.0:
        return x + math.log1p(math.exp(-t)) / beta
    return math.log1p(math.exp(t)) / beta


def softplus_derivative(x, beta):
    return sigmoid(beta * x)


def logsigmoid(x):
    if x < 0.0:
        return x - math.log1p(math.exp(x))
    return -math.log1p(math.exp(-x))


def logsigmoid_derivative(x):
    return sigmoid(-x)


# ---------------------------------------------------------------- swish
# Below -700 e^t nears the subnormal numbers and loses bits that x would bring back: multiply by its root twice.
def swish(x, beta):
    t = _exponent(x, beta)
    if t > -700.0:
        return x / (1.0 + math.exp(-t))
    root = math.exp(0.5 * t)
    return _finite(x) * root * root


def swish_derivative(x, beta):
    t = _exponent(x, beta)
    if t >= 0.0:
        e = math.exp(-t)
        return (1.0 + t * e / (1.0 + e)) / (1.0 + e)
    if t > -700.0:
        e = math.exp(t)
        return e * (1.0 + t / (1.0 + e)) / (1.0 + e)
    root = math.exp(0.5 * t)
    return (1.0 + t) * root * root


def swish_parameter_derivative(x, beta):
    t = _exponent(x, beta)
    if t > 0.0:
        t = -t
    root = _finite(x) * math.exp(0.5 * t)
    gate = 1.0 + math.exp(t)
    return root * root / (gate * gate)


def _exponent(x, beta):
    """beta * x within bounds beyond which e^t is 0 or infinite anyway."""
    t = beta * _finite(x)
    if t > 2000.0:
        return 2000.0
    if t < -2000.0:
        return -2000.0
    return t


def _finite(x):
    """x, with infinity as the largest number: infinity times an exponential of 0 is NaN."""
    if x > LARGEST:
        return LARGEST
    if x < -LARGEST:
        return -LARGEST
    return x
