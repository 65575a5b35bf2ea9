"""Formulas of the row functions, around the reductions of the loops."""


# ---------------------------------------------------------------- what the loops take
def rounding_of_sum(total, part, sum_before):
    """What rounding took from total = sum_before + part, where the sum is the larger."""
    return part - (total - sum_before)


def logarithm_of_sum(total, lost, up, down):
    """The logarithm of a row's terms, as a sum and what rounding took; the largest of them is ``up`` and 1 unscaled."""
    rest = total - up
    others = rest + lost
    return log1p_of_sum(others * down, (lost - (others - rest)) * down)


def kept_term(term, largest):
    """A term that was computed before."""
    return term


def rounding_of_reciprocal(reciprocal, total, low):
    """1 / (total + low) - reciprocal."""
    return (fma(-total, reciprocal, real(1)) - low * reciprocal) * reciprocal


# ---------------------------------------------------------------- softmax, softmin, log_softmax
# No difference x - largest is rounded before it is an exponent, for exp would multiply its error.
def row_term(x, largest):
    """SCALE * e^(x - base) / 2^k, 2^k the power of two nearest to the row's largest e^(x - base)."""
    base = largest if abs(largest) > BASE_FROM else real(0)
    top = largest - base
    shift = SHIFT_UP - (fma(top, LOG2E, SHIFT) - SHIFT)
    floor = top + EXP_FLOOR
    d = x - base
    bounded = floor if d < floor else d
    z = fma(bounded, LOG2E, shift)
    p = power_of_two(z)
    return fma(p, expm1_reduced(bounded, z - shift), p)


def scaled_exp_of_difference(x, largest):
    """SCALE * e^(x - largest), what rounding takes from the difference included."""
    d = x - largest
    moved = d - x
    lost = (x - (d - moved)) - (largest + moved)
    bounded = EXP_FLOOR if d < EXP_FLOOR else d
    # NaN where largest is infinite.
    low = largest - largest if d < EXP_FLOOR else lost
    z = fma(bounded, LOG2E, SHIFT_UP)
    p = power_of_two(z)
    return fma(p, expm1_of_parts(bounded, low, z - SHIFT_UP), p)


def softmax_entry(x):
    return x


def softmax_term(x, largest):
    return row_term(x, largest)


def softmax_value(term, reciprocal, low):
    """term * (reciprocal + low)."""
    return fma(term, reciprocal, term * low)


def softmax_product(g, y):
    return g * y


def softmax_gradient(g, y, total):
    return y * (g - total)


def softmin_entry(x):
    return -x


def softmin_term(x, largest):
    return row_term(-x, largest)


def softmin_value(term, reciprocal, low):
    return softmax_value(term, reciprocal, low)


def softmin_product(g, y):
    return g * y


def softmin_gradient(g, y, total):
    return y * (total - g)


def log_softmax_entry(x):
    return x


def log_softmax_term(x, largest):
    """SCALE * e^(x - largest): exactly SCALE for the largest, so that the sum of the others is known by itself.

    In float64 of the difference in two parts; a quotient of e^x and e^largest has the errors of both.
    """
    if DOUBLE:
        term = scaled_exp_of_difference(x, largest)
        return UP if x == largest else term
    factor = UP / row_term(largest, largest)
    scaled = factor * row_term(x, largest)
    return UP if x == largest else scaled


def log_softmax_value(x, largest, logarithm):
    return (x - largest) - logarithm


def log_softmax_product(g, y):
    return g


def log_softmax_gradient(g, y, total):
    return fma(-exp_nonpositive(y), total, g)


def log_softmax_gradient_through(g, p, total):
    """p is softmax of x: e^y would multiply the rounding of y."""
    return fma(-p, total, g)


# ---------------------------------------------------------------- sparsemax
def sparsemax_entry(x):
    return x


def sparsemax_value(z, threshold):
    return real(0) if z <= threshold else z - threshold


def sparsemax_gradient(g, z, threshold, mean):
    return real(0) if z <= threshold else g - mean
