"""The functions in Triton, as its users write them: a block of elements, or a row, for each program.

Whatever the arrays are of, numbers are computed in float32, and stored as what the output is of. ``p`` is the
function's parameter, of those that have one. Importing this imports Triton.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

SQRT_HALF = tl.constexpr(0.7071067811865476)
SQRT_2_OVER_PI = tl.constexpr(0.7978845608028654)
SQRT_1_OVER_2_PI = tl.constexpr(0.3989422804014327)
GELU_CUBIC = tl.constexpr(0.044715)
#: Beyond it softplus is its input.
SOFTPLUS_LINEAR = tl.constexpr(20.0)


# ---------------------------------------------------------------- loops
@triton.jit
def value_kernel(x_ptr, out_ptr, n, p, formula: tl.constexpr, block: tl.constexpr):
    places = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = places < n
    x = tl.load(x_ptr + places, mask=inside).to(tl.float32)
    tl.store(out_ptr + places, formula(x, p), mask=inside)


@triton.jit
def backward_kernel(g_ptr, x_ptr, out_ptr, n, p, formula: tl.constexpr, block: tl.constexpr):
    places = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = places < n
    g = tl.load(g_ptr + places, mask=inside).to(tl.float32)
    x = tl.load(x_ptr + places, mask=inside).to(tl.float32)
    tl.store(out_ptr + places, g * formula(x, p), mask=inside)


@triton.jit
def row_kernel(x_ptr, out_ptr, columns, formula: tl.constexpr, block: tl.constexpr):
    places = tl.arange(0, block)
    inside = places < columns
    row = tl.program_id(0).to(tl.int64) * columns
    x = tl.load(x_ptr + row + places, mask=inside, other=-float("inf")).to(tl.float32)
    tl.store(out_ptr + row + places, formula(x), mask=inside)


@triton.jit
def row_backward_kernel(g_ptr, y_ptr, out_ptr, columns, formula: tl.constexpr, block: tl.constexpr):
    places = tl.arange(0, block)
    inside = places < columns
    row = tl.program_id(0).to(tl.int64) * columns
    g = tl.load(g_ptr + row + places, mask=inside, other=0.0).to(tl.float32)
    y = tl.load(y_ptr + row + places, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + row + places, formula(g, y), mask=inside)


# ---------------------------------------------------------------- values
@triton.jit
def relu(x, p):
    return tl.maximum(x, 0.0)


@triton.jit
def leaky_relu(x, p):
    return tl.where(x > 0, x, p * x)


@triton.jit
def elu(x, p):
    return tl.where(x > 0, x, p * libdevice.expm1(x))


@triton.jit
def sigmoid(x, p):
    return tl.sigmoid(x)


@triton.jit
def tanh(x, p):
    return libdevice.tanh(x)


@triton.jit
def swish(x, p):
    return x * tl.sigmoid(p * x)


@triton.jit
def softplus(x, p):
    t = p * x
    return tl.where(t > SOFTPLUS_LINEAR, x, libdevice.log1p(tl.exp(t)) / p)


@triton.jit
def gelu(x, p):
    return 0.5 * x * (1.0 + tl.erf(x * SQRT_HALF))


@triton.jit
def _gelu_argument(x):
    # Constants come second: the interpreter takes a product that begins with one for a constant.
    return (x + x * x * x * GELU_CUBIC) * SQRT_2_OVER_PI


@triton.jit
def gelu_tanh(x, p):
    return 0.5 * x * (1.0 + libdevice.tanh(_gelu_argument(x)))


@triton.jit
def mish(x, p):
    return x * libdevice.tanh(softplus(x, 1.0))


@triton.jit
def exponential(x, p):
    return tl.exp(x)


# ---------------------------------------------------------------- derivatives, from the input
@triton.jit
def relu_slope(x, p):
    return tl.where(x > 0, 1.0, 0.0)


@triton.jit
def leaky_relu_slope(x, p):
    return tl.where(x > 0, 1.0, p)


@triton.jit
def elu_slope(x, p):
    return tl.where(x > 0, 1.0, p * tl.exp(x))


@triton.jit
def sigmoid_slope(x, p):
    y = tl.sigmoid(x)
    return y * (1.0 - y)


@triton.jit
def tanh_slope(x, p):
    y = libdevice.tanh(x)
    return 1.0 - y * y


@triton.jit
def swish_slope(x, p):
    s = tl.sigmoid(p * x)
    return s * (1.0 + p * x * (1.0 - s))


@triton.jit
def softplus_slope(x, p):
    return tl.sigmoid(p * x)


@triton.jit
def gelu_slope(x, p):
    return 0.5 * (1.0 + tl.erf(x * SQRT_HALF)) + x * SQRT_1_OVER_2_PI * tl.exp(-0.5 * x * x)


@triton.jit
def gelu_tanh_slope(x, p):
    t = libdevice.tanh(_gelu_argument(x))
    inner = (1.0 + 3.0 * x * x * GELU_CUBIC) * SQRT_2_OVER_PI
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner


@triton.jit
def mish_slope(x, p):
    t = libdevice.tanh(softplus(x, 1.0))
    return t + x * tl.sigmoid(x) * (1.0 - t * t)


@triton.jit
def exponential_slope(x, p):
    return tl.exp(x)


# ---------------------------------------------------------------- derivatives, from the output
@triton.jit
def sigmoid_slope_from_output(y, p):
    return y * (1.0 - y)


@triton.jit
def tanh_slope_from_output(y, p):
    return 1.0 - y * y


@triton.jit
def exponential_slope_from_output(y, p):
    return y


# ---------------------------------------------------------------- rows
@triton.jit
def softmax(x):
    terms = tl.exp(x - tl.max(x, axis=0))
    return terms / tl.sum(terms, axis=0)


@triton.jit
def log_softmax(x):
    shifted = x - tl.max(x, axis=0)
    return shifted - tl.log(tl.sum(tl.exp(shifted), axis=0))


@triton.jit
def softmax_backward_from_output(g, y):
    return y * (g - tl.sum(g * y, axis=0))


@triton.jit
def log_softmax_backward_from_output(g, y):
    return g - tl.exp(y) * tl.sum(g, axis=0)
