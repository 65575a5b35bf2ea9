# Formulas without an exponential.


# ---------------------------------------------------------------- relu, leaky_relu, prelu
cdef inline real relu(real x) noexcept nogil:
    return <real>0 if x <= <real>0 else x


cdef inline real relu_derivative(real x) noexcept nogil:
    return nan_or(x, <real>1 if x > <real>0 else <real>0)


cdef inline real relu_derivative_from_output(real y) noexcept nogil:
    return relu_derivative(y)


cdef inline real leaky_relu(real x, real negative_slope) noexcept nogil:
    return x if x > <real>0 else negative_slope * x


cdef inline real leaky_relu_derivative(real x, real negative_slope) noexcept nogil:
    return nan_or(x, <real>1 if x > <real>0 else negative_slope)


cdef inline real leaky_relu_derivative_from_output(real y, real negative_slope) noexcept nogil:
    return leaky_relu_derivative(y, negative_slope)


cdef inline real prelu(real x, real weight) noexcept nogil:
    return leaky_relu(x, weight)


cdef inline real prelu_derivative(real x, real weight) noexcept nogil:
    return leaky_relu_derivative(x, weight)


cdef inline real prelu_parameter_derivative(real x, real weight) noexcept nogil:
    return <real>0 if x > <real>0 else x


# ---------------------------------------------------------------- identity, relu6, hardtanh, threshold
cdef inline real identity(real x) noexcept nogil:
    return x


cdef inline real identity_derivative(real x) noexcept nogil:
    return nan_or(x, <real>1)


cdef inline real between(real x, real low, real high) noexcept nogil:
    """1 for low < x < high, else 0; NaN stays."""
    cdef real below = <real>1 if x < high else nan_or(x, <real>0)
    return <real>0 if x <= low else below


cdef inline real relu6(real x) noexcept nogil:
    cdef real positive = <real>0 if x <= <real>0 else x
    return <real>6 if positive > <real>6 else positive


cdef inline real relu6_derivative(real x) noexcept nogil:
    return between(x, <real>0, <real>6)


cdef inline real hardtanh(real x, real min_val, real max_val) noexcept nogil:
    cdef real above = min_val if x < min_val else x
    return max_val if above > max_val else above


cdef inline real hardtanh_derivative(real x, real min_val, real max_val) noexcept nogil:
    return between(x, min_val, max_val)


cdef inline real threshold(real x, real threshold, real value) noexcept nogil:
    return value if x <= threshold else x


cdef inline real threshold_derivative(real x, real threshold, real value) noexcept nogil:
    return nan_or(x, <real>1 if x > threshold else <real>0)


# ---------------------------------------------------------------- rrelu, relu_squared
cdef inline real rrelu(real x, real lower, real upper) noexcept nogil:
    return leaky_relu(x, <real>0.5 * (lower + upper))


cdef inline real rrelu_derivative(real x, real lower, real upper) noexcept nogil:
    return leaky_relu_derivative(x, <real>0.5 * (lower + upper))


cdef inline real relu_squared(real x) noexcept nogil:
    cdef real positive = relu(x)
    return positive * positive


cdef inline real relu_squared_derivative(real x) noexcept nogil:
    return <real>2 * relu(x)


# ---------------------------------------------------------------- hardshrink, softshrink
cdef inline real hardshrink(real x, real lambd) noexcept nogil:
    return <real>0 if absolute(x) <= lambd else x


cdef inline real hardshrink_derivative(real x, real lambd) noexcept nogil:
    return nan_or(x, <real>1 if absolute(x) > lambd else <real>0)


cdef inline real softshrink(real x, real lambd) noexcept nogil:
    cdef real lower = x - lambd
    cdef real upper = x + lambd
    cdef real inner = upper if x < -lambd else nan_or(x, <real>0)
    return lower if x > lambd else inner


cdef inline real softshrink_derivative(real x, real lambd) noexcept nogil:
    return hardshrink_derivative(x, lambd)


# ---------------------------------------------------------------- hardsigmoid, hardswish
cdef inline real sixth_of_sum(real x) noexcept nogil:
    """(x + 3) / 6 for |x| <= 6, nearly rounded once: with what rounding took from the sum, and a 1/6 of two parts."""
    cdef real t = x + <real>3
    cdef real low = x - (t - <real>3)
    return fma(t, SIXTH(x), fma(t, SIXTH_LOW(x), low * SIXTH(x)))


cdef inline real hardsigmoid(real x) noexcept nogil:
    return sixth_of_sum(clamp(x, <real>3))


cdef inline real hardsigmoid_derivative(real x) noexcept nogil:
    return nan_or(x, SIXTH(x) if absolute(x) < <real>3 else <real>0)


cdef inline real hardswish(real x) noexcept nogil:
    """The sum is exact where it is small, and no more than rounded elsewhere, for the rest would cost as much again."""
    cdef real y = <real>-3 if x < <real>-3 else x
    cdef real t = visible(y) + <real>3
    cdef real gated = y * fma(t, SIXTH(x), t * SIXTH_LOW(x))
    return x if x > <real>3 else gated


cdef inline real hardswish_derivative(real x) noexcept nogil:
    """(2 x + 3) / 6 between the kinks."""
    cdef real slope = sixth_of_sum(<real>2 * x)
    cdef real falling = <real>0 if x <= <real>-3 else slope
    return <real>1 if x >= <real>3 else falling


# Half types' numbers have so few digits that a rounding more decides nothing: tests/test_half.py shows it for each.
cdef inline float sixth_of_half_sum(float x) noexcept nogil:
    return (x + <float>3) * SIXTH(x)


cdef inline float hardsigmoid_of_half(float x) noexcept nogil:
    return sixth_of_half_sum(clamp(x, <float>3))


cdef inline float hardswish_of_half(float x) noexcept nogil:
    cdef float y = <float>-3 if x < <float>-3 else x
    cdef float gated = y * sixth_of_half_sum(y)
    return x if x > <float>3 else gated


cdef inline float hardswish_derivative_of_half(float x) noexcept nogil:
    cdef float slope = sixth_of_half_sum(<float>2 * x)
    cdef float falling = <float>0 if x <= <float>-3 else slope
    return <float>1 if x >= <float>3 else falling


# ---------------------------------------------------------------- softsign, squareplus, sparse_plus, sparse_sigmoid
cdef inline real softsign(real x) noexcept nogil:
    cdef real y = clamp(x, LARGE(x))
    return y / (<real>1 + absolute(y))


cdef inline real square_scale(real a) noexcept nogil:
    """DOWN for an a whose square may overflow, else 1."""
    return DOWN(a) if a > SQUARE_FROM(a) else <real>1


cdef inline real softsign_derivative(real x) noexcept nogil:
    cdef real a = absolute(x)
    cdef real scale = square_scale(a)
    return scale / fma(scale * a, a + <real>2, scale)


# With h = |x| / 2, c = b / 4 and the root of h^2 + c, the value is h + root for x >= 0 and c / (h + root) for x < 0.
# Where h^2 may overflow, all is scaled: h to scale h, squares to scale^2 h^2.
cdef inline real squareplus(real x, real b) noexcept nogil:
    """The quotient is corrected by what rounding took from h + root and from itself; far out that is nothing."""
    cdef real h = <real>0.5 * absolute(x)
    cdef bint far = h > SQUARE_FROM(x)
    cdef real scale = square_scale(h)
    cdef real scaled = scale * h
    cdef real c = scale * (<real>0.25 * b)
    cdef real root = sqrt(fma(scaled, scaled, scale * c))
    cdef real total = scaled + root
    cdef real low = scaled - (total - root)
    cdef real reciprocal = <real>1 / total
    cdef real quotient = c * reciprocal
    cdef real rest = fma(-quotient, low, fma(-quotient, total, c))
    cdef real falling = quotient if far else fma(rest, reciprocal, quotient)
    cdef real rising = UP(x) * total if far else total
    return rising if x >= <real>0 else falling


cdef inline real squareplus_derivative(real x, real b) noexcept nogil:
    """c / (2 root (root + h)) for x < 0, and 1 less that for x >= 0; root^2 needs no root."""
    cdef real h = <real>0.5 * absolute(x)
    cdef real scale = square_scale(h)
    cdef real scaled = scale * h
    cdef real c = scale * (<real>0.25 * b)
    cdef real square = fma(scaled, scaled, scale * c)
    cdef real falling = (<real>0.5 * c / fma(scaled, sqrt(square), square)) * scale
    return <real>1 - falling if x >= <real>0 else falling


cdef inline real sparse_plus(real x) noexcept nogil:
    """((x + 1) / 2)^2 between -1 and 1, of the unrounded sum."""
    cdef real y = clamp(x, <real>1)
    cdef real t = y + <real>1
    cdef real low = y - (t - <real>1)
    cdef real half = <real>0.5 * t
    cdef real curved = fma(half, half, half * low)
    return x if x >= <real>1 else curved


cdef inline real sparse_plus_derivative(real x) noexcept nogil:
    return sparse_sigmoid(x)


cdef inline real sparse_sigmoid(real x) noexcept nogil:
    return <real>0.5 * (clamp(x, <real>1) + <real>1)


cdef inline real sparse_sigmoid_derivative(real x) noexcept nogil:
    return nan_or(x, <real>0.5 if absolute(x) < <real>1 else <real>0)
