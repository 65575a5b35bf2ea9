"""Constants of the formulas for both float formats: one source for the Cython and the Numba text.

Imports nothing heavy: the build script renders the Cython text from it.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from kernels import coefficients

_SELU_ALPHA = 1.6732632423543772848
_SELU_SCALE = 1.0507009873554804934
#: 1 / sqrt(2 pi)
_DENSITY = 0.3989422804014327
#: gelu_tanh is x s(2u), u = _GELU_ROOT (x + _GELU_CUBIC x^3); _GELU_ROOT is sqrt(2 / pi).
_GELU_ROOT = 0.7978845608028654
_GELU_CUBIC = 0.044715
_QUICK_GELU = 1.702

#: Sums over a row use this many float64 accumulators (element i goes to lane i % LANES), then a halving tree over the
#: lanes, so that every level, thread count and device adds in the same order.
LANES = 32

#: Elements that a streamed loop computes before it writes them: whole cache lines in both dtypes.
STREAMED = 64

#: Rows that a row kernel works on together: enough to keep the processor busy while each waits for its own sum.
ROW_BATCH = 8

#: Functions of the vector math that have loops of their own, for their tests.
VECTOR_MATH = ("exp_nonpositive", "expm1_nonpositive", "log1p", "log1p_positive")

#: What a formula computes in: its array's dtype, or "wide", the float64 inside of the accurate class, which is accurate
#: enough to round to float32 and needs neither a long polynomial nor scaling.
FORMATS = ("float32", "float64", "wide")

#: Stored, not computed in.
HALF_TYPES = ("float16", "bfloat16")
#: Numbers of a half type.
CODES = 65_536
#: Elements of half types that are worked on together, as in native/half_test.h.
HALF_WORD = 64
DTYPES = ("float32", "float64", *HALF_TYPES)


def inside(dtype: str, accuracy: str) -> str:
    """The format in which arrays of ``dtype`` are computed."""
    return "wide" if accuracy == "accurate" and dtype == "float32" else dtype


def _to_float32(value: float) -> float:
    return struct.unpack("f", struct.pack("f", value))[0]


def _split(value: float, double: bool) -> tuple[float, float]:
    """A positive value as high + low, low >= 0; in float64 the constant is the double itself and low is 0.

    A negative low would turn -0.0 * high + -0.0 * low into +0.0.
    """
    if double:
        return value, 0.0
    high = _to_float32(value)
    high = high if high <= value else _to_float32(high * (1 - 2.0**-24))
    return high, _to_float32(value - high)


def _parts(value: Fraction, double: bool, bits: int) -> tuple[float, float]:
    """A value as high + low, the high part of so many bits at most, 1 <= value < 2."""
    high = Fraction(round(value * 2 ** (bits - 1)), 2 ** (bits - 1))
    return float(high), float(value - high) if double else _to_float32(float(value - high))


def constants(name: str) -> dict[str, float | tuple[float, ...]]:
    """Name -> value, each exactly representable in the format ``name``."""
    double, wide = name != "float32", name == "wide"
    table = getattr(coefficients, name.upper())
    shift = 1.5 * 2.0**52 + 1023 if double else 1.5 * 2.0**23 + 127
    # float64 holds whatever rounds to a float32.
    scale = 0 if wide else 512 if double else 64
    selu_scale, selu_scale_low = _split(_SELU_SCALE, double)
    selu_scale_alpha, selu_scale_alpha_low = _split(_SELU_SCALE * _SELU_ALPHA, double)
    # 8 / 6, for its significand begins at 1.
    sixth, sixth_low = _parts(Fraction(8, 6), double, 53 if double else 24)
    # Where the linear part has fewer bits than the format, what a sum with it loses is itself a number of the format.
    slope, slope_low = _parts(2 * Fraction(_GELU_ROOT), double, 48 if double else 19)
    cubic, cubic_low = _parts(2 * Fraction(_GELU_ROOT) * Fraction(_GELU_CUBIC) * 16, double, 53 if double else 24)
    quick, quick_low = _parts(Fraction(_QUICK_GELU), double, 53 if double else 24)
    return {
        "EXP": table["exp"],
        "LOG1P": table["log1p"],
        "LOG1P_REST": table.get("log1p_rest", ()),
        "TAIL": table["tail"],
        "EXP_TWICE": table["exp_twice"],
        "TANH": table["tanh"],
        "TANH_FAR": table["tanh_far"],
        "TAIL_SCALE": table["tail_scale"],
        "TAIL_MIDDLE": table["tail_middle"],
        "TAIL_END": table["tail_end"],
        "LOG2E": table["log2e"],
        "LN2_HIGH": table["ln2_high"],
        "LN2_LOW": table["ln2_low"],
        "LN2": table["ln2"],
        # Adding it to |v| < 2^21 (2^50) rounds v to an integer, biased as exponents are, in the significand's low bits.
        "SHIFT": shift,
        "SHIFT_UP": shift + scale,
        "SHIFT_DOWN": shift - scale,
        # 1 / SCALE, where SCALE keeps e^EXP_FLOOR a normal number, and DOWN e^-EXP_FLOOR.
        "DOWN": 2.0**-scale,
        "UP": 2.0**scale,
        "LARGEST": _to_float32(3.4028234663852886e38) if name == "float32" else 1.7976931348623157e308,
        "EXP_FLOOR": -1000.0 if name == "float64" else -130.0,
        # e^x - 1 is -1 from here on.
        "EXPM1_FLOOR": -40.0 if double else -18.0,
        # A row's terms are of x itself while |largest| is at most this; beyond, x - largest is exact where it counts.
        "BASE_FROM": 4096.0 if double else 256.0,
        # Compensated sums of a row's terms start here, above every term; in float64 so far that their tree is exact.
        "SUM_START": 2.0**532 if double else 2.0**65,
        # Added to a parameter to keep a division by it finite; nothing beside a square that counts.
        "SMALL": 2.0 ** (-1000 if double else -120),
        # Numbers beyond it are scaled lest their squares overflow.
        "SQUARE_FROM": 2.0**500 if double else 2.0**60,
        # What infinity counts as where it would meet another one: the largest power of two.
        "LARGE": 2.0**1023 if name == "float64" else 2.0**127,
        # Of "wide" only: far below what rounds to a float32, far above float64's last place.
        "VISIBLE": 2.0**-40,
        "SIXTH": sixth / 8,
        "SIXTH_LOW": sixth_low / 8,
        "THIRD": sixth / 4,
        "THIRD_LOW": sixth_low / 4,
        # tanh is 1 from here on, and 1 / (1 + e^-x).
        "TANH_ONE": 20.0 if double else 9.125,
        "GATE_OPEN": 40.0 if double else 20.0,
        # log(1 + x) is x up to here.
        "LOG1P_LINEAR": 2.0 ** (-55 if name == "float64" else -36 if wide else -26),
        # 1 + x is halved from here on.
        "SQRT2_LESS_1": _to_float32(2**0.5 - 1),
        # The tail's factor is written as a rest and this up to w = TAIL_FAR, and as a rest and 1/2 from there on: the
        # smaller the rest, the less of its rounding is left.
        "TAIL_NEAR": 0.5 if wide else 1.0,
        "TAIL_FAR": _to_float32(0.4),
        # The normal density at 0.
        "DENSITY": _DENSITY if double else _to_float32(_DENSITY),
        # Of x s(v) with v = x (GELU_SLOPE + GELU_CUBIC x^2) or v = QUICK x, in two parts; from x = END on e^-|v| is 0.
        "GELU_SLOPE": slope,
        "GELU_SLOPE_LOW": slope_low,
        "GELU_CUBIC": cubic / 16,
        "GELU_CUBIC_LOW": cubic_low / 16,
        "GELU_TANH_END": 23.5 if name == "float64" else 11.5,
        "QUICK": quick,
        "QUICK_LOW": quick_low,
        "QUICK_END": 585.0 if name == "float64" else 76.0,
        # mish is x from here on, and its derivative 1.
        "MISH_OPEN": 22.0 if double else 12.0,
        "SHRINK": table["shrink"],
        "SELU_SCALE": selu_scale,
        "SELU_SCALE_LOW": selu_scale_low,
        "SELU_SCALE_ALPHA": selu_scale_alpha,
        "SELU_SCALE_ALPHA_LOW": selu_scale_alpha_low,
    }
