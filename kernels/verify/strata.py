"""A stratified sample of float64, and the judges of what comes out of it.

Every block but the last ones has as many inputs of each exponent: in turns of all exponents, and of those in which
activation functions bend. The last blocks are dense: consecutive numbers around kinks, roots, landmarks and every place
where a result changes its kind (overflow, underflow, saturation), and around the switches of exp's range reduction.

The first judge is the NumPy text in longdouble, off by less than ``references.TOLERANCE``; what it holds for the worst
of a block is judged again by mpmath. Where it is no judge, mpmath judges alone, and fewer inputs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from kernels import oracle
from kernels.activations import Activation
from kernels.ulp import near_roots
from kernels.verify import COUNT, references
from kernels.verify.inputs import LANDMARKS, parameters, possible_outputs, quiet
from kernels.verify.sweeps import BLOCK, NOTHING, Entry, Sweep, Worst, errors_of, times_gradient, worst_of

#: How many inputs mpmath alone judges, in blocks of how many.
SLOW_COUNT, SLOW_BLOCK = 1 << 17, 1 << 10
#: Biased exponents: all of them, and 2^-60 to 2^11.
STRATA = (np.arange(2048, dtype=np.uint64), np.arange(1023 - 60, 1023 + 12, dtype=np.uint64))
SIGNIFICAND = 52
#: Consecutive numbers on either side of a place.
AROUND, AROUND_SWITCH = 2048, 8
#: e^x changes its power of two at odd multiples of half of ln 2, as far as float64 reaches.
MOST_SWITCHES = 1100
#: Patterns of the grid on which changes of a result's kind are looked for.
GRID = 1 << 14
#: Inputs of a block, at most, that mpmath judges again.
JUDGED_AGAIN = 16
INFINITE = 0x7FF0000000000000


@dataclass(frozen=True)
class Sample:
    """Entries of one formula over a sample of float64."""

    entries: tuple[Entry, ...]
    wanted: int = COUNT

    check = "ulp"
    name = Sweep.name
    join = staticmethod(Sweep.join)

    @functools.cached_property
    def is_slow(self) -> bool:
        first = self.entries[0]
        return not references.judges_float64(first.activation, first.key)

    @property
    def note(self) -> str:
        if not self.is_slow:
            return ""
        return f"{self.name}: longdouble is no judge of it here, so mpmath judges alone, and {self.count:,} inputs only"

    @property
    def size(self) -> int:
        return SLOW_BLOCK if self.is_slow else BLOCK

    @functools.cached_property
    def dense(self) -> np.ndarray:
        first = self.entries[0]
        found = dense(first.record, first.key)
        return found[:: BLOCK // SLOW_BLOCK] if self.is_slow else found

    @functools.cached_property
    def strata(self) -> int:
        """Blocks of strata."""
        return -(-min(self.wanted, SLOW_COUNT if self.is_slow else self.wanted) // self.size)

    @property
    def blocks(self) -> range:
        return range(self.strata + -(-self.dense.size // self.size))

    @property
    def count(self) -> int:
        return len(self.blocks) * self.size

    def inputs(self, k: int) -> np.ndarray:
        first, start = self.entries[0], (k - self.strata) * self.size
        x = stratum(k, self.size) if k < self.strata else self.dense[start : start + self.size]
        return possible_outputs(first.record, x) if first.key == "derivative_from_output" else quiet(x)

    def prepare(self) -> Callable[[int], list[Worst]]:
        calls = [one.call(self.size) for one in self.entries]
        held = _by_mpmath if self.is_slow else _by_longdouble

        def block(k: int) -> list[Worst]:
            x = self.inputs(k)
            if not x.size:
                return [NOTHING] * len(calls)
            with np.errstate(all="ignore"):
                return held(self.entries, calls, x)

        return block


# ---------------------------------------------------------------- inputs
def stratum(k: int, size: int) -> np.ndarray:
    """``size`` numbers, as many of each exponent, random otherwise."""
    rng = np.random.default_rng(k)
    exponents = STRATA[k % len(STRATA)]
    bits = rng.integers(0, 1 << SIGNIFICAND, size, dtype=np.uint64)
    bits |= rng.permutation(np.resize(exponents, size)) << np.uint64(SIGNIFICAND)
    bits |= rng.integers(0, 2, size, dtype=np.uint64) << np.uint64(63)
    return bits.view(np.float64)


def dense(record: Activation, key: str) -> np.ndarray:
    """Consecutive numbers around every place that matters to a formula."""
    places = [*LANDMARKS, *(k.at for k in record.kinks), *record.derivative_roots, *parameters(record, np.float64)]
    places += [special.x for special in record.special if math.isfinite(special.x)]
    places = np.concatenate([places, np.negative(places), changes(record, key)])
    odd = (np.arange(MOST_SWITCHES) + 0.5) * math.log(2)
    switches = np.concatenate([odd, odd / 2, -odd, -odd / 2])
    return np.concatenate([neighbours(places, AROUND), neighbours(switches, AROUND_SWITCH), [-0.0, np.nan]])


def neighbours(places: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` numbers on either side of each place, with the place."""
    keys = _ordered(np.unique(np.asarray(places, np.float64)))
    return _numbers((keys[:, None] + np.arange(-count, count + 1)).reshape(-1))


def _ordered(x: np.ndarray) -> np.ndarray:
    """Integers in the order of the numbers, next to one another where the numbers are."""
    bits = x.view(np.int64)
    return np.where(bits < 0, np.int64(-(2**63)) - bits, bits)


def _numbers(keys: np.ndarray) -> np.ndarray:
    """The numbers of ordered integers; those beyond the infinities are infinite."""
    keys = np.clip(keys, -INFINITE, INFINITE)
    return np.where(keys < 0, np.int64(-(2**63)) - keys, keys).view(np.float64)


def changes(record: Activation, key: str) -> np.ndarray:
    """The inputs at which results become zero, subnormal, infinite, saturated or of the other sign."""
    text = references.text(record, key, np.float64)

    def kind_at(keys: np.ndarray) -> np.ndarray:
        x = _numbers(keys)
        with np.errstate(all="ignore"):
            y = text(x)
        size = np.abs(y)
        kinds = [np.isnan(y), np.isinf(y), y == 0, size < np.finfo(y.dtype).tiny, size == 1, y == x]
        return np.select(kinds, range(1, 1 + len(kinds)), 0) + 10 * np.signbit(y)

    grid = np.linspace(-INFINITE, INFINITE, GRID).astype(np.int64)
    kinds = kind_at(grid)
    at = np.flatnonzero(kinds[1:] != kinds[:-1])
    low, high, kind = grid[at], grid[at + 1], kinds[at]
    for _ in range(64):
        middle = low + (high - low) // 2
        same = kind_at(middle) == kind
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return _numbers(low)


# ---------------------------------------------------------------- judges
def _by_longdouble(entries: tuple[Entry, ...], calls: list[Callable], x: np.ndarray) -> list[Worst]:
    first = entries[0]
    exact = references.text(first.record, first.key, np.float64)(x.astype(np.longdouble))
    near = near_roots(x, first.record.derivative_roots)
    outcomes = []
    for one, call in zip(entries, calls, strict=True):
        got, product = call(x), times_gradient(exact, one)
        errors = errors_of(one, got, product, near)
        first_opinion = worst_of(errors, x, got, product)
        if first_opinion.error > 0:
            again = np.flatnonzero(errors >= errors.max() - 2 * references.TOLERANCE)[:JUDGED_AGAIN]
            first_opinion = Sweep.join(
                replace(first_opinion, error=-1.0), _exactly(one, x[again], got[again], near[again])
            )
        outcomes.append(first_opinion)
    return outcomes


def _by_mpmath(entries: tuple[Entry, ...], calls: list[Callable], x: np.ndarray) -> list[Worst]:
    near = near_roots(x, entries[0].record.derivative_roots)
    return [_exactly(one, x, call(x), near) for one, call in zip(entries, calls, strict=True)]


def _times_gradient(exact: oracle.mpmath.mpf, entry: Entry) -> oracle.mpmath.mpf:
    """As ``sweeps.times_gradient``."""
    if entry.gradient in (None, 1.0):
        return exact
    return (exact if math.isfinite(float(exact)) else oracle.mp.mpf(float(exact))) * entry.gradient


def _exactly(entry: Entry, x: np.ndarray, got: np.ndarray, near: np.ndarray) -> Worst:
    """The worst of a few inputs, by mpmath."""
    formula, params = oracle.lookup(entry.record, entry.key), parameters(entry.record, np.float64)
    limit = entry.record.ulp[entry.key].absolute * float(np.finfo(np.float64).eps)
    exact = [_times_gradient(formula(float(one), *params), entry) for one in x]
    errors = np.array([oracle.ulp_error(a, b, np.float64) for a, b in zip(got, exact, strict=True)])
    if limit:
        small = [abs(float(a) - b) <= limit for a, b in zip(got, exact, strict=True)]
        errors[near & np.array(small, bool)] = 0.0
    return worst_of(errors, x, got, np.array([float(one) for one in exact]))
