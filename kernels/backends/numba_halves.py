"""Load and store of float16 and bfloat16 for the Numba backends, CPU and CUDA, which have no such numbers.

Their bit patterns, uint16, to float64 and back, rounded once. Plain functions, compiled by whoever binds them.
"""

# ruff: noqa: F821
from __future__ import annotations

import types
from collections.abc import Callable

import numpy as np

from kernels.half import HALVES


def widened(code):
    """The float64 of a bit pattern: its exponent is too small by a constant."""
    word = np.int64(code)
    size = word & MAGNITUDE
    moved = size << PLACES
    number = from_bits(moved | EXPONENT) if size >= INFINITE else from_bits(moved) * UP
    return copy_sign(number, from_bits(word << SIGN_PLACES))


def narrowed(x):
    """The bit pattern of the nearest number: a sum with 1.5 times this power of two has the half type's last place."""
    size = abs(x)
    bounded = LIMIT if size > LIMIT else size
    within = SMALLEST if bounded < SMALLEST else bounded
    shift = from_bits(bits(within) & EXPONENT) * LAST_PLACE
    rounded = (size + shift) - shift
    finite = bits(rounded * DOWN) >> PLACES
    code = INFINITE if size >= LIMIT else finite
    sign = (bits(x) >> SIGN_PLACES) & SIGN
    return np.uint16((code if size == size else NAN) | sign)


def bind(name: str, primitives: dict, jit: Callable) -> tuple[Callable, Callable]:
    """(widened, narrowed) of a half type, compiled by ``jit``; primitives: ``bits``, ``from_bits``, ``copy_sign``."""
    half = HALVES[name]
    exponents = 16 - half.bits
    places = 53 - half.bits
    up = 2.0 ** (1023 - (2 ** (exponents - 1) - 1))
    infinite = (2**exponents - 1) << (half.bits - 1)
    numbers = {
        "UP": up,
        "DOWN": 1 / up,
        "LIMIT": half.limit,
        "SMALLEST": half.smallest,
        "LAST_PLACE": 1.5 * 2.0**places,
    }
    words = {
        "MAGNITUDE": 0x7FFF,
        "SIGN": 0x8000,
        "SIGN_PLACES": 48,
        "PLACES": places,
        "EXPONENT": 0x7FF << 52,
        "INFINITE": infinite,
        "NAN": infinite | 1 << (half.bits - 2),
    }
    namespace = {"np": np, "abs": abs, **primitives}
    namespace |= {key: np.float64(value) for key, value in numbers.items()}
    namespace |= {key: np.int64(value) for key, value in words.items()}
    return tuple(jit(types.FunctionType(text.__code__, namespace, text.__name__)) for text in (widened, narrowed))
