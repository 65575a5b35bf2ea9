# Formulas of x times a gate between 0 and 1 that x opens.


# ---------------------------------------------------------------- swish
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


# ---------------------------------------------------------------- gelu
# Phi(-a) = erfc(a / sqrt(2)) / 2 = e^(-a^2/2) (first + rest) / (a + TAIL_SCALE), first and rest from the polynomial.
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


# ---------------------------------------------------------------- a gate of two parts
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
