"""A sample of rows for the functions of a whole row: ``rows`` holds a few to mpmath, here are as many as of float64.

The first judge is the NumPy text in the wider format; of float64, mpmath judges the worst row of a block again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kernels.backends import get, numpy_vector, texts
from kernels.truth import row_scale
from kernels.ulp import ulp_of
from kernels.verify import COUNT
from kernels.verify.inputs import reference_backend
from kernels.verify.references import WIDER
from kernels.verify.rows import Row, exact_results
from kernels.verify.sweeps import BLOCK, Entry, Sweep, Worst, worst_of

#: Around the lanes, short and long; a block has rows of one length and one standard deviation.
LENGTHS = (1, 2, 31, 32, 33, 67, 100, 300, 1000)
SPREADS = (10.0, 1.0, 0.05, 60.0)
KINDS = [(n, spread) for spread in SPREADS for n in LENGTHS]
#: The precision of mpmath, which exact sums raise, is one for all threads.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class RowSample:
    """Entries of one form over random rows."""

    entries: tuple[Entry, ...]
    wanted: int = COUNT

    check = "ulp"
    note = ""
    name = Sweep.name
    join = staticmethod(Sweep.join)

    @property
    def blocks(self) -> range:
        return range(-(-self.wanted // BLOCK))

    @property
    def count(self) -> int:
        """Inputs: whole rows in each block."""
        return sum(BLOCK // n * n for n, _ in (KINDS[k % len(KINDS)] for k in self.blocks))

    def inputs(self, k: int) -> tuple[np.ndarray, ...]:
        """(x), or (g, y) for a gradient from the output."""
        first = self.entries[0]
        n, spread = KINDS[k % len(KINDS)]
        g, x = np.random.default_rng(k).standard_normal((2, BLOCK // n, n)).astype(first.dtype)
        x *= x.dtype.type(spread)
        return (x,) if first.form == "value" else (g, get(first.activation, reference_backend())(x))

    def prepare(self) -> Callable[[int], list[Worst]]:
        """The worst errors of the entries in the k-th block."""
        first = self.entries[0]
        calls = [one.function for one in self.entries]
        reference = texts.find(numpy_vector, *texts.names(first.record, first.form))
        wider = WIDER[np.dtype(first.dtype).type]

        def block(k: int) -> list[Worst]:
            data = self.inputs(k)
            with np.errstate(all="ignore"):
                exact = reference(*(a.astype(wider) for a in data))
                unit = ulp_of(row_scale(first.record, first.form, data, exact), np.dtype(first.dtype).type)
                return [
                    _worst(one, call(*data), data, exact, unit) for one, call in zip(self.entries, calls, strict=True)
                ]

        return block


def _worst(entry: Entry, got: np.ndarray, data: Sequence[np.ndarray], exact: np.ndarray, unit: np.ndarray) -> Worst:
    errors = np.abs(got.astype(exact.dtype) - exact) / unit
    errors[~np.isfinite(errors)] = np.inf
    x = data[-1]
    worst = worst_of(errors.reshape(-1), x.reshape(-1), got.reshape(-1), exact.reshape(-1))
    if entry.dtype != "float64" or worst.error <= 0:
        return worst
    row = int(np.argmax(errors.max(axis=-1)))
    with _one_at_a_time:
        exactly = Row(x[row], data[0][row], *exact_results(entry.record, entry.form, x[row], data[0][row]))
        return replace(worst, error=exactly.error(got[row]))
