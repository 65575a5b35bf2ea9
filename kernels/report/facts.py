"""What can be computed about a function and is written nowhere: its curve, its kinks, where it saturates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kernels import oracle
from kernels.activations import Activation
from kernels.backends import numpy_vector

POINTS = 401
#: |f'| within this of its limit counts as there: what is left of the gradient is 1 %.
NEAR = 0.01
#: Where a search for the end of a tail begins.
PROBES = tuple(np.linspace(-100, 100, 201).tolist())


# ---------------------------------------------------------------- the curve
@dataclass(frozen=True)
class Segment:
    """A function and its derivative between two kinks."""

    x: np.ndarray
    value: np.ndarray
    derivative: np.ndarray


@dataclass(frozen=True)
class Corner:
    """A kink: the value and the derivative there, and (value, derivative) just before and just after it."""

    at: float
    value: float
    derivative: float
    left: tuple[float, float]
    right: tuple[float, float]


@dataclass(frozen=True)
class Curve:
    title: str
    segments: Sequence[Segment]
    corners: Sequence[Corner]


def curve(record: Activation, view: tuple[float, float]) -> Curve:
    """A function and its derivative as points, from the NumPy text."""
    found = corners(record)
    inside = [corner.at for corner in found if view[0] < corner.at < view[1]]
    edges = [view[0], *inside, view[1]]
    segments = []
    for low, high in itertools.pairwise(edges):
        x = np.linspace(low, high, POINTS)
        # The ends belong to the neighbours too: from within, one-sided limits are seen.
        x[0], x[-1] = np.nextafter(low, high), np.nextafter(high, low)
        segments.append(Segment(x, *_points(record, x)))
    return Curve(_title(record), segments, found)


def _points(record: Activation, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    value, backward = (numpy_vector.bind(record, form, np.float64, "fast") for form in ("value", "backward"))
    if record.elementwise:
        params = record.example_parameters
        return value(x, *params), backward(np.ones_like(x), x, *params)
    rows, column = _rows(record, x)
    y = value(rows)
    first = np.zeros_like(y)
    first[:, 0] = 1
    return y[:, 0], backward(first, rows)[:, column]


def _rows(record: Activation, x: np.ndarray) -> tuple[np.ndarray, int]:
    """Rows in which one entry is x, and which: [x, 0, 1], or of a pair the gate beside a = 1."""
    if record.kind == "row":
        return np.stack([x, np.zeros_like(x), np.ones_like(x)], axis=1), 0
    return np.stack([np.ones_like(x), x], axis=1), 1


def _title(record: Activation) -> str:
    if record.kind == "row":
        return f"first entry of {record.name}([x, 0, 1])"
    if not record.elementwise:
        return f"{record.name}([1, x])"
    params = [f"{parameter.name}={parameter.example:g}" for parameter in record.parameters]
    return f"{record.name}({', '.join(['x', *params])})"


def corners(record: Activation) -> list[Corner]:
    """The kinks, by the oracle."""
    value, slope = (_exact(record, key) for key in ("value", "derivative")) if record.kinks else (None, None)
    found = []
    for kink in record.kinks:
        beside = [math.nextafter(kink.at, side) for side in (-math.inf, math.inf)]
        left, right = ((float(value(x)), float(slope(x))) for x in beside)
        found.append(Corner(kink.at, float(value(kink.at)), float(slope(kink.at)), left, right))
    return found


def _exact(record: Activation, key: str) -> Callable:
    formula = oracle.lookup(record, key)
    return lambda x: formula(float(x), *record.example_parameters)


# ---------------------------------------------------------------- saturation
@dataclass(frozen=True)
class Reach:
    """From where on something holds outwards: the last float32 where it does not, the first where it does."""

    before: float
    first: float


#: It holds everywhere.
EVERYWHERE = Reach(math.nan, math.nan)


@dataclass(frozen=True)
class Tail:
    """One end of the axis; None: nowhere before infinity."""

    side: float
    limit: float
    #: f(x) rounds to its limit in float32.
    reached: Reach | None
    slope: float
    #: f'(x) is within NEAR of its limit.
    near: Reach | None
    #: f'(x) rounds to its limit in float32.
    flat: Reach | None


def tails(record: Activation) -> list[Tail]:
    """How an elementwise function ends on the left and on the right."""
    value, slope = (_exact(record, key) for key in ("value", "derivative"))
    return [_tail(value, slope, side) for side in (-math.inf, math.inf)]


def _tail(value: Callable, slope: Callable, side: float) -> Tail:
    limit, end = float(value(side)), float(slope(side))
    near = outermost(lambda x: abs(float(slope(x)) - end) < NEAR, side) if math.isfinite(end) else None
    reached, flat = (outermost(_rounds_to(f, at), side) for f, at in ((value, limit), (slope, end)))
    return Tail(side, limit, reached, end, near, flat)


def _rounds_to(formula: Callable, limit: float) -> Callable[[float], bool]:
    def holds(x: float) -> bool:
        with np.errstate(over="ignore"):
            return np.float32(float(formula(x))) == np.float32(limit)

    return holds


def outermost(holds: Callable[[float], bool], side: float) -> Reach | None:
    """From where on ``holds`` is true towards ``side``; it changes there once, and beyond PROBES at most once."""
    sign = math.copysign(1, side)
    last = float(np.finfo(np.float32).max)
    if not holds(sign * last):
        return None
    failing = [outwards for outwards in PROBES if not holds(sign * outwards)]
    if not failing:
        return EVERYWHERE
    inner, outer = _place(max(failing)), _place(last)
    while outer - inner > 1:
        middle = (inner + outer) // 2
        if holds(sign * _number(middle)):
            outer = middle
        else:
            inner = middle
    return Reach(sign * _number(inner), sign * _number(outer))


def _place(x: float) -> int:
    """Where a number stands in the order of all float32."""
    bits = int(np.float32(x).view(np.int32))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


def _number(place: int) -> float:
    """The float32 of that place."""
    return math.copysign(float(np.int32(abs(place)).view(np.float32)), place)
