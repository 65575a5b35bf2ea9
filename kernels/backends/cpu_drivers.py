"""The drivers of the Numba CPU backend: loops over blocks and rows that call serial kernels by address.

A driver compiles once for a dtype, whichever the kernels are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange

from kernels.backends.cpu_primitives import call

#: Elements of a block: what a block needs stays in the first-level cache.
BLOCK = 1024


def _span(parallel: bool) -> Any:
    return prange if parallel else range


def _compiled(driver: Callable, parallel: bool) -> Callable:
    return njit(parallel=parallel, error_model="numpy", nogil=True)(driver)


@functools.cache
def block_driver(dtype: type, compute: type, parallel: bool) -> Callable:
    """The loop over blocks of elements, for arrays of ``dtype`` computed in ``compute``."""
    span = _span(parallel)
    same = dtype is compute

    def over_blocks(first, second, x, g, out, out2, params, each):
        """Kernel ``first`` gives out (times g where g is not empty), kernel ``second`` out2 where it is not 0."""
        source_at = x.ctypes.data
        direct = same and not g.size and source_at != out.ctypes.data and source_at != out2.ctypes.data
        for k in span((x.size + BLOCK - 1) // BLOCK):
            start = k * BLOCK
            stop = min(start + BLOCK, x.size)
            values = params[start:stop] if each else params
            if direct:
                call(first, x[start:stop], out[start:stop], stop - start, values, values)
                if second:
                    call(second, x[start:stop], out2[start:stop], stop - start, values, values)
                continue
            source = x[start:stop].astype(compute)
            result = np.empty(stop - start, compute)
            call(first, source, result, stop - start, values, values)
            if g.size:
                for i in range(stop - start):
                    out[start + i] = compute(g[start + i]) * result[i]
            else:
                for i in range(stop - start):
                    out[start + i] = result[i]
            if second:
                call(second, source, result, stop - start, values, values)
                for i in range(stop - start):
                    out2[start + i] = result[i]

    return _compiled(over_blocks, parallel)


@functools.cache
def row_driver(compute: type, parallel: bool) -> Callable:
    """The loop over rows, computed in ``compute``."""
    span = _span(parallel)

    def over_rows(first, second, x, g, out):
        """``first`` turns x into y where it is not 0; ``second`` turns (g, y) into the gradient where it is not 0."""
        n = x.shape[1]
        for k in span(x.shape[0]):
            y = x[k].astype(compute)
            result = np.empty(n, compute)
            gradient = g[k].astype(compute)
            params = np.array([1, gradient.ctypes.data], np.intp)
            if first:
                call(first, y, result, n, params, gradient)
            if second:
                if first:
                    y[:] = result
                call(second, y, result, n, params, gradient)
            for i in range(n):
                out[k, i] = result[i]

    return _compiled(over_rows, parallel)


@functools.cache
def pair_driver(compute: type, parallel: bool) -> Callable:
    """The loop over the rows of gated pairs, computed in ``compute``."""
    span = _span(parallel)

    def over_pairs(kernel, x, g, out):
        """Blocks of the halves of x's rows into ``out``, in one half of which or in two the results are."""
        half = x.shape[1] // 2
        blocks = (half + BLOCK - 1) // BLOCK
        two = out.shape[1] > half
        for k in span(x.shape[0] * blocks):
            r, start = k // blocks, k % blocks * BLOCK
            stop = min(start + BLOCK, half)
            a, b = x[r, start:stop].astype(compute), x[r, half + start : half + stop].astype(compute)
            gradient = g[r, start:stop].astype(compute)
            first, second = np.empty(stop - start, compute), np.empty(stop - start, compute)
            params = np.array([b.ctypes.data, gradient.ctypes.data, second.ctypes.data], np.intp)
            call(kernel, a, first, stop - start, params, (b, gradient, second))
            for i in range(stop - start):
                out[r, start + i] = first[i]
            if two:
                for i in range(stop - start):
                    out[r, half + start + i] = second[i]

    return _compiled(over_pairs, parallel)


@functools.cache
def half_driver(compute: type, parallel: bool) -> Callable:
    """The loop over blocks of a half type's bit patterns, computed in ``compute``."""
    span = _span(parallel)

    def over_blocks(load, save, first, second, x, g, out, out2, params, each):
        for k in span((x.size + BLOCK - 1) // BLOCK):
            start = k * BLOCK
            stop = min(start + BLOCK, x.size)
            n = stop - start
            source, result, other = np.empty(n, compute), np.empty(n, compute), np.empty(n, compute)
            call(load, x[start:stop], source, n, result, result)
            if each:
                call(load, params[start:stop], other, n, result, result)
                call(first, source, result, n, other, other)
            else:
                call(first, source, result, n, params, params)
            if g.size:
                call(load, g[start:stop], other, n, result, result)
                for i in range(n):
                    result[i] = other[i] * result[i]
            call(save, result, out[start:stop], n, result, result)
            if second:
                if each:
                    call(second, source, result, n, other, other)
                else:
                    call(second, source, result, n, params, params)
                call(save, result, out2[start:stop], n, result, result)

    return _compiled(over_blocks, parallel)


@functools.cache
def look_up_driver(parallel: bool) -> Callable:
    """The loop from a half type's bit patterns to those of one or two results, of which all are known."""
    span = _span(parallel)

    def over_codes(first, second, x, out, out2):
        for i in span(x.size):
            code = x[i]
            out[i] = first[code]
            if second.size:
                out2[i] = second[code]

    return _compiled(over_codes, parallel)
