"""Formulas that are exponentials, or turn into one below 0."""


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
