"""What a newcomer to Numba writes: a parallel loop around math.exp. A contestant of the report."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from kernels import threads
from kernels.activations import Activation
from kernels.backends.numba_cpu import parallel_region, reason  # noqa: F401  (the latter is part of what a text has)
from kernels.backends.textbook import absent  # noqa: F401  (so is this)


@functools.cache
def loops() -> dict[str, Callable]:
    from numba import njit, prange

    @njit(parallel=True)
    def relu(x, out):
        for i in prange(x.size):
            out[i] = 0 if x[i] <= 0 else x[i]

    @njit(parallel=True)
    def leaky_relu(x, out, negative_slope):
        for i in prange(x.size):
            out[i] = x[i] if x[i] > 0 else negative_slope * x[i]

    @njit(parallel=True)
    def prelu(x, out, weight):
        for i in prange(x.size):
            out[i] = x[i] if x[i] > 0 else weight * x[i]

    @njit(parallel=True)
    def elu(x, out, alpha):
        for i in prange(x.size):
            out[i] = x[i] if x[i] > 0 else alpha * (math.exp(x[i]) - 1)

    @njit(parallel=True)
    def selu(x, out):
        for i in prange(x.size):
            out[i] = 1.0507009873554805 * (x[i] if x[i] > 0 else 1.6732632423543772 * (math.exp(x[i]) - 1))

    @njit(parallel=True)
    def sigmoid(x, out):
        for i in prange(x.size):
            out[i] = 1 / (1 + math.exp(-x[i]))

    @njit(parallel=True)
    def tanh(x, out):
        for i in prange(x.size):
            out[i] = math.tanh(x[i])

    @njit(parallel=True)
    def swish(x, out, beta):
        for i in prange(x.size):
            out[i] = x[i] / (1 + math.exp(-beta * x[i]))

    @njit(parallel=True)
    def softmax(x, out):
        for r in prange(x.shape[0]):
            largest = x[r, 0]
            for i in range(x.shape[1]):
                if x[r, i] > largest:
                    largest = x[r, i]
            total = 0.0
            for i in range(x.shape[1]):
                out[r, i] = math.exp(x[r, i] - largest)
                total += out[r, i]
            for i in range(x.shape[1]):
                out[r, i] /= total

    texts = relu, leaky_relu, prelu, elu, selu, sigmoid, tanh, swish, softmax
    return {text.__name__: text for text in texts}


@functools.cache
def serial(name: str) -> Callable:
    """A loop for one thread: a forked child must not come near OpenMP."""
    from numba import njit

    return njit(loops()[name].py_func)


def _run(name: str, *args) -> None:
    if threads.get_num_threads() == 1:
        serial(name)(*args)
        return
    with parallel_region():
        loops()[name](*args)


def bind(record: Activation, form: str, dtype: type, accuracy: str, variant: str | None = None) -> Callable:
    def kernel(x, *params, out=None):
        out = np.empty_like(x) if out is None else out
        x, target = (x.reshape(-1), out.reshape(-1)) if record.elementwise else (x, out)
        _run(record.name, x, target, *params)
        return out

    return kernel
