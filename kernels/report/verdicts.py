"""Whether one time is longer than another: a verdict, the ratio with its interval, and how sure it is.

What was timed in turns is compared round by round: what slows both contestants cancels out in the ratio, and the order
statistics of the ratios bound their median whatever their distribution is. What was timed in different runs is compared
by medians and quartiles, to which what two runs differ by anyway is added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, median

from kernels.report.rows import Row

#: How sure an interval is to hold the true ratio.
CONFIDENCE = 0.99
#: A smaller difference is none, however sure it is: where code lies in memory makes as much.
MARGIN = 0.02
#: Two times are the same where all of the interval is within this factor: of what was timed in turns, in which 5 % are
#: found, and of different runs, which differ by more.
SAME, SAME_BETWEEN_RUNS = 1.05, 1.1
#: By how much, as a standard deviation, medians of the same code differ from run to run.
BETWEEN_RUNS = 0.015
#: The interquartile range of a normal distribution, and its median's standard error times sqrt(n), in sigmas.
IQR, MEDIAN_ERROR = 1.349, 1.2533

#: Of a self-test: more calls than are counted, and the rounds of a pair.
SLOWDOWN, ROUNDS = 0.05, 41
#: Of 100 pairs: differences reported that are not there, at most, and that are, at least.
MOST_FALSE, FEWEST_FOUND = 1, 95

WORDS = ("faster", "slower", "same", "unclear")


@dataclass(frozen=True)
class Verdict:
    """One of ``WORDS``, of the first contestant against the second."""

    word: str
    #: The first one's time over the second one's, and the ends of its interval.
    ratio: float
    low: float
    high: float
    #: That the difference has the sign of what was seen.
    confidence: float

    def __str__(self) -> str:
        return f"{self.word}: {self.ratio:.3f} times ({self.low:.3f} to {self.high:.3f}), {self.confidence:.1%} sure"


def judge(ratio: float, low: float, high: float, confidence: float, same: float) -> Verdict:
    """The verdict on a ratio whose interval is from ``low`` to ``high``; within a factor of ``same`` is the same."""
    if low > 1 and ratio >= 1 + MARGIN:
        word = "slower"
    elif high < 1 and ratio <= 1 / (1 + MARGIN):
        word = "faster"
    else:
        word = "same" if low >= 1 / same and high <= same else "unclear"
    return Verdict(word, ratio, low, high, confidence)


# ---------------------------------------------------------------- timed in turns
def of_rounds(first: Sequence[float], second: Sequence[float]) -> Verdict:
    """Of times of the same rounds, one pair a round."""
    ratios = sorted(a / b for a, b in zip(first, second, strict=True))
    n, above = len(ratios), sum(ratio > 1 for ratio in ratios)
    k = _rank(n)
    low, high = (ratios[k - 1], ratios[n - k]) if k else (0.0, math.inf)
    return judge(median(ratios), low, high, max(1 - 2 * _tail(min(above, n - above), n), 0.0), SAME)


def _rank(n: int) -> int:
    """The k-th smallest and k-th largest of n hold the median between them, this surely; 0: n are too few."""
    k = 0
    while 2 * _tail(k, n) <= 1 - CONFIDENCE:
        k += 1
    return k


def _tail(k: int, n: int) -> float:
    """The chance of at most k heads of n coins."""
    return sum(math.comb(n, i) for i in range(k + 1)) / 2**n


# ---------------------------------------------------------------- timed in different runs
def of_quartiles(
    first: Sequence[float], second: Sequence[float], samples: tuple[int, int], confidence: float = CONFIDENCE
) -> Verdict:
    """Of (q1, median, q3) of two runs and how many samples each took."""
    ratio = first[1] / second[1]
    errors = [_error(*quartiles, count) for quartiles, count in zip((first, second), samples, strict=True)]
    sigma = math.hypot(BETWEEN_RUNS * math.sqrt(2), *errors)
    reach = math.exp(NormalDist().inv_cdf((1 + confidence) / 2) * sigma)
    sure = 2 * NormalDist().cdf(abs(math.log(ratio)) / sigma) - 1
    return judge(ratio, ratio / reach, ratio * reach, sure, SAME_BETWEEN_RUNS)


def beside(verdict: Verdict, witness: Verdict) -> Verdict:
    """The verdict, unclear where a witness that did not change speaks against it.

    A difference has to hold for the quotient of the two; what is the same while the witness is not may have changed.
    """
    if verdict.word == "same":
        return replace(verdict, word="unclear") if witness.word in ("faster", "slower") else verdict
    ratio = verdict.ratio / witness.ratio
    reach = math.exp(math.hypot(*(math.log(one.high / one.ratio) for one in (verdict, witness))))
    apart = judge(ratio, ratio / reach, ratio * reach, verdict.confidence, SAME_BETWEEN_RUNS)
    return verdict if apart.word == verdict.word else replace(verdict, word="unclear")


def _error(q1: float, middle: float, q3: float, samples: int) -> float:
    """The standard error of a median's logarithm, from the quartiles."""
    return MEDIAN_ERROR * (q3 - q1) / middle / IQR / math.sqrt(samples)


# ---------------------------------------------------------------- a self-test
def score(found: Sequence[Row]) -> tuple[int, int, int, int]:
    """(false alarms, pairs without a slowdown, slowdowns found, pairs with one) of self-test rows."""
    same = [row for row in found if not row["slowdown"]]
    slowed = [row for row in found if row["slowdown"]]
    return sum(not row["right"] for row in same), len(same), sum(row["right"] for row in slowed), len(slowed)


def passes(found: Sequence[Row]) -> bool:
    false, same, seen, slowed = score(found)
    return 100 * false <= MOST_FALSE * same and 100 * seen >= FEWEST_FOUND * slowed


def summary(found: Sequence[Row]) -> str:
    false, same, seen, slowed = score(found)
    return (
        f"the same kernel against itself: a difference reported in {false} of {same} pairs (at most {MOST_FALSE} in "
        f"100); with {SLOWDOWN:.0%} more work: found in {seen} of {slowed} (at least {FEWEST_FOUND} in 100)"
    )
