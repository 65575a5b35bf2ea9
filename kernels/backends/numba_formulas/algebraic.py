"""Formulas without an exponential."""


# ---------------------------------------------------------------- relu, leaky_relu, prelu
def relu(x):
    return real(0) if x <= real(0) else x


def relu_derivative(x):
    return nan_or(x, real(1) if x > real(0) else real(0))


def relu_derivative_from_output(y):
    return relu_derivative(y)


def leaky_relu(x, negative_slope):
    return x if x > real(0) else negative_slope * x


def leaky_relu_derivative(x, negative_slope):
    return nan_or(x, real(1) if x > real(0) else negative_slope)


def leaky_relu_derivative_from_output(y, negative_slope):
    return leaky_relu_derivative(y, negative_slope)


def prelu(x, weight):
    return leaky_relu(x, weight)


def prelu_derivative(x, weight):
    return leaky_relu_derivative(x, weight)


def prelu_parameter_derivative(x, weight):
    return real(0) if x > real(0) else x


# ---------------------------------------------------------------- identity, relu6, hardtanh, threshold
def identity(x):
    return x


def identity_derivative(x):
    return nan_or(x, real(1))


def between(x, low, high):
    """1 for low < x < high, else 0; NaN stays."""
    below = real(1) if x < high else nan_or(x, real(0))
    return real(0) if x <= low else below


def relu6(x):
    positive = real(0) if x <= real(0) else x
    return real(6) if positive > real(6) else positive


def relu6_derivative(x):
    return between(x, real(0), real(6))


def hardtanh(x, min_val, max_val):
    above = min_val if x < min_val else x
    return max_val if above > max_val else above


def hardtanh_derivative(x, min_val, max_val):
    return between(x, min_val, max_val)


def threshold(x, threshold, value):
    return value if x <= threshold else x


def threshold_derivative(x, threshold, value):
    return nan_or(x, real(1) if x > threshold else real(0))


# ---------------------------------------------------------------- rrelu, relu_squared
def rrelu(x, lower, upper):
    return leaky_relu(x, real(0.5) * (lower + upper))


def rrelu_derivative(x, lower, upper):
    return leaky_relu_derivative(x, real(0.5) * (lower + upper))


def relu_squared(x):
    positive = relu(x)
    return positive * positive


def relu_squared_derivative(x):
    return real(2) * relu(x)


# ---------------------------------------------------------------- hardshrink, softshrink
def hardshrink(x, lambd):
    return real(0) if abs(x) <= lambd else x


def hardshrink_derivative(x, lambd):
    return nan_or(x, real(1) if abs(x) > lambd else real(0))


def softshrink(x, lambd):
    lower = x - lambd
    upper = x + lambd
    inner = upper if x < -lambd else nan_or(x, real(0))
    return lower if x > lambd else inner


def softshrink_derivative(x, lambd):
    return hardshrink_derivative(x, lambd)


# ---------------------------------------------------------------- hardsigmoid, hardswish
def sixth_of_sum(x):
    """(x + 3) / 6 for |x| <= 6, nearly rounded once: with what rounding took from the sum, and a 1/6 of two parts."""
    t = x + real(3)
    low = x - (t - real(3))
    return fma(t, SIXTH, fma(t, SIXTH_LOW, low * SIXTH))


def hardsigmoid(x):
    return sixth_of_sum(clamp(x, real(3)))


def hardsigmoid_derivative(x):
    return nan_or(x, SIXTH if abs(x) < real(3) else real(0))


def hardswish(x):
    """The sum is exact where it is small, and no more than rounded elsewhere, for the rest would cost as much again."""
    y = real(-3) if x < real(-3) else x
    t = visible(y) + real(3)
    gated = y * fma(t, SIXTH, t * SIXTH_LOW)
    return x if x > real(3) else gated


def hardswish_derivative(x):
    """(2 x + 3) / 6 between the kinks."""
    slope = sixth_of_sum(real(2) * x)
    falling = real(0) if x <= real(-3) else slope
    return real(1) if x >= real(3) else falling


# ---------------------------------------------------------------- softsign, squareplus, sparse_plus, sparse_sigmoid
def softsign(x):
    y = clamp(x, LARGE)
    return y / (real(1) + abs(y))


def square_scale(a):
    """DOWN for an a whose square may overflow, else 1."""
    return DOWN if a > SQUARE_FROM else real(1)


def softsign_derivative(x):
    a = abs(x)
    scale = square_scale(a)
    return scale / fma(scale * a, a + real(2), scale)


# With h = |x| / 2, c = b / 4 and the root of h^2 + c, the value is h + root for x >= 0 and c / (h + root) for x < 0.
# Where h^2 may overflow, all is scaled: h to scale h, squares to scale^2 h^2.
def squareplus(x, b):
    """The quotient is corrected by what rounding took from h + root and from itself; far out that is nothing."""
    h = real(0.5) * abs(x)
    far = h > SQUARE_FROM
    scale = square_scale(h)
    scaled = scale * h
    c = scale * (real(0.25) * b)
    root = sqrt(fma(scaled, scaled, scale * c))
    total = scaled + root
    low = scaled - (total - root)
    reciprocal = real(1) / total
    quotient = c * reciprocal
    rest = fma(-quotient, low, fma(-quotient, total, c))
    falling = quotient if far else fma(rest, reciprocal, quotient)
    rising = UP * total if far else total
    return rising if x >= real(0) else falling


def squareplus_derivative(x, b):
    """c / (2 root (root + h)) for x < 0, and 1 less that for x >= 0; root^2 needs no root."""
    h = real(0.5) * abs(x)
    scale = square_scale(h)
    scaled = scale * h
    c = scale * (real(0.25) * b)
    square = fma(scaled, scaled, scale * c)
    falling = (real(0.5) * c / fma(scaled, sqrt(square), square)) * scale
    return real(1) - falling if x >= real(0) else falling


def sparse_plus(x):
    """((x + 1) / 2)^2 between -1 and 1, of the unrounded sum."""
    y = clamp(x, real(1))
    t = y + real(1)
    low = y - (t - real(1))
    half = real(0.5) * t
    curved = fma(half, half, half * low)
    return x if x >= real(1) else curved


def sparse_plus_derivative(x):
    return sparse_sigmoid(x)


def sparse_sigmoid(x):
    return real(0.5) * (clamp(x, real(1)) + real(1))


def sparse_sigmoid_derivative(x):
    return nan_or(x, real(0.5) if abs(x) < real(1) else real(0))
