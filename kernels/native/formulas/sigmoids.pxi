# Formulas of the sigmoid and tanh, of their logarithms and differences.


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
    elif real is wide:
        q = fma(EXP_TWICE_5(r), r, EXP_TWICE_4(r))
    else:
        q = EXP_TWICE_4(r)
    q = fma(q, r, EXP_TWICE_3(r))
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
    elif real is wide:
        d = fma(TANH_4(z), z, TANH_3(z))
    else:
        d = TANH_3(z)
    d = fma(d, z, TANH_2(z))
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


# ---------------------------------------------------------------- sigmoid of beta x
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


# ---------------------------------------------------------------- tanhshrink
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
