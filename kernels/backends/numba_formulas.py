"""Scalar formulas of the Numba backends, CPU and CUDA: plain functions, compiled by whoever binds them.

The names that are not defined here (``real``, ``fma``, ``power_of_two``, ``copy_sign``, the constants) come
from ``bind``, once per target and format, so that every constant has the array's type and no float32 formula touches a
double. The functions are branch-free: selects, explicit fma, one division. Exponentials
carry a factor SCALE or DOWN = 1 / SCALE where a subnormal would lose bits or a large one overflow, and DOWN removes it
at the end."""

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
    elif WIDE:
        q = fma(EXP[5], r, EXP[4])
    else:
        q = EXP[4]
    q = fma(q, r, EXP[3])
    q = fma(q, r, EXP[2])
    q = fma(q, r, EXP[1])
    return fma(q, r, EXP[0])


def expm1_less(high, n):
    """e^(high - n LN2_LOW) - 1, |high| <= ln(2)/2; float64 has room for the low part of a float32 result's."""
    if WIDE:
        return fma(high * high, exp_quotient(high), high)
    r = fma(n, -LN2_LOW, high)
    if DOUBLE:
        lost = fma(n, -LN2_LOW, high - r)
        return r + fma(r * r, exp_quotient(r), lost)
    return fma(r * r, exp_quotient(r), r)


def expm1_reduced(x, n):
    """e^(x - n ln 2) - 1, n the integer nearest to x / ln 2."""
    return expm1_less(fma(n, -LN2_HIGH, x), n)


def expm1_reduced_product(a, b, n):
    """e^(a b - n ln 2) - 1, the product unrounded: exp would multiply its error by up to 88 (float32) or 709."""
    if WIDE:
        return expm1_reduced(a * b, n)
    return expm1_less(fma(a, b, -(n * LN2_HIGH)), n)


# z = fma(x, LOG2E, SHIFT) holds n, the integer nearest to x / ln 2, in its low bits, biased as an exponent is:
# z - SHIFT is n and power_of_two(z) is 2^n. SHIFT_UP and SHIFT_DOWN give SCALE * 2^n and DOWN * 2^n.
def scaled_exp(x):
    """SCALE * e^x for EXP_FLOOR <= x <= 0."""
    z = fma(x, LOG2E, SHIFT_UP)
    p = power_of_two(z)
    return fma(p, expm1_reduced(x, z - SHIFT_UP), p)


def scaled_exp_of_product(a, b):
    """SCALE * e^(a b) for EXP_FLOOR <= a b <= 0."""
    z = fma(a * b, LOG2E, SHIFT_UP)
    p = power_of_two(z)
    return fma(p, expm1_reduced_product(a, b, z - SHIFT_UP), p)


def exp_nonpositive(x):
    """e^x for x <= 0."""
    return scaled_exp(EXP_FLOOR if x < EXP_FLOOR else x) * DOWN


def expm1_nonpositive(x):
    """e^x - 1 for x <= 0."""
    x = EXPM1_FLOOR if x < EXPM1_FLOOR else x
    z = fma(x, LOG2E, SHIFT)
    p = power_of_two(z)
    return fma(p, expm1_reduced(x, z - SHIFT), p - real(1))


def down_plus(p, m):
    """DOWN + p (1 + m), p a power of two: where DOWN + p is rounded, it may lose half a unit by itself."""
    if DOUBLE:
        sum_ = p + DOWN
        return sum_ + fma(p, m, DOWN - (sum_ - p))
    return fma(p, m, DOWN) + p


def log1p_quotient(z):
    """(log((1 + s) / (1 - s)) - 2 s) / s^3 at z = s^2, for |s| < 0.172."""
    if DOUBLE:
        p = fma(LOG1P[6], z, LOG1P[5])
        p = fma(p, z, LOG1P[4])
        p = fma(p, z, LOG1P[3])
        p = fma(p, z, LOG1P[2])
    elif WIDE:
        p = fma(LOG1P[3], z, LOG1P[2])
    else:
        p = LOG1P[2]
    p = fma(p, z, LOG1P[1])
    return fma(p, z, LOG1P[0])


def log1p(x):
    """log(1 + x) for 0 <= x <= 1: log(1 + f), and ln 2 where 1 + x is 2 (1 + f)."""
    halved = x > SQRT2_LESS_1
    f = real(0.5) * (x - real(1)) if halved else x
    high = LN2_HIGH if halved else real(0)
    low = LN2_LOW if halved else real(0)
    s = f / (real(2) + f)
    z = s * s
    h = real(0.5) * f * f
    # f - h is nearly log(1 + f): what s corrects is small, and so is its rounding.
    return high - ((h - fma(s, fma(z, log1p_quotient(z), h), low)) - f)


def tail_rest(v, first):
    """e^(a^2/2) erfc(a / sqrt(2)) (a + TAIL_SCALE) / 2 less ``first``; v + TAIL_MIDDLE is a / (a + TAIL_SCALE)."""
    if DOUBLE:
        q = fma(TAIL[23], v, TAIL[22])
        q = fma(q, v, TAIL[21])
        q = fma(q, v, TAIL[20])
        q = fma(q, v, TAIL[19])
        q = fma(q, v, TAIL[18])
        q = fma(q, v, TAIL[17])
        q = fma(q, v, TAIL[16])
        q = fma(q, v, TAIL[15])
        q = fma(q, v, TAIL[14])
        q = fma(q, v, TAIL[13])
        q = fma(q, v, TAIL[12])
        q = fma(q, v, TAIL[11])
        q = fma(q, v, TAIL[10])
    elif WIDE:
        q = fma(TAIL[12], v, TAIL[11])
        q = fma(q, v, TAIL[10])
    else:
        q = TAIL[10]
    q = fma(q, v, TAIL[9])
    q = fma(q, v, TAIL[8])
    q = fma(q, v, TAIL[7])
    q = fma(q, v, TAIL[6])
    q = fma(q, v, TAIL[5])
    q = fma(q, v, TAIL[4])
    q = fma(q, v, TAIL[3])
    q = fma(q, v, TAIL[2])
    q = fma(q, v, TAIL[1])
    return fma(q, v, first)


def clamp(x, bound):
    """x limited to [-bound, bound]; NaN stays."""
    x = bound if x > bound else x
    return -bound if x < -bound else x


def scaled_plus(x, scale, y):
    """x scale + y, rounded once; where DOWN is 1 so is scale, and a compiler would make a sum of its own of the fma."""
    if WIDE:
        return x + y
    return fma(x, scale, y)


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
    negative = alpha * exp_nonpositive(-abs(x))
    return real(1) if x > real(0) else negative


def elu_derivative_from_output(y, alpha):
    return real(1) if y > real(0) else y + alpha


def multiple(x, high, low):
    """x (high + low); the low part of a constant is 0 in float64, where an infinite x would make NaN of it."""
    if DOUBLE or WIDE:
        return x * high
    return fma(x, high, x * low)


def selu(x):
    m = expm1_nonpositive(x)
    negative = multiple(m, SELU_SCALE_ALPHA, SELU_SCALE_ALPHA_LOW)
    positive = multiple(x, SELU_SCALE, SELU_SCALE_LOW)
    return positive if x >= real(0) else negative


def selu_derivative(x):
    e = exp_nonpositive(-abs(x))
    negative = multiple(e, SELU_SCALE_ALPHA, SELU_SCALE_ALPHA_LOW)
    return SELU_SCALE + SELU_SCALE_LOW if x > real(0) else negative


def selu_derivative_from_output(y):
    negative = (y + SELU_SCALE_ALPHA) + SELU_SCALE_ALPHA_LOW
    return SELU_SCALE + SELU_SCALE_LOW if y > real(0) else negative


# ---------------------------------------------------------------- sigmoid, tanh
def sigmoid(x):
    """1 / (1 + e^-x): the sum is rounded once, and DOWN keeps it finite."""
    x = GATE_OPEN if x > GATE_OPEN else x
    x = EXP_FLOOR if x < EXP_FLOOR else x
    z = fma(x, -LOG2E, SHIFT_DOWN)
    p = power_of_two(z)
    m = expm1_reduced(-x, z - SHIFT_DOWN)
    return (real(1) / down_plus(p, m)) * DOWN


def sigmoid_derivative(x):
    e = exp_nonpositive(-abs(x))
    return e / fma(e, e + real(2), real(1))


def sigmoid_derivative_from_output(y):
    return fma(-y, y, y)


def exp_of_twice(r):
    """e^2r on |r| <= ln(2)/4."""
    if DOUBLE:
        q = fma(EXP_TWICE[9], r, EXP_TWICE[8])
        q = fma(q, r, EXP_TWICE[7])
        q = fma(q, r, EXP_TWICE[6])
        q = fma(q, r, EXP_TWICE[5])
        q = fma(q, r, EXP_TWICE[4])
        q = fma(q, r, EXP_TWICE[3])
    elif WIDE:
        q = fma(EXP_TWICE[5], r, EXP_TWICE[4])
        q = fma(q, r, EXP_TWICE[3])
    else:
        q = EXP_TWICE[3]
    q = fma(q, r, EXP_TWICE[2])
    q = fma(q, r, EXP_TWICE[1])
    q = fma(q, r, EXP_TWICE[0])
    return fma(fma(q, r, real(2)), r, real(1))


def tanh_divisor(z):
    """a^3 / (tanh(a) - a) at z = a^2 < TANH_FAR."""
    if DOUBLE:
        d = fma(TANH[6], z, TANH[5])
        d = fma(d, z, TANH[4])
        d = fma(d, z, TANH[3])
        d = fma(d, z, TANH[2])
    elif WIDE:
        d = fma(TANH[4], z, TANH[3])
        d = fma(d, z, TANH[2])
    else:
        d = TANH[2]
    d = fma(d, z, TANH[1])
    return fma(d, z, TANH[0])


def tanh(x):
    """x + x x^2 / divisor where x^2 is small, else 1 - 2 / (1 + e^2|x|): the quotient is small, and so its error."""
    size = abs(x)
    a = TANH_ONE if size > TANH_ONE else size
    z = fma(a, real(2) * LOG2E, SHIFT)
    # n ln 2 needs no low part: the larger n is, the less the quotient counts.
    r = fma(z - SHIFT, real(-0.5) * LN2, a)
    total = fma(power_of_two(z), exp_of_twice(r), real(1))
    # With SMALL the quotient is positive at 0, and tanh(-0.0) is -0.0.
    square = fma(x, x, -SMALL)
    near = square < TANH_FAR
    whole = x if near else copy_sign(real(1), x)
    numerator = square if near else real(-2)
    divisor = tanh_divisor(square) if near else total
    return fma(whole, numerator / divisor, whole)


def tanh_derivative(x):
    t = real(-2) * abs(x)
    scaled = scaled_exp(EXP_FLOOR if t < EXP_FLOOR else t)
    e = scaled * DOWN
    return (scaled / fma(e, e + real(2), real(1))) * (real(4) * DOWN)


def tanh_derivative_from_output(y):
    return fma(-y, y, real(1))


# ---------------------------------------------------------------- swish
# For |beta| < 2^-32 (float32) or 2^-358 (float64) these hold while |x| stays below 2^39 or 2^368.
def vanishing_point(beta):
    """|x| at which e^-|beta x| is e^EXP_FLOOR; the addend keeps it finite for a beta of 0 and changes no other."""
    return -EXP_FLOOR / (abs(beta) + SMALL)


def gate_product(numerator, y, beta):
    """numerator / (1 + e^(-beta y)); no e needs more than DOWN to stay finite."""
    z = fma(beta * y, -LOG2E, SHIFT_DOWN)
    p = power_of_two(z)
    m = expm1_reduced_product(-beta, y, z - SHIFT_DOWN)
    return (numerator / down_plus(p, m)) * DOWN


def swish(x, beta):
    """x / (1 + e^-t), t = beta x; an open gate is 1."""
    y = clamp(x, vanishing_point(beta))
    gated = gate_product(y, y, beta)
    return x if beta * y > GATE_OPEN else gated


def swish_derivative(x, beta):
    """(1 + e + t e) / (1 + e)^2, e = e^-t, t = beta x; for t < -1 e (1 + e + t) / (1 + e)^2, e = e^t."""
    y = clamp(x, vanishing_point(beta))
    t = beta * y
    far = t < real(-1)
    b = beta if far else -beta
    z = fma(b * y, LOG2E, SHIFT_UP)
    p = power_of_two(z)
    m = expm1_reduced_product(b, y, z - SHIFT_UP)
    e = fma(p, m, p) * DOWN
    total = fma(t, real(1) if far else e, real(1) + e)
    # SCALE e total, rounded once more than the total; 1 / (1 + q) is 1 - q / (1 + q), whose roundings shrink with q.
    gated = fma(p * total, m, p * total)
    ratio = (e * (e + real(2)) if far else total) / fma(e, e + real(2), real(1))
    falling = fma(-gated, ratio, gated) * DOWN
    return falling if far else ratio


def swish_parameter_derivative(x, beta):
    limit, a = vanishing_point(beta), abs(x)
    y = limit if a > limit else a
    scaled = scaled_exp_of_product(-abs(beta), y)
    e = scaled * DOWN
    return (scaled * y * y / fma(e, e + real(2), real(1))) * DOWN


# ---------------------------------------------------------------- softplus, logsigmoid
def softplus(x, beta):
    """log(1 + e^t) / beta, t = beta x: from a scaled e where that is all there is to the logarithm."""
    limit, a, b = vanishing_point(beta), abs(x), abs(beta)
    y = limit if a > limit else a
    scaled = scaled_exp_of_product(-b, y)
    e = scaled * DOWN
    small = e < LOG1P_LINEAR
    quotient = (scaled if small else log1p(e)) / beta
    open_ = x if beta * x > real(0) else real(0)
    return scaled_plus(quotient, DOWN if small else real(1), open_)


def softplus_derivative(x, beta):
    """1 / (1 + e^-t), t = beta x, with swish's gate."""
    y = clamp(x, vanishing_point(beta))
    gate = gate_product(real(1), y, beta)
    return real(1) if beta * y > GATE_OPEN else gate


def softplus_derivative_from_output(y, beta):
    return real(0) - expm1_nonpositive(-(beta * y))


def logsigmoid(x):
    outer = x if x < real(0) else real(-0.0)
    return outer - log1p(exp_nonpositive(-abs(x)))


def logsigmoid_derivative(x):
    return sigmoid(-x)


# ---------------------------------------------------------------- gelu
# Phi(-a) = erfc(a / sqrt(2)) / 2 = e^(-a^2/2) (first + rest) / (a + TAIL_SCALE), first and rest from the polynomial.
def gelu(x):
    """x where x > 0, less a Phi(-a), a = |x|, whose factor w (first + rest) p (1 + m) is rounded once at w p first."""
    a = abs(x)
    a = TAIL_END if a > TAIL_END else a
    half = real(-0.5) * a
    w = a / (a + TAIL_SCALE)
    far = w > TAIL_FAR
    first = real(0.5) if far else TAIL_NEAR
    rest = tail_rest(w - TAIL_MIDDLE, TAIL[0] if far else TAIL[0] - (TAIL_NEAR - real(0.5)))
    z = fma(a * half, LOG2E, SHIFT_UP)
    m = expm1_reduced_product(a, half, z - SHIFT_UP)
    u = w * power_of_two(z)
    scaled = fma(u, fma(m, first + rest, rest), first * u)
    return scaled_plus(-scaled, DOWN, x if x >= real(0) else real(-0.0))


def gelu_derivative(x):
    """1 where x > 0, less Phi(-a) - a phi(a) = e^(-a^2/2) (t (first + rest) - a / sqrt(2 pi)), a = |x|."""
    a = abs(x)
    a = TAIL_END if a > TAIL_END else a
    half = real(-0.5) * a
    t = real(1) / (a + TAIL_SCALE)
    rest = tail_rest(fma(a, t, -TAIL_MIDDLE), TAIL[0] - (TAIL_NEAR - real(0.5)))
    slope = fma(-DENSITY, a, fma(t, rest, TAIL_NEAR * t))
    z = fma(a * half, LOG2E, SHIFT_UP)
    m = expm1_reduced_product(a, half, z - SHIFT_UP)
    s = slope * power_of_two(z)
    s = s if x < real(0) else -s
    return fma(fma(s, m, s), DOWN, real(-0.0) if x < real(0) else real(1))


# ---------------------------------------------------------------- softmax
# No difference x - largest is rounded before it is an exponent, for exp would multiply its error.
def softmax_term(x, largest):
    """SCALE * e^(x - base) / 2^k, 2^k the power of two nearest to the row's largest e^(x - base)."""
    base = largest if abs(largest) > BASE_FROM else real(0)
    top = largest - base
    shift = SHIFT_UP - (fma(top, LOG2E, SHIFT) - SHIFT)
    floor = top + EXP_FLOOR
    d = x - base
    bounded = floor if d < floor else d
    z = fma(bounded, LOG2E, shift)
    p = power_of_two(z)
    return fma(p, expm1_reduced(bounded, z - shift), p)


def softmax_value(term, reciprocal, low):
    """term * (reciprocal + low)."""
    return fma(term, reciprocal, term * low)


def softmax_product(g, y):
    return g * y


def softmax_gradient(g, y, total):
    return y * (g - total)


# ---------------------------------------------------------------- binding
#: format -> its type
TYPES = {"float32": np.float32, "float64": np.float64, "wide": np.float64}

#: type -> bits of the significand field
SIGNIFICAND_BITS = {np.float32: 23, np.float64: 52}


def bind(name: str, primitives: dict, jit: Callable) -> dict[str, Callable]:
    """Every formula of this text as a function for a format, compiled by ``jit`` over the target's primitives.

    ``primitives`` gives ``fma``, ``power_of_two`` (2^n from SHIFT + n) and ``copy_sign``.
    """
    dtype = TYPES[name]
    typed = {
        key: tuple(map(dtype, value)) if isinstance(value, tuple) else dtype(value)
        for key, value in constants(name).items()
    }
    flags = {"DOUBLE": name == "float64", "WIDE": name == "wide"}
    namespace = {**flags, "real": dtype, "abs": abs, **typed, **primitives}
    for key, function in _texts().items():
        namespace[key] = jit(types.FunctionType(function.__code__, namespace, key))
    return namespace


def _texts() -> dict[str, types.FunctionType]:
    own = {"bind", "_texts"}
    return {
        name: value
        for name, value in globals().items()
        if isinstance(value, types.FunctionType) and value.__module__ == __name__ and name not in own
    }
