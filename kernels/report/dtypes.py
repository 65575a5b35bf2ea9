"""What a dtype costs: values by size in each dtype, by kernels.fastest and NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import product

from kernels.report.findings import BASELINE, DISPATCHER, SWEPT, Findings, power
from kernels.report.html import DASH, dotted, figures, folded, paragraph, table, times
from kernels.report.rows import Row, nanoseconds

#: The widest first.
ORDER = ("float64", "float32", "bfloat16", "float16")
OTHERS = tuple(dtype for dtype in ORDER if dtype != SWEPT)
#: Whose values are compared.
SHOWN = (DISPATCHER, BASELINE)

#: (backend, dtype) -> rows by size.
Lines = dict[tuple[str, str], list[Row]]


def compared(findings: Findings) -> dict[str, Lines]:
    """Function -> its lines, of those that a backend has in two dtypes or more, at the sizes that these share."""
    found = {}
    for record in findings.activations:
        rows = {dtype: findings.rows_of(record.name, "value", dtype) for dtype in ORDER}
        sizes = {row["n"] for dtype in OTHERS for row in rows[dtype]}
        lines: Lines = {}
        for backend, dtype in product(SHOWN, ORDER):
            mine = [row for row in rows[dtype] if row["backend"] == backend and row["n"] in sizes]
            if len(mine) > 1:
                lines[backend, dtype] = mine
        backends = [backend for backend, _ in lines]
        if len(backends) > len(set(backends)):
            found[record.name] = lines
    return found


def chart(name: str) -> str:
    """The name of a function's chart."""
    return f"{name}-dtypes"


def section(findings: Findings, charts: Mapping[str, str]) -> str:
    """The charts, what the longest arrays gain, and every number."""
    found = compared(findings)
    if not found:
        return ""
    return figures(charts, map(chart, found)) + _gains(found) + folded("The same as a table", _times(findings, found))


def _gains(found: dict[str, Lines]) -> str:
    """The time of the longest arrays over that in float32, by kernels.fastest."""
    longest = max(row["n"] for lines in found.values() for rows in lines.values() for row in rows)
    body = []
    for name, lines in found.items():
        usual = _at(lines, DISPATCHER, SWEPT, longest)
        body.append([escape(name), *(_gain(_at(lines, DISPATCHER, dtype, longest), usual) for dtype in OTHERS)])
    if all(cell == DASH for _, *cells in body for cell in cells):
        return ""
    meaning = f"Time of {power(longest)} elements over that in {SWEPT}, by kernels.fastest. ≈: within the noise."
    return paragraph(meaning, "soft") + table(["function", *OTHERS], body)


def _at(lines: Lines, backend: str, dtype: str, n: int) -> Row | None:
    return next((row for row in lines.get((backend, dtype), ()) if row["n"] == n), None)


def _gain(row: Row | None, usual: Row | None) -> str:
    if row is None or usual is None:
        return DASH
    apart = row["seconds_q1"] > usual["seconds_q3"] or usual["seconds_q1"] > row["seconds_q3"]
    return ("" if apart else "≈ ") + times(row["seconds_median"] / usual["seconds_median"])


def _times(findings: Findings, found: dict[str, Lines]) -> str:
    sizes = sorted({row["n"] for lines in found.values() for rows in lines.values() for row in rows})
    body = []
    for name, lines in found.items():
        for (backend, dtype), rows in lines.items():
            took = {row["n"]: f"{nanoseconds(row)[1]:.3g}" for row in rows}
            body.append([escape(name), dotted(findings, backend), dtype, *(took.get(n, DASH) for n in sizes)])
    inner = table(["function", "backend", "dtype", *map(power, sizes)], body)
    return paragraph("Nanoseconds an element.", "soft") + inner
