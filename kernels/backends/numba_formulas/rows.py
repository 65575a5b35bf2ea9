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


def rounding_of_any_sum(total, part, sum_before):
    """What rounding took from total = sum_before + part, whichever is the larger."""
    moved = total - sum_before
    return (sum_before - (total - moved)) + (part - moved)


def joined_sums(one, one_lost, other, other_lost):
    """(one + other, what rounding took from both and takes from it)."""
    total = one + other
    return total, (one_lost + other_lost) + rounding_of_any_sum(total, other, one)


def closely(total, lost):
    """The sum; what rounding took from an infinite total is NaN."""
    whole = total + lost
    return whole if whole == whole else total


def rounding_of_reciprocal(reciprocal, total, low):
    """1 / (total + low) - reciprocal."""
    return (fma(-total, reciprocal, real(1)) - low * reciprocal) * reciprocal


# ---------------------------------------------------------------- softmax, softmin, log_softmax
# No difference x - largest is rounded before it is an exponent, for exp would multiply its error.
# A term is p (1 + m), p a power of two.
def row_parts(x, largest):
    """(p, m) of SCALE * e^(x - base) / 2^k, 2^k the power of two nearest to the row's largest e^(x - base)."""
    base = largest if abs(largest) > BASE_FROM else real(0)
    top = largest - base
    shift = SHIFT_UP - (fma(top, LOG2E, SHIFT) - SHIFT)
    floor = top + EXP_FLOOR
    d = x - base
    bounded = floor if d < floor else d
    z = fma(bounded, LOG2E, shift)
    return power_of_two(z), expm1_closely(bounded, z - shift)


def parts_of_difference(x, largest):
    """(p, m) of SCALE * e^(x - largest), what rounding takes from the difference included."""
    d = x - largest
    moved = d - x
    lost = (x - (d - moved)) - (largest + moved)
    bounded = EXP_FLOOR if d < EXP_FLOOR else d
    # NaN where largest is infinite.
    low = largest - largest if d < EXP_FLOOR else lost
    z = fma(bounded, LOG2E, SHIFT_UP)
    return power_of_two(z), expm1_of_parts(bounded, low, z - SHIFT_UP)


def row_term(p, m):
    return fma(p, m, p)


def rounding_of_term(term, p, m):
    """What rounding took from it."""
    return fma(p, m, p - term)


def softmax_entry(x):
    return x


def softmax_parts(x, largest):
    return row_parts(x, largest)


def softmax_value(term, reciprocal, low):
    """term * (reciprocal + low)."""
    return fma(term, reciprocal, term * low)


def softmax_product(g, y):
    return g * y


def softmax_gradient(g, y, total):
    return y * (g - total)


def softmin_entry(x):
    return -x


def softmin_parts(x, largest):
    return row_parts(-x, largest)


def softmin_value(term, reciprocal, low):
    return softmax_value(term, reciprocal, low)


def softmin_product(g, y):
    return g * y


def softmin_gradient(g, y, total):
    return y * (total - g)


def log_softmax_entry(x):
    return x


def log_softmax_parts(x, largest):
    """Of the difference: exactly SCALE for the largest, so that the sum of the others is known by itself."""
    p, m = parts_of_difference(x, largest)
    return UP if x == largest else p, real(0) if x == largest else m


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
