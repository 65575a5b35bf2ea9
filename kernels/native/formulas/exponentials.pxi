# Formulas that are exponentials, or turn into one below 0.


# ---------------------------------------------------------------- elu, selu
cdef inline real elu(real x, real alpha) noexcept nogil:
    cdef real negative = alpha * expm1_nonpositive(x)
    return x if x >= <real>0 else negative


cdef inline real elu_derivative(real x, real alpha) noexcept nogil:
    cdef real negative = alpha * exp_nonpositive(-absolute(x))
    return <real>1 if x > <real>0 else negative


cdef inline real elu_derivative_from_output(real y, real alpha) noexcept nogil:
    cdef real negative = y + alpha
    return <real>1 if y > <real>0 else negative


cdef inline real multiple(real x, real high, real low) noexcept nogil:
    """x (high + low); the low part of a constant is 0 in float64, where an infinite x would make NaN of it."""
    if real is float:
        return fma(x, high, x * low)
    else:
        return x * high


cdef inline real selu(real x) noexcept nogil:
    cdef real m = expm1_nonpositive(x)
    cdef real negative = multiple(m, SELU_SCALE_ALPHA(x), SELU_SCALE_ALPHA_LOW(x))
    cdef real positive = multiple(x, SELU_SCALE(x), SELU_SCALE_LOW(x))
    return positive if x >= <real>0 else negative


cdef inline real selu_derivative(real x) noexcept nogil:
    cdef real e = exp_nonpositive(-absolute(x))
    cdef real negative = multiple(e, SELU_SCALE_ALPHA(x), SELU_SCALE_ALPHA_LOW(x))
    return SELU_SCALE(x) + SELU_SCALE_LOW(x) if x > <real>0 else negative


cdef inline real selu_derivative_from_output(real y) noexcept nogil:
    cdef real negative = (y + SELU_SCALE_ALPHA(y)) + SELU_SCALE_ALPHA_LOW(y)
    return SELU_SCALE(y) + SELU_SCALE_LOW(y) if y > <real>0 else negative


# ---------------------------------------------------------------- exponential
cdef inline real exponential(real x) noexcept nogil:
    cdef real y = clamp(x, -EXP_FLOOR(x))
    cdef bint rises = y > <real>0
    cdef real shift = SHIFT_DOWN(x) if rises else SHIFT_UP(x)
    cdef real z = fma(y, LOG2E(x), shift)
    cdef real p = power_of_two(z)
    return fma(p, expm1_reduced(y, z - shift), p) * (UP(x) if rises else DOWN(x))


cdef inline real exponential_derivative(real x) noexcept nogil:
    return exponential(x)


cdef inline real exponential_derivative_from_output(real y) noexcept nogil:
    return y


# ---------------------------------------------------------------- celu
# x / alpha is x times a reciprocal of two parts, which no loop computes twice. Where alpha < 0 the exponential rises.
# For |alpha| < 2^-100 or > 2^100 (float32; float64: 2^-900, 2^900) the second part is lost.
cdef inline real celu(real x, real alpha) noexcept nogil:
    cdef real limit = finite_product(absolute(alpha), -EXPM1_FLOOR(x) if alpha > <real>0 else -EXP_FLOOR(x))
    cdef real y = -limit if x < -limit else x
    cdef real reciprocal = <real>1 / alpha
    cdef real high = y * reciprocal
    cdef real low = low_of_quotient(y, alpha, reciprocal, high)
    cdef bint rises = high > GATE_OPEN(x)
    cdef real shift = SHIFT_DOWN(x) if rises else SHIFT(x)
    cdef real z = fma(high, LOG2E(x), shift)
    cdef real p = power_of_two(z)
    cdef real m = expm1_of_parts(high, low, z - shift)
    cdef real negative = (alpha * fma(p, m, p - (DOWN(x) if rises else <real>1))) * (UP(x) if rises else <real>1)
    # e^t - 1 is t up to there, and need not be scaled where x is subnormal.
    return x if x >= -LOG1P_LINEAR(x) * absolute(alpha) else negative


cdef inline real celu_derivative(real x, real alpha) noexcept nogil:
    cdef real limit = finite_product(absolute(alpha), -EXP_FLOOR(x))
    cdef real y = clamp(x, limit)
    cdef real reciprocal = <real>1 / alpha
    cdef real high = y * reciprocal
    cdef real low = low_of_quotient(y, alpha, reciprocal, high)
    cdef bint rises = high > <real>0
    cdef real shift = SHIFT_DOWN(x) if rises else SHIFT_UP(x)
    cdef real z = fma(high, LOG2E(x), shift)
    cdef real p = power_of_two(z)
    cdef real negative = fma(p, expm1_of_parts(high, low, z - shift), p) * (UP(x) if rises else DOWN(x))
    return <real>1 if x > <real>0 else negative


cdef inline real celu_derivative_from_output(real y, real alpha) noexcept nogil:
    cdef real negative = (y + alpha) / alpha
    return <real>1 if y > <real>0 else negative
