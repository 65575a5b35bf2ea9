"""Formulas of the sigmoid and tanh, of their logarithms and differences."""


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
    elif WIDE:
        q = fma(EXP_TWICE[5], r, EXP_TWICE[4])
    else:
        q = EXP_TWICE[4]
    q = fma(q, r, EXP_TWICE[3])
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
    elif WIDE:
        d = fma(TANH[4], z, TANH[3])
    else:
        d = TANH[3]
    d = fma(d, z, TANH[2])
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


# ---------------------------------------------------------------- sigmoid of beta x
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


# ---------------------------------------------------------------- tanhshrink
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
