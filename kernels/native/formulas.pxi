# Scalar formulas of the Cython loops, typed by the fused ``real``: selects, explicit fma, one division, no branch. ``real``
# is float, double, or wide: the double inside of the accurate class, which needs little more than float32's accuracy.
# A constant is a function of its type: LOG2E(x) has x's type. Exponentials carry a factor SCALE or DOWN = 1 / SCALE where a
# subnormal would lose bits or a large one overflow, and DOWN removes it at the end.
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
    elif real is wide:
        q = fma(EXP_5(r), r, EXP_4(r))
    else:
        q = EXP_4(r)
    q = fma(q, r, EXP_3(r))
    q = fma(q, r, EXP_2(r))
    q = fma(q, r, EXP_1(r))
    return fma(q, r, EXP_0(r))


cdef inline real expm1_less(real high, real n) noexcept nogil:
    """e^(high - n LN2_LOW) - 1, |high| <= ln(2)/2; float64 has room for the low part of a float32 result's."""
    cdef real r, lost
    if real is wide:
        return fma(high * high, exp_quotient(high), high)
    else:
        r = fma(n, -LN2_LOW(n), high)
        if real is float:
            return fma(r * r, exp_quotient(r), r)
        else:
            lost = fma(n, -LN2_LOW(n), high - r)
            return r + fma(r * r, exp_quotient(r), lost)


cdef inline real expm1_reduced(real x, real n) noexcept nogil:
    """e^(x - n ln 2) - 1, n the integer nearest to x / ln 2."""
    return expm1_less(fma(n, -LN2_HIGH(x), x), n)


cdef inline real expm1_reduced_product(real a, real b, real n) noexcept nogil:
    """e^(a b - n ln 2) - 1, the product unrounded: exp would multiply its error by up to 88 (float32) or 709."""
    if real is wide:
        return expm1_reduced(a * b, n)
    else:
        return expm1_less(fma(a, b, -(n * LN2_HIGH(a))), n)


# z = fma(x, LOG2E, SHIFT) holds n, the integer nearest to x / ln 2, in its low bits, biased as an exponent is:
# z - SHIFT is n and power_of_two(z) is 2^n. SHIFT_UP and SHIFT_DOWN give SCALE * 2^n and DOWN * 2^n.
cdef inline real scaled_exp(real x) noexcept nogil:
    """SCALE * e^x for EXP_FLOOR <= x <= 0."""
    cdef real z = fma(x, LOG2E(x), SHIFT_UP(x))
    cdef real p = power_of_two(z)
    return fma(p, expm1_reduced(x, z - SHIFT_UP(x)), p)


cdef inline real scaled_exp_of_product(real a, real b) noexcept nogil:
    """SCALE * e^(a b) for EXP_FLOOR <= a b <= 0."""
    cdef real z = fma(a * b, LOG2E(a), SHIFT_UP(a))
    cdef real p = power_of_two(z)
    return fma(p, expm1_reduced_product(a, b, z - SHIFT_UP(a)), p)


cdef inline real exp_nonpositive(real x) noexcept nogil:
    """e^x for x <= 0."""
    cdef real bounded = EXP_FLOOR(x) if x < EXP_FLOOR(x) else x
    return scaled_exp(bounded) * DOWN(x)


cdef inline real expm1_nonpositive(real x) noexcept nogil:
    """e^x - 1 for x <= 0."""
    cdef real bounded = EXPM1_FLOOR(x) if x < EXPM1_FLOOR(x) else x
    cdef real z = fma(bounded, LOG2E(x), SHIFT(x))
    cdef real p = power_of_two(z)
    return fma(p, expm1_reduced(bounded, z - SHIFT(x)), p - <real>1)


cdef inline real down_plus(real p, real m) noexcept nogil:
    """DOWN + p (1 + m), p a power of two: where DOWN + p is rounded, it may lose half a unit by itself."""
    cdef real sum_ = p + DOWN(p)
    if real is double:
        return sum_ + fma(p, m, DOWN(p) - (sum_ - p))
    else:
        return fma(p, m, DOWN(p)) + p


cdef inline real quotient(real numerator, real divisor, real low) noexcept nogil:
    """numerator / (divisor + low), rounded nearly once; float64 does without low where a float32 is wanted."""
    cdef real reciprocal, ratio
    if real is wide:
        return numerator / divisor
    else:
        reciprocal = <real>1 / divisor
        ratio = numerator * reciprocal
        return fma(fma(-ratio, low, fma(-ratio, divisor, numerator)), reciprocal, ratio)


cdef inline real log1p_quotient(real z) noexcept nogil:
    """(log((1 + s) / (1 - s)) - 2 s) / s^3 at z = s^2, for |s| < 0.172."""
    cdef real p
    if real is double:
        p = fma(LOG1P_6(z), z, LOG1P_5(z))
        p = fma(p, z, LOG1P_4(z))
        p = fma(p, z, LOG1P_3(z))
        p = fma(p, z, LOG1P_2(z))
    elif real is wide:
        p = fma(LOG1P_3(z), z, LOG1P_2(z))
    else:
        p = LOG1P_2(z)
    p = fma(p, z, LOG1P_1(z))
    return fma(p, z, LOG1P_0(z))


cdef inline real log1p(real x) noexcept nogil:
    """log(1 + x) for 0 <= x <= 1."""
    return log1p_plus(x, <real>0)


cdef inline real log1p_plus(real x, real rest) noexcept nogil:
    """log(1 + x) + rest for 0 <= x <= 1 and a rest beside it: log(1 + f), and ln 2 where 1 + x is 2 (1 + f)."""
    cdef bint halved = x > SQRT2_LESS_1(x)
    cdef real f = <real>0.5 * (x - <real>1) if halved else x
    cdef real high = LN2_HIGH(x) if halved else <real>0
    cdef real low = rest + LN2_LOW(x) if halved else rest
    cdef real s = f / (<real>2 + f)
    cdef real z = s * s
    cdef real h = <real>0.5 * f * f
    # f - h is nearly log(1 + f): what s corrects is small, and so is its rounding.
    return high - ((h - fma(s, fma(z, log1p_quotient(z), h), low)) - f)


cdef inline real log1p_positive(real x) noexcept nogil:
    """log(1 + x) for 0 <= x < 2^64."""
    return log1p_of_sum(x, <real>0)


cdef inline real log1p_of_sum(real x, real rest) noexcept nogil:
    """log(1 + x + rest) for 0 <= x < 2^64 and what rounding took from it: 1 + x is 2^n m with 1 <= m < 2."""
    cdef real total = <real>1 + x
    cdef real m = total
    cdef real n = <real>0
    cdef bint above
    above = m >= <real>4294967296.0
    n = n + <real>32 if above else n
    m = <real>2.3283064365386963e-10 * m if above else m
    above = m >= <real>65536.0
    n = n + <real>16 if above else n
    m = <real>1.52587890625e-05 * m if above else m
    above = m >= <real>256.0
    n = n + <real>8 if above else n
    m = <real>0.00390625 * m if above else m
    above = m >= <real>16.0
    n = n + <real>4 if above else n
    m = <real>0.0625 * m if above else m
    above = m >= <real>4.0
    n = n + <real>2 if above else n
    m = <real>0.25 * m if above else m
    above = m >= <real>2.0
    n = n + <real>1 if above else n
    m = <real>0.5 * m if above else m
    # What rounding took from the sum counts where x does not stand for itself.
    cdef real lost = (<real>0 if m == total else x - (total - <real>1)) + rest
    return fma(n, LN2_HIGH(x), log1p_plus(x if m == total else m - <real>1, fma(n, LN2_LOW(x), lost / total)))


cdef inline real tail_rest(real v, real first) noexcept nogil:
    """e^(a^2/2) erfc(a / sqrt(2)) (a + TAIL_SCALE) / 2 less ``first``; v + TAIL_MIDDLE is a / (a + TAIL_SCALE)."""
    cdef real q
    if real is double:
        q = fma(TAIL_23(v), v, TAIL_22(v))
        q = fma(q, v, TAIL_21(v))
        q = fma(q, v, TAIL_20(v))
        q = fma(q, v, TAIL_19(v))
        q = fma(q, v, TAIL_18(v))
        q = fma(q, v, TAIL_17(v))
        q = fma(q, v, TAIL_16(v))
        q = fma(q, v, TAIL_15(v))
        q = fma(q, v, TAIL_14(v))
        q = fma(q, v, TAIL_13(v))
        q = fma(q, v, TAIL_12(v))
        q = fma(q, v, TAIL_11(v))
        q = fma(q, v, TAIL_10(v))
    elif real is wide:
        q = fma(TAIL_12(v), v, TAIL_11(v))
        q = fma(q, v, TAIL_10(v))
    else:
        q = TAIL_10(v)
    q = fma(q, v, TAIL_9(v))
    q = fma(q, v, TAIL_8(v))
    q = fma(q, v, TAIL_7(v))
    q = fma(q, v, TAIL_6(v))
    q = fma(q, v, TAIL_5(v))
    q = fma(q, v, TAIL_4(v))
    q = fma(q, v, TAIL_3(v))
    q = fma(q, v, TAIL_2(v))
    q = fma(q, v, TAIL_1(v))
    return fma(q, v, first)


cdef inline real shrink_rest(real z) noexcept nogil:
    """((a - tanh(a)) / a^3 - 1/3) / a^2 at z = a^2 <= 1."""
    cdef real q
    if real is double:
        q = fma(SHRINK_14(z), z, SHRINK_13(z))
        q = fma(q, z, SHRINK_12(z))
        q = fma(q, z, SHRINK_11(z))
        q = fma(q, z, SHRINK_10(z))
        q = fma(q, z, SHRINK_9(z))
        q = fma(q, z, SHRINK_8(z))
        q = fma(q, z, SHRINK_7(z))
        q = fma(q, z, SHRINK_6(z))
    elif real is wide:
        q = fma(SHRINK_8(z), z, SHRINK_7(z))
        q = fma(q, z, SHRINK_6(z))
    else:
        q = SHRINK_6(z)
    q = fma(q, z, SHRINK_5(z))
    q = fma(q, z, SHRINK_4(z))
    q = fma(q, z, SHRINK_3(z))
    q = fma(q, z, SHRINK_2(z))
    q = fma(q, z, SHRINK_1(z))
    return fma(q, z, SHRINK_0(z))


cdef inline real clamp(real x, real bound) noexcept nogil:
    """x limited to [-bound, bound]; NaN stays."""
    x = bound if x > bound else x
    return -bound if x < -bound else x


cdef inline real scaled_plus(real x, real scale, real y) noexcept nogil:
    """x scale + y, rounded once; where DOWN is 1 so is scale, and a compiler would make a sum of its own of the fma."""
    if real is wide:
        return x + y
    else:
        return fma(x, scale, y)


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
    return <real>1 if x > threshold else nan_or(x, <real>0)


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
    return <real>1 if absolute(x) > lambd else nan_or(x, <real>0)


cdef inline real softshrink(real x, real lambd) noexcept nogil:
    cdef real lower = x - lambd
    cdef real upper = x + lambd
    cdef real inner = upper if x < -lambd else nan_or(x, <real>0)
    return lower if x > lambd else inner


cdef inline real softshrink_derivative(real x, real lambd) noexcept nogil:
    return hardshrink_derivative(x, lambd)


# ---------------------------------------------------------------- hardsigmoid, hardswish
cdef inline real visible(real x) noexcept nogil:
    """x, or of its sign what a sum with 1 still shows: x (1/2 + x) near 0 is beside a tie of half types' subnormals."""
    if real is wide:
        return copy_sign(VISIBLE(x), x) if absolute(x) < VISIBLE(x) else x
    else:
        return x


cdef inline real sixth_of_sum(real x) noexcept nogil:
    """(x + 3) / 6 for |x| <= 6, nearly rounded once: with what rounding took from the sum, and a 1/6 of two parts."""
    cdef real t = x + <real>3
    cdef real low = x - (t - <real>3)
    return fma(t, SIXTH(x), fma(t, SIXTH_LOW(x), low * SIXTH(x)))


cdef inline real hardsigmoid(real x) noexcept nogil:
    return sixth_of_sum(clamp(x, <real>3))


cdef inline real hardsigmoid_derivative(real x) noexcept nogil:
    return SIXTH(x) if absolute(x) < <real>3 else nan_or(x, <real>0)


cdef inline real hardswish(real x) noexcept nogil:
    cdef real y = <real>-3 if x < <real>-3 else x
    cdef real gated = y * sixth_of_sum(visible(y))
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
    return <real>0.5 if absolute(x) < <real>1 else nan_or(x, <real>0)


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


# ---------------------------------------------------------------- sigmoid, tanh
cdef inline real sigmoid(real x) noexcept nogil:
    """1 / (1 + e^-x): the sum is rounded once, and DOWN keeps it finite."""
    cdef real y = GATE_OPEN(x) if x > GATE_OPEN(x) else x
    y = EXP_FLOOR(x) if y < EXP_FLOOR(x) else y
    cdef real z = fma(y, -LOG2E(x), SHIFT_DOWN(x))
    cdef real p = power_of_two(z)
    cdef real m = expm1_reduced(-y, z - SHIFT_DOWN(x))
    return (<real>1 / down_plus(p, m)) * DOWN(x)


cdef inline real sigmoid_derivative(real x) noexcept nogil:
    cdef real e = exp_nonpositive(-absolute(x))
    return e / fma(e, e + <real>2, <real>1)


cdef inline real sigmoid_derivative_from_output(real y) noexcept nogil:
    return fma(-y, y, y)


cdef inline real exp_of_twice(real r) noexcept nogil:
    """e^2r on |r| <= ln(2)/4."""
    cdef real q
    if real is double:
        q = fma(EXP_TWICE_9(r), r, EXP_TWICE_8(r))
        q = fma(q, r, EXP_TWICE_7(r))
        q = fma(q, r, EXP_TWICE_6(r))
        q = fma(q, r, EXP_TWICE_5(r))
        q = fma(q, r, EXP_TWICE_4(r))
        q = fma(q, r, EXP_TWICE_3(r))
    elif real is wide:
        q = fma(EXP_TWICE_5(r), r, EXP_TWICE_4(r))
        q = fma(q, r, EXP_TWICE_3(r))
    else:
        q = EXP_TWICE_3(r)
    q = fma(q, r, EXP_TWICE_2(r))
    q = fma(q, r, EXP_TWICE_1(r))
    q = fma(q, r, EXP_TWICE_0(r))
    return fma(fma(q, r, <real>2), r, <real>1)


cdef inline real tanh_divisor(real z) noexcept nogil:
    """a^3 / (tanh(a) - a) at z = a^2 < TANH_FAR."""
    cdef real d
    if real is double:
        d = fma(TANH_6(z), z, TANH_5(z))
        d = fma(d, z, TANH_4(z))
        d = fma(d, z, TANH_3(z))
        d = fma(d, z, TANH_2(z))
    elif real is wide:
        d = fma(TANH_4(z), z, TANH_3(z))
        d = fma(d, z, TANH_2(z))
    else:
        d = TANH_2(z)
    d = fma(d, z, TANH_1(z))
    return fma(d, z, TANH_0(z))


cdef inline real tanh_joined(real near_value, real far_value, real square, real total) noexcept nogil:
    """near_value (1 + square / divisor) where the square is small, else far_value (1 - 2 / total)."""
    cdef bint near = square < TANH_FAR(square)
    cdef real whole = near_value if near else far_value
    cdef real numerator = square if near else <real>-2
    cdef real divisor = tanh_divisor(square) if near else total
    return fma(whole, numerator / divisor, whole)


cdef inline real tanh(real x) noexcept nogil:
    """x + x x^2 / divisor where x^2 is small, else 1 - 2 / (1 + e^2|x|): the quotient is small, and so its error."""
    cdef real size = absolute(x)
    cdef real a = TANH_ONE(x) if size > TANH_ONE(x) else size
    cdef real z = fma(a, <real>2 * LOG2E(x), SHIFT(x))
    # n ln 2 needs no low part: the larger n is, the less the quotient counts.
    cdef real r = fma(z - SHIFT(x), <real>-0.5 * LN2(x), a)
    cdef real total = fma(power_of_two(z), exp_of_twice(r), <real>1)
    # With SMALL the quotient is positive at 0, and tanh(-0.0) is -0.0.
    cdef real square = fma(x, x, -SMALL(x))
    return tanh_joined(x, copy_sign(<real>1, x), square, total)


cdef inline real tanh_derivative(real x) noexcept nogil:
    cdef real t = <real>-2 * absolute(x)
    cdef real scaled = scaled_exp(EXP_FLOOR(x) if t < EXP_FLOOR(x) else t)
    cdef real e = scaled * DOWN(x)
    return (scaled / fma(e, e + <real>2, <real>1)) * (<real>4 * DOWN(x))


cdef inline real tanh_derivative_from_output(real y) noexcept nogil:
    return fma(-y, y, <real>1)


# ---------------------------------------------------------------- swish
# For |beta| < 2^-32 (float32) or 2^-358 (float64) these hold while |x| stays below 2^39 or 2^368.
cdef inline real vanishing_point(real beta) noexcept nogil:
    """|x| at which e^-|beta x| is e^EXP_FLOOR; the addend keeps it finite for a beta of 0 and changes no other."""
    return -EXP_FLOOR(beta) / (absolute(beta) + SMALL(beta))


cdef inline real gate_product(real numerator, real y, real beta) noexcept nogil:
    """numerator / (1 + e^(-beta y)); no e needs more than DOWN to stay finite."""
    cdef real z = fma(beta * y, -LOG2E(y), SHIFT_DOWN(y))
    cdef real p = power_of_two(z)
    cdef real m = expm1_reduced_product(-beta, y, z - SHIFT_DOWN(y))
    return (numerator / down_plus(p, m)) * DOWN(y)


cdef inline real swish(real x, real beta) noexcept nogil:
    """x / (1 + e^-t), t = beta x; an open gate is 1."""
    cdef real y = clamp(x, vanishing_point(beta))
    cdef real gated = gate_product(y, visible(y), beta)
    return x if beta * y > GATE_OPEN(x) else gated


cdef inline real swish_derivative(real x, real beta) noexcept nogil:
    """(1 + e + t e) / (1 + e)^2, e = e^-t, t = beta x; for t < -1 e (1 + e + t) / (1 + e)^2, e = e^t."""
    cdef real y = clamp(x, vanishing_point(beta))
    cdef real t = beta * y
    cdef bint far = t < <real>-1
    cdef real b = beta if far else -beta
    cdef real z = fma(b * y, LOG2E(x), SHIFT_UP(x))
    cdef real p = power_of_two(z)
    cdef real m = expm1_reduced_product(b, y, z - SHIFT_UP(x))
    cdef real e = fma(p, m, p) * DOWN(x)
    cdef real total = fma(t, <real>1 if far else e, <real>1 + e)
    # SCALE e total, rounded once more than the total; 1 / (1 + q) is 1 - q / (1 + q), whose roundings shrink with q.
    cdef real gated = fma(p * total, m, p * total)
    cdef real ratio = (e * (e + <real>2) if far else total) / fma(e, e + <real>2, <real>1)
    return fma(-gated, ratio, gated) * DOWN(x) if far else ratio


cdef inline real swish_parameter_derivative(real x, real beta) noexcept nogil:
    cdef real limit = vanishing_point(beta)
    cdef real a = absolute(x)
    cdef real y = limit if a > limit else a
    cdef real scaled = scaled_exp_of_product(-absolute(beta), y)
    cdef real e = scaled * DOWN(x)
    return (scaled * y * y / fma(e, e + <real>2, <real>1)) * DOWN(x)


# ---------------------------------------------------------------- softplus, logsigmoid
cdef inline real softplus(real x, real beta) noexcept nogil:
    """log(1 + e^t) / beta, t = beta x: from a scaled e where that is all there is to the logarithm."""
    cdef real limit = vanishing_point(beta)
    cdef real a = absolute(x)
    cdef real y = limit if a > limit else a
    cdef real scaled = scaled_exp_of_product(-absolute(beta), y)
    cdef real e = scaled * DOWN(x)
    cdef bint small = e < LOG1P_LINEAR(x)
    cdef real log = log1p(e)
    cdef real quotient = (scaled if small else log) / beta
    cdef real open_ = x if beta * x > <real>0 else <real>0
    return scaled_plus(quotient, DOWN(x) if small else <real>1, open_)


cdef inline real softplus_derivative(real x, real beta) noexcept nogil:
    """1 / (1 + e^-t), t = beta x, with swish's gate."""
    cdef real y = clamp(x, vanishing_point(beta))
    cdef real gate = gate_product(<real>1, y, beta)
    return <real>1 if beta * y > GATE_OPEN(x) else gate


cdef inline real softplus_derivative_from_output(real y, real beta) noexcept nogil:
    return <real>0 - expm1_nonpositive(-(beta * y))


cdef inline real logsigmoid(real x) noexcept nogil:
    cdef real outer = x if x < <real>0 else <real>-0.0
    return outer - log1p(exp_nonpositive(-absolute(x)))


cdef inline real logsigmoid_derivative(real x) noexcept nogil:
    return sigmoid(-x)


# ---------------------------------------------------------------- gelu
# Phi(-a) = erfc(a / sqrt(2)) / 2 = e^(-a^2/2) (first + rest) / (a + TAIL_SCALE), first and rest from the polynomial.
cdef inline real tail_ratio(real a) noexcept nogil:
    """a / (a + TAIL_SCALE), in float64 rounded nearly once."""
    cdef real total = a + TAIL_SCALE(a)
    cdef bint large = a > TAIL_SCALE(a)
    cdef real larger = a if large else TAIL_SCALE(a)
    if real is double:
        return quotient(a, total, (TAIL_SCALE(a) if large else a) - (total - larger))
    else:
        return a / total


cdef inline real gelu(real x) noexcept nogil:
    """x where x > 0, less a Phi(-a), a = |x|, whose factor w (first + rest) p (1 + m) is rounded once at w p first."""
    cdef real a = absolute(x)
    a = TAIL_END(x) if a > TAIL_END(x) else a
    cdef real half = <real>-0.5 * a
    cdef real w = tail_ratio(a)
    cdef bint far = w > TAIL_FAR(x)
    cdef real first = <real>0.5 if far else TAIL_NEAR(x)
    cdef real rest = tail_rest(w - TAIL_MIDDLE(x), TAIL_0(x) if far else TAIL_0(x) - (TAIL_NEAR(x) - <real>0.5))
    cdef real z = fma(a * half, LOG2E(x), SHIFT_UP(x))
    cdef real m = expm1_reduced_product(a, half, z - SHIFT_UP(x))
    cdef real u = w * power_of_two(z)
    cdef real scaled = fma(u, fma(m, first + rest, rest), first * u)
    cdef real outer = x if x >= <real>0 else <real>-0.0
    return scaled_plus(-scaled, DOWN(x), outer)


cdef inline real gelu_derivative(real x) noexcept nogil:
    """1 where x > 0, less Phi(-a) - a phi(a) = e^(-a^2/2) (t (first + rest) - a / sqrt(2 pi)), a = |x|."""
    cdef real a = absolute(x)
    a = TAIL_END(x) if a > TAIL_END(x) else a
    cdef real half = <real>-0.5 * a
    cdef real t = <real>1 / (a + TAIL_SCALE(x))
    cdef real first = TAIL_0(x) - (TAIL_NEAR(x) - <real>0.5)
    cdef real rest = tail_rest(fma(a, t, -TAIL_MIDDLE(x)), first)
    cdef real slope = fma(-DENSITY(x), a, fma(t, rest, TAIL_NEAR(x) * t))
    cdef real z = fma(a * half, LOG2E(x), SHIFT_UP(x))
    cdef real m = expm1_reduced_product(a, half, z - SHIFT_UP(x))
    cdef real s = slope * power_of_two(z)
    s = s if x < <real>0 else -s
    return fma(fma(s, m, s), DOWN(x), <real>-0.0 if x < <real>0 else <real>1)


# ---------------------------------------------------------------- exponents of two parts
# An exponent high + low, high the rounded product of a and b: exp multiplies what is lost by up to 88 (float32) or 709.
cdef inline real low_of_product(real a, real b, real b_low, real high) noexcept nogil:
    """a (b + b_low) - high; float64 has room for it where a float32 is wanted."""
    if real is wide:
        return <real>0
    else:
        return fma(a, b_low, fma(a, b, -high))


cdef inline real expm1_of_parts(real high, real low, real n) noexcept nogil:
    """e^(high + low - n ln 2) - 1, where that is within ln(2)/2: what the sum r loses is added last."""
    cdef real first, second, r
    if real is wide:
        return expm1_reduced(high, n)
    else:
        first = fma(n, -LN2_HIGH(high), high)
        second = fma(n, -LN2_LOW(high), low)
        r = first + second
        return r + fma(r * r, exp_quotient(r), (first - r) + second)


cdef inline real low_of_reciprocal(real a, real reciprocal) noexcept nogil:
    """1 / a - reciprocal."""
    return fma(-reciprocal, a, <real>1) * reciprocal


cdef inline real low_of_quotient(real x, real a, real reciprocal, real quotient) noexcept nogil:
    """x / a - quotient, which is x times the reciprocal of a, rounded."""
    return low_of_product(x, reciprocal, low_of_reciprocal(a, reciprocal), quotient)


cdef inline real finite_product(real a, real b) noexcept nogil:
    """a b > 0, or the largest number."""
    cdef real product = a * b
    return LARGEST(a) if product > LARGEST(a) else product


cdef inline real gated(real y, real high, real low) noexcept nogil:
    """y / (1 + e^(high + low))."""
    cdef real v = visible(high)
    cdef real z = fma(v, LOG2E(y), SHIFT_DOWN(y))
    cdef real p = power_of_two(z)
    cdef real m = expm1_of_parts(v, low, z - SHIFT_DOWN(y))
    return (y / down_plus(p, m)) * DOWN(y)


cdef inline real gated_derivative(real y, real slope, real slope_low, real high, real low) noexcept nogil:
    """(1 + e + t e) / (1 + e)^2, e = e^-v, v = high + low, t = y v'; for v < -1 e (1 + e + t) / (1 + e)^2, e = e^v."""
    cdef bint far = high < <real>-1
    cdef real v = high if far else -high
    cdef real z = fma(v, LOG2E(y), SHIFT_UP(y))
    cdef real p = power_of_two(z)
    cdef real m = expm1_of_parts(v, low if far else -low, z - SHIFT_UP(y))
    cdef real e = fma(p, m, p) * DOWN(y)
    cdef real factor = y if far else y * e
    cdef real total = fma(factor, slope, <real>1 + fma(factor, slope_low, e))
    # As for swish: SCALE e total, and 1 / (1 + q) as 1 - q / (1 + q).
    cdef real scaled = fma(p * total, m, p * total)
    cdef real ratio = (e * (e + <real>2) if far else total) / fma(e, e + <real>2, <real>1)
    return fma(-scaled, ratio, scaled) * DOWN(y) if far else ratio


# ---------------------------------------------------------------- gelu_tanh, quick_gelu
cdef inline real gelu_tanh_slope_low(real y, real square, real slope) noexcept nogil:
    """What ``slope`` = GELU_CUBIC y^2 + GELU_SLOPE lacks; GELU_SLOPE has so few bits that its difference is exact."""
    cdef real lost
    if real is wide:
        return <real>0
    else:
        lost = fma(GELU_CUBIC(y), fma(y, y, -square), fma(GELU_CUBIC_LOW(y), square, GELU_SLOPE_LOW(y)))
        return fma(GELU_CUBIC(y), square, GELU_SLOPE(y) - slope) + lost


cdef inline real gelu_tanh(real x) noexcept nogil:
    cdef real y = clamp(x, GELU_TANH_END(x))
    cdef real square = y * y
    cdef real slope = fma(GELU_CUBIC(x), square, GELU_SLOPE(x))
    cdef real slope_low = gelu_tanh_slope_low(y, square, slope)
    cdef real high = -y * slope
    cdef real low = low_of_product(-y, slope, slope_low, high)
    cdef real inner = gated(y, high, low)
    return x if high < -GATE_OPEN(x) else inner


cdef inline real gelu_tanh_derivative(real x) noexcept nogil:
    """With v = y slope, v' is slope + 2 GELU_CUBIC y^2."""
    cdef real y = clamp(x, GELU_TANH_END(x))
    cdef real square = y * y
    cdef real slope = fma(GELU_CUBIC(x), square, GELU_SLOPE(x))
    cdef real slope_low = gelu_tanh_slope_low(y, square, slope)
    cdef real high = y * slope
    cdef real low = low_of_product(y, slope, slope_low, high)
    cdef real twice = <real>2 * GELU_CUBIC(x)
    cdef real steep = fma(twice, square, slope)
    cdef real lost = fma(twice, fma(y, y, -square), fma(<real>2 * GELU_CUBIC_LOW(x), square, slope_low))
    return gated_derivative(y, steep, fma(twice, square, slope - steep) + lost, high, low)


cdef inline real quick_gelu(real x) noexcept nogil:
    cdef real y = clamp(x, QUICK_END(x))
    cdef real high = y * -QUICK(x)
    cdef real low = low_of_product(y, -QUICK(x), -QUICK_LOW(x), high)
    cdef real inner = gated(y, high, low)
    return x if high < -GATE_OPEN(x) else inner


cdef inline real quick_gelu_derivative(real x) noexcept nogil:
    cdef real y = clamp(x, QUICK_END(x))
    cdef real high = y * QUICK(x)
    cdef real low = low_of_product(y, QUICK(x), QUICK_LOW(x), high)
    return gated_derivative(y, QUICK(x), QUICK_LOW(x), high, low)


# ---------------------------------------------------------------- mish
# n / (n + 2) is k / (k + 1), k = e + e^2/2 = p (1 + j), p the power of two of e.
cdef inline real mish(real x) noexcept nogil:
    """x k / (1 + k), and x - x / (1 + k) for x > 0."""
    cdef bint rises = x > <real>0
    cdef real y = EXP_FLOOR(x) if x < EXP_FLOOR(x) else x
    y = MISH_OPEN(x) if y > MISH_OPEN(x) else y
    cdef real z = fma(y, LOG2E(x), SHIFT_UP(x))
    cdef real scaled = y * power_of_two(z)
    cdef real m = expm1_reduced(y, z - SHIFT_UP(x))
    cdef real p = power_of_two(z) * DOWN(x)
    cdef real one_more = p + <real>1
    cdef real j = fma(m, fma(<real>0.5 * p, m, one_more), <real>0.5 * p)
    cdef real numerator = -y * UP(x) if rises else fma(scaled, j, scaled)
    cdef real divisor = fma(p, j, one_more)
    cdef real ratio = quotient(numerator, divisor, fma(p, j, one_more - divisor))
    return copy_sign(fma(ratio, DOWN(x), x if rises else <real>0), x)


cdef inline real mish_derivative(real x) noexcept nogil:
    """Far below 0 e b / (1 + k)^2, b = (1 + e/2) (1 + k) + x (1 + e), as swish's; above, its distance from 1/2 or 1."""
    cdef real y = EXP_FLOOR(x) if x < EXP_FLOOR(x) else x
    y = MISH_OPEN(x) if y > MISH_OPEN(x) else y
    cdef real z = fma(y, LOG2E(x), SHIFT_UP(x))
    cdef real p = power_of_two(z)
    cdef real m = expm1_reduced(y, z - SHIFT_UP(x))
    cdef real e = fma(p, m, p) * DOWN(x)
    cdef real k = fma(<real>0.5 * e, e, e)
    cdef real b = fma(e, fma(e, fma(<real>0.25, e, <real>1), <real>1.5 + y), <real>1 + y)
    cdef real from_half = fma(-e, fma(e, fma(e, fma(<real>0.125, e, <real>0.5), <real>0.5 + y), y), <real>0.5)
    cdef real from_one = fma(e, fma(e, <real>0.5 - y, <real>1 - y), <real>1)
    cdef bint far = y < <real>-1
    cdef bint positive = y > <real>0
    cdef real distance = from_one if positive else from_half
    cdef real scaled = fma(p * b, m, p * b)
    cdef real ratio = (k * (k + <real>2) if far else distance) / fma(k, k + <real>2, <real>1)
    cdef real end = <real>1 if positive else <real>0.5
    return fma(-scaled, ratio, scaled) * DOWN(x) if far else end - ratio


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


# ---------------------------------------------------------------- tanhshrink
cdef inline real visible_beside(real rest, real a) noexcept nogil:
    """A positive rest, or what a sum with a still shows: however small, a - 1 + rest is beyond a tie of half types."""
    if real is wide:
        return VISIBLE(a) * a if rest < VISIBLE(a) * a else rest
    else:
        return rest


cdef inline real tanhshrink(real x) noexcept nogil:
    """a - 1 + 2 e / (1 + e), e = e^-2a, a = |x|; a polynomial where that cancels."""
    cdef real a = absolute(x)
    cdef real square = a * a
    cdef real cube = x * square
    cdef real low = fma(x, fma(a, a, -square), fma(x, square, -cube))
    cdef real rest = fma(shrink_rest(square), square, THIRD_LOW(x))
    cdef real near = fma(cube, THIRD(x), fma(cube, rest, low * THIRD(x)))
    cdef real e = exp_nonpositive(<real>-2 * a)
    cdef real total = <real>1 + e
    cdef real ratio = (e + e) / total
    # Less what rounding the sum took, divided by it, which is nearly 1 where that counts.
    cdef real far = fma(ratio, (total - <real>1) - e, a - <real>1) + visible_beside(ratio, a)
    return copy_sign(far if a > <real>1 else near, x)


cdef inline real tanhshrink_derivative(real x) noexcept nogil:
    """tanh(x)^2, from a - tanh(a) up to 1."""
    cdef real a = absolute(x)
    cdef real square = a * a
    cdef real shrunk = a * square * fma(shrink_rest(square), square, THIRD(x))
    cdef real t = a - shrunk
    cdef real near = fma(t, t, <real>2 * t * ((a - t) - shrunk))
    cdef real e = exp_nonpositive(<real>-2 * a)
    cdef real far = <real>1 - (<real>4 * e) / fma(e, e + <real>2, <real>1)
    return far if a > <real>1 else near


# ---------------------------------------------------------------- softcap
cdef inline real softcap(real x, real cap) noexcept nogil:
    """As tanh, of |x| / cap, which is |x| times a reciprocal of two parts."""
    cdef real size = absolute(cap)
    cdef real limit = finite_product(size, TANH_ONE(x))
    cdef real a = absolute(x)
    a = limit if a > limit else a
    cdef real reciprocal = <real>1 / size
    cdef real t = a * reciprocal
    cdef real low = low_of_quotient(a, size, reciprocal, t)
    cdef real z = fma(t, <real>2 * LOG2E(x), SHIFT(x))
    cdef real r = fma(z - SHIFT(x), <real>-0.5 * LN2(x), t) + low
    cdef real total = fma(power_of_two(z), exp_of_twice(r), <real>1)
    cdef real square = fma(t, t, -SMALL(x))
    return tanh_joined(x, copy_sign(size, x), square, total)


cdef inline real softcap_derivative(real x, real cap) noexcept nogil:
    cdef real size = absolute(cap)
    cdef real limit = finite_product(size, <real>-0.5 * EXP_FLOOR(x))
    cdef real a = absolute(x)
    a = limit if a > limit else a
    cdef real steep = <real>-2 / size
    cdef real high = a * steep
    cdef real low = low_of_product(a, steep, <real>-2 * low_of_reciprocal(size, <real>-0.5 * steep), high)
    cdef real z = fma(high, LOG2E(x), SHIFT_UP(x))
    cdef real p = power_of_two(z)
    cdef real scaled = fma(p, expm1_of_parts(high, low, z - SHIFT_UP(x)), p)
    cdef real e = scaled * DOWN(x)
    return (scaled / fma(e, e + <real>2, <real>1)) * (<real>4 * DOWN(x))


# ---------------------------------------------------------------- softmax, softmin, log_softmax
# A row's terms are e^(x - base) / 2^k, 2^k the power of two nearest to its largest e^(x - base): no difference is rounded
# before it is an exponent, for exp would multiply its error. base is 0 unless the row lies so far out that differences
# of what counts are exact.
cdef inline real row_base(real largest) noexcept nogil:
    return largest if absolute(largest) > BASE_FROM(largest) else <real>0


cdef inline real row_floor(real largest, real base) noexcept nogil:
    """Terms of what is below count for nothing."""
    return (largest - base) + EXP_FLOOR(base)


cdef inline real row_shift(real largest, real base) noexcept nogil:
    """SHIFT_UP - k."""
    return SHIFT_UP(base) - (fma(largest - base, LOG2E(base), SHIFT(base)) - SHIFT(base))


cdef inline real row_term(real x, real base, real floor, real shift) noexcept nogil:
    """SCALE * e^(x - base) / 2^k."""
    cdef real d = x - base
    cdef real bounded = floor if d < floor else d
    cdef real z = fma(bounded, LOG2E(x), shift)
    cdef real p = power_of_two(z)
    return fma(p, expm1_reduced(bounded, z - shift), p)


cdef inline real softmax_entry(real x) noexcept nogil:
    return x


cdef inline real softmax_term(real x, real base, real floor, real shift) noexcept nogil:
    return row_term(x, base, floor, shift)


cdef inline real softmax_value(real term, real reciprocal, real low) noexcept nogil:
    """term * (reciprocal + low)."""
    return fma(term, reciprocal, term * low)


cdef inline real softmax_product(real g, real y) noexcept nogil:
    return g * y


cdef inline real softmax_gradient(real g, real y, real total) noexcept nogil:
    return y * (g - total)


cdef inline real softmin_entry(real x) noexcept nogil:
    return -x


cdef inline real softmin_term(real x, real base, real floor, real shift) noexcept nogil:
    return row_term(-x, base, floor, shift)


cdef inline real softmin_value(real term, real reciprocal, real low) noexcept nogil:
    return softmax_value(term, reciprocal, low)


cdef inline real softmin_product(real g, real y) noexcept nogil:
    return g * y


cdef inline real softmin_gradient(real g, real y, real total) noexcept nogil:
    return y * (total - g)


cdef inline real log_softmax_entry(real x) noexcept nogil:
    return x


cdef inline real scaled_exp_of_difference(real x, real largest) noexcept nogil:
    """SCALE * e^(x - largest), what rounding takes from the difference included."""
    cdef real d = x - largest
    cdef real moved = d - x
    cdef real lost = (x - (d - moved)) - (largest + moved)
    cdef real bounded = EXP_FLOOR(x) if d < EXP_FLOOR(x) else d
    # NaN where largest is infinite.
    cdef real low = largest - largest if d < EXP_FLOOR(x) else lost
    cdef real z = fma(bounded, LOG2E(x), SHIFT_UP(x))
    cdef real p = power_of_two(z)
    return fma(p, expm1_of_parts(bounded, low, z - SHIFT_UP(x)), p)


cdef inline real log_softmax_term(real x, real base, real floor, real shift, real largest, real factor) noexcept nogil:
    """SCALE * e^(x - largest): exactly SCALE for the largest, so that the sum of the others is known by itself.

    In float64 of the difference in two parts; a quotient of e^x and e^largest has the errors of both.
    """
    cdef real scaled
    if real is double:
        scaled = scaled_exp_of_difference(x, largest)
    else:
        scaled = factor * row_term(x, base, floor, shift)
    return UP(x) if x == largest else scaled


cdef inline real log_softmax_value(real x, real largest, real logarithm) noexcept nogil:
    return (x - largest) - logarithm


cdef inline real log_softmax_product(real g, real y) noexcept nogil:
    return g


cdef inline real log_softmax_gradient(real g, real y, real total) noexcept nogil:
    return fma(-exp_nonpositive(y), total, g)


cdef inline real log_softmax_gradient_through(real g, real p, real total) noexcept nogil:
    """p is softmax of x: e^y would multiply the rounding of y."""
    return fma(-p, total, g)


# ---------------------------------------------------------------- sparsemax
cdef inline real sparsemax_entry(real x) noexcept nogil:
    return x


cdef inline real sparsemax_value(real z, real threshold) noexcept nogil:
    return <real>0 if z <= threshold else z - threshold


cdef inline real sparsemax_gradient(real g, real z, real threshold, real mean) noexcept nogil:
    return <real>0 if z <= threshold else g - mean
