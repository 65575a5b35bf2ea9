"""The second pure Python text: what a newcomer writes first, if statements and no max, min or abs.

Only functions with a branch are here. NaN fails every comparison, so it falls through to the last line of a formula.
"""

from __future__ import annotations

import math

LARGEST = 1.7976931348623157e308
#: math.exp raises OverflowError beyond.
LOG_LARGEST = 709.782712893384
#: sqrt(2 / pi)
GELU_ROOT = 0.7978845608028654
GELU_CUBIC = 0.044715
QUICK_GELU = 1.702
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


# ---------------------------------------------------------------- gelu_tanh, quick_gelu
def gelu_tanh(x):
    if x >= 0.0:
        return x / (1.0 + math.exp(-_gelu_exponent(x)))
    x = _finite(x)
    root = math.exp(0.5 * _gelu_exponent(x))
    return x * root / (1.0 + root * root) * root


def gelu_tanh_derivative(x):
    if x > 64.0:
        return 1.0
    if x < -64.0:
        return -0.0
    t = _gelu_exponent(x)
    slope = 2.0 * GELU_ROOT * (x + 3.0 * GELU_CUBIC * x * x * x)
    if x >= 0.0:
        e = math.exp(-t)
        return (1.0 + slope * e / (1.0 + e)) / (1.0 + e)
    root = math.exp(0.5 * t)
    gate = 1.0 + root * root
    return (1.0 + slope / gate) * root / gate * root


def quick_gelu(x):
    return swish(x, QUICK_GELU)


def quick_gelu_derivative(x):
    return swish_derivative(x, QUICK_GELU)


def _gelu_exponent(x):
    if x > 64.0:
        return 2000.0
    if x < -64.0:
        return -2000.0
    return 2.0 * GELU_ROOT * (x + GELU_CUBIC * x * x * x)


# ---------------------------------------------------------------- mish
def mish(x):
    if x > 20.0:
        return x
    x = _finite(x)
    root = math.exp(0.5 * x)
    e = root * root
    return x * root * ((e + 2.0) / (e * (e + 2.0) + 2.0)) * root


def mish_derivative(x):
    if x > 25.0:
        return 1.0
    if x < -2000.0:
        return -0.0
    root = math.exp(0.5 * x)
    e = root * root
    u = 1.0 + e * (1.0 + 0.5 * e)
    return ((1.0 + 0.5 * e) * u + x * (1.0 + e)) * root / (u * u) * root


# ---------------------------------------------------------------- celu
def celu(x, alpha):
    if x > 0.0:
        return x
    if alpha == 0.0:
        return x * math.inf
    t = x / alpha
    if t > LOG_LARGEST:
        return alpha * math.inf
    return alpha * math.expm1(t)


def celu_derivative(x, alpha):
    if x > 0.0:
        return 1.0
    if alpha == 0.0:
        return math.exp(x * math.inf)
    t = x / alpha
    if t > LOG_LARGEST:
        return math.inf
    return math.exp(t)


# ---------------------------------------------------------------- tanhshrink
def tanhshrink(x):
    if x < 0.0:
        return -tanhshrink(-x)
    if x > 1.0:
        e = math.exp(-2.0 * x)
        return (x - 1.0) + 2.0 * e / (1.0 + e)
    square = x * x
    fraction = 0.0
    for odd in range(25, 3, -2):
        fraction = square / (odd + fraction)
    return x * square / (3.0 + square + fraction)
