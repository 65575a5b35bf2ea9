"""Half types, float16 and bfloat16: how float64 is rounded to them once, and when float32 is not enough to tell how."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kernels.activations import Activation
from kernels.constants import HALF_TYPES

#: Bits of a float64 that are not its exponent.
_SIGNIFICAND = 52


class Half(NamedTuple):
    """A half type: bits of the significand, the smallest normal number, and from where on it is infinite."""

    bits: int
    smallest: float
    limit: float


HALVES = {"float16": Half(11, 2.0**-14, 65520.0), "bfloat16": Half(8, 2.0**-126, (2 - 2.0**-8) * 2.0**127)}


def format_behind(form: str) -> str:
    """The format whose results, rounded once, elementwise functions of half types give in a form; others: float32."""
    return "float32" if form.startswith("backward") else "wide"


def named(name: str) -> np.dtype:
    """A dtype by name; NumPy knows bfloat16 once ml_dtypes is there."""
    if name == "bfloat16":
        import ml_dtypes  # noqa: F401
    return np.dtype(name)


def is_half(dtype: np.dtype | type) -> bool:
    return np.dtype(dtype).name in HALF_TYPES


def rounded(values: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Values as an array of a dtype, rounded once: NumPy rounds float64 to float32 on its way to bfloat16."""
    dtype, values = np.dtype(dtype), np.asarray(values)
    if not is_half(dtype) or values.dtype != np.float64:
        with np.errstate(over="ignore", invalid="ignore"):
            return values.astype(dtype, copy=False)
    half = HALVES[dtype.name]
    size = np.abs(values)
    power = np.clip(size, half.smallest, half.limit).view(np.int64) >> _SIGNIFICAND
    # Sums with 1.5 times this power of two have the last place of the half type.
    shift = 1.5 * ((power + (_SIGNIFICAND + 1 - half.bits)) << _SIGNIFICAND).view(np.float64)
    with np.errstate(invalid="ignore"):
        result = np.where(size >= half.limit, np.inf, (size + shift) - shift)
        return np.copysign(result, values).astype(dtype)


def through_float32(kernel: Callable) -> Callable:
    """A kernel for float32 arrays as one for arrays of a half type, whose results are float32's, rounded once."""

    def of_halves(*data, out=None):
        dtype = data[0].dtype
        results = kernel(*(a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in data))
        if isinstance(results, tuple):
            return tuple(stored(one, dtype, to) for one, to in zip(results, out or (None, None), strict=True))
        return stored(results, dtype, out)

    return of_halves


def stored(result: np.ndarray, dtype: np.dtype | type, out: np.ndarray | None) -> np.ndarray:
    """A result, rounded once, in ``out`` or in a new array."""
    narrow = rounded(result, dtype)
    if out is None:
        return narrow
    out[...] = narrow
    return out


class Margin(NamedTuple):
    """How far a result in float32 may be off, and the store step that finds where that decides how it is rounded.

    By ``steps`` of float32 numbers; or by relative |y| + least.
    """

    step: str
    steps: int = 0
    relative: float = 0.0
    least: float = 0.0


#: Rounded right without a look.
SURE = Margin("")
_EPS = 2.0**-23
#: One operation on half types' numbers, rounded to float32 and then again, gives what rounding once does: float32 has
#: twice their bits and two more.
_ONE_ROUNDING = 0.5
_BOTH = ("gelu_tanh_derivative", "hardsigmoid", "hardswish_derivative", "selu", "softsign", "tanh")
#: Without parameters, and right for each number, though the bound does not promise it: tests/test_half.py does.
SHOWN = {
    "float16": _BOTH,
    "bfloat16": (
        *_BOTH,
        "exponential",
        "exponential_derivative",
        "gelu_derivative",
        "logsigmoid",
        "logsigmoid_derivative",
        "mish",
        "quick_gelu_derivative",
        "selu_derivative",
        "sigmoid",
        "sigmoid_derivative",
        "softsign_derivative",
        "sparse_plus",
        "tanh_derivative",
        "tanhshrink_derivative",
    ),
}
#: Near 0 they are x / 2, a tie of subnormals, and above it by less than float32 shows: right for each number, too, if x
#: is first moved up by a step, and the result has x's sign.
STEPPED = {"float16": ("gelu", "hardswish"), "bfloat16": ("gelu", "gelu_tanh", "hardswish", "quick_gelu")}
#: In last places of subnormals.
_STEP = 2.0**-12
#: With a text of their own for half types' numbers.
_OWN_TEXT = ("hardsigmoid", "hardswish", "hardswish_derivative")


def rounds_right(record: Activation, formula: str, dtype: str) -> bool:
    """Whether ``text_of_half``, in float32, is rounded right for all numbers of a half type, for any parameters."""
    return formula in STEPPED[dtype] or margin(record, formula, dtype) is SURE


def text_of_half(formula: str) -> str:
    """The text that computes a formula from half types' numbers."""
    return f"{formula}_of_half" if formula in _OWN_TEXT else formula


def step_up(formula: str, dtype: str) -> float:
    """How far x is moved up before ``text_of_half``, whose result has x's sign then; 0 where it stays."""
    half = HALVES[dtype]
    return half.smallest * 2.0 ** (1 - half.bits) * _STEP if formula in STEPPED[dtype] else 0.0


def margin(record: Activation, formula: str, dtype: str) -> Margin:
    """How far a formula in float32 may be off."""
    bounds = record.ulp[formula.removeprefix(record.name).removeprefix("_") or "value"]
    near_root = 1.01 * bounds.absolute * _EPS
    if formula in SHOWN[dtype] or (bounds.float32 <= _ONE_ROUNDING and not near_root):
        return SURE
    if near_root:
        # In units in the last place, which a power of two changes; the margin itself is rounded, too.
        return Margin("save_tested", 0, (bounds.float32 + 0.51) * _EPS, near_root)
    return Margin("save_near", math.ceil(bounds.float32))
