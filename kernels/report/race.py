"""What a race with other libraries says: who is faster in which cell, by how much, and where kernels.fastest loses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from kernels.report import rows
from kernels.report.findings import DISPATCHER, ORDINARY, case_label, geometric_mean, power
from kernels.report.rows import Row

#: Times within this factor of each other are a tie.
TIE = 1.05
VERDICTS = ("win", "tie", "loss")
#: What goes without saying: a new output each call; each dtype is named.
USUAL = ORDINARY | {"allocate": True, "dtype": None}


@dataclass(frozen=True)
class Heat:
    """One form of a function, at one size and dtype: kernels.fastest against the fastest of the others."""

    activation: str
    form: str
    dtype: str
    n: int
    #: A new output each call, else ``out=``.
    allocate: bool
    rows: dict[str, Row]

    @property
    def rival(self) -> str:
        """The fastest of the others."""
        return min((name for name in self.rows if name != DISPATCHER), key=self._seconds)

    def _seconds(self, name: str) -> float:
        return self.rows[name]["seconds_median"]

    @property
    def ratio(self) -> tuple[float, float, float]:
        """The rival's time over that of kernels.fastest: quartiles over the rounds in which both were timed."""
        mine, theirs = self.rows[DISPATCHER], self.rows[self.rival]
        if theirs.get("times_fastest"):
            return tuple(theirs["times_fastest"])
        # Not of the same rounds: the widest that the quartiles allow.
        pairs = (("q1", "q3"), ("median", "median"), ("q3", "q1"))
        return tuple(theirs[f"seconds_{a}"] / mine[f"seconds_{b}"] for a, b in pairs)

    def over(self, name: str) -> float:
        """The median of another's time over that of kernels.fastest."""
        rounds = self.rows[name].get("times_fastest")
        return rounds[1] if rounds else self._seconds(name) / self._seconds(DISPATCHER)

    def verdict_on(self, name: str) -> str:
        """ "win", "tie" or "loss" of kernels.fastest against another."""
        ratio = self.over(name)
        return "win" if ratio > TIE else "loss" if ratio < 1 / TIE else "tie"

    @property
    def verdict(self) -> str:
        """ "win", "tie" or "loss" of kernels.fastest."""
        return self.verdict_on(self.rival)

    @property
    def line(self) -> tuple[str, str, str, bool]:
        """What it has in common with the heats of other sizes."""
        return self.activation, self.form, self.dtype, self.allocate

    @property
    def quartiles(self) -> str:
        return f"{digits(self.ratio[0])} to {digits(self.ratio[2])}"


@dataclass(frozen=True)
class Race:
    """A race's rows, and what follows from them."""

    rows: Sequence[Row]

    @cached_property
    def header(self) -> Row:
        return rows.header(self.rows)

    @cached_property
    def heats(self) -> list[Heat]:
        """Those in which kernels.fastest and another were timed, and came out right."""
        found: dict[tuple, dict[str, Row]] = {}
        for row in rows.of_kind(self.rows, "measurement"):
            if row["status"] == "ok":
                key = tuple(row[name] for name in ("activation", "form", "dtype", "n", "allocate"))
                found.setdefault(key, {})[row["backend"]] = row
        return [Heat(*key, each) for key, each in found.items() if DISPATCHER in each and len(each) > 1]

    @cached_property
    def sizes(self) -> list[int]:
        return sorted({heat.n for heat in self.heats})

    @cached_property
    def lines(self) -> dict[tuple, dict[int, Heat]]:
        """What is compared -> size -> heat."""
        found: dict[tuple, dict[int, Heat]] = {}
        for heat in self.heats:
            found.setdefault(heat.line, {})[heat.n] = heat
        return found

    @property
    def lost(self) -> list[Heat]:
        """The worst first."""
        return sorted((heat for heat in self.heats if heat.verdict == "loss"), key=lambda heat: heat.ratio[1])

    @property
    def not_timed(self) -> list[Row]:
        """Contestants of a heat that failed, came out wrong or were skipped."""
        return [row for row in rows.of_kind(self.rows, "measurement") if row["status"] != "ok"]


def means(heats: Iterable[Heat]) -> dict[str, dict[int, float]]:
    """Library -> size -> its time over that of kernels.fastest, geometric mean."""
    found: dict[str, dict[int, list[float]]] = {}
    for heat in heats:
        for name in heat.rows.keys() - {DISPATCHER}:
            found.setdefault(name, {}).setdefault(heat.n, []).append(heat.over(name))
    return {name: {n: geometric_mean(ratios) for n, ratios in sizes.items()} for name, sizes in found.items()}


def digits(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.0f}"


def label(line: tuple[str, str, str, bool]) -> str:
    """relu, backward, float64, out="""
    fields = dict(zip(("activation", "form", "dtype", "allocate"), line, strict=True))
    return case_label(ORDINARY | fields, USUAL)


def summary(heats: Iterable[Heat]) -> str:
    """Wins, ties and losses in words."""
    counts = Counter(heat.verdict for heat in heats)
    total = sum(counts.values())
    if not total:
        return "nothing was compared"
    share = 100 * (counts["win"] + counts["tie"]) / total
    return (
        f"{counts['win']} wins, {counts['tie']} ties within 5 %, {counts['loss']} losses in {total} cells: "
        f"kernels.fastest is the fastest or within 5 % of it in {share:.1f} %"
    )


def loss(heat: Heat) -> str:
    """One lost cell in words."""
    name = f"{label(heat.line)} at {power(heat.n)}"
    return f"{name}: {heat.rival} takes {digits(heat.ratio[1])} of the time ({heat.quartiles})"
