"""The table of largest errors over all inputs: from the rows of ``python -m kernels.verify --exhaustive``.

It loads no kernel. Rows of several runs are one table: of those that measure the same, the one of most inputs counts,
and of these the latest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]

#: What tells an outcome from others.
MEASURED = ("check", "activation", "form", "gradient", "dtype", "backend", "accuracy")
OURS = "fastest"
FILE = "accuracy.jsonl"
DTYPES = ("float32", "float64")
DASH = "\N{EN DASH}"
#: From this many ULP on the digits say nothing.
MANY = 1000
#: Digits after the point, in the table and in the records.
DIGITS = 2


# ---------------------------------------------------------------- rows
def read(path: Path) -> list[Row]:
    """The rows of a file, none where there is no file; a line that was cut off is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [row for line in lines if (row := _parsed(line))]


def _parsed(line: str) -> Row | None:
    try:
        return json.loads(line)
    except ValueError:
        return None


def latest(rows: Iterable[Row]) -> list[Row]:
    """One row of each outcome."""
    found: dict[tuple, Row] = {}
    for row in rows:
        key = tuple(row[name] for name in MEASURED)
        if key not in found or row["inputs"] >= found[key]["inputs"]:
            found[key] = row
    return list(found.values())


def swept(folder: Path) -> list[Row]:
    """What a folder of reports has; what was measured here counts before what is published."""
    return latest(row for place in ("sample", ".") for row in read(folder / place / FILE))


def rounded_up(error: float) -> float:
    """As a bound is written."""
    return math.ceil(round(error * 10**DIGITS, 9)) / 10**DIGITS


# ---------------------------------------------------------------- tables
@dataclass(frozen=True)
class Table:
    """Cells of text; the first of each line says what it is about."""

    head: Sequence[str]
    body: Sequence[Sequence[str]]

    @property
    def markdown(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.body]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(rows: Sequence[Row], dtype: str) -> Table | None:
    """The largest errors by function and form: ours by class with the worst input, then all others'."""
    mine = [row for row in rows if row["dtype"] == dtype and row["check"] == "ulp"]
    lines = list(dict.fromkeys(_line(row) for row in mine))
    if not lines:
        return None
    cells = {(_line(row), row["backend"], row["accuracy"]): row for row in mine}
    bits: dict[tuple, list[Row]] = {}
    for row in rows:
        if row["check"] == "bits" and row["dtype"] == dtype:
            bits.setdefault(_line(row), []).append(row)
    others = {row["backend"]: row["title"] for row in mine if row["backend"] != OURS}
    accurate = any(key[2] == "accurate" for key in cells)
    head = ["function", "fast", "at x =", *(["accurate"] if accurate else []), *(["same bits"] if bits else [])]
    body = []
    for line in lines:
        fast = cells.get((line, OURS, "fast"))
        ours = [_error(fast), _worst(fast)] + ([_error(cells.get((line, OURS, "accurate")))] if accurate else [])
        same = [_same(bits.get(line, []))] if bits else []
        body.append([_name(line), *ours, *same, *(_error(cells.get((line, name, "fast"))) for name in others)])
    return Table([*head, *others.values()], body)


def _line(row: Row) -> tuple[str, str, float | None]:
    return row["activation"], row["form"], row["gradient"]


def _name(line: tuple[str, str, float | None]) -> str:
    activation, form, gradient = line
    parts = [activation] if form == "value" else [activation, form]
    return ", ".join(parts if gradient in (None, 1) else [*parts, f"g = {gradient:.3g}"])


def _error(row: Row | None) -> str:
    if row is None:
        return DASH
    error = f"{rounded_up(row['error']):.{DIGITS}f}" if row["error"] < MANY else f"{row['error']:.0e}"
    return error + ("!" if row["worst"]["wrong"] else "")


def _worst(row: Row | None) -> str:
    return f"{row['worst']['x']:.9g}" if row and row["error"] > 0 else DASH


def _same(rows: Sequence[Row]) -> str:
    if not rows:
        return DASH
    differing = [row["backend"] for row in rows if row["error"]]
    return f"not {', '.join(differing)}" if differing else f"{len(rows)} of {len(rows)}"


# ---------------------------------------------------------------- words
NOTES = """The largest error in ULP, unit in the last place of the exact result; near the root of a derivative, of 1.
Rounded up, which is how the records promise it. `!`: some results are NaN, infinite or of the other sign where they
should not be, or the reverse; they are not in the number. "Same bits": so many of the other compiled backends and
levels give the very bits for every input. Backward is taken with g = 1, which shows the error of the factor, and with
another g, which adds that of the product. Other libraries are put beside from a sample. Parameters are those of the
tests."""


def about(rows: Sequence[Row]) -> list[str]:
    """Where, when and how much was measured."""
    where = dict.fromkeys(f"{row['cpu']}, {row['level']}, commit {row['commit'] or 'unknown'}" for row in rows)
    versions = {name: v for row in rows for name, v in row["versions"].items() if name != "activation-kernels"}
    return ["; ".join(_inputs(rows)), *where, ", ".join(f"{name} {version}" for name, version in versions.items())]


def _inputs(rows: Sequence[Row]) -> Iterator[str]:
    """How many inputs ours were held to, and other libraries, which promise nothing."""
    for dtype in DTYPES:
        for whose, others in (("", False), (", other libraries", True)):
            counts = {row["inputs"] for row in rows if row["dtype"] == dtype and (row["bound"] is None) == others}
            if counts:
                least_and_most = sorted({min(counts), max(counts)})
                yield f"{dtype}{whose}: {' to '.join(f'{n:,}' for n in least_and_most)} inputs each"


def markdown(rows: Sequence[Row]) -> str:
    """The page."""
    parts = ["# The largest error of every function, over all inputs", NOTES]
    for dtype in DTYPES:
        found = table(rows, dtype)
        parts += [f"## {dtype}", found.markdown] if found else []
    facts = "\n".join(f"- {line}" for line in about(rows))
    parts += ["## Measured", facts, "`make exhaustive` measures it and writes this page."]
    return "\n\n".join(parts) + "\n"
