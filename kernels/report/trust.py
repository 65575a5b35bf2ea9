"""Why the numbers can be believed, and what other machines say: the bodies of those sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from kernels.report import compare, rows
from kernels.report.compare import Comparison
from kernels.report.findings import BANDS, BASELINE, DISPATCHER, Findings, band, mean_factor, wins
from kernels.report.html import DASH, bullets, folded, paragraph, table, times, title
from kernels.report.race import digits
from kernels.report.rows import Row
from kernels.report.verdicts import summary


@dataclass(frozen=True)
class Trusted:
    """What there is of it: pairs of a self-test, the runs of all machines, and the steps of asv's history."""

    self_test: Sequence[Row] = ()
    machines: Sequence[Findings] = ()
    history: Sequence[Comparison] = ()


def found(folder: Path) -> Trusted:
    """All that lies in a folder of results, and in asv's."""
    _, pairs, _ = rows.latest_readable(folder, rows.SELF_TEST_PLAN)
    machines = [Findings(rows.read(path)[0]) for path in rows.newest_of_machines(folder)]
    return Trusted(rows.of_kind(pairs, "self_test"), machines, compare.steps())


def machine_check(header: Row) -> str:
    """What was seen of the machine before the run, in words."""
    found = header.get("conditions", [])
    marks = [f"{'Fine' if one['fine'] else 'Mind'}: {one['name']}, {one['value']}: {one['words']}." for one in found]
    return bullets(map(escape, marks))


def self_test(found: Sequence[Row]) -> str:
    """What came out of measuring kernels against themselves."""
    if not found:
        return ""
    head = ("kernel", "work", "ratio", "interval", "verdict")
    body = [
        (
            escape(row["case"]),
            f"{1 + row['slowdown']:.2f}",
            digits(row["ratio"]),
            f"{digits(row['low'])} to {digits(row['high'])}",
            row["verdict"] + ("" if row["right"] else " (wrong)"),
        )
        for row in found
    ]
    return paragraph(f"On this machine: {summary(found)}.") + folded("Every pair", table(head, body))


def machines(found: Sequence[Findings]) -> str:
    """One line a machine, by the bands of sizes: who is fastest, and kernels.fastest over NumPy."""
    if len(found) < 2:
        return ""
    head = ("machine", "level", "cores", "commit", *(escape(label) for label, *_ in BANDS))
    return table(head, map(_machine, found))


def _machine(one: Findings) -> tuple[str, ...]:
    facts, host = one.header["facts"], one.header.get("host")
    name = escape(f"{facts['cpu']}{f' ({host})' if host else ''}")
    about = (escape(str(facts[key] or DASH)) for key in ("level", "cores", "commit"))
    return (name, *about, *(_band(one, first, last) for _, first, last in BANDS))


def _band(one: Findings, first: float, last: float) -> str:
    cells = band(one.sweep, first, last)
    ((winner, count),) = wins(cells).most_common(1) or [(None, 0)]
    if winner is None:
        return DASH
    factor = mean_factor(cells, DISPATCHER)
    ours = f"; kernels.fastest {times(factor)} {title(one, BASELINE)}" if factor else ""
    return f"{title(one, winner)} in {count} of {len(cells)}{ours}"
