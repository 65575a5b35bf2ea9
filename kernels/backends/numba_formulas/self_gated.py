"""Formulas of x times a gate between 0 and 1 that x opens."""


# ---------------------------------------------------------------- swish
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


# ---------------------------------------------------------------- gelu
# Phi(-a) = erfc(a / sqrt(2)) / 2 = e^(-a^2/2) (first + rest) / (a + TAIL_SCALE), first and rest from the polynomial.
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


# ---------------------------------------------------------------- a gate of two parts
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
