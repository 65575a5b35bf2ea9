"""Arbitrary-precision formulas: the judge of every backend, written from the mathematics with mpmath.

Functions are named as in every formula text, take Python floats (or mpf), parameters after x, and return an mpf that is
exact far beyond float64: no formula here subtracts nearly equal numbers, except at a true root. Infinities give the
mathematical limit, NaN gives NaN; the sign of a zero is not judged. The numbers of a definition are the nearest
doubles, as in all texts; of selu those of ``scale`` and of the product of the doubles ``scale`` and ``alpha``.
"""

from __future__ import annotations

import functools
import itertools
import math
import sys
from collections.abc import Callable, Sequence

import mpmath
import numpy as np

from kernels import activations
from kernels.activations import Activation
from kernels.backends import texts

#: A context of its own, so that nobody's mpmath precision changes ours, nor ours theirs.
mp = mpmath.mp.clone()
mp.prec = 400

#: Enough bits to hold any sum of products of two doubles, 2^-2148 to 2^2048, exactly.
EXACT_PRECISION = 4500

#: From here on x - 1 is no tie of a half type.
LARGEST_TIE = 4096

SELU_SCALE = 1.0507009873554804934
SELU_SCALE_ALPHA = SELU_SCALE * 1.6732632423543772848
#: sqrt(2 / pi)
GELU_ROOT = mp.mpf(0.7978845608028654)
GELU_CUBIC = mp.mpf(0.044715)
QUICK_GELU = 1.702


def lookup(record: Activation, formula_name: str) -> Callable:
    """The formula of that name, "relu_derivative", or by its part alone: "value", "derivative", ..."""
    if record.gate:
        return functools.partial({"value": gated, "backward": gated_backward}[formula_name], record)
    if formula_name == "value":
        name = record.name
    elif formula_name.startswith(record.name):
        name = formula_name
    else:
        name = f"{record.name}_{formula_name}"
    return texts.find(sys.modules[__name__], name)


def ulp_error(got: float, exact: mpmath.mpf, dtype: type) -> float:
    """The error of ``got`` in units in the last place of ``exact``.

    An ``exact`` that rounds beyond the largest number counts as infinite. Where it is smaller, an infinite ``got``
    counts as the next power of two. NaN is right only for NaN.
    """
    got, exact, info = float(got), mp.mpf(exact), np.finfo(dtype)
    if math.isnan(got) or mp.isnan(exact):
        return 0.0 if math.isnan(got) and mp.isnan(exact) else math.inf
    infinity = mp.ldexp(1, int(info.maxexp))
    overflows = abs(exact) >= infinity - mp.ldexp(1, int(info.maxexp) - info.nmant - 2)
    if math.isinf(got) and overflows and (got > 0) == (exact > 0):
        return 0.0
    if mp.isinf(exact):
        return math.inf
    number = mp.mpf(got) if math.isfinite(got) else mp.sign(got) * infinity
    exponent = mp.mag(exact) - 1 if exact else int(info.minexp)
    exponent = min(max(exponent, int(info.minexp)), int(info.maxexp) - 1)
    return float(mp.ldexp(abs(number - exact), int(info.nmant - exponent)))


def _formula(function: Callable) -> Callable:
    """A formula over mpf, given any numbers; NaN in is NaN out."""

    @functools.wraps(function)
    def exact(x: float, *parameters: float) -> mpmath.mpf:
        x = mp.mpf(x)
        result = x if mp.isnan(x) else function(x, *map(mp.mpf, parameters))
        # A result with more bits than the context would lose them.
        return result if isinstance(result, mp.mpf) else mp.mpf(result)

    return exact


def _product(a: mpmath.mpf, b: mpmath.mpf) -> mpmath.mpf:
    """a * b, where 0 times infinity is the limit 0."""
    return a * b if a and b else mp.zero


# ---------------------------------------------------------------- relu, leaky_relu, prelu
@_formula
def relu(x):
    return max(x, 0)


@_formula
def relu_derivative(x):
    return x > 0


@_formula
def relu_derivative_from_output(y):
    return y > 0


@_formula
def leaky_relu(x, negative_slope):
    return x if x > 0 else negative_slope * x


@_formula
def leaky_relu_derivative(x, negative_slope):
    return 1 if x > 0 else negative_slope


@_formula
def leaky_relu_derivative_from_output(y, negative_slope):
    return 1 if y > 0 else negative_slope


@_formula
def prelu(x, weight):
    return x if x > 0 else weight * x


@_formula
def prelu_derivative(x, weight):
    return 1 if x > 0 else weight


@_formula
def prelu_parameter_derivative(x, weight):
    return 0 if x > 0 else x


# ---------------------------------------------------------------- identity, relu6, hardtanh, threshold
@_formula
def identity(x):
    return x


@_formula
def identity_derivative(x):
    return 1


@_formula
def relu6(x):
    return min(max(x, 0), 6)


@_formula
def relu6_derivative(x):
    return 0 < x < 6


@_formula
def hardtanh(x, min_val, max_val):
    return min(max(x, min_val), max_val)


@_formula
def hardtanh_derivative(x, min_val, max_val):
    return min_val < x < max_val


@_formula
def threshold(x, threshold, value):
    return x if x > threshold else value


@_formula
def threshold_derivative(x, threshold, value):
    return x > threshold


# ---------------------------------------------------------------- rrelu, relu_squared
@_formula
def rrelu(x, lower, upper):
    return x if x > 0 else (lower + upper) / 2 * x


@_formula
def rrelu_derivative(x, lower, upper):
    return 1 if x > 0 else (lower + upper) / 2


@_formula
def relu_squared(x):
    return max(x, 0) ** 2


@_formula
def relu_squared_derivative(x):
    return 2 * max(x, 0)


# ---------------------------------------------------------------- hardshrink, softshrink
@_formula
def hardshrink(x, lambd):
    return x if abs(x) > lambd else 0


@_formula
def hardshrink_derivative(x, lambd):
    return abs(x) > lambd


@_formula
def softshrink(x, lambd):
    return x - lambd if x > lambd else x + lambd if x < -lambd else 0


@_formula
def softshrink_derivative(x, lambd):
    return abs(x) > lambd


# ---------------------------------------------------------------- hardsigmoid, hardswish
@_formula
def hardsigmoid(x):
    return min(max(x + 3, 0), 6) / 6


@_formula
def hardsigmoid_derivative(x):
    return mp.mpf(abs(x) < 3) / 6


@_formula
def hardswish(x):
    return _product(x, hardsigmoid(x))


@_formula
def hardswish_derivative(x):
    return mp.mpf(x >= 3) if abs(x) >= 3 else x / 3 + mp.mpf(0.5)


# ---------------------------------------------------------------- softsign, squareplus, sparse_plus, sparse_sigmoid
@_formula
def softsign(x):
    return mp.sign(x) if mp.isinf(x) else x / (1 + abs(x))


@_formula
def softsign_derivative(x):
    return 1 / (1 + abs(x)) ** 2


@_formula
def squareplus(x, b):
    total = abs(x) + mp.sqrt(x * x + b)
    return total / 2 if x >= 0 else b / (2 * total)


@_formula
def squareplus_derivative(x, b):
    return x > 0 if mp.isinf(x) else squareplus(x, b) / mp.sqrt(x * x + b)


@_formula
def sparse_plus(x):
    return x if x >= 1 else (max(x, -1) + 1) ** 2 / 4


@_formula
def sparse_plus_derivative(x):
    return sparse_sigmoid(x)


@_formula
def sparse_sigmoid(x):
    return min(max((x + 1) / 2, 0), 1)


@_formula
def sparse_sigmoid_derivative(x):
    return mp.mpf(abs(x) < 1) / 2


# ---------------------------------------------------------------- elu, selu
@_formula
def elu(x, alpha):
    return x if x > 0 else alpha * mp.expm1(x)


@_formula
def elu_derivative(x, alpha):
    return 1 if x > 0 else alpha * mp.exp(x)


@_formula
def elu_derivative_from_output(y, alpha):
    return 1 if y > 0 else y + alpha


@_formula
def selu(x):
    return SELU_SCALE * x if x > 0 else SELU_SCALE_ALPHA * mp.expm1(x)


@_formula
def selu_derivative(x):
    return SELU_SCALE if x > 0 else SELU_SCALE_ALPHA * mp.exp(x)


@_formula
def selu_derivative_from_output(y):
    return SELU_SCALE if y > 0 else y + SELU_SCALE_ALPHA


# ---------------------------------------------------------------- sigmoid, tanh
@_formula
def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


@_formula
def sigmoid_derivative(x):
    return sigmoid(x) * sigmoid(-x)


@_formula
def sigmoid_derivative_from_output(y):
    return y * (1 - y)


@_formula
def tanh(x):
    return mp.tanh(x)


@_formula
def tanh_derivative(x):
    return 1 / mp.cosh(x) ** 2


@_formula
def tanh_derivative_from_output(y):
    return (1 - y) * (1 + y)


# ---------------------------------------------------------------- swish
@_formula
def swish(x, beta):
    return _product(x, sigmoid(_product(beta, x)))


@_formula
def swish_derivative(x, beta):
    t = _product(beta, x)
    return sigmoid(t) + _product(t, sigmoid_derivative(t))


@_formula
def swish_parameter_derivative(x, beta):
    return _product(x * x, sigmoid_derivative(_product(beta, x)))


# ---------------------------------------------------------------- softplus, logsigmoid
@_formula
def softplus(x, beta):
    t = _product(beta, x)
    return x if t == mp.inf else mp.log1p(mp.exp(t)) / beta


@_formula
def softplus_derivative(x, beta):
    return sigmoid(_product(beta, x))


@_formula
def softplus_derivative_from_output(y, beta):
    return -mp.expm1(-_product(beta, y))


@_formula
def logsigmoid(x):
    return -softplus(-x, 1)


@_formula
def logsigmoid_derivative(x):
    return sigmoid(-x)


# ---------------------------------------------------------------- gelu
@_formula
def gelu(x):
    return _product(x, _normal_distribution(x))


@_formula
def gelu_derivative(x):
    density = mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)
    return _normal_distribution(x) + _product(x, density)


def _normal_distribution(x):
    if abs(x) > 2**64:  # mpmath's erfc ends here
        return mp.mpf(x > 0)
    return mp.erfc(-x / mp.sqrt(2)) / 2


# ---------------------------------------------------------------- gelu_tanh, quick_gelu
@_formula
def gelu_tanh(x):
    return _product(x, sigmoid(2 * GELU_ROOT * (x + GELU_CUBIC * x**3)))


@_formula
def gelu_tanh_derivative(x):
    v, slope = 2 * GELU_ROOT * (x + GELU_CUBIC * x**3), 2 * GELU_ROOT * (1 + 3 * GELU_CUBIC * x**2)
    return sigmoid(v) + _product(_product(x, slope), sigmoid_derivative(v))


@_formula
def quick_gelu(x):
    return swish(x, QUICK_GELU)


@_formula
def quick_gelu_derivative(x):
    return swish_derivative(x, QUICK_GELU)


# ---------------------------------------------------------------- mish
@_formula
def mish(x):
    return x if x == mp.inf else _product(x, _tanh_of_softplus(x))


@_formula
def mish_derivative(x):
    t = _tanh_of_softplus(x)
    return t + _product(_product(x, (1 - t) * (1 + t)), sigmoid(x))


def _tanh_of_softplus(x):
    if x > 2**16:  # 1 - 2 e^-2x, which is 1 to any precision here
        return mp.one
    n = mp.exp(x) * (mp.exp(x) + 2)
    return n / (n + 2)


# ---------------------------------------------------------------- exponential
@_formula
def exponential(x):
    return mp.exp(x)


@_formula
def exponential_derivative(x):
    return mp.exp(x)


@_formula
def exponential_derivative_from_output(y):
    return y


# ---------------------------------------------------------------- celu
@_formula
def celu(x, alpha):
    return x if x > 0 else alpha * mp.expm1(x / alpha)


@_formula
def celu_derivative(x, alpha):
    return 1 if x > 0 else mp.exp(x / alpha)


@_formula
def celu_derivative_from_output(y, alpha):
    return 1 if y > 0 else (y + alpha) / alpha


# ---------------------------------------------------------------- tanhshrink
@_formula
def tanhshrink(x):
    if abs(x) < 2**-60:  # the next term is smaller by 2^-120
        return x**3 / 3
    # What tanh lacks to 1 decides how a tie of half types is rounded, however small it is.
    bits = mp.prec + 3 * int(min(abs(x), LARGEST_TIE))
    return mp.fsub(x, mp.tanh(x, prec=bits), exact=True)


@_formula
def tanhshrink_derivative(x):
    return mp.tanh(x) ** 2


# ---------------------------------------------------------------- softcap
@_formula
def softcap(x, cap):
    return cap * mp.tanh(x / cap)


@_formula
def softcap_derivative(x, cap):
    return tanh_derivative(x / cap)


# ---------------------------------------------------------------- softmax, softmin, log_softmax
def softmax(row: Sequence[float]) -> list[mpmath.mpf]:
    """As the frameworks, all NaN where an entry is NaN or +inf, or where all are -inf."""
    row = [mp.mpf(x) for x in row]
    largest = max(row, default=mp.zero)
    if not mp.isfinite(largest) or any(map(mp.isnan, row)):
        return [mp.nan] * len(row)
    terms = [mp.exp(x - largest) for x in row]
    total = mp.fsum(terms)
    return [term / total for term in terms]


def softmax_backward(g: Sequence[float], row: Sequence[float]) -> list[mpmath.mpf]:
    """y_i (g_i - sum_j g_j y_j) as y_i sum_j (g_i - g_j) y_j, since the y_j sum to 1: near y_i = 1 nothing cancels."""
    g, y = [mp.mpf(a) for a in g], softmax(row)
    return [b * mp.fsum((a - c) * d for c, d in zip(g, y, strict=True)) for a, b in zip(g, y, strict=True)]


def softmax_derivative_from_output(g: Sequence[float], y: Sequence[float]) -> list[mpmath.mpf]:
    """y (g - sum(g y)) of exactly the given y, which need not sum to 1."""
    with mp.workprec(EXACT_PRECISION):
        g, y = [mp.mpf(a) for a in g], [mp.mpf(b) for b in y]
        total = sum((a * b for a, b in zip(g, y, strict=True)), mp.zero)
        return [b * (a - total) for a, b in zip(g, y, strict=True)]


def softmax_gradient_scale(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The size of what the gradient of each row is the difference of, which may cancel."""
    return y * (np.abs(g) + np.abs(g * y).sum(axis=-1, keepdims=True))


def softmax_jacobian(row: Sequence[float]) -> list[list[mpmath.mpf]]:
    """dy_i / dx_j: -y_i y_j, and on the diagonal y_i times the sum of the others."""
    y = softmax(row)
    jacobian = [[-a * b for b in y] for a in y]
    for i, a in enumerate(y):
        jacobian[i][i] = a * mp.fsum(b for j, b in enumerate(y) if j != i)
    return jacobian


def softmin(row: Sequence[float]) -> list[mpmath.mpf]:
    return softmax([-x for x in row])


def softmin_backward(g: Sequence[float], row: Sequence[float]) -> list[mpmath.mpf]:
    return softmax_backward([-a for a in g], [-x for x in row])


def softmin_derivative_from_output(g: Sequence[float], y: Sequence[float]) -> list[mpmath.mpf]:
    return softmax_derivative_from_output([-a for a in g], y)


def softmin_gradient_scale(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    return softmax_gradient_scale(g, y)


def softmin_jacobian(row: Sequence[float]) -> list[list[mpmath.mpf]]:
    return [[-entry for entry in line] for line in softmax_jacobian([-x for x in row])]


def log_softmax(row: Sequence[float]) -> list[mpmath.mpf]:
    """x less the largest entry, and less log(1 + the sum of the others' terms)."""
    row = [mp.mpf(x) for x in row]
    largest = max(row, default=mp.zero)
    if not mp.isfinite(largest) or any(map(mp.isnan, row)):
        return [mp.nan] * len(row)
    first = row.index(largest)
    logarithm = mp.log1p(mp.fsum(mp.exp(x - largest) for i, x in enumerate(row) if i != first))
    return [x - largest - logarithm for x in row]


def log_softmax_backward(g: Sequence[float], row: Sequence[float]) -> list[mpmath.mpf]:
    g, p = [mp.mpf(a) for a in g], softmax(row)
    with mp.workprec(EXACT_PRECISION):
        total = sum(g, mp.zero)
        return [a - b * total for a, b in zip(g, p, strict=True)]


def log_softmax_derivative_from_output(g: Sequence[float], y: Sequence[float]) -> list[mpmath.mpf]:
    with mp.workprec(EXACT_PRECISION):
        g = [mp.mpf(a) for a in g]
        total = sum(g, mp.zero)
        return [a - mp.exp(b) * total for a, b in zip(g, y, strict=True)]


def log_softmax_gradient_scale(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(g) + np.exp(y) * np.abs(g).sum(axis=-1, keepdims=True)


def log_softmax_jacobian(row: Sequence[float]) -> list[list[mpmath.mpf]]:
    """Less the softmax, and on the diagonal the sum of the others' softmax."""
    p = softmax(row)
    jacobian = [[-b for b in p] for _ in p]
    for i in range(len(p)):
        jacobian[i][i] = mp.fsum(b for j, b in enumerate(p) if j != i)
    return jacobian


# ---------------------------------------------------------------- sparsemax
def sparsemax(row: Sequence[float]) -> list[mpmath.mpf]:
    """All NaN as softmax; by sorting, all sums exact."""
    row = [mp.mpf(x) for x in row]
    largest = max(row, default=mp.zero)
    if not mp.isfinite(largest) or any(map(mp.isnan, row)):
        return [mp.nan] * len(row)
    with mp.workprec(EXACT_PRECISION):
        falling = sorted((x for x in row if mp.isfinite(x)), reverse=True)
        sums = list(itertools.accumulate(falling))
        count = max(k for k, (x, total) in enumerate(zip(falling, sums, strict=True), 1) if 1 + k * x > total)
        threshold = (sums[count - 1] - 1) / count
        return [max(x - threshold, mp.zero) for x in row]


def sparsemax_backward(g: Sequence[float], row: Sequence[float]) -> list[mpmath.mpf]:
    return sparsemax_derivative_from_output(g, sparsemax(row))


def sparsemax_derivative_from_output(g: Sequence[float], y: Sequence[float]) -> list[mpmath.mpf]:
    with mp.workprec(EXACT_PRECISION):
        kept = [mp.mpf(a) for a, b in zip(g, y, strict=True) if b > 0]
        mean = sum(kept, mp.zero) / max(len(kept), 1)
        return [mp.mpf(a) - mean if b > 0 else mp.zero for a, b in zip(g, y, strict=True)]


def sparsemax_gradient_scale(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    kept = np.where(y > 0, np.abs(g), 0)
    return np.where(y > 0, kept + kept.sum(axis=-1, keepdims=True) / (y > 0).sum(axis=-1, keepdims=True), 0)


def sparsemax_jacobian(row: Sequence[float]) -> list[list[mpmath.mpf]]:
    inside = [int(b > 0) for b in sparsemax(row)]
    share = mp.one / sum(inside)
    return [[(i == j) * a - a * b * share for j, b in enumerate(inside)] for i, a in enumerate(inside)]


# ---------------------------------------------------------------- gated pairs
def gated(record: Activation, row: Sequence[float]) -> list[mpmath.mpf]:
    """The first half times the gate of the second; an infinity times 0 is NaN."""
    gate = lookup(activations.lookup(record.gate), "value")
    a, b = halves(row)
    return [mp.mpf(x) * gate(y, *record.gate_parameters) for x, y in zip(a, b, strict=True)]


def gated_backward(record: Activation, g: Sequence[float], row: Sequence[float]) -> list[mpmath.mpf]:
    gate, slope = (lookup(activations.lookup(record.gate), key) for key in ("value", "derivative"))
    a, b = halves(row)
    first = [mp.mpf(c) * gate(y, *record.gate_parameters) for c, y in zip(g, b, strict=True)]
    return first + [mp.mpf(c) * mp.mpf(x) * slope(y, *record.gate_parameters) for c, x, y in zip(g, a, b, strict=True)]


def halves(row: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    return row[: len(row) // 2], row[len(row) // 2 :]
