"""Plain Python over scalars, lists and arrays, with nothing but ``math``: what a Python programmer would write.

Stable all the same: exponentials are of arguments <= 0, so that ``math.exp`` never raises OverflowError, and infinities
give their limit. Comparisons are written so that NaN falls through to where it is kept. A second text for the functions
with branches, in if statements, is in ``pure_python_if_else.py``: the variant "if_else". Functions without a branch
(tanh, softmax) have no second text, and the variant uses this one.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from itertools import repeat

import numpy as np

from kernels.activations import Activation
from kernels.backends import pure_python_if_else, texts
from kernels.half import rounded

LARGEST = sys.float_info.max
#: math.exp raises OverflowError beyond.
LOG_LARGEST = math.log(LARGEST)
SQRT_HALF = math.sqrt(0.5)
SQRT_TWO_PI = math.sqrt(2.0 * math.pi)
#: sqrt(2 / pi)
GELU_ROOT = 0.7978845608028654
GELU_CUBIC = 0.044715
QUICK_GELU = 1.702
SELU_SCALE = 1.0507009873554804934
SELU_SCALE_ALPHA = SELU_SCALE * 1.6732632423543772848


# ---------------------------------------------------------------- relu, leaky_relu, prelu
def relu(x):
    # max(0.0, x) would turn NaN into 0.0; adding 0.0 turns -0.0 into 0.0.
    return max(x, 0.0) + 0.0


def relu_derivative(x):
    return 1.0 if x > 0.0 else 0.0 if x <= 0.0 else x


def relu_derivative_from_output(y):
    return relu_derivative(y)


def leaky_relu(x, negative_slope):
    return x if x > 0.0 else negative_slope * x


def leaky_relu_derivative(x, negative_slope):
    return 1.0 if x > 0.0 else negative_slope if x <= 0.0 else x


def leaky_relu_derivative_from_output(y, negative_slope):
    return leaky_relu_derivative(y, negative_slope)


def prelu(x, weight):
    return x if x > 0.0 else weight * x


def prelu_derivative(x, weight):
    return 1.0 if x > 0.0 else weight if x <= 0.0 else x


def prelu_parameter_derivative(x, weight):
    return min(x, 0.0)


# ---------------------------------------------------------------- identity, relu6, hardtanh, threshold
def identity(x):
    return x


def identity_derivative(x):
    return 1.0 if x == x else x


def relu6(x):
    return min(max(x, 0.0), 6.0) + 0.0


def relu6_derivative(x):
    return 1.0 if 0.0 < x < 6.0 else x if x != x else 0.0


def hardtanh(x, min_val, max_val):
    return min(max(x, min_val), max_val)


def hardtanh_derivative(x, min_val, max_val):
    return 1.0 if min_val < x < max_val else x if x != x else 0.0


def threshold(x, threshold, value):
    return value if x <= threshold else x


def threshold_derivative(x, threshold, value):
    return 1.0 if x > threshold else x if x != x else 0.0


# ---------------------------------------------------------------- rrelu, relu_squared
def rrelu(x, lower, upper):
    return leaky_relu(x, 0.5 * (lower + upper))


def rrelu_derivative(x, lower, upper):
    return leaky_relu_derivative(x, 0.5 * (lower + upper))


def relu_squared(x):
    # Not ** 2, which raises OverflowError.
    positive = relu(x)
    return positive * positive


def relu_squared_derivative(x):
    return 2.0 * relu(x)


# ---------------------------------------------------------------- hardshrink, softshrink
def hardshrink(x, lambd):
    return 0.0 if abs(x) <= lambd else x


def hardshrink_derivative(x, lambd):
    return 1.0 if abs(x) > lambd else x if x != x else 0.0


def softshrink(x, lambd):
    return x - min(max(x, -lambd), lambd)


def softshrink_derivative(x, lambd):
    return hardshrink_derivative(x, lambd)


# ---------------------------------------------------------------- hardsigmoid, hardswish
def hardsigmoid(x):
    return min(max(x + 3.0, 0.0), 6.0) / 6.0


def hardsigmoid_derivative(x):
    return 1.0 / 6.0 if abs(x) < 3.0 else x if x != x else 0.0


def hardswish(x):
    # -infinity times 0 would be NaN.
    return max(x, -3.0) * hardsigmoid(x)


def hardswish_derivative(x):
    return 0.0 if x <= -3.0 else 1.0 if x >= 3.0 else (2.0 * x + 3.0) / 6.0


# ---------------------------------------------------------------- softsign, squareplus, sparse_plus, sparse_sigmoid
def softsign(x):
    finite = min(max(x, -LARGEST), LARGEST)
    return finite / (1.0 + abs(finite))


def softsign_derivative(x):
    reciprocal = 1.0 / (1.0 + abs(x))
    return reciprocal * reciprocal


# Half of everything: |x| + sqrt(x^2 + b) overflows before its half does. hypot forms no square.
def squareplus(x, b):
    half = 0.5 * abs(x)
    total = half + math.hypot(half, _half_root(b))
    return total if x >= 0.0 else 0.25 * b / total if total else 0.0


def squareplus_derivative(x, b):
    finite = min(max(x, -LARGEST), LARGEST)
    root = math.hypot(0.5 * finite, _half_root(b))
    return 0.5 * squareplus(finite, b) / root if root else math.nan


def _half_root(b):
    return 0.5 * math.sqrt(b) if b >= 0.0 else math.nan


def sparse_plus(x):
    half = 0.5 * (max(x, -1.0) + 1.0)
    return x if x >= 1.0 else half * half


def sparse_plus_derivative(x):
    return sparse_sigmoid(x)


def sparse_sigmoid(x):
    return 0.5 * (min(max(x, -1.0), 1.0) + 1.0)


def sparse_sigmoid_derivative(x):
    return 0.5 if abs(x) < 1.0 else x if x != x else 0.0


# ---------------------------------------------------------------- elu, selu
def elu(x, alpha):
    return x if x > 0.0 else alpha * math.expm1(x)


def elu_derivative(x, alpha):
    return 1.0 if x > 0.0 else alpha * math.exp(x)


def elu_derivative_from_output(y, alpha):
    return 1.0 if y > 0.0 else y + alpha


def selu(x):
    return SELU_SCALE * x if x > 0.0 else SELU_SCALE_ALPHA * math.expm1(x)


def selu_derivative(x):
    return SELU_SCALE if x > 0.0 else SELU_SCALE_ALPHA * math.exp(x)


def selu_derivative_from_output(y):
    return SELU_SCALE if y > 0.0 else y + SELU_SCALE_ALPHA


# ---------------------------------------------------------------- sigmoid, tanh
def sigmoid(x):
    e = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


def sigmoid_derivative(x):
    e = math.exp(-abs(x))
    return e / (1.0 + e) ** 2


def sigmoid_derivative_from_output(y):
    return y * (1.0 - y)


def tanh(x):
    return math.tanh(x)


def tanh_derivative(x):
    e = math.exp(-2.0 * abs(x))
    return 4.0 * e / (1.0 + e) ** 2


def tanh_derivative_from_output(y):
    return (1.0 - y) * (1.0 + y)


# ---------------------------------------------------------------- swish
# h = e^(-|beta x| / 2), multiplied twice: a subnormal e^(-|beta x|) would lose bits that x brings back into range. An
# infinite x counts as the largest number, because infinity times an h of 0 is NaN.
def swish(x, beta):
    finite = min(max(x, -LARGEST), LARGEST)
    t = beta * finite
    h = math.exp(-0.5 * abs(t))
    return x / (1.0 + h * h) if t >= 0.0 else finite * h / (1.0 + h * h) * h


def swish_derivative(x, beta):
    t = beta * min(max(x, -LARGEST), LARGEST)
    t = min(max(t, -2000.0), 2000.0)
    h = math.exp(-0.5 * abs(t))
    u = 1.0 + h * h
    return (1.0 + t * h * h / u) / u if t >= 0.0 else (1.0 + t / u) * h / u * h


def swish_parameter_derivative(x, beta):
    finite = min(max(x, -LARGEST), LARGEST)
    h = math.exp(-0.5 * abs(beta * finite))
    root = finite * h / (1.0 + h * h)
    return root * root


# ---------------------------------------------------------------- softplus, logsigmoid
def softplus(x, beta):
    t = beta * x
    softened = math.log1p(math.exp(-abs(t)))
    return (x if t > 0.0 else 0.0) + (softened / beta if beta else math.copysign(math.inf, beta))


def softplus_derivative(x, beta):
    return sigmoid(beta * x)


def softplus_derivative_from_output(y, beta):
    return -math.expm1(min(-beta * y, 0.0))


def logsigmoid(x):
    return -(max(-x, 0.0) + math.log1p(math.exp(-abs(x))))


def logsigmoid_derivative(x):
    return sigmoid(-x)


# ---------------------------------------------------------------- gelu
# An infinite x counts as a number where the rest is long 0, because infinity times 0 is NaN. erfc and exp multiply a
# rounding of their argument by up to x^2, 1450 where the result vanishes: nothing in float32, but 800 ULP in float64.
def gelu(x):
    return 0.5 * max(x, -64.0) * math.erfc(-x * SQRT_HALF)


def gelu_derivative(x):
    finite = min(max(x, -64.0), 64.0)
    return 0.5 * math.erfc(-x * SQRT_HALF) + finite * math.exp(-0.5 * finite * finite) / SQRT_TWO_PI


# ---------------------------------------------------------------- gelu_tanh, quick_gelu
# exp multiplies a rounding of its argument by up to 745: nothing in float32.
def gelu_tanh(x):
    finite = min(max(x, -64.0), 64.0)
    t = 2.0 * GELU_ROOT * (finite + GELU_CUBIC * finite**3)
    h = math.exp(-0.5 * abs(t))
    return x / (1.0 + h * h) if t >= 0.0 else finite * h / (1.0 + h * h) * h


def gelu_tanh_derivative(x):
    x = min(max(x, -64.0), 64.0)
    t = 2.0 * GELU_ROOT * (x + GELU_CUBIC * x**3)
    slope = 2.0 * GELU_ROOT * (x + 3.0 * GELU_CUBIC * x**3)
    h = math.exp(-0.5 * abs(t))
    u = 1.0 + h * h
    return (1.0 + slope * h * h / u) / u if t >= 0.0 else (1.0 + slope / u) * h / u * h


def quick_gelu(x):
    return swish(x, QUICK_GELU)


def quick_gelu_derivative(x):
    return swish_derivative(x, QUICK_GELU)


# ---------------------------------------------------------------- mish
# With n of e^x divided by e^2x where x > 0: of e = e^-|x|, whose root is multiplied twice as for swish.
def mish(x):
    finite = max(x, -LARGEST)
    h = math.exp(-0.5 * abs(finite))
    e = h * h
    if finite >= 0.0:
        return x * ((1.0 + 2.0 * e) / (1.0 + 2.0 * e * (1.0 + e)))
    return finite * h * ((2.0 + e) / (2.0 + e * (2.0 + e))) * h


def mish_derivative(x):
    x = min(max(x, -2000.0), 2000.0)
    h = math.exp(-0.5 * abs(x))
    e = h * h
    if x >= 0.0:
        u = 1.0 + 2.0 * e * (1.0 + e)
        return 1.0 + 2.0 * e * e * (2.0 * x * (1.0 + e) - u) / u**2
    u = 1.0 + e * (1.0 + 0.5 * e)
    return ((1.0 + 0.5 * e) * u + x * (1.0 + e)) * h / u**2 * h


# ---------------------------------------------------------------- exponential
def exponential(x):
    return math.exp(x) if x <= LOG_LARGEST else x * LARGEST


def exponential_derivative(x):
    return exponential(x)


def exponential_derivative_from_output(y):
    return y


# ---------------------------------------------------------------- celu
def celu(x, alpha):
    if x > 0.0:
        return x
    t = quotient(x, alpha)
    return alpha * (math.expm1(t) if t <= LOG_LARGEST else t * LARGEST)


def celu_derivative(x, alpha):
    return 1.0 if x > 0.0 else exponential(quotient(x, alpha))


def celu_derivative_from_output(y, alpha):
    return 1.0 if y > 0.0 else quotient(y + alpha, alpha)


# ---------------------------------------------------------------- tanhshrink
def tanhshrink(x):
    a = abs(x)
    if a < 1.0:
        # x - tanh(x) cancels, but not in tanh's continued fraction x / (1 + x^2 / (3 + x^2 / (5 + ...))).
        z = x * x
        rest = functools.reduce(lambda below, odd: z / (odd + below), range(25, 3, -2), 0.0)
        return x * z / (3.0 + z + rest)
    e = math.exp(-2.0 * a)
    return math.copysign((a - 1.0) + 2.0 * e / (1.0 + e), x)


def tanhshrink_derivative(x):
    return math.tanh(x) ** 2


# ---------------------------------------------------------------- softcap
def softcap(x, cap):
    return cap * math.tanh(quotient(x, cap))


def softcap_derivative(x, cap):
    return tanh_derivative(quotient(x, cap))


def quotient(x, y):
    """x / y by the rules of floating-point numbers, under which a division by 0 raises nothing."""
    return x / y if y else x * math.copysign(math.inf, y)


# ---------------------------------------------------------------- softmax, softmin, log_softmax
def softmax(row):
    largest = max(row, default=0.0)
    terms = [math.exp(x - largest) for x in row]
    total = sum(terms)
    return [term / total for term in terms]


def softmax_backward_from_output(g, y):
    total = sum(a * b for a, b in zip(g, y, strict=True))
    return [b * (a - total) for a, b in zip(g, y, strict=True)]


def softmax_jacobian(row):
    y = softmax(row)
    return [[a * ((i == j) - b) for j, b in enumerate(y)] for i, a in enumerate(y)]


def softmin(row):
    return softmax([-x for x in row])


def softmin_backward_from_output(g, y):
    return softmax_backward_from_output([-a for a in g], y)


def softmin_jacobian(row):
    y = softmin(row)
    return [[a * (b - (i == j)) for j, b in enumerate(y)] for i, a in enumerate(y)]


def log_softmax(row):
    largest = max(row, default=0.0)
    # The largest terms are 1, beside which small ones would be lost; an infinity less itself is NaN.
    others = row.count(largest) - 1 + (largest - largest)
    logarithm = math.log1p(others + sum(math.exp(x - largest) for x in row if x != largest))
    return [x - largest - logarithm for x in row]


def log_softmax_backward_from_output(g, y):
    total = sum(g)
    return [a - math.exp(b) * total for a, b in zip(g, y, strict=True)]


def log_softmax_jacobian(row):
    y = softmax(row)
    return [[(i == j) - b for j, b in enumerate(y)] for i in range(len(y))]


# ---------------------------------------------------------------- sparsemax
def sparsemax(row):
    largest = max(row, default=0.0)
    if not all(math.isfinite(x) or x < largest for x in row):
        return [math.nan] * len(row)
    # The largest entries, as many as stay above the threshold that makes their sum 1.
    total, threshold = 0.0, -1.0
    for count, x in enumerate(sorted(row, reverse=True), 1):
        if x - largest <= threshold:
            break
        total += x - largest
        threshold = (total - 1.0) / count
    return [max(x - largest - threshold, 0.0) for x in row]


def sparsemax_backward_from_output(g, y):
    kept = [a for a, b in zip(g, y, strict=True) if not b <= 0.0]
    mean = sum(kept) / len(kept) if kept else 0.0
    return [0.0 if b <= 0.0 else a - mean + (b - b) for a, b in zip(g, y, strict=True)]


def sparsemax_jacobian(row):
    y = sparsemax(row)
    share = 1.0 / max(sum(b > 0.0 for b in y), 1)
    return [[(i == j) - share if a > 0.0 and b > 0.0 else a * b for j, b in enumerate(y)] for i, a in enumerate(y)]


# ---------------------------------------------------------------- backend
def reason() -> str | None:
    """None: Python is always there."""
    return None


def variants() -> tuple[str, ...]:
    return ("if_else",)


def bind(record: Activation, form: str, dtype: type, accuracy: str, variant: str | None = None) -> Callable:
    """The kernel of one form over prepared data; it computes in float64 whatever ``dtype`` and ``accuracy``."""
    if variant not in (None, *variants()):
        raise LookupError(f"python has no variant {variant!r}; it has: {', '.join(variants())}")
    text = [_find(name, variant) for name in texts.names(record, form)]
    loop = _LOOPS[record.kind][form](*text)
    if record.gate:
        loop = functools.partial(loop, record.gate_parameters)
    return _over_arrays(loop, dtype, functools.partial(_shape, record, form))


def _find(name: str, variant: str | None) -> Callable:
    second = getattr(pure_python_if_else, name, None) if variant == "if_else" else None
    return second or texts.find(sys.modules[__name__], name)


def _columns(params: tuple) -> list:
    """Each parameter as long as x: repeated, unless it is a list already."""
    return [p if isinstance(p, list) else repeat(p) for p in params]


def _map(text: Callable) -> Callable:
    # As fast as a list comprehension that spells out the call, for any number of parameters.
    return lambda x, *params: list(map(text, x, *_columns(params)))


def _backward(derivative: Callable) -> Callable:
    return lambda g, x, *params: [a * b for a, b in zip(g, map(derivative, x, *_columns(params)), strict=True)]


def _value_and_derivative(value: Callable, derivative: Callable) -> Callable:
    return lambda x, *params: (_map(value)(x, *params), _map(derivative)(x, *params))


def _backward_rows(value: Callable, backward: Callable) -> Callable:
    return lambda g, x: [backward(a, value(row)) for a, row in zip(g, x, strict=True)]


_ELEMENTWISE = {
    "value": _map,
    "derivative": _map,
    "backward": _backward,
    "backward_from_output": _backward,
    "value_and_derivative": _value_and_derivative,
    "parameter_derivative": _map,
}
_ROW = {
    "value": _map,
    "backward": _backward_rows,
    "backward_from_output": _map,
    "jacobian": _map,
}


def _gate(value: Callable) -> Callable:
    def gated(params, x):
        return [[a * value(b, *params) for a, b in _pairs(row)] for row in x]

    return gated


def _gate_backward(value: Callable, derivative: Callable) -> Callable:
    def backward(params, g, x):
        return [
            [c * value(b, *params) for c, (_, b) in zip(line, _pairs(row), strict=True)]
            + [c * a * derivative(b, *params) for c, (a, b) in zip(line, _pairs(row), strict=True)]
            for line, row in zip(g, x, strict=True)
        ]

    return backward


def _pairs(row: list) -> zip:
    half = len(row) // 2
    return zip(row[:half], row[half:], strict=True)


_GATED = {"value": _gate, "backward": _gate_backward}
_LOOPS = {"elementwise": _ELEMENTWISE, "row": _ROW, "gated": _GATED}


def _shape(record: Activation, form: str, data: tuple) -> tuple[int, ...]:
    """The shape of a form's result; a row gives a matrix."""
    shape = data[form.startswith("backward")].shape
    return (*shape, shape[-1]) if form == "jacobian" else record.result_shape(form, shape)


def _over_arrays(loop: Callable, dtype: type, shape_of: Callable) -> Callable:
    """The loop over lists, and over arrays by way of lists."""

    def kernel(*data, out=None):
        x = data[0]
        result = loop(*(a.astype(np.float64).tolist() if isinstance(a, np.ndarray) else a for a in data))
        if not isinstance(x, np.ndarray):
            return result
        shape = shape_of(data)
        if isinstance(result, tuple):
            outs = out or (None, None)
            return tuple(_store(part, shape, dtype, to) for part, to in zip(result, outs, strict=True))
        return _store(result, shape, dtype, out)

    return kernel


def _store(result: list, shape: tuple[int, ...], dtype: type, out: np.ndarray | None) -> np.ndarray:
    """The result in ``out``, or in a new array."""
    if out is None:
        out = np.empty(shape, dtype)
    if out.size:
        out[...] = rounded(np.array(result, np.float64), dtype)
    return out
