# Scalar formulas of the Cython loops, a file a family; here what they share, and how all are written. They are typed by
# the fused ``real``: selects, explicit fma, one division, no branch. ``real`` is float, double, or wide: the double inside
# of the accurate class, which needs little more than float32's accuracy.
# A constant is a function of its type: LOG2E(x) has x's type. Exponentials carry a factor SCALE or DOWN = 1 / SCALE where a
# subnormal would lose bits or a large one overflow, and DOWN removes it at the end.
#
# The Numba backends hold the same formulas in their own text, and the tests hold both to the same bits.


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


cdef inline real expm1_closely(real x, real n) noexcept nogil:
    """As expm1_reduced, rounded nearly once: what is small is added first."""
    cdef real high = fma(n, -LN2_HIGH(x), x)
    cdef real low, r
    if real is wide:
        return expm1_less(high, n)
    else:
        low = n * LN2_LOW(n)
        r = high - low
        return high + fma(r * r, exp_quotient(r), -low)


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


cdef inline real log1p_rest(real x) noexcept nogil:
    """(x - log(1 + x)) / x^2 for 0 <= x <= 1, of float32."""
    cdef real p = fma(LOG1P_REST_9(x), x, LOG1P_REST_8(x))
    p = fma(p, x, LOG1P_REST_7(x))
    p = fma(p, x, LOG1P_REST_6(x))
    p = fma(p, x, LOG1P_REST_5(x))
    p = fma(p, x, LOG1P_REST_4(x))
    p = fma(p, x, LOG1P_REST_3(x))
    p = fma(p, x, LOG1P_REST_2(x))
    p = fma(p, x, LOG1P_REST_1(x))
    return fma(p, x, LOG1P_REST_0(x))


cdef inline real log1p(real x) noexcept nogil:
    """log(1 + x) for 0 <= x <= 1."""
    if real is float:
        return fma(-(x * x), log1p_rest(x), x)
    else:
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


cdef inline real visible(real x) noexcept nogil:
    """x, or of its sign what a sum with 1 still shows: x (1/2 + x) near 0 is beside a tie of half types' subnormals."""
    if real is wide:
        return copy_sign(VISIBLE(x), x) if absolute(x) < VISIBLE(x) else x
    else:
        return x


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
