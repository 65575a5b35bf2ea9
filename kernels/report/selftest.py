"""``python -m kernels.report --self-test``: does the way of measuring see what is there, and nothing else?

The same kernel is measured as two contestants, many times, where no difference may be reported; and against itself with
5 % more calls than are counted, where one has to be.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from kernels import measure
from kernels.measure import Case, Timed, Timing
from kernels.report import verdicts
from kernels.report.rows import Row
from kernels.report.verdicts import ROUNDS, SLOWDOWN, Verdict

#: Pairs without and with a slowdown.
PAIRS = 100
#: A round is the best of so many samples of so long: what interrupts a sample makes it longer, never shorter.
BEST_OF, SAMPLE_NS = 3, 2_000_000
#: So that 5 % are whole calls.
FEWEST_LOOPS = math.ceil(1 / SLOWDOWN)


class Slowed(Timed):
    """A contestant that makes 5 % more calls than are counted."""

    def __init__(self, timed: Timed):
        self.timed, self.loops = timed, timed.loops

    def run(self, loops: int) -> int:
        return self.timed.run(max(round(loops * (1 + SLOWDOWN)), 1))


@dataclass(frozen=True)
class Pair:
    """One pair and what was said of it: of the second contestant against the first."""

    case: Case
    slowed: bool
    verdict: Verdict

    @property
    def right(self) -> bool:
        return self.verdict.word == "slower" if self.slowed else self.verdict.word not in ("slower", "faster")

    @property
    def row(self) -> Row:
        verdict = self.verdict
        ratio = {"ratio": verdict.ratio, "low": verdict.low, "high": verdict.high}
        about = {"kind": "self_test", "case": self.case.id, "slowdown": SLOWDOWN if self.slowed else 0.0}
        return {**about, **ratio, "verdict": verdict.word, "right": self.right}


def cases() -> Iterator[Case]:
    """Short and long calls, cheap and dear kernels, one thread and all, in turns without an end."""
    kernels = itertools.product(("relu", "sigmoid", "tanh"), ("fastest", "numpy"), (1_000, 20_000))
    return itertools.cycle([Case(name, "value", backend, "float32", n) for name, backend, n in kernels])


def pairs(count: int, rng: np.random.Generator) -> Iterator[Pair]:
    """So many pairs of each kind, mixed."""
    for case, slowed in itertools.islice(zip(_twice(cases()), itertools.cycle((False, True)), strict=False), 2 * count):
        yield measured(case, slowed, rng)


def _twice(found: Iterator[Case]) -> Iterator[Case]:
    for case in found:
        yield from (case, case)


def measured(case: Case, slowed: bool, rng: np.random.Generator) -> Pair:
    first, second = measure.prepare(case), measure.prepare(case)
    both = (first, Slowed(second) if slowed else second)
    one, other = measure.sample_rounds(both, ROUNDS * BEST_OF, SAMPLE_NS, rng)
    if min(one.loops, other.loops) < FEWEST_LOOPS:
        raise ValueError(f"{case.id} takes too long for {SLOWDOWN:.0%} of a sample's calls to be a whole call")
    return Pair(case, slowed, verdicts.of_rounds(_best(other), _best(one)))


def _best(timing: Timing) -> list[float]:
    return np.reshape(timing.rounds, (-1, BEST_OF)).min(axis=1).tolist()


def run(append: Callable[[Row], None], advance: Callable[[], None], count: int) -> list[Row]:
    """All pairs; each row is handed on as it is there."""
    found = []
    for pair in pairs(count, np.random.default_rng()):
        append(pair.row)
        found.append(pair.row)
        advance()
    return found
