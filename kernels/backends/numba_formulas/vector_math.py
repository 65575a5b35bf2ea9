"""What the formulas share: exponentials, logarithms, quotients, selects."""


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


def expm1_closely(x, n):
    """As expm1_reduced, rounded nearly once: what is small is added first."""
    high = fma(n, -LN2_HIGH, x)
    if WIDE:
        return expm1_less(high, n)
    low = n * LN2_LOW
    r = high - low
    return high + fma(r * r, exp_quotient(r), -low)


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


def log1p_rest(x):
    """(x - log(1 + x)) / x^2 for 0 <= x <= 1, of float32."""
    p = fma(LOG1P_REST[9], x, LOG1P_REST[8])
    p = fma(p, x, LOG1P_REST[7])
    p = fma(p, x, LOG1P_REST[6])
    p = fma(p, x, LOG1P_REST[5])
    p = fma(p, x, LOG1P_REST[4])
    p = fma(p, x, LOG1P_REST[3])
    p = fma(p, x, LOG1P_REST[2])
    p = fma(p, x, LOG1P_REST[1])
    return fma(p, x, LOG1P_REST[0])


def log1p(x):
    """log(1 + x) for 0 <= x <= 1."""
    if DOUBLE or WIDE:
        return log1p_plus(x, real(0))
    return fma(-(x * x), log1p_rest(x), x)


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


def visible(x):
    """x, or of its sign what a sum with 1 still shows: x (1/2 + x) near 0 is beside a tie of half types' subnormals."""
    if WIDE:
        return copy_sign(VISIBLE, x) if abs(x) < VISIBLE else x
    return x


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
