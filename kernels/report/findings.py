"""What the rows say: which backend wins where, by how much, and where it loses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kernels.activations import RECORDS, Activation
from kernels.report import rows
from kernels.report.rows import Row

#: Not one of the ways to write a kernel, but what this project makes of them.
DISPATCHER = "fastest"
BASELINE = "numpy"
#: The size at which data sets, texts and errors are compared: every array stays in the second-level cache.
IN_CACHE = 10_000
#: The dtype of the sweep.
SWEPT = "float32"
#: What the sweep holds fixed: what a user gets who gives ``out=``.
ORDINARY = {
    "accuracy": "fast",
    "data": "normal",
    "allocate": False,
    "cold": False,
    "threads": None,
    "keep": False,
    "dtype": SWEPT,
}
#: (label, first size, last size) of the sizes that the answer speaks of.
BANDS = (
    ("short arrays, up to 1,000 elements", 0, 10**3),
    ("arrays that fit in cache, 10,000 to 100,000", 10**4, 10**5),
    ("long arrays, a million and more", 10**6, math.inf),
)


def slope_form(record: Activation) -> str:
    """The derivative, or for functions of rows what takes its place."""
    return "derivative" if "derivative" in record.forms else "backward"


@dataclass(frozen=True)
class Cell:
    """One function or derivative at one size, as every backend computed it."""

    activation: str
    form: str
    n: int
    rows: dict[str, Row]

    @property
    def choices(self) -> dict[str, Row]:
        """The ways to write a kernel: neither the dispatcher nor second texts of one backend."""
        return {name: row for name, row in self.rows.items() if name != DISPATCHER and ":" not in name}

    @property
    def winner(self) -> str | None:
        return min(self.choices, key=self.seconds, default=None)

    @property
    def is_clear(self) -> bool:
        """Whether the winner's quartiles are clear of everyone else's."""
        best = self.rows[self.winner]["seconds_q3"]
        return all(row["seconds_q1"] > best for name, row in self.choices.items() if name != self.winner)

    def seconds(self, backend: str) -> float:
        return self.rows[backend]["seconds_median"]

    def factor(self, backend: str, over: str = BASELINE) -> float | None:
        """How many times as fast as another backend; None where one of the two was not measured."""
        if backend not in self.rows or over not in self.rows:
            return None
        return self.seconds(over) / self.seconds(backend)

    def is_slower(self, backend: str, than: str) -> bool:
        """Slower beyond the noise: the quartiles do not touch."""
        both = backend in self.rows and than in self.rows
        return both and self.rows[backend]["seconds_q1"] > self.rows[than]["seconds_q3"]


@dataclass(frozen=True)
class Findings:
    """A run's rows, and what follows from them."""

    rows: Sequence[Row]

    @cached_property
    def header(self) -> Row:
        return rows.header(self.rows)

    @cached_property
    def measurements(self) -> list[Row]:
        return rows.of_kind(self.rows, "measurement")

    @cached_property
    def timed(self) -> list[Row]:
        return [row for row in self.measurements if row["seconds_median"] is not None]

    @cached_property
    def activations(self) -> list[Activation]:
        measured = {row["activation"] for row in self.measurements}
        return [record for record in RECORDS if record.name in measured]

    @cached_property
    def backends(self) -> list[str]:
        """Those measured, in the table's order, second texts after their backend."""
        order = list(self.header["backends"])
        names = dict.fromkeys(row["backend"] for row in self.measurements)
        return sorted(names, key=lambda name: (order.index(name.partition(":")[0]), name))

    @cached_property
    def cells(self) -> list[Cell]:
        """The sweep: value and derivative of every function at every size."""
        forms = {(record.name, form) for record in self.activations for form in ("value", slope_form(record))}
        found: dict[tuple, dict[str, Row]] = {}
        for row in self.timed:
            key = (row["activation"], row["form"], row["n"])
            if key[:2] in forms and is_ordinary(row) and row["status"] == "ok":
                found.setdefault(key, {})[row["backend"]] = row
        return [Cell(*key, each) for key, each in found.items()]

    @cached_property
    def sizes(self) -> list[int]:
        """Sizes of the sweep; the size at which only data sets are compared is none."""
        whole = {cell.n for cell in self.cells if cell.form != "value"}
        return sorted(whole or {cell.n for cell in self.cells})

    @cached_property
    def sweep(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.n in self.sizes]

    def cell(self, activation: str, form: str, n: int) -> Cell | None:
        return next((c for c in self.sweep if (c.activation, c.form, c.n) == (activation, form, n)), None)

    @property
    def dtypes(self) -> list[str]:
        """Beside float32, those in which all ways to write a kernel were measured by size."""
        return self.header.get("dtypes", [])

    @cached_property
    def _in_dtypes(self) -> dict[tuple[str, str, str], list[Row]]:
        found: dict[tuple[str, str, str], list[Row]] = {}
        for row in sorted(self.timed, key=lambda row: row["n"]):
            if row["status"] == "ok" and is_ordinary(row | {"dtype": SWEPT}):
                found.setdefault((row["activation"], row["form"], row["dtype"]), []).append(row)
        return found

    def rows_of(self, activation: str, form: str, dtype: str = SWEPT) -> list[Row]:
        """The sweep of one form, by size, or what differs from it in the dtype alone."""
        if dtype != SWEPT:
            return self._in_dtypes.get((activation, form, dtype), [])
        cells = sorted((c for c in self.sweep if (c.activation, c.form) == (activation, form)), key=lambda c: c.n)
        return [row for cell in cells for row in cell.rows.values()]

    def curve(self, activation: str) -> Row | None:
        return next((row for row in rows.of_kind(self.rows, "curve") if row["activation"] == activation), None)

    @cached_property
    def _first_calls(self) -> dict[str, dict[tuple, float]]:
        found: dict[str, dict[tuple, float]] = {}
        for row in self.timed:
            mine = found.setdefault(row["backend"], {})
            key = (row["activation"], row["form"], row["dtype"], row["accuracy"])
            mine[key] = max(mine.get(key, 0.0), row["compile_seconds"])
        return found

    def first_calls(self, backend: str) -> dict[tuple[str, str, str, str], float]:
        """(activation, form, dtype, accuracy) -> seconds that its first call took beyond a later one."""
        return self._first_calls.get(backend, {})

    @cached_property
    def _values(self) -> dict[tuple[str, int], dict[str, Row]]:
        found: dict[tuple[str, int], dict[str, Row]] = {}
        for cell in self.cells:
            if cell.form == "value":
                found[cell.activation, cell.n] = cell.rows
        return found

    def value_at(self, activation: str, n: int) -> dict[str, Row] | None:
        """Backend -> row of a value at a size, also at one that is not of the sweep."""
        return self._values.get((activation, n))

    @property
    def busy_elsewhere(self) -> float | None:
        """Cores that other processes used meanwhile, on average; None where the system does not tell."""
        known = [row["busy_elsewhere"] for row in self.timed if row["busy_elsewhere"] is not None]
        return sum(known) / len(known) if known else None

    @property
    def problems(self) -> list[Row]:
        """What was not measured, or came out wrong."""
        return [row for row in self.measurements if row["status"] != "ok"]


def is_ordinary(row: Row) -> bool:
    return all(row[key] == value for key, value in ORDINARY.items())


def band(cells: Iterable[Cell], first: float, last: float) -> list[Cell]:
    return [cell for cell in cells if first <= cell.n <= last]


def wins(cells: Iterable[Cell]) -> Counter[str]:
    """backend -> cells in which it is the fastest way to write a kernel."""
    return Counter(cell.winner for cell in cells if cell.winner)


def mean_factor(cells: Iterable[Cell], backend: str, over: str = BASELINE) -> float | None:
    """The geometric mean of the factors of a backend over another."""
    return geometric_mean(f for cell in cells if (f := cell.factor(backend, over)) is not None)


def geometric_mean(numbers: Iterable[float]) -> float | None:
    logarithms = [math.log(number) for number in numbers]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else None


def losses(cells: Iterable[Cell], backend: str, to: str = BASELINE) -> list[Cell]:
    """Cells in which the backend is slower than another beyond the noise, the worst first."""
    return sorted((c for c in cells if c.is_slower(backend, to)), key=lambda c: c.factor(backend, to))


def level_with_best(cells: Iterable[Cell]) -> tuple[int, int]:
    """(cells in which kernels.fastest is not slower than the best of the others beyond the noise, cells)."""
    compared = [cell for cell in cells if DISPATCHER in cell.rows and cell.winner]
    return sum(not cell.is_slower(DISPATCHER, cell.winner) for cell in compared), len(compared)


def extent(factors: Mapping[int, float]) -> str:
    """Sizes -> how many times as fast, as words: at which sizes it is faster."""
    slower = [n for n, factor in factors.items() if factor <= 1]
    faster = [n for n, factor in factors.items() if factor > 1]
    if not factors:
        return "not measured"
    if not slower:
        return "at every size"
    after = [n for n in faster if n > max(slower)]
    if after:
        return f"from {power(min(after))} on"
    return f"up to {power(max(faster))}" if faster else "nowhere"


def form_label(activation: str, form: str) -> str:
    """relu, derivative"""
    return activation if form == "value" else f"{activation}, {form}"


def about(header: Row) -> str:
    """A run in a line: machine, level, day, commit, plan."""
    facts, commit = header["facts"], header["commit"]
    known = (
        f"{facts['cpu']}, {facts['cores']} cores",
        facts["level"],
        f"measured {header['started'][:10]}",
        f"commit {commit}" if commit else "outside a checkout",
        f"plan {header['plan']}",
    )
    return ", ".join(filter(None, known))


def condition(case: Mapping[str, Any], usual: Mapping[str, Any] = ORDINARY) -> str:
    """In words, how a case differs from the usual; nothing where it does not."""
    words = {
        "dtype": case["dtype"],
        "data": f"{case['data']} data",
        "accuracy": case["accuracy"],
        "keep": "new output, kept",
        "allocate": "" if case["keep"] else "new output, dropped" if case["allocate"] else "out=",
        "cold": "cold caches",
        "threads": f"threads: {case['threads']}",
    }
    return ", ".join(text for key, text in words.items() if text and case[key] != usual[key])


def case_label(case: Mapping[str, Any], usual: Mapping[str, Any] = ORDINARY) -> str:
    """relu, derivative, float64, new output, kept"""
    return ", ".join(filter(None, (form_label(case["activation"], case["form"]), condition(case, usual))))


def power(n: float) -> str:
    """10000 -> 10⁴, 65536 -> 2¹⁶, small numbers as they are."""
    for base in (10, 2) if n >= 1000 else ():
        exponent = round(math.log(n, base))
        if n == base**exponent:
            return str(base) + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(d)] for d in str(exponent))
    return f"{n:g}"
