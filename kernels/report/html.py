"""Small pieces of HTML, and the templates that they are put into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template

from kernels.report.charts import INK, TIMES, compact, visible
from kernels.report.findings import Cell, Findings, form_label
from kernels.report.race import Race

#: Stands where nothing was measured.
DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Section:
    """A part of the page; one without a body is left out."""

    place: str
    #: In the list of contents.
    short: str
    title: str
    body: str
    #: What one has to know to read it.
    lead: str = ""
    #: How its numbers were taken, one click away.
    how: str = ""

    @property
    def html(self) -> str:
        parts = [
            f'<section id="{escape(self.place)}">',
            f"<h2>{escape(self.title)}</h2>",
            paragraph(self.lead, "soft") if self.lead else "",
            self.body,
            folded("How this was measured", f"<p>{self.how}</p>") if self.how else "",
            "</section>",
        ]
        return "\n".join(filter(None, parts))


def fill(template: str, parts: Mapping[str, str]) -> str:
    """A page of the template of that name, with the one style and the one script that all pages have."""
    return Template(_file(template)).substitute(parts, style=_file("style.css"), script=_file("tables.js"))


def _file(name: str) -> str:
    return resources.files("kernels.report").joinpath(name).read_text(encoding="utf-8")


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; the first of each row is its heading."""
    headings = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    lines = [f"<thead><tr>{headings}</tr></thead>", "<tbody>"]
    for first, *others in body:
        cells = "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in others)
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return '<div class="scroll"><table>' + "\n".join([*lines, "</tbody>"]) + "</table></div>"


def figure(charts: Mapping[str, str], name: str, kind: str = "") -> str:
    if name not in charts:
        return "<p>Nothing was measured for this chart.</p>"
    label = escape(name.replace("-", " "))
    return f'<figure class="{kind}" role="img" aria-label="{label}">{charts[name]}</figure>'


def figures(charts: Mapping[str, str], names: Iterable[str]) -> str:
    """Those of the charts that there are, side by side where there is room."""
    drawn = [figure(charts, name) for name in names if name in charts]
    return f'<div class="charts">{"".join(drawn)}</div>' if drawn else ""


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{text}</p>' if kind else f"<p>{text}</p>"


def bullets(lines: Iterable[str]) -> str:
    """A list of lines that are HTML already; nothing for none."""
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def folded(summary: str, inner: str) -> str:
    """What is shown after a click."""
    return f"<details><summary>{summary}</summary>{inner}</details>"


def facts_list(known: Mapping[str, object]) -> str:
    """What is known, each with its name; what is empty is left out."""
    lines = [f"<dt>{escape(name)}</dt><dd>{escape(str(fact))}</dd>" for name, fact in known.items() if fact != ""]
    return "<dl>" + "".join(lines) + "</dl>"


def title(findings: Findings | Race, name: str) -> str:
    base, _, variant = name.partition(":")
    found = findings.header["backends"][base]["title"]
    return escape(f"{found}, {variant}" if variant else found)


def dotted(findings: Findings | Race, name: str) -> str:
    """A backend's name behind its colour."""
    color = visible(findings.header["backends"][name.partition(":")[0]]["color"]).replace(INK, "currentColor")
    return f'<span class="dot" style="background:{color}"></span>{title(findings, name)}'


def times(factor: float | None) -> str:
    return DASH if factor is None else f"{compact(factor)}{TIMES}"


def label(cell: Cell) -> str:
    return escape(form_label(cell.activation, cell.form))


def listed(words: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def seconds(duration: float) -> str:
    """With a unit that leaves few digits: 1.2 s, 35 ms, 240 ns."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if duration >= size:
            return f"{duration / size:.3g} {unit}"
    return f"{duration * 1e9:.3g} ns"


def count(number: float) -> str:
    """A whole number that says no more than two digits: 3, 120, 45,000."""
    digits = max(len(f"{number:.0f}") - 2, 0)
    return f"{round(number, -digits):,.0f}"
