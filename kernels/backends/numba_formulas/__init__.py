"""Scalar formulas of the Numba backends, CPU and CUDA: plain functions, compiled by whoever binds them.

Each family is a module, as in ``native/formulas``. The names that it does not define (``real``, ``fma``,
``power_of_two``, ``copy_sign``, ``sqrt``, the constants, the formulas of other families) come from ``bind``, once per
target and format, so that every constant has the array's type and no float32 formula touches a double. The functions
are branch-free: selects, explicit fma, one division. Exponentials carry a factor SCALE or DOWN = 1 / SCALE where a
subnormal would lose bits or a large one overflow, and DOWN removes it at the end."""

from __future__ import annotations

import types
from collections.abc import Callable

import numpy as np

from kernels.backends.numba_formulas import algebraic, exponentials, rows, self_gated, sigmoids, vector_math
from kernels.constants import constants

FAMILIES = (vector_math, algebraic, exponentials, sigmoids, self_gated, rows)

#: name -> formula
FORMULAS = {
    name: value for family in FAMILIES for name, value in vars(family).items() if isinstance(value, types.FunctionType)
}

#: format -> its type
TYPES = {"float32": np.float32, "float64": np.float64, "wide": np.float64}

#: type -> bits of the significand field
SIGNIFICAND_BITS = {np.float32: 23, np.float64: 52}


def bind(name: str, primitives: dict, jit: Callable) -> dict[str, Callable]:
    """Every formula as a function for a format, compiled by ``jit`` over the target's primitives.

    ``primitives`` gives ``fma``, ``power_of_two`` (2^n from SHIFT + n), ``copy_sign`` and ``sqrt``.
    """
    dtype = TYPES[name]
    typed = {
        key: tuple(map(dtype, value)) if isinstance(value, tuple) else dtype(value)
        for key, value in constants(name).items()
    }
    flags = {"DOUBLE": name == "float64", "WIDE": name == "wide"}
    namespace = {**flags, "real": dtype, "abs": abs, **typed, **primitives}
    for key, function in FORMULAS.items():
        namespace[key] = jit(types.FunctionType(function.__code__, namespace, key))
    return namespace
