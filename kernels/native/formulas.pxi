# Scalar formulas of the Cython loops, typed by the fused ``real``: selects, explicit fma, one division, no branch.
# A constant is a function of its type: LOG2E(x) has x's type. All exponentials are of arguments <= 0; they carry a factor
# SCALE where a subnormal would lose bits, and DOWN = 1 / SCALE removes it at the end.
#
# The Numba backends hold the same formulas in their own text, and the tests hold both to the same bits.


# ---------------------------------------------------------------- vector math
cdef inline real exp_quotient(real r) noexcept nogil:
    """(e^r - 1 - r) / r^2 on |r| <= ln(2)/2."""
    cdef real q
    if real is double:
        q = fma(EXP_9(r), r, EXP_8(r))
        q = fma(q, r, EXP_7(r))
        q = fma(q, r, EXP_6(r))
        q = fma(q, r, EXP_5(r))
        q = fma(q, r, EXP_4(r))
    else:
        q = EXP_4(r)
    q = fma(q, r, EXP_3(r))
    q = fma(q, r, EXP_2(r))
    q = fma(q, r, EXP_1(r))
    return fma(q, r, EXP_0(r))


cdef inline real shifted_multiple(real x) noexcept nogil:
    """SHIFT + n, where n is the integer nearest to x / ln 2."""
    return fma(x, LOG2E(x), SHIFT(x))


cdef inline real expm1_reduced(real x, real low, real z) noexcept nogil:
    """e^r - 1 with r = x + low - n ln 2; a low of -0.0 means none and costs nothing."""
    cdef real n = z - SHIFT(x)
    cdef real r = fma(n, -LN2_LOW(x), fma(n, -LN2_HIGH(x), x) + low)
    return fma(r * r, exp_quotient(r), r)


cdef inline real scaled_exp(real a, real x, real low) noexcept nogil:
    """SCALE * a * e^(x + low) for x <= 0, rounded once more than the polynomial; x is at least EXP_FLOOR."""
    cdef real z = shifted_multiple(x)
    cdef real p = a * scaled_power_of_two(z)
    return fma(p, expm1_reduced(x, low, z), p)


cdef inline real exp_nonpositive(real x) noexcept nogil:
    """e^x for x <= 0."""
    cdef real bounded = EXP_FLOOR(x) if x < EXP_FLOOR(x) else x
    return scaled_exp(<real>1, bounded, <real>-0.0) * DOWN(x)


cdef inline real expm1_nonpositive(real x) noexcept nogil:
    """e^x - 1 for x <= 0."""
    cdef real bounded = EXPM1_FLOOR(x) if x < EXPM1_FLOOR(x) else x
    cdef real z = shifted_multiple(bounded)
    cdef real p = power_of_two(z)
    return fma(p, expm1_reduced(bounded, <real>-0.0, z), p - <real>1)


cdef inline real clamp(real x, real bound) noexcept nogil:
    """x limited to [-bound, bound]; NaN stays."""
    x = bound if x > bound else x
    return -bound if x < -bound else x


cdef inline real nan_or(real x, real y) noexcept nogil:
    """y, or x where x is NaN."""
    return y if x == x else x


# ---------------------------------------------------------------- relu, leaky_relu, prelu
cdef inline real relu(real x) noexcept nogil:
    return <real>0 if x <= <real>0 else x


cdef inline real relu_derivative(real x) noexcept nogil:
    return <real>1 if x > <real>0 else nan_or(x, <real>0)


cdef inline real relu_derivative_from_output(real y) noexcept nogil:
    return relu_derivative(y)


cdef inline real leaky_relu(real x, real negative_slope) noexcept nogil:
    return x if x > <real>0 else negative_slope * x


cdef inline real leaky_relu_derivative(real x, real negative_slope) noexcept nogil:
    return <real>1 if x > <real>0 else nan_or(x, negative_slope)


cdef inline real leaky_relu_derivative_from_output(real y, real negative_slope) noexcept nogil:
    return leaky_relu_derivative(y, negative_slope)


cdef inline real prelu(real x, real weight) noexcept nogil:
    return leaky_relu(x, weight)


cdef inline real prelu_derivative(real x, real weight) noexcept nogil:
    return leaky_relu_derivative(x, weight)


cdef inline real prelu_parameter_derivative(real x, real weight) noexcept nogil:
    return <real>0 if x > <real>0 else x


# ---------------------------------------------------------------- elu, selu
cdef inline real elu(real x, real alpha) noexcept nogil:
    cdef real negative = alpha * expm1_nonpositive(x)
    return x if x >= <real>0 else negative


cdef inline real elu_derivative(real x, real alpha) noexcept nogil:
    cdef real negative = alpha * exp_nonpositive(<real>0 if x > <real>0 else x)
    return <real>1 if x > <real>0 else negative


cdef inline real elu_derivative_from_output(real y, real alpha) noexcept nogil:
    cdef real negative = y + alpha
    return <real>1 if y > <real>0 else negative


cdef inline real selu(real x) noexcept nogil:
    cdef real m = expm1_nonpositive(x)
    cdef real negative = fma(m, SELU_SCALE_ALPHA(x), m * SELU_SCALE_ALPHA_LOW(x))
    cdef real positive = fma(x, SELU_SCALE(x), clamp(x, LARGEST(x)) * SELU_SCALE_LOW(x))
    return positive if x >= <real>0 else negative


cdef inline real selu_derivative(real x) noexcept nogil:
    cdef real e = exp_nonpositive(<real>0 if x > <real>0 else x)
    cdef real negative = fma(e, SELU_SCALE_ALPHA(x), e * SELU_SCALE_ALPHA_LOW(x))
    return SELU_SCALE(x) + SELU_SCALE_LOW(x) if x > <real>0 else negative


cdef inline real selu_derivative_from_output(real y) noexcept nogil:
    cdef real negative = (y + SELU_SCALE_ALPHA(y)) + SELU_SCALE_ALPHA_LOW(y)
    return SELU_SCALE(y) + SELU_SCALE_LOW(y) if y > <real>0 else negative


# ---------------------------------------------------------------- sigmoid, tanh
cdef inline real sigmoid(real x) noexcept nogil:
    cdef real e = exp_nonpositive(-absolute(x))
    cdef real numerator = <real>1 if x >= <real>0 else e
    return numerator / (<real>1 + e)


cdef inline real sigmoid_derivative(real x) noexcept nogil:
    cdef real e = exp_nonpositive(-absolute(x))
    return e / fma(e, e + <real>2, <real>1)


cdef inline real sigmoid_derivative_from_output(real y) noexcept nogil:
    return y * (<real>1 - y)


cdef inline real tanh(real x) noexcept nogil:
    cdef real m = expm1_nonpositive(<real>-2 * absolute(x))
    cdef real magnitude = -m / (m + <real>2)
    cdef real signed_magnitude = magnitude if x > <real>0 else -magnitude
    return x if absolute(x) < TANH_LINEAR(x) else signed_magnitude


cdef inline real tanh_derivative(real x) noexcept nogil:
    cdef real t = <real>-2 * absolute(x)
    cdef real scaled = scaled_exp(<real>4, EXP_FLOOR(x) if t < EXP_FLOOR(x) else t, <real>-0.0)
    cdef real e = scaled * (DOWN(x) / <real>4)
    return (scaled / fma(e, e + <real>2, <real>1)) * DOWN(x)


cdef inline real tanh_derivative_from_output(real y) noexcept nogil:
    return (<real>1 - y) * (<real>1 + y)


# ---------------------------------------------------------------- swish
# For |beta| < 2^-32 (float32) or 2^-358 (float64) these hold while |x| stays below 2^39 or 2^368.
cdef inline real rounding_of_product(real a, real b, real product) noexcept nogil:
    """What rounding took from a * b, or nothing where the product is beyond every exponential."""
    cdef real lost = fma(a, b, -product)
    return lost if absolute(product) < -EXP_FLOOR(a) else <real>0


cdef inline real swish(real x, real beta) noexcept nogil:
    cdef real finite = clamp(x, LARGEST(x))
    cdef real product = beta * finite
    cdef real low = rounding_of_product(beta, finite, product)
    cdef real t = clamp(product, -EXP_FLOOR(x))
    low = -low if t > <real>0 else low
    cdef real u = <real>1 + scaled_exp(<real>1, -absolute(t), low) * DOWN(x)
    cdef real factor = finite if product == t else <real>-0.0
    cdef real vanishing = scaled_exp(factor, -absolute(t), low)
    # One division for both signs.
    cdef real numerator = vanishing if t < <real>0 else x
    cdef real scale = DOWN(x) if t < <real>0 else <real>1
    return (numerator / u) * scale


cdef inline real swish_derivative(real x, real beta) noexcept nogil:
    cdef real finite = clamp(x, LARGEST(x))
    cdef real product = beta * finite
    cdef real low = rounding_of_product(beta, finite, product)
    cdef real t = clamp(product, -EXP_FLOOR(x))
    low = -low if t > <real>0 else low
    cdef real scaled = scaled_exp(<real>1, -absolute(t), low)
    cdef real e = scaled * DOWN(x)
    cdef real u = <real>1 + e
    cdef real gate = t if t < <real>0 else t * e
    cdef real slope = <real>1 + gate / u
    cdef real factor = scaled if t < <real>0 else <real>1
    cdef real scale = DOWN(x) if t < <real>0 else <real>1
    return (factor * slope / u) * scale


cdef inline real swish_parameter_derivative(real x, real beta) noexcept nogil:
    cdef real finite = clamp(x, LARGEST(x))
    cdef real product = beta * finite
    cdef real low = rounding_of_product(beta, finite, product)
    cdef real t = clamp(product, -EXP_FLOOR(x))
    low = -low if t > <real>0 else low
    cdef real a = finite if product == t else nan_or(x, <real>0)
    cdef real e = scaled_exp(<real>1, -absolute(t), low) * DOWN(x)
    return (scaled_exp(a, -absolute(t), low) * a / fma(e, e + <real>2, <real>1)) * DOWN(x)


# ---------------------------------------------------------------- softmax
# No difference x - largest is rounded before it is an exponent, for exp would multiply its error.
cdef inline real softmax_term(real x, real largest) noexcept nogil:
    """SCALE * e^(x - c), where c is the same for the row and so near to largest that no term is far above SCALE."""
    cdef real base = largest if absolute(largest) > BASE_FROM(x) else <real>0
    cdef real top = largest - base
    cdef real near = (top + GRID(x)) - GRID(x)
    cdef real floor = near + EXP_FLOOR(x)
    cdef real d = x - base
    cdef real bounded = floor if d < floor else d
    cdef real z = shifted_multiple(bounded - near)
    cdef real n = z - SHIFT(x)
    cdef real r = fma(n, -LN2_LOW(x), bounded - fma(n, LN2_HIGH(x), near))
    cdef real p = scaled_power_of_two(z)
    return fma(p, fma(r * r, exp_quotient(r), r), p)


cdef inline real softmax_value(real term, real reciprocal, real low) noexcept nogil:
    """term * (reciprocal + low)."""
    return fma(term, reciprocal, term * low)


cdef inline real softmax_product(real g, real y) noexcept nogil:
    return g * y


cdef inline real softmax_gradient(real g, real y, real total) noexcept nogil:
    return y * (g - total)
