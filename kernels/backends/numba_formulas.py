"""Scalar formulas of the Numba backends, CPU and CUDA: plain functions, compiled by whoever binds them.

The names that are not defined here (``real``, ``fma``, ``power_of_two``, ``scaled_power_of_two``, the constants) come
from ``bind``, once per target and dtype, so that every constant has the array's type and no float32 formula touches a
double. The functions are branch-free: selects, explicit fma, one division. All exponentials are of arguments <= 0;
they carry a factor SCALE where a subnormal would lose bits, and DOWN = 1 / SCALE removes it at the end."""

# ruff: noqa: F821
from __future__ import annotations

import types
from collections.abc import Callable

import numpy as np

from kernels.constants import constants


# ---------------------------------------------------------------- vector math
def exp_quotient(r):
    """(e^r - 1 - r) / r^2 on |r| <= ln(2)/2."""
    if DOUBLE:
        q = fma(EXP[9], r, EXP[8])
        q = fma(q, r, EXP[7])
        q = fma(q, r, EXP[6])
        q = fma(q, r, EXP[5])
        q = fma(q, r, EXP[4])
    else:
        q = EXP[4]
    q = fma(q, r, EXP[3])
    q = fma(q, r, EXP[2])
    q = fma(q, r, EXP[1])
    return fma(q, r, EXP[0])


def shifted_multiple(x):
    """SHIFT + n, where n is the integer nearest to x / ln 2."""
    return fma(x, LOG2E, SHIFT)


def expm1_reduced(x, low, z):
    """e^r - 1 with r = x + low - n ln 2; a low of -0.0 means none and costs nothing."""
    n = z - SHIFT
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x) + low)
    return fma(r * r, exp_quotient(r), r)


def scaled_exp(a, x, low):
    """SCALE * a * e^(x + low) for x <= 0, rounded once more than the polynomial; x is at least EXP_FLOOR."""
    z = shifted_multiple(x)
    p = a * scaled_power_of_two(z)
    return fma(p, expm1_reduced(x, low, z), p)


def exp_nonpositive(x):
    """e^x for x <= 0."""
    x = EXP_FLOOR if x < EXP_FLOOR else x
    return scaled_exp(real(1), x, real(-0.0)) * DOWN


def expm1_nonpositive(x):
    """e^x - 1 for x <= 0."""
    x = EXPM1_FLOOR if x < EXPM1_FLOOR else x
    z = shifted_multiple(x)
    p = power_of_two(z)
    return fma(p, expm1_reduced(x, real(-0.0), z), p - real(1))


def clamp(x, bound):
    """x limited to [-bound, bound]; NaN stays."""
    x = bound if x > bound else x
    return -bound if x < -bound else x


def nan_or(x, y):
    """y, or x where x is NaN."""
    return y if x == x else x


def rounding_of_sum(total, part, sum_before):
    """What rounding took from total = sum_before + part, where the sum is the larger."""
    return part - (total - sum_before)


def rounding_of_reciprocal(reciprocal, total, low):
    """1 / (total + low) - reciprocal."""
    return (fma(-total, reciprocal, real(1)) - low * reciprocal) * reciprocal


# ---------------------------------------------------------------- relu, leaky_relu, prelu
def relu(x):
    return real(0) if x <= real(0) else x


def relu_derivative(x):
    return real(1) if x > real(0) else nan_or(x, real(0))


def relu_derivative_from_output(y):
    return relu_derivative(y)


def leaky_relu(x, negative_slope):
    return x if x > real(0) else negative_slope * x


def leaky_relu_derivative(x, negative_slope):
    return real(1) if x > real(0) else nan_or(x, negative_slope)


def leaky_relu_derivative_from_output(y, negative_slope):
    return leaky_relu_derivative(y, negative_slope)


def prelu(x, weight):
    return leaky_relu(x, weight)


def prelu_derivative(x, weight):
    return leaky_relu_derivative(x, weight)


def prelu_parameter_derivative(x, weight):
    return real(0) if x > real(0) else x


# ---------------------------------------------------------------- elu, selu
def elu(x, alpha):
    negative = alpha * expm1_nonpositive(x)
    return x if x >= real(0) else negative


def elu_derivative(x, alpha):
    negative = alpha * exp_nonpositive(real(0) if x > real(0) else x)
    return real(1) if x > real(0) else negative


def elu_derivative_from_output(y, alpha):
    return real(1) if y > real(0) else y + alpha


def selu(x):
    m = expm1_nonpositive(x)
    negative = fma(m, SELU_SCALE_ALPHA, m * SELU_SCALE_ALPHA_LOW)
    positive = fma(x, SELU_SCALE, clamp(x, LARGEST) * SELU_SCALE_LOW)
    return positive if x >= real(0) else negative


def selu_derivative(x):
    e = exp_nonpositive(real(0) if x > real(0) else x)
    negative = fma(e, SELU_SCALE_ALPHA, e * SELU_SCALE_ALPHA_LOW)
    return SELU_SCALE + SELU_SCALE_LOW if x > real(0) else negative


def selu_derivative_from_output(y):
    negative = (y + SELU_SCALE_ALPHA) + SELU_SCALE_ALPHA_LOW
    return SELU_SCALE + SELU_SCALE_LOW if y > real(0) else negative


# ---------------------------------------------------------------- sigmoid, tanh
def sigmoid(x):
    e = exp_nonpositive(-abs(x))
    return (real(1) if x >= real(0) else e) / (real(1) + e)


def sigmoid_derivative(x):
    e = exp_nonpositive(-abs(x))
    return e / fma(e, e + real(2), real(1))


def sigmoid_derivative_from_output(y):
    return y * (real(1) - y)


def tanh(x):
    m = expm1_nonpositive(real(-2) * abs(x))
    magnitude = -m / (m + real(2))
    signed = magnitude if x > real(0) else -magnitude
    return x if abs(x) < TANH_LINEAR else signed


def tanh_derivative(x):
    t = real(-2) * abs(x)
    scaled = scaled_exp(real(4), EXP_FLOOR if t < EXP_FLOOR else t, real(-0.0))
    e = scaled * (DOWN / real(4))
    return (scaled / fma(e, e + real(2), real(1))) * DOWN


def tanh_derivative_from_output(y):
    return (real(1) - y) * (real(1) + y)


# ---------------------------------------------------------------- swish
# For |beta| < 2^-32 (float32) or 2^-358 (float64) these hold while |x| stays below 2^39 or 2^368.
def rounding_of_product(a, b, product):
    """What rounding took from a * b, or nothing where the product is beyond every exponential."""
    return fma(a, b, -product) if abs(product) < -EXP_FLOOR else real(0)


def swish(x, beta):
    finite = clamp(x, LARGEST)
    product = beta * finite
    low = rounding_of_product(beta, finite, product)
    t = clamp(product, -EXP_FLOOR)
    low = -low if t > real(0) else low
    u = real(1) + scaled_exp(real(1), -abs(t), low) * DOWN
    vanishing = scaled_exp(finite if product == t else real(-0.0), -abs(t), low)
    # One division for both signs.
    return ((vanishing if t < real(0) else x) / u) * (DOWN if t < real(0) else real(1))


def swish_derivative(x, beta):
    finite = clamp(x, LARGEST)
    product = beta * finite
    low = rounding_of_product(beta, finite, product)
    t = clamp(product, -EXP_FLOOR)
    low = -low if t > real(0) else low
    scaled = scaled_exp(real(1), -abs(t), low)
    e = scaled * DOWN
    u = real(1) + e
    slope = real(1) + (t if t < real(0) else t * e) / u
    return ((scaled if t < real(0) else real(1)) * slope / u) * (DOWN if t < real(0) else real(1))


def swish_parameter_derivative(x, beta):
    finite = clamp(x, LARGEST)
    product = beta * finite
    low = rounding_of_product(beta, finite, product)
    t = clamp(product, -EXP_FLOOR)
    low = -low if t > real(0) else low
    a = finite if product == t else nan_or(x, real(0))
    e = scaled_exp(real(1), -abs(t), low) * DOWN
    return (scaled_exp(a, -abs(t), low) * a / fma(e, e + real(2), real(1))) * DOWN


# ---------------------------------------------------------------- softmax
# No difference x - largest is rounded before it is an exponent, for exp would multiply its error.
def softmax_term(x, largest):
    """SCALE * e^(x - c), where c is the same for the row and so near to largest that no term is far above SCALE."""
    base = largest if abs(largest) > BASE_FROM else real(0)
    top = largest - base
    near = (top + GRID) - GRID
    floor = near + EXP_FLOOR
    d = x - base
    bounded = floor if d < floor else d
    z = shifted_multiple(bounded - near)
    n = z - SHIFT
    r = fma(n, -LN2_LOW, bounded - fma(n, LN2_HIGH, near))
    p = scaled_power_of_two(z)
    return fma(p, fma(r * r, exp_quotient(r), r), p)


def softmax_value(term, reciprocal, low):
    """term * (reciprocal + low)."""
    return fma(term, reciprocal, term * low)


def softmax_product(g, y):
    return g * y


def softmax_gradient(g, y, total):
    return y * (g - total)


# ---------------------------------------------------------------- binding
#: dtype -> (bits of the significand field, exponent field of 1.0, exponent field of SCALE)
EXPONENT_FIELDS = {np.float32: (23, 127, 127 + 64), np.float64: (52, 1023, 1023 + 512)}


def bind(dtype: type, primitives: dict, jit: Callable) -> dict[str, Callable]:
    """Every formula of this text as a function for ``dtype``, compiled by ``jit`` over the target's primitives.

    ``primitives`` gives ``fma``, ``power_of_two`` and ``scaled_power_of_two`` (2^n and SCALE * 2^n from SHIFT + n).
    """
    double = dtype is np.float64
    typed = {
        name: tuple(map(dtype, value)) if isinstance(value, tuple) else dtype(value)
        for name, value in constants(double).items()
    }
    namespace = {"DOUBLE": double, "real": dtype, "abs": abs, **typed, **primitives}
    for name, function in _texts().items():
        namespace[name] = jit(types.FunctionType(function.__code__, namespace, name))
    return namespace


def _texts() -> dict[str, types.FunctionType]:
    own = {"bind", "_texts"}
    return {
        name: value
        for name, value in globals().items()
        if isinstance(value, types.FunctionType) and value.__module__ == __name__ and name not in own
    }
