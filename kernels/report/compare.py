"""``python -m kernels.report --compare A B``: two result files, commits or machines, case by case, with a verdict each.

Of many cases some differ by chance: each is asked to be so sure that all of them together mislead once in a hundred
comparisons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from statistics import median

from kernels.report import rows
from kernels.report.findings import BASELINE, case_label
from kernels.report.race import digits
from kernels.report.rows import Row
from kernels.report.verdicts import CONFIDENCE, WORDS, Verdict, beside, of_quartiles

#: What two runs must share for their difference to be the code's, and what else is told where it differs.
ABOUT = ("cpu", "cores", "level", "versions")
#: In percent: nothing measured is surer.
MOST_SURE = 99.9


#: Of a name, for it to be that of a commit.
FEWEST_DIGITS = 4
#: Where asv.conf.json puts results: a folder a machine, a file a commit and environment.
ASV = Path(".asv/results")


@dataclass(frozen=True)
class Side:
    """One of the two: its rows, and where they are from."""

    path: Path
    rows: Sequence[Row]

    @cached_property
    def header(self) -> Row:
        return rows.header(self.rows)

    @property
    def name(self) -> str:
        return f"{self.path.name} (commit {self.header['commit']}, {self.header['facts']['cpu']})"

    @cached_property
    def cases(self) -> dict[tuple, Row]:
        """What was timed and came out right."""
        mine = rows.of_kind(self.rows, "measurement")
        return {tuple(row[key] for key in rows.CASE): row for row in mine if row["status"] == "ok"}


def load(what: str, folder: Path) -> Side:
    """A result file, or the newest of a commit in ``folder``, or in asv's; ValueError says what there is."""
    path = Path(what)
    if not path.is_file():
        path = _of_commit(what, folder)
    found = _imported(path) if path.suffix == ".json" else rows.read(path)[0]
    if rows.header(found) is None:
        raise ValueError(f"{path} has no readable run row at its start; measure again, with --fresh")
    return Side(path, found)


def _imported(path: Path) -> list[Row]:
    from kernels.report import imported  # needs what measures, which drawing does without

    return imported.read(path)


def _of_commit(what: str, folder: Path) -> Path:
    """The newest file whose run was of this commit."""
    known, given = _commits(folder), what.removesuffix("+")
    # Code that was edited after a commit is only meant where that is said.
    files = {name.removesuffix("+"): path for name, path in known.items() if name.endswith("+") == what.endswith("+")}
    # Every tool cuts the name after digits of its own.
    found = [name for name in files if name.startswith(given) or given.startswith(name)]
    if len(given) < FEWEST_DIGITS or not found:
        there = ", ".join(known) or "none"
        raise ValueError(
            f"{what!r} is neither a file nor, by {FEWEST_DIGITS} digits or more, a commit with results in {folder} or "
            f"{ASV}; those there are of: {there}"
        )
    longest = max(found, key=len)
    if not all(longest.startswith(name) for name in found):
        raise ValueError(f"{what!r} begins several commits that have results, {', '.join(found)}: give more digits")
    return files[found[-1]]


def _commits(folder: Path) -> dict[str, Path]:
    """A commit's name, with + where the code was edited, -> its newest file; asv's before those in ``folder``."""
    known = {path.name.partition("-")[0]: path for path in asv_files()}
    for path in reversed(rows.files(folder)):
        head = rows.opening(path)
        if head and head["commit"]:
            known[head["commit"]] = path
    return known


def asv_files(folder: Path = ASV) -> list[Path]:
    """asv's result files of all machines."""
    return [path for path in sorted(folder.glob("*/*.json")) if path.name != "machine.json"]


@dataclass(frozen=True)
class Comparison:
    """The second against the first."""

    first: Side
    second: Side

    @cached_property
    def verdicts(self) -> dict[tuple, Verdict]:
        """Of every case that both have, the largest ratio first."""
        shared = [case for case in self.second.cases if case in self.first.cases]
        confidence = 1 - (1 - CONFIDENCE) / max(len(shared), 1)
        found = {case: _verdict(self.second.cases[case], self.first.cases[case], confidence) for case in shared}
        told = {case: beside(one, found[w]) if (w := _witness(case)) in found else one for case, one in found.items()}
        return dict(sorted(told.items(), key=lambda item: -item[1].ratio))

    @property
    def counts(self) -> dict[str, int]:
        seen = Counter(verdict.word for verdict in self.verdicts.values())
        return {word: seen[word] for word in WORDS}

    @property
    def drift(self) -> float:
        """The median of all ratios: what the machine did to everything, or the change."""
        return median(verdict.ratio for verdict in self.verdicts.values())

    @property
    def differences(self) -> list[str]:
        """What else differs between the two."""
        one, other = self.first.header["facts"], self.second.header["facts"]
        return [f"{key}: {one.get(key)} and {other.get(key)}" for key in ABOUT if one.get(key) != other.get(key)]

    @property
    def summary(self) -> str:
        if not self.verdicts:
            return "the two have no case in common"
        counts = ", ".join(f"{count} {word}" for word, count in self.counts.items())
        return f"{len(self.verdicts)} cases: {counts}; all together {digits(self.drift)} times"


def steps(folder: Path = ASV) -> list[Comparison]:
    """What asv kept: each commit against the one before it, by the dates of the commits, machine by machine."""
    machines: dict[Path, list[Side]] = {}
    for path in asv_files(folder):
        machines.setdefault(path.parent, []).append(Side(path, _imported(path)))
    ordered = [sorted(sides, key=lambda side: side.header["started"]) for sides in machines.values()]
    return [Comparison(first, second) for sides in ordered for first, second in pairwise(sides)]


def _verdict(row: Row, over: Row, confidence: float) -> Verdict:
    """A difference has to be so sure; that two are the same, as sure as if they were the only ones."""
    one, other = ([found[f"seconds_{q}"] for q in ("q1", "median", "q3")] for found in (row, over))
    samples = row["samples"], over["samples"]
    found = of_quartiles(one, other, samples, confidence)
    alone = of_quartiles(one, other, samples)
    return replace(found, word="same") if found.word == "unclear" and alone.word == "same" else found


def _witness(case: tuple) -> tuple:
    """NumPy at the same, timed in turns with it: what slowed both was the machine."""
    return tuple(BASELINE if key == "backend" else value for key, value in zip(rows.CASE, case, strict=True))


def label(case: tuple) -> str:
    """relu, derivative, float64, 1,000, cython"""
    fields = dict(zip(rows.CASE, case, strict=True))
    return f"{case_label(fields)}, {fields['n']:,}, {fields['backend']}"


def lines(comparison: Comparison, every: bool = False) -> list[tuple[str, str, str, str, str]]:
    """(case, verdict, ratio, interval, how sure) of what is faster or slower, or of every case."""
    found = []
    for case, verdict in comparison.verdicts.items():
        if every or verdict.word in ("faster", "slower"):
            interval = f"{digits(verdict.low)} to {digits(verdict.high)}"
            sure = f"{min(100 * verdict.confidence, MOST_SURE):.1f} %"
            found.append((label(case), verdict.word, digits(verdict.ratio), interval, sure))
    return found
