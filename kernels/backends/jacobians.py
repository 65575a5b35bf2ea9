"""Jacobians of the row functions, dy_i/dx_j, from the rows that a compiled backend gives.

A function is called with the output of the row function, or of the one that its gradient goes ``through``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from kernels.activations import Activation, lookup
from kernels.backends import texts


def bind(record: Activation, value_for: Callable[[Activation, type], Callable], accuracy: str) -> Callable:
    """The kernel over rows, from a backend's own value kernels; float64 inside for the accurate class."""
    text = texts.find(sys.modules[__name__], f"{record.name}_jacobian")
    through = lookup(record.through or record.name)

    def kernel(x, out=None):
        inside = np.float64 if accuracy == "accurate" else x.dtype.type
        result = text(value_for(through, inside)(x.astype(inside, copy=False)))
        if out is None:
            return result.astype(x.dtype, copy=False)
        np.copyto(out, result, casting="same_kind")
        return out

    return kernel


def diagonal(matrices: np.ndarray) -> np.ndarray:
    """The diagonals, to be written to."""
    return np.einsum("rii->ri", matrices)


def softmax_jacobian(y: np.ndarray) -> np.ndarray:
    result = softmin_jacobian(y)
    return np.negative(result, out=result)


def softmin_jacobian(y: np.ndarray) -> np.ndarray:
    result = y[:, :, None] * y[:, None, :]
    diagonal(result)[...] -= y
    return result


def log_softmax_jacobian(p: np.ndarray) -> np.ndarray:
    result = np.repeat(-p[:, None, :], p.shape[1], axis=1)
    diagonal(result)[...] += 1
    return result


def sparsemax_jacobian(y: np.ndarray) -> np.ndarray:
    inside = np.where(y > 0, y.dtype.type(1), y - y)
    share = inside / inside.sum(axis=-1, keepdims=True)
    result = -inside[:, :, None] * share[:, None, :]
    diagonal(result)[...] += inside
    return result
