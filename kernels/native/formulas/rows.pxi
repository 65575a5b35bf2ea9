# Formulas of the row functions, around the reductions of row_loops.pxi.in.


# ---------------------------------------------------------------- softmax, softmin, log_softmax
# A row's terms are e^(x - base) / 2^k, 2^k the power of two nearest to its largest e^(x - base): no difference is rounded
# before it is an exponent, for exp would multiply its error. base is 0 unless the row lies so far out that differences
# of what counts are exact. A term is p (1 + m), p a power of two.
cdef inline real row_base(real largest) noexcept nogil:
    return largest if absolute(largest) > BASE_FROM(largest) else <real>0


cdef inline real row_floor(real largest, real base) noexcept nogil:
    """Terms of what is below count for nothing."""
    return (largest - base) + EXP_FLOOR(base)


cdef inline real row_shift(real largest, real base) noexcept nogil:
    """SHIFT_UP - k."""
    return SHIFT_UP(base) - (fma(largest - base, LOG2E(base), SHIFT(base)) - SHIFT(base))


cdef inline real row_parts(real x, real base, real floor, real shift, real *m) noexcept nogil:
    """p, and m, of SCALE * e^(x - base) / 2^k."""
    cdef real d = x - base
    cdef real bounded = floor if d < floor else d
    cdef real z = fma(bounded, LOG2E(x), shift)
    m[0] = expm1_closely(bounded, z - shift)
    return power_of_two(z)


cdef inline real row_term(real p, real m) noexcept nogil:
    return fma(p, m, p)


cdef inline real rounding_of_term(real term, real p, real m) noexcept nogil:
    """What rounding took from it."""
    return fma(p, m, p - term)


cdef inline real softmax_entry(real x) noexcept nogil:
    return x


cdef inline real softmax_parts(real x, real base, real floor, real shift, real *m) noexcept nogil:
    return row_parts(x, base, floor, shift, m)


cdef inline real softmax_value(real term, real reciprocal, real low) noexcept nogil:
    """term * (reciprocal + low)."""
    return fma(term, reciprocal, term * low)


cdef inline real softmax_product(real g, real y) noexcept nogil:
    return g * y


cdef inline real softmax_gradient(real g, real y, real total) noexcept nogil:
    return y * (g - total)


cdef inline real softmin_entry(real x) noexcept nogil:
    return -x


cdef inline real softmin_parts(real x, real base, real floor, real shift, real *m) noexcept nogil:
    return row_parts(-x, base, floor, shift, m)


cdef inline real softmin_value(real term, real reciprocal, real low) noexcept nogil:
    return softmax_value(term, reciprocal, low)


cdef inline real softmin_product(real g, real y) noexcept nogil:
    return g * y


cdef inline real softmin_gradient(real g, real y, real total) noexcept nogil:
    return y * (total - g)


cdef inline real log_softmax_entry(real x) noexcept nogil:
    return x


cdef inline real parts_of_difference(real x, real largest, real *m) noexcept nogil:
    """p, and m, of SCALE * e^(x - largest), what rounding takes from the difference included."""
    cdef real d = x - largest
    cdef real moved = d - x
    cdef real lost = (x - (d - moved)) - (largest + moved)
    cdef real bounded = EXP_FLOOR(x) if d < EXP_FLOOR(x) else d
    # NaN where largest is infinite.
    cdef real low = largest - largest if d < EXP_FLOOR(x) else lost
    cdef real z = fma(bounded, LOG2E(x), SHIFT_UP(x))
    m[0] = expm1_of_parts(bounded, low, z - SHIFT_UP(x))
    return power_of_two(z)


cdef inline real log_softmax_parts(real x, real largest, real *m) noexcept nogil:
    """Of the difference: exactly SCALE for the largest, so that the sum of the others is known by itself."""
    cdef real p = parts_of_difference(x, largest, m)
    m[0] = <real>0 if x == largest else m[0]
    return UP(x) if x == largest else p


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
