"""Commit by commit, as asv timed them: a section of the report's page, and a page of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from kernels.report import rows
from kernels.report.charts import TIMES, look, styled, svg, with_legend
from kernels.report.compare import Comparison, Side, lines
from kernels.report.findings import geometric_mean
from kernels.report.html import figure, fill, folded, paragraph, table
from kernels.report.race import digits

TITLE = "Commit by commit"
LEAD = """Each commit that asv timed, against the one before it. A difference has to be larger than what two runs of the
same code differ by, and to show beside NumPy, which was timed in turns with it; what that leaves open is unclear."""


def page(steps: Sequence[Comparison], reported: bool) -> str:
    """A page that needs nothing but itself: how times went by backend, and what became faster or slower.

    ``reported``: the report's page lies beside it.
    """
    machines = _machines(steps)
    charts = {f"history-{k}": svg(over_commits(sides), f"history-{k}") for k, sides in enumerate(machines)}
    drawn = [figure(charts, name, "wide") for name in charts]
    gone = sorted(set().union(*map(left_out, machines)))
    if gone:
        drawn.append(paragraph(f"Not drawn, for they are among the backends no longer: {escape(', '.join(gone))}."))
    nav = '<a href="index.html">Report</a>' if reported else ""
    body = "\n".join([paragraph(LEAD, "soft"), *drawn, section(steps)])
    return fill("docs.html", {"title": TITLE, "nav": nav, "body": body})


def section(steps: Sequence[Comparison]) -> str:
    """A line a commit, then every case that became faster or slower."""
    head = ("commit", "against", "cases", "faster", "slower", "same", "unclear", "all together")
    body = [
        (
            escape(step.second.header["commit"]),
            escape(step.first.header["commit"]),
            str(len(step.verdicts)),
            *map(str, step.counts.values()),
            f"{digits(step.drift)} times",
        )
        for step in steps
        if step.verdicts
    ]
    if not body:
        return ""
    changed = [
        (escape(case), escape(step.second.header["commit"]), word, ratio, interval, sure)
        for step in steps
        for case, word, ratio, interval, sure in lines(step)
    ]
    names = ("case", "commit", "verdict", "ratio", "interval", "sure")
    return table(head, body) + (folded("What became faster or slower", table(names, changed)) if changed else "")


def _machines(steps: Sequence[Comparison]) -> list[list[Side]]:
    """The commits of each machine, in their order."""
    found: dict[Path, list[Side]] = {}
    for step in steps:
        found.setdefault(step.first.path.parent, [step.first]).append(step.second)
    return list(found.values())


@styled
def over_commits(sides: Sequence[Side]) -> Figure:
    """Time over that of the first commit, by backend: the geometric mean of the cases that all commits have."""
    common = _common(sides)
    drawn = Figure((6.4, 3.3))
    axes = drawn.add_subplot()
    for backend in sorted({_backend(case) for case in common} - left_out(sides)):
        mine = [case for case in common if _backend(case) == backend]
        ratios = [_mean(side.cases, sides[0].cases, mine) for side in sides]
        axes.plot(range(len(sides)), ratios, **look(sides[0].header["backends"], backend))
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}{TIMES}"))
    axes.set_xticks(range(len(sides)), [side.header["commit"][:7] for side in sides])
    return with_legend(drawn, axes, f"time over that of the first commit, {sides[0].header['facts']['cpu']}", "commit")


def left_out(sides: Sequence[Side]) -> set[str]:
    """Backends of old results that nothing says any more how to draw."""
    known = sides[0].header["backends"]
    return {name for name in map(_backend, _common(sides)) if name.partition(":")[0] not in known}


def _common(sides: Sequence[Side]) -> set[tuple]:
    """The cases that all commits have."""
    return set.intersection(*(set(side.cases) for side in sides))


def _backend(case: tuple) -> str:
    return case[rows.CASE.index("backend")]


def _mean(cases: Mapping, first: Mapping, chosen: Sequence[tuple]) -> float:
    return geometric_mean(cases[case]["seconds_median"] / first[case]["seconds_median"] for case in chosen)
