"""Scalar formulas of the Numba backends, CPU and CUDA: plain functions, compiled by whoever binds them.

The names that are not defined here (``real``, ``fma``, ``power_of_two``, ``copy_sign``, ``sqrt``, the constants) come
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


def quotient(numerator, divisor, low):
    """numerator / (divisor + low), rounded nearly once; float64 does without low where a float32 is wanted."""
    if WIDE:
        return numerator / divisor
    reciprocal = real(1) / divisor
    ratio = numerator * reciprocal
    return fma(fma(-ratio, low, fma(-ratio, divisor, numerator)), reciprocal, ratio)


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
    """log(1 + x) for 0 <= x <= 1."""
    return log1p_plus(x, real(0))


def log1p_plus(x, rest):
    """log(1 + x) + rest for 0 <= x <= 1 and a rest beside it: log(1 + f), and ln 2 where 1 + x is 2 (1 + f)."""
    halved = x > SQRT2_LESS_1
    f = real(0.5) * (x - real(1)) if halved else x
    high = LN2_HIGH if halved else real(0)
    low = rest + LN2_LOW if halved else rest
    s = f / (real(2) + f)
    z = s * s
    h = real(0.5) * f * f
    # f - h is nearly log(1 + f): what s corrects is small, and so is its rounding.
    return high - ((h - fma(s, fma(z, log1p_quotient(z), h), low)) - f)


def log1p_positive(x):
    """log(1 + x) for 0 <= x < 2^64."""
    return log1p_of_sum(x, real(0))


def log1p_of_sum(x, rest):
    """log(1 + x + rest) for 0 <= x < 2^64 and what rounding took from it: 1 + x is 2^n m with 1 <= m < 2."""
    total = real(1) + x
    m = total
    n = real(0)
    above = m >= real(4294967296.0)
    n = n + real(32) if above else n
    m = real(2.3283064365386963e-10) * m if above else m
    above = m >= real(65536.0)
    n = n + real(16) if above else n
    m = real(1.52587890625e-05) * m if above else m
    above = m >= real(256.0)
    n = n + real(8) if above else n
    m = real(0.00390625) * m if above else m
    above = m >= real(16.0)
    n = n + real(4) if above else n
    m = real(0.0625) * m if above else m
    above = m >= real(4.0)
    n = n + real(2) if above else n
    m = real(0.25) * m if above else m
    above = m >= real(2.0)
    n = n + real(1) if above else n
    m = real(0.5) * m if above else m
    # What rounding took from the sum counts where x does not stand for itself.
    lost = (real(0) if m == total else x - (total - real(1))) + rest
    return fma(n, LN2_HIGH, log1p_plus(x if m == total else m - real(1), fma(n, LN2_LOW, lost / total)))


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


def shrink_rest(z):
    """((a - tanh(a)) / a^3 - 1/3) / a^2 at z = a^2 <= 1."""
    if DOUBLE:
        q = fma(SHRINK[14], z, SHRINK[13])
        q = fma(q, z, SHRINK[12])
        q = fma(q, z, SHRINK[11])
        q = fma(q, z, SHRINK[10])
        q = fma(q, z, SHRINK[9])
        q = fma(q, z, SHRINK[8])
        q = fma(q, z, SHRINK[7])
        q = fma(q, z, SHRINK[6])
    elif WIDE:
        q = fma(SHRINK[8], z, SHRINK[7])
        q = fma(q, z, SHRINK[6])
    else:
        q = SHRINK[6]
    q = fma(q, z, SHRINK[5])
    q = fma(q, z, SHRINK[4])
    q = fma(q, z, SHRINK[3])
    q = fma(q, z, SHRINK[2])
    q = fma(q, z, SHRINK[1])
    return fma(q, z, SHRINK[0])


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


def logarithm_of_sum(total, lost, up, down):
    """The logarithm of a row's terms, as a sum and what rounding took; the largest of them is ``up`` and 1 unscaled."""
    rest = total - up
    others = rest + lost
    return log1p_of_sum(others * down, (lost - (others - rest)) * down)


def kept_term(term, largest):
    """A term that was computed before."""
    return term


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


# ---------------------------------------------------------------- identity, relu6, hardtanh, threshold
def identity(x):
    return x


def identity_derivative(x):
    return nan_or(x, real(1))


def between(x, low, high):
    """1 for low < x < high, else 0; NaN stays."""
    below = real(1) if x < high else nan_or(x, real(0))
    return real(0) if x <= low else below


def relu6(x):
    positive = real(0) if x <= real(0) else x
    return real(6) if positive > real(6) else positive


def relu6_derivative(x):
    return between(x, real(0), real(6))


def hardtanh(x, min_val, max_val):
    above = min_val if x < min_val else x
    return max_val if above > max_val else above


def hardtanh_derivative(x, min_val, max_val):
    return between(x, min_val, max_val)


def threshold(x, threshold, value):
    return value if x <= threshold else x


def threshold_derivative(x, threshold, value):
    return real(1) if x > threshold else nan_or(x, real(0))


# ---------------------------------------------------------------- rrelu, relu_squared
def rrelu(x, lower, upper):
    return leaky_relu(x, real(0.5) * (lower + upper))


def rrelu_derivative(x, lower, upper):
    return leaky_relu_derivative(x, real(0.5) * (lower + upper))


def relu_squared(x):
    positive = relu(x)
    return positive * positive


def relu_squared_derivative(x):
    return real(2) * relu(x)


# ---------------------------------------------------------------- hardshrink, softshrink
def hardshrink(x, lambd):
    return real(0) if abs(x) <= lambd else x


def hardshrink_derivative(x, lambd):
    return real(1) if abs(x) > lambd else nan_or(x, real(0))


def softshrink(x, lambd):
    lower = x - lambd
    upper = x + lambd
    inner = upper if x < -lambd else nan_or(x, real(0))
    return lower if x > lambd else inner


def softshrink_derivative(x, lambd):
    return hardshrink_derivative(x, lambd)


# ---------------------------------------------------------------- hardsigmoid, hardswish
def visible(x):
    """x, or of its sign what a sum with 1 still shows: x (1/2 + x) near 0 is beside a tie of half types' subnormals."""
    if WIDE:
        return copy_sign(VISIBLE, x) if abs(x) < VISIBLE else x
    return x


def sixth_of_sum(x):
    """(x + 3) / 6 for |x| <= 6, nearly rounded once: with what rounding took from the sum, and a 1/6 of two parts."""
    t = x + real(3)
    low = x - (t - real(3))
    return fma(t, SIXTH, fma(t, SIXTH_LOW, low * SIXTH))


def hardsigmoid(x):
    return sixth_of_sum(clamp(x, real(3)))


def hardsigmoid_derivative(x):
    return SIXTH if abs(x) < real(3) else nan_or(x, real(0))


def hardswish(x):
    y = real(-3) if x < real(-3) else x
    gated = y * sixth_of_sum(visible(y))
    return x if x > real(3) else gated


def hardswish_derivative(x):
    """(2 x + 3) / 6 between the kinks."""
    slope = sixth_of_sum(real(2) * x)
    falling = real(0) if x <= real(-3) else slope
    return real(1) if x >= real(3) else falling


# ---------------------------------------------------------------- softsign, squareplus, sparse_plus, sparse_sigmoid
def softsign(x):
    y = clamp(x, LARGE)
    return y / (real(1) + abs(y))


def square_scale(a):
    """DOWN for an a whose square may overflow, else 1."""
    return DOWN if a > SQUARE_FROM else real(1)


def softsign_derivative(x):
    a = abs(x)
    scale = square_scale(a)
    return scale / fma(scale * a, a + real(2), scale)


# With h = |x| / 2, c = b / 4 and the root of h^2 + c, the value is h + root for x >= 0 and c / (h + root) for x < 0.
# Where h^2 may overflow, all is scaled: h to scale h, squares to scale^2 h^2.
def squareplus(x, b):
    """The quotient is corrected by what rounding took from h + root and from itself; far out that is nothing."""
    h = real(0.5) * abs(x)
    far = h > SQUARE_FROM
    scale = square_scale(h)
    scaled = scale * h
    c = scale * (real(0.25) * b)
    root = sqrt(fma(scaled, scaled, scale * c))
    total = scaled + root
    low = scaled - (total - root)
    reciprocal = real(1) / total
    quotient = c * reciprocal
    rest = fma(-quotient, low, fma(-quotient, total, c))
    falling = quotient if far else fma(rest, reciprocal, quotient)
    rising = UP * total if far else total
    return rising if x >= real(0) else falling


def squareplus_derivative(x, b):
    """c / (2 root (root + h)) for x < 0, and 1 less that for x >= 0; root^2 needs no root."""
    h = real(0.5) * abs(x)
    scale = square_scale(h)
    scaled = scale * h
    c = scale * (real(0.25) * b)
    square = fma(scaled, scaled, scale * c)
    falling = (real(0.5) * c / fma(scaled, sqrt(square), square)) * scale
    return real(1) - falling if x >= real(0) else falling


def sparse_plus(x):
    """((x + 1) / 2)^2 between -1 and 1, of the unrounded sum."""
    y = clamp(x, real(1))
    t = y + real(1)
    low = y - (t - real(1))
    half = real(0.5) * t
    curved = fma(half, half, half * low)
    return x if x >= real(1) else curved


def sparse_plus_derivative(x):
    return sparse_sigmoid(x)


def sparse_sigmoid(x):
    return real(0.5) * (clamp(x, real(1)) + real(1))


def sparse_sigmoid_derivative(x):
    return real(0.5) if abs(x) < real(1) else nan_or(x, real(0))


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


def tanh_joined(near_value, far_value, square, total):
    """near_value (1 + square / divisor) where the square is small, else far_value (1 - 2 / total)."""
    near = square < TANH_FAR
    whole = near_value if near else far_value
    numerator = square if near else real(-2)
    divisor = tanh_divisor(square) if near else total
    return fma(whole, numerator / divisor, whole)


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
    return tanh_joined(x, copy_sign(real(1), x), square, total)


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
    gated = gate_product(y, visible(y), beta)
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
def tail_ratio(a):
    """a / (a + TAIL_SCALE), in float64 rounded nearly once."""
    total = a + TAIL_SCALE
    if DOUBLE:
        large = a > TAIL_SCALE
        larger = a if large else TAIL_SCALE
        return quotient(a, total, (TAIL_SCALE if large else a) - (total - larger))
    return a / total


def gelu(x):
    """x where x > 0, less a Phi(-a), a = |x|, whose factor w (first + rest) p (1 + m) is rounded once at w p first."""
    a = abs(x)
    a = TAIL_END if a > TAIL_END else a
    half = real(-0.5) * a
    w = tail_ratio(a)
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


# ---------------------------------------------------------------- exponents of two parts
# An exponent high + low, high the rounded product of a and b: exp multiplies what is lost by up to 88 (float32) or 709.
def low_of_product(a, b, b_low, high):
    """a (b + b_low) - high; float64 has room for it where a float32 is wanted."""
    if WIDE:
        return real(0)
    return fma(a, b_low, fma(a, b, -high))


def expm1_of_parts(high, low, n):
    """e^(high + low - n ln 2) - 1, where that is within ln(2)/2: what the sum r loses is added last."""
    if WIDE:
        return expm1_reduced(high, n)
    first = fma(n, -LN2_HIGH, high)
    second = fma(n, -LN2_LOW, low)
    r = first + second
    return r + fma(r * r, exp_quotient(r), (first - r) + second)


def low_of_reciprocal(a, reciprocal):
    """1 / a - reciprocal."""
    return fma(-reciprocal, a, real(1)) * reciprocal


def low_of_quotient(x, a, reciprocal, quotient):
    """x / a - quotient, which is x times the reciprocal of a, rounded."""
    return low_of_product(x, reciprocal, low_of_reciprocal(a, reciprocal), quotient)


def finite_product(a, b):
    """a b > 0, or the largest number."""
    product = a * b
    return LARGEST if product > LARGEST else product


def gated(y, high, low):
    """y / (1 + e^(high + low))."""
    v = visible(high)
    z = fma(v, LOG2E, SHIFT_DOWN)
    p = power_of_two(z)
    m = expm1_of_parts(v, low, z - SHIFT_DOWN)
    return (y / down_plus(p, m)) * DOWN


def gated_derivative(y, slope, slope_low, high, low):
    """(1 + e + t e) / (1 + e)^2, e = e^-v, v = high + low, t = y v'; for v < -1 e (1 + e + t) / (1 + e)^2, e = e^v."""
    far = high < real(-1)
    v = high if far else -high
    z = fma(v, LOG2E, SHIFT_UP)
    p = power_of_two(z)
    m = expm1_of_parts(v, low if far else -low, z - SHIFT_UP)
    e = fma(p, m, p) * DOWN
    factor = y if far else y * e
    total = fma(factor, slope, real(1) + fma(factor, slope_low, e))
    # As for swish: SCALE e total, and 1 / (1 + q) as 1 - q / (1 + q).
    scaled = fma(p * total, m, p * total)
    ratio = (e * (e + real(2)) if far else total) / fma(e, e + real(2), real(1))
    return fma(-scaled, ratio, scaled) * DOWN if far else ratio


# ---------------------------------------------------------------- gelu_tanh, quick_gelu
def gelu_tanh_slope_low(y, square, slope):
    """What ``slope`` = GELU_CUBIC y^2 + GELU_SLOPE lacks; GELU_SLOPE has so few bits that its difference is exact."""
    if WIDE:
        return real(0)
    lost = fma(GELU_CUBIC, fma(y, y, -square), fma(GELU_CUBIC_LOW, square, GELU_SLOPE_LOW))
    return fma(GELU_CUBIC, square, GELU_SLOPE - slope) + lost


def gelu_tanh(x):
    y = clamp(x, GELU_TANH_END)
    square = y * y
    slope = fma(GELU_CUBIC, square, GELU_SLOPE)
    slope_low = gelu_tanh_slope_low(y, square, slope)
    high = -y * slope
    low = low_of_product(-y, slope, slope_low, high)
    inner = gated(y, high, low)
    return x if high < -GATE_OPEN else inner


def gelu_tanh_derivative(x):
    """With v = y slope, v' is slope + 2 GELU_CUBIC y^2."""
    y = clamp(x, GELU_TANH_END)
    square = y * y
    slope = fma(GELU_CUBIC, square, GELU_SLOPE)
    slope_low = gelu_tanh_slope_low(y, square, slope)
    high = y * slope
    low = low_of_product(y, slope, slope_low, high)
    twice = real(2) * GELU_CUBIC
    steep = fma(twice, square, slope)
    lost = fma(twice, fma(y, y, -square), fma(real(2) * GELU_CUBIC_LOW, square, slope_low))
    return gated_derivative(y, steep, fma(twice, square, slope - steep) + lost, high, low)


def quick_gelu(x):
    y = clamp(x, QUICK_END)
    high = y * -QUICK
    low = low_of_product(y, -QUICK, -QUICK_LOW, high)
    inner = gated(y, high, low)
    return x if high < -GATE_OPEN else inner


def quick_gelu_derivative(x):
    y = clamp(x, QUICK_END)
    high = y * QUICK
    low = low_of_product(y, QUICK, QUICK_LOW, high)
    return gated_derivative(y, QUICK, QUICK_LOW, high, low)


# ---------------------------------------------------------------- mish
# n / (n + 2) is k / (k + 1), k = e + e^2/2 = p (1 + j), p the power of two of e.
def mish(x):
    """x k / (1 + k), and x - x / (1 + k) for x > 0."""
    rises = x > real(0)
    y = EXP_FLOOR if x < EXP_FLOOR else x
    y = MISH_OPEN if y > MISH_OPEN else y
    z = fma(y, LOG2E, SHIFT_UP)
    scaled = y * power_of_two(z)
    m = expm1_reduced(y, z - SHIFT_UP)
    p = power_of_two(z) * DOWN
    one_more = p + real(1)
    j = fma(m, fma(real(0.5) * p, m, one_more), real(0.5) * p)
    numerator = -y * UP if rises else fma(scaled, j, scaled)
    divisor = fma(p, j, one_more)
    ratio = quotient(numerator, divisor, fma(p, j, one_more - divisor))
    return copy_sign(scaled_plus(ratio, DOWN, x if rises else real(0)), x)


def mish_derivative(x):
    """Far below 0 e b / (1 + k)^2, b = (1 + e/2) (1 + k) + x (1 + e), as swish's; above, its distance from 1/2 or 1."""
    y = EXP_FLOOR if x < EXP_FLOOR else x
    y = MISH_OPEN if y > MISH_OPEN else y
    z = fma(y, LOG2E, SHIFT_UP)
    p = power_of_two(z)
    m = expm1_reduced(y, z - SHIFT_UP)
    e = fma(p, m, p) * DOWN
    k = fma(real(0.5) * e, e, e)
    b = fma(e, fma(e, fma(real(0.25), e, real(1)), real(1.5) + y), real(1) + y)
    from_half = fma(-e, fma(e, fma(e, fma(real(0.125), e, real(0.5)), real(0.5) + y), y), real(0.5))
    from_one = fma(e, fma(e, real(0.5) - y, real(1) - y), real(1))
    far = y < real(-1)
    positive = y > real(0)
    distance = from_one if positive else from_half
    scaled = fma(p * b, m, p * b)
    ratio = (k * (k + real(2)) if far else distance) / fma(k, k + real(2), real(1))
    end = real(1) if positive else real(0.5)
    return fma(-scaled, ratio, scaled) * DOWN if far else end - ratio


# ---------------------------------------------------------------- exponential
def exponential(x):
    y = clamp(x, -EXP_FLOOR)
    rises = y > real(0)
    shift = SHIFT_DOWN if rises else SHIFT_UP
    z = fma(y, LOG2E, shift)
    p = power_of_two(z)
    return fma(p, expm1_reduced(y, z - shift), p) * (UP if rises else DOWN)


def exponential_derivative(x):
    return exponential(x)


def exponential_derivative_from_output(y):
    return y


# ---------------------------------------------------------------- celu
# x / alpha is x times a reciprocal of two parts, which no loop computes twice. Where alpha < 0 the exponential rises.
# For |alpha| < 2^-100 or > 2^100 (float32; float64: 2^-900, 2^900) the second part is lost.
def celu(x, alpha):
    limit = finite_product(abs(alpha), -EXPM1_FLOOR if alpha > real(0) else -EXP_FLOOR)
    y = -limit if x < -limit else x
    reciprocal = real(1) / alpha
    high = y * reciprocal
    low = low_of_quotient(y, alpha, reciprocal, high)
    rises = high > GATE_OPEN
    shift = SHIFT_DOWN if rises else SHIFT
    z = fma(high, LOG2E, shift)
    p = power_of_two(z)
    m = expm1_of_parts(high, low, z - shift)
    negative = (alpha * fma(p, m, p - (DOWN if rises else real(1)))) * (UP if rises else real(1))
    # e^t - 1 is t up to there, and need not be scaled where x is subnormal.
    return x if x >= -LOG1P_LINEAR * abs(alpha) else negative


def celu_derivative(x, alpha):
    limit = finite_product(abs(alpha), -EXP_FLOOR)
    y = clamp(x, limit)
    reciprocal = real(1) / alpha
    high = y * reciprocal
    low = low_of_quotient(y, alpha, reciprocal, high)
    rises = high > real(0)
    shift = SHIFT_DOWN if rises else SHIFT_UP
    z = fma(high, LOG2E, shift)
    p = power_of_two(z)
    negative = fma(p, expm1_of_parts(high, low, z - shift), p) * (UP if rises else DOWN)
    return real(1) if x > real(0) else negative


def celu_derivative_from_output(y, alpha):
    negative = (y + alpha) / alpha
    return real(1) if y > real(0) else negative


# ---------------------------------------------------------------- tanhshrink
def visible_beside(rest, a):
    """A positive rest, or what a sum with a still shows: however small, a - 1 + rest is beyond a tie of half types."""
    if WIDE:
        return VISIBLE * a if rest < VISIBLE * a else rest
    return rest


def tanhshrink(x):
    """a - 1 + 2 e / (1 + e), e = e^-2a, a = |x|; a polynomial where that cancels."""
    a = abs(x)
    square = a * a
    cube = x * square
    low = fma(x, fma(a, a, -square), fma(x, square, -cube))
    rest = fma(shrink_rest(square), square, THIRD_LOW)
    near = fma(cube, THIRD, fma(cube, rest, low * THIRD))
    e = exp_nonpositive(real(-2) * a)
    total = real(1) + e
    ratio = (e + e) / total
    # Less what rounding the sum took, divided by it, which is nearly 1 where that counts.
    far = fma(ratio, (total - real(1)) - e, a - real(1)) + visible_beside(ratio, a)
    return copy_sign(far if a > real(1) else near, x)


def tanhshrink_derivative(x):
    """tanh(x)^2, from a - tanh(a) up to 1."""
    a = abs(x)
    square = a * a
    shrunk = a * square * fma(shrink_rest(square), square, THIRD)
    t = a - shrunk
    near = fma(t, t, real(2) * t * ((a - t) - shrunk))
    e = exp_nonpositive(real(-2) * a)
    far = real(1) - (real(4) * e) / fma(e, e + real(2), real(1))
    return far if a > real(1) else near


# ---------------------------------------------------------------- softcap
def softcap(x, cap):
    """As tanh, of |x| / cap, which is |x| times a reciprocal of two parts."""
    size = abs(cap)
    limit = finite_product(size, TANH_ONE)
    a = abs(x)
    a = limit if a > limit else a
    reciprocal = real(1) / size
    t = a * reciprocal
    low = low_of_quotient(a, size, reciprocal, t)
    z = fma(t, real(2) * LOG2E, SHIFT)
    r = fma(z - SHIFT, real(-0.5) * LN2, t) + low
    total = fma(power_of_two(z), exp_of_twice(r), real(1))
    square = fma(t, t, -SMALL)
    return tanh_joined(x, copy_sign(size, x), square, total)


def softcap_derivative(x, cap):
    size = abs(cap)
    limit = finite_product(size, real(-0.5) * EXP_FLOOR)
    a = abs(x)
    a = limit if a > limit else a
    steep = real(-2) / size
    high = a * steep
    low = low_of_product(a, steep, real(-2) * low_of_reciprocal(size, real(-0.5) * steep), high)
    z = fma(high, LOG2E, SHIFT_UP)
    p = power_of_two(z)
    scaled = fma(p, expm1_of_parts(high, low, z - SHIFT_UP), p)
    e = scaled * DOWN
    return (scaled / fma(e, e + real(2), real(1))) * (real(4) * DOWN)


# ---------------------------------------------------------------- softmax, softmin, log_softmax
# No difference x - largest is rounded before it is an exponent, for exp would multiply its error.
def row_term(x, largest):
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


def scaled_exp_of_difference(x, largest):
    """SCALE * e^(x - largest), what rounding takes from the difference included."""
    d = x - largest
    moved = d - x
    lost = (x - (d - moved)) - (largest + moved)
    bounded = EXP_FLOOR if d < EXP_FLOOR else d
    # NaN where largest is infinite.
    low = largest - largest if d < EXP_FLOOR else lost
    z = fma(bounded, LOG2E, SHIFT_UP)
    p = power_of_two(z)
    return fma(p, expm1_of_parts(bounded, low, z - SHIFT_UP), p)


def softmax_entry(x):
    return x


def softmax_term(x, largest):
    return row_term(x, largest)


def softmax_value(term, reciprocal, low):
    """term * (reciprocal + low)."""
    return fma(term, reciprocal, term * low)


def softmax_product(g, y):
    return g * y


def softmax_gradient(g, y, total):
    return y * (g - total)


def softmin_entry(x):
    return -x


def softmin_term(x, largest):
    return row_term(-x, largest)


def softmin_value(term, reciprocal, low):
    return softmax_value(term, reciprocal, low)


def softmin_product(g, y):
    return g * y


def softmin_gradient(g, y, total):
    return y * (total - g)


def log_softmax_entry(x):
    return x


def log_softmax_term(x, largest):
    """SCALE * e^(x - largest): exactly SCALE for the largest, so that the sum of the others is known by itself.

    In float64 of the difference in two parts; a quotient of e^x and e^largest has the errors of both.
    """
    if DOUBLE:
        term = scaled_exp_of_difference(x, largest)
        return UP if x == largest else term
    factor = UP / row_term(largest, largest)
    scaled = factor * row_term(x, largest)
    return UP if x == largest else scaled


def log_softmax_value(x, largest, logarithm):
    return (x - largest) - logarithm


def log_softmax_product(g, y):
    return g


def log_softmax_gradient(g, y, total):
    return fma(-exp_nonpositive(y), total, g)


def log_softmax_gradient_through(g, p, total):
    """p is softmax of x: e^y would multiply the rounding of y."""
    return fma(-p, total, g)


# ---------------------------------------------------------------- sparsemax
def sparsemax_entry(x):
    return x


def sparsemax_value(z, threshold):
    return real(0) if z <= threshold else z - threshold


def sparsemax_gradient(g, z, threshold, mean):
    return real(0) if z <= threshold else g - mean


# ---------------------------------------------------------------- binding
#: format -> its type
TYPES = {"float32": np.float32, "float64": np.float64, "wide": np.float64}

#: type -> bits of the significand field
SIGNIFICAND_BITS = {np.float32: 23, np.float64: 52}


def bind(name: str, primitives: dict, jit: Callable) -> dict[str, Callable]:
    """Every formula of this text as a function for a format, compiled by ``jit`` over the target's primitives.

    ``primitives`` gives ``fma``, ``power_of_two`` (2^n from SHIFT + n), ``copy_sign`` and ``sqrt``.
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
