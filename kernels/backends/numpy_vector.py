"""What a NumPy programmer writes: vectorised ufuncs in stable forms, the last one with ``out=``.

Text functions take ``f(x, *params, out=None)``; rows run along the last axis. Only the last step writes, so ``out`` may
be any of the inputs. Exponentials are of arguments <= 0; comparisons are written so that NaN stays. Scalars are Python
numbers, which keep float32 arrays float32. Where infinities meet NumPy may warn; the public functions keep it quiet.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import numpy as np
from numpy.polynomial.chebyshev import chebval

from kernels import coefficients
from kernels.activations import Activation
from kernels.backends import texts
from kernels.half import is_half, stored

#: sqrt(2 / pi)
GELU_ROOT = 0.7978845608028654
GELU_CUBIC = 0.044715
QUICK_GELU = 1.702
SELU_SCALE = 1.0507009873554804934
SELU_SCALE_ALPHA = SELU_SCALE * 1.6732632423543772848
#: SELU_SCALE_ALPHA as a float32 and what that rounds away: y + SELU_SCALE_ALPHA cancels.
SELU_HIGH = float(np.float32(SELU_SCALE_ALPHA))
SELU_LOW = SELU_SCALE_ALPHA - SELU_HIGH
SQRT_TWO_PI = float(np.sqrt(2 * np.pi))
LARGEST = {np.dtype(real): np.finfo(real).max for real in (np.float32, np.float64, np.longdouble)}


def where(condition, x, y, out=None):
    """np.where with ``out``."""
    result = np.where(condition, x, y)
    if out is None:
        return result
    out[...] = result
    return out


def finite(x):
    """x with infinity as the largest number: infinity times an exponential of 0 is NaN."""
    largest = LARGEST[x.dtype]
    return np.maximum(np.minimum(x, largest), -largest)


def step(condition, x, out=None):
    """1 where the condition holds, else 0; NaN where x is NaN."""
    return where(np.isnan(x), x, condition, out=out)


# ---------------------------------------------------------------- relu, leaky_relu, prelu
def relu(x, out=None):
    return np.maximum(x, 0, out=out)


def relu_derivative(x, out=None):
    return np.sign(np.maximum(x, 0), out=out)


def relu_derivative_from_output(y, out=None):
    return relu_derivative(y, out=out)


def leaky_relu(x, negative_slope, out=None):
    return where(x > 0, x, negative_slope * x, out=out)


def leaky_relu_derivative(x, negative_slope, out=None):
    step = np.sign(np.maximum(x, 0))
    return where(step == 0, negative_slope, step, out=out)


def leaky_relu_derivative_from_output(y, negative_slope, out=None):
    return leaky_relu_derivative(y, negative_slope, out=out)


def prelu(x, weight, out=None):
    return leaky_relu(x, weight, out=out)


def prelu_derivative(x, weight, out=None):
    return leaky_relu_derivative(x, weight, out=out)


def prelu_parameter_derivative(x, weight, out=None):
    return np.minimum(x, 0, out=out)


# ---------------------------------------------------------------- identity, relu6, hardtanh, threshold
def identity(x, out=None):
    return np.positive(x, out=out)


def identity_derivative(x, out=None):
    return step(True, x, out=out)


def relu6(x, out=None):
    return np.clip(x, 0, 6, out=out)


def relu6_derivative(x, out=None):
    return step((x > 0) & (x < 6), x, out=out)


def hardtanh(x, min_val, max_val, out=None):
    return np.clip(x, min_val, max_val, out=out)


def hardtanh_derivative(x, min_val, max_val, out=None):
    return step((x > min_val) & (x < max_val), x, out=out)


def threshold(x, threshold, value, out=None):
    return where(x <= threshold, value, x, out=out)


def threshold_derivative(x, threshold, value, out=None):
    return step(x > threshold, x, out=out)


# ---------------------------------------------------------------- rrelu, relu_squared
def rrelu(x, lower, upper, out=None):
    return leaky_relu(x, 0.5 * (lower + upper), out=out)


def rrelu_derivative(x, lower, upper, out=None):
    return leaky_relu_derivative(x, 0.5 * (lower + upper), out=out)


def relu_squared(x, out=None):
    return np.square(np.maximum(x, 0), out=out)


def relu_squared_derivative(x, out=None):
    return np.multiply(2, np.maximum(x, 0), out=out)


# ---------------------------------------------------------------- hardshrink, softshrink
def hardshrink(x, lambd, out=None):
    return where(np.abs(x) <= lambd, 0, x, out=out)


def hardshrink_derivative(x, lambd, out=None):
    return step(np.abs(x) > lambd, x, out=out)


def softshrink(x, lambd, out=None):
    return np.subtract(x, np.clip(x, -lambd, lambd), out=out)


def softshrink_derivative(x, lambd, out=None):
    return hardshrink_derivative(x, lambd, out=out)


# ---------------------------------------------------------------- hardsigmoid, hardswish
def hardsigmoid(x, out=None):
    return np.divide(np.clip(x + 3, 0, 6), 6, out=out)


def hardsigmoid_derivative(x, out=None):
    return np.divide(step(np.abs(x) < 3, x), 6, out=out)


def hardswish(x, out=None):
    return np.multiply(np.maximum(x, -3), hardsigmoid(x), out=out)  # -infinity times 0 would be NaN


def hardswish_derivative(x, out=None):
    return where(x <= -3, 0, np.where(x >= 3, 1, (2 * x + 3) / 6), out=out)


# ---------------------------------------------------------------- softsign, squareplus, sparse_plus, sparse_sigmoid
def softsign(x, out=None):
    x = finite(x)
    return np.divide(x, 1 + np.abs(x), out=out)


def softsign_derivative(x, out=None):
    return np.square(1 / (1 + np.abs(x)), out=out)


# Half of everything: |x| + sqrt(x^2 + b) overflows before its half does. hypot forms no square.
def squareplus(x, b, out=None):
    half = 0.5 * np.abs(x)
    total = half + np.hypot(half, 0.5 * np.sqrt(x.dtype.type(b)))
    return where(x >= 0, total, 0.25 * b / total, out=out)


def squareplus_derivative(x, b, out=None):
    x = finite(x)
    return np.divide(0.5 * squareplus(x, b), np.hypot(0.5 * x, 0.5 * np.sqrt(x.dtype.type(b))), out=out)


def sparse_plus(x, out=None):
    return where(x >= 1, x, np.square(0.5 * (np.maximum(x, -1) + 1)), out=out)


def sparse_plus_derivative(x, out=None):
    return sparse_sigmoid(x, out=out)


def sparse_sigmoid(x, out=None):
    return np.multiply(0.5, np.clip(x, -1, 1) + 1, out=out)


def sparse_sigmoid_derivative(x, out=None):
    return np.multiply(0.5, step(np.abs(x) < 1, x), out=out)


# ---------------------------------------------------------------- elu, selu
def elu(x, alpha, out=None):
    return where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)), out=out)


def elu_derivative(x, alpha, out=None):
    return where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)), out=out)


def elu_derivative_from_output(y, alpha, out=None):
    return where(y > 0, 1, y + alpha, out=out)


def selu(x, out=None):
    return where(x >= 0, SELU_SCALE * x, SELU_SCALE_ALPHA * np.expm1(np.minimum(x, 0)), out=out)


def selu_derivative(x, out=None):
    return where(x > 0, SELU_SCALE, SELU_SCALE_ALPHA * np.exp(np.minimum(x, 0)), out=out)


def selu_derivative_from_output(y, out=None):
    return where(y > 0, SELU_SCALE, (y + SELU_HIGH) + SELU_LOW, out=out)


# ---------------------------------------------------------------- sigmoid, tanh
def sigmoid(x, out=None):
    e = np.exp(-np.abs(x))
    return np.divide(np.where(x >= 0, 1, e), 1 + e, out=out)


def sigmoid_derivative(x, out=None):
    e = np.exp(-np.abs(x))
    return np.divide(e, np.square(1 + e), out=out)


def sigmoid_derivative_from_output(y, out=None):
    return np.multiply(y, 1 - y, out=out)


def tanh(x, out=None):
    return np.tanh(x, out=out)


def tanh_derivative(x, out=None):
    e = np.exp(-2 * np.abs(x))
    return np.divide(4 * e, np.square(1 + e), out=out)


def tanh_derivative_from_output(y, out=None):
    return np.multiply(1 - y, 1 + y, out=out)


# ---------------------------------------------------------------- swish
# h = e^(-|beta x| / 2), multiplied twice: a subnormal e^(-|beta x|) would lose bits that x brings back into range.
def swish(x, beta, out=None):
    limited = finite(x)
    t = beta * limited
    h = np.exp(-0.5 * np.abs(t))
    gated = np.where(t < 0, limited * h, x) / (1 + h * h)
    return np.multiply(gated, np.where(t < 0, h, 1), out=out)


def swish_derivative(x, beta, out=None):
    t = np.maximum(np.minimum(beta * finite(x), 2000), -2000)
    h = np.exp(-0.5 * np.abs(t))
    u = 1 + h * h
    negative = (1 + t / u) * h / u * h
    return where(t < 0, negative, (1 + t * h * h / u) / u, out=out)


def swish_parameter_derivative(x, beta, out=None):
    x = finite(x)
    h = np.exp(-0.5 * np.abs(beta * x))
    return np.square(x * h / (1 + h * h), out=out)


# ---------------------------------------------------------------- softplus, logsigmoid
def softplus(x, beta, out=None):
    t = beta * x
    return np.add(np.where(t > 0, x, 0), np.log1p(np.exp(-np.abs(t))) / beta, out=out)


def softplus_derivative(x, beta, out=None):
    return sigmoid(beta * x, out=out)


def softplus_derivative_from_output(y, beta, out=None):
    return np.negative(np.expm1(-beta * y), out=out)


def logsigmoid(x, out=None):
    return np.negative(np.maximum(-x, 0) + np.log1p(np.exp(-np.abs(x))), out=out)


def logsigmoid_derivative(x, out=None):
    return sigmoid(-x, out=out)


# ---------------------------------------------------------------- gelu
# NumPy has no erfc, and a loop around math.erfc would be thirty times slower than a Chebyshev series.
def mills_ratio(a):
    """Phi(-a) / e^(-a^2/2) for a >= 0."""
    scale = coefficients.SERIES_SCALE
    return chebval((a - scale) / (a + scale), np.asarray(coefficients.SERIES, a.dtype)) / (a + scale)


def half_square_exponential(a):
    """e^(-a^2/2); the square of ``near`` is exact, for exp would multiply its rounding."""
    near = np.rint(16 * a) / 16
    return np.exp(-0.5 * near * near) * np.exp(-0.5 * (a - near) * (a + near))


def gelu(x, out=None):
    a = np.minimum(np.abs(x), 64)
    gelu_ = np.maximum(x, 0) - a * mills_ratio(a) * half_square_exponential(a)
    return np.copysign(gelu_, x, out=out)  # where it vanishes, too


def gelu_derivative(x, out=None):
    a = np.minimum(np.abs(x), 64)
    falling = (mills_ratio(a) - a / SQRT_TWO_PI) * half_square_exponential(a)
    return where(x < 0, falling, 1 - falling, out=out)


# ---------------------------------------------------------------- gelu_tanh, quick_gelu
# exp multiplies a rounding of its argument by up to 88 (float32) or 745 (float64).
def gelu_tanh(x, out=None):
    limited = np.maximum(np.minimum(x, 64), -64)
    t = 2 * GELU_ROOT * (limited + GELU_CUBIC * limited * limited * limited)
    h = np.exp(-0.5 * np.abs(t))
    gated = np.where(t < 0, limited * h, x) / (1 + h * h)
    return np.multiply(gated, np.where(t < 0, h, 1), out=out)


def gelu_tanh_derivative(x, out=None):
    x = np.maximum(np.minimum(x, 64), -64)
    t = 2 * GELU_ROOT * (x + GELU_CUBIC * x * x * x)
    slope = 2 * GELU_ROOT * (x + 3 * GELU_CUBIC * x * x * x)
    h = np.exp(-0.5 * np.abs(t))
    u = 1 + h * h
    negative = (1 + slope / u) * h / u * h
    return where(t < 0, negative, (1 + slope * h * h / u) / u, out=out)


def quick_gelu(x, out=None):
    return swish(x, QUICK_GELU, out=out)


def quick_gelu_derivative(x, out=None):
    return swish_derivative(x, QUICK_GELU, out=out)


# ---------------------------------------------------------------- mish
# With n of e^x divided by e^2x where x > 0: of e = e^-|x|, whose root is multiplied twice as for swish.
def mish(x, out=None):
    limited = finite(x)
    h = np.exp(-0.5 * np.abs(limited))
    e = h * h
    negative = limited * h * ((2 + e) / (2 + e * (2 + e))) * h
    return where(x < 0, negative, x * ((1 + 2 * e) / (1 + 2 * e * (1 + e))), out=out)


def mish_derivative(x, out=None):
    x = np.maximum(np.minimum(x, 2000), -2000)
    h = np.exp(-0.5 * np.abs(x))
    e = h * h
    u = 1 + e * (1 + 0.5 * e)
    negative = ((1 + 0.5 * e) * u + x * (1 + e)) * h / np.square(u) * h
    u = 1 + 2 * e * (1 + e)
    return where(x < 0, negative, 1 + 2 * e * e * (2 * x * (1 + e) - u) / np.square(u), out=out)


# ---------------------------------------------------------------- exponential
def exponential(x, out=None):
    return np.exp(x, out=out)


def exponential_derivative(x, out=None):
    return np.exp(x, out=out)


def exponential_derivative_from_output(y, out=None):
    return np.positive(y, out=out)


# ---------------------------------------------------------------- celu
def celu(x, alpha, out=None):
    return where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha), out=out)


def celu_derivative(x, alpha, out=None):
    return where(x > 0, 1, np.exp(np.minimum(x, 0) / alpha), out=out)


def celu_derivative_from_output(y, alpha, out=None):
    return where(y > 0, 1, (y + alpha) / alpha, out=out)


# ---------------------------------------------------------------- tanhshrink
def tanhshrink(x, out=None):
    a = np.abs(x)
    e = np.exp(-2 * a)
    # x - tanh(x) cancels, but not in tanh's continued fraction x / (1 + x^2 / (3 + x^2 / (5 + ...))).
    near = np.maximum(np.minimum(x, 1), -1)
    square = np.square(near)
    rest = functools.reduce(lambda below, odd: square / (odd + below), range(25, 3, -2), 0)
    small = near * square / (3 + square + rest)
    return where(a > 1, np.copysign((a - 1) + 2 * e / (1 + e), x), small, out=out)


def tanhshrink_derivative(x, out=None):
    return np.square(np.tanh(x), out=out)


# ---------------------------------------------------------------- softcap
def softcap(x, cap, out=None):
    return np.multiply(cap, np.tanh(x / cap), out=out)


def softcap_derivative(x, cap, out=None):
    return tanh_derivative(x / cap, out=out)


# ---------------------------------------------------------------- softmax, softmin, log_softmax
def softmax(x, out=None):
    e = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.divide(e, e.sum(axis=-1, keepdims=True), out=out)


def softmax_backward_from_output(g, y, out=None):
    return np.multiply(y, g - (g * y).sum(axis=-1, keepdims=True), out=out)


def softmax_jacobian(x, out=None):
    y = softmax(x)
    identity = np.eye(x.shape[-1], dtype=x.dtype)
    return np.multiply(y[..., :, None], identity - y[..., None, :], out=out)


def softmin(x, out=None):
    return softmax(-x, out=out)


def softmin_backward_from_output(g, y, out=None):
    return softmax_backward_from_output(-g, y, out=out)


def softmin_jacobian(x, out=None):
    return np.negative(softmax_jacobian(-x), out=out)


def log_softmax(x, out=None):
    largest = x.max(axis=-1, keepdims=True, initial=-np.inf)
    top, e = x == largest, np.exp(x - largest)
    # The largest terms are 1, beside which small ones would be lost; an infinity less itself is NaN.
    others = top.sum(axis=-1, keepdims=True, dtype=x.dtype) - 1 + (largest - largest)
    others += np.where(top, 0, e).sum(axis=-1, keepdims=True)
    return np.subtract(x - largest, np.log1p(others), out=out)


def log_softmax_backward_from_output(g, y, out=None):
    return np.subtract(g, np.exp(y) * g.sum(axis=-1, keepdims=True), out=out)


def log_softmax_jacobian(x, out=None):
    y = softmax(x)
    return np.subtract(np.eye(x.shape[-1], dtype=x.dtype), y[..., None, :], out=out)


# ---------------------------------------------------------------- sparsemax
def sparsemax(x, out=None):
    z = x - x.max(axis=-1, keepdims=True, initial=-np.inf)
    falling = -np.sort(-z, axis=-1)
    sums = falling.cumsum(axis=-1) - 1
    counts = np.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    # As many entries as stay above the threshold that makes their sum 1.
    kept = (counts * falling > sums).sum(axis=-1, keepdims=True)
    threshold = np.take_along_axis(sums, kept - 1, axis=-1) / kept.astype(x.dtype)
    return np.maximum(z - threshold, 0, out=out)


def sparsemax_backward_from_output(g, y, out=None):
    inside = np.where(y > 0, y.dtype.type(1), y - y)
    mean = (g * inside).sum(axis=-1, keepdims=True) / inside.sum(axis=-1, keepdims=True)
    return np.multiply(inside, g - mean, out=out)


def sparsemax_jacobian(x, out=None):
    y = sparsemax(x)
    inside = np.where(y > 0, y.dtype.type(1), y - y)
    share = inside / inside.sum(axis=-1, keepdims=True)
    identity = np.eye(x.shape[-1], dtype=x.dtype)
    return np.multiply(inside[..., :, None], identity - share[..., None, :], out=out)


# ---------------------------------------------------------------- backend
def reason() -> str | None:
    """None: NumPy is always there."""
    return None


def variants() -> tuple[str, ...]:
    return ()


def bind(record: Activation, form: str, dtype: type, accuracy: str, variant: str | None = None) -> Callable:
    """The kernel of one form over contiguous arrays of ``dtype``; "accurate" computes float32 in float64."""
    if variant is not None:
        raise LookupError(f"numpy has no variant {variant!r}")
    text = [texts.find(sys.modules[__name__], name) for name in texts.names(record, form)]
    compose = _COMPOSED[record.kind].get(form)
    kernel = compose(*text) if compose else text[0]
    if record.gate:
        kernel = functools.partial(kernel, record.gate_parameters)
    wide = is_half(dtype) or (accuracy == "accurate" and dtype is np.float32)
    return _widened(kernel, dtype) if wide else kernel


def _backward(derivative: Callable) -> Callable:
    def backward(g, x, *params, out=None):
        return np.multiply(g, derivative(x, *params), out=out)

    return backward


def _value_and_derivative(value: Callable, derivative: Callable) -> Callable:
    def value_and_derivative(x, *params, out=None):
        first, second = out or (None, None)
        if second is not None and np.may_share_memory(x, second):
            return value(x, *params, out=first), derivative(x, *params, out=second)
        slope = derivative(x, *params, out=second)  # before the value, which may overwrite x
        return value(x, *params, out=first), slope

    return value_and_derivative


def _backward_rows(value: Callable, backward: Callable) -> Callable:
    return lambda g, x, out=None: backward(g, value(x), out=out)


def _gate(value: Callable) -> Callable:
    def gated(params, x, out=None):
        a, b = np.split(x, 2, axis=-1)
        return np.multiply(a, value(b, *params), out=out)

    return gated


def _gate_backward(value: Callable, derivative: Callable) -> Callable:
    def backward(params, g, x, out=None):
        a, b = np.split(x, 2, axis=-1)
        return np.concatenate([g * value(b, *params), g * a * derivative(b, *params)], axis=-1, out=out)

    return backward


#: The forms that are more than their text.
_ELEMENTWISE = {
    "backward": _backward,
    "backward_from_output": _backward,
    "value_and_derivative": _value_and_derivative,
}
_ROW = {"backward": _backward_rows}
_GATED = {"value": _gate, "backward": _gate_backward}
_COMPOSED = {"elementwise": _ELEMENTWISE, "row": _ROW, "gated": _GATED}


def _widened(kernel: Callable, dtype: type) -> Callable:
    """The kernel in float64, rounded once into arrays of ``dtype``."""

    def accurate(*data, out=None):
        result = kernel(*(a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in data))
        if isinstance(result, tuple):
            return tuple(stored(a, dtype, to) for a, to in zip(result, out or (None, None), strict=True))
        return stored(result, dtype, out)

    return accurate
