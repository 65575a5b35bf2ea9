"""Rows -> matplotlib figures -> SVG. Pure functions: nothing here measures, and no kernel is loaded.

What is drawn in INK becomes ``currentColor``, so that a chart inside a page is readable on light and on dark ground.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from kernels.report.findings import BASELINE, DISPATCHER, SWEPT, Cell, Findings, form_label, power, slope_form
from kernels.report.rows import Row, nanoseconds

if TYPE_CHECKING:  # facts loads formulas, which no chart of measurements needs
    from kernels.report.facts import Corner, Curve

#: Stands for the page's text colour.
INK = "#0a0b0c"
TIMES = "\N{MULTIPLICATION SIGN}"
#: Readable on white and on black.
GREY = "#8a8f98"
VALUE_COLOR, SLOPE_COLOR = "#3b82c4", "#e0762c"
#: On the colours of the backends, on either ground.
TILE_TEXT = "#101318"
#: Functions by colour; after the last, the dashes change.
PALETTE = ("#4e79a7", "#f28e2b", "#e15759", "#59a14f", "#b07aa1", "#9c755f", "#d4a017", "#76b7b2", "#d37295", "#8a8f98")
DASHES = ("-", "--", ":", "-.")
SIZE = (4.6, 3.3)

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kernels",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    # Grid lines are marks enough.
    "xtick.bottom": False,
    "ytick.left": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GREY,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "lines.solid_capstyle": "butt",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "figure.constrained_layout.use": True,
}

NAMESPACE, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
#: What the whole chart has, and what its parts need not repeat.
SAID_ONCE = {
    "font-family": "'DejaVu Sans', sans-serif",
    "font-size": "9px",
    "fill": "currentColor",
    "stroke-linejoin": "round",
}
GOES_WITHOUT_SAYING = (
    "font-family: 'DejaVu Sans', sans-serif",
    "font-size: 9px",
    "text-anchor: start",
    "fill: currentColor",
)

Backends = Mapping[str, Mapping[str, str]]


def styled(draw: Callable) -> Callable:
    def drawn(*args, **kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    drawn.__doc__ = draw.__doc__
    drawn.__name__ = draw.__name__
    return drawn


def look(backends: Backends, name: str) -> dict:
    """Colour, marker, label and line of a backend, from its record; second texts are dotted."""
    base, _, variant = name.partition(":")
    record = backends[base]
    color = visible(record["color"])
    label = f"{record['title']}, {variant}" if variant else record["title"]
    return {
        "color": color,
        "marker": record["marker"],
        "label": label,
        # Dashed, so that what it coincides with shows through.
        "linestyle": ":" if variant else "--" if base == DISPATCHER else "-",
        "linewidth": 1.1 if base == DISPATCHER else 1.5,
        "markersize": 6 if record["marker"] == "*" else 4,
        "zorder": 4 if base == DISPATCHER else 3,
    }


def style_of(k: int) -> dict:
    """Of the k-th of many lines."""
    dashes = DASHES[k // len(PALETTE) % len(DASHES)]
    return {"color": PALETTE[k % len(PALETTE)], "linestyle": dashes, "marker": "o", "markersize": 3, "linewidth": 1.3}


def visible(color: str) -> str:
    """A colour that is nearly black would vanish on dark ground: it follows the text."""
    channels = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
    return INK if max(channels) < 0x50 else color


# ---------------------------------------------------------------- one form by size
@styled
def time_per_element(rows: Sequence[Row], backends: Backends, title: str) -> Figure:
    """Nanoseconds an element by size, median and quartile band."""
    figure, axes = _by_size(title, "ns an element")
    for name, mine in _split(rows):
        n = [row["n"] for row in mine]
        shown = look(backends, name)
        low, middle, high = zip(*map(nanoseconds, mine), strict=True)
        axes.fill_between(n, low, high, color=shown["color"], alpha=0.25, linewidth=0)
        axes.plot(n, middle, **shown)
    axes.set_yscale("log")
    return _finish(figure, axes)


@styled
def bandwidth(rows: Sequence[Row], backends: Backends, title: str) -> Figure:
    """GB/s by size, with quartile band, under the copying speed of the same footprint."""
    figure, axes = _by_size(title, "GB/s, read + written")
    ceiling = {row["n"]: row["ceiling_gb_per_s"] for row in rows}
    axes.plot(list(ceiling), list(ceiling.values()), color=GREY, linestyle="-.", linewidth=1.4, label="copy ceiling")
    for name, mine in _split(rows):
        n = [row["n"] for row in mine]
        shown = look(backends, name)
        scale = [row["gb_per_s"] * row["seconds_median"] for row in mine]
        low, high = ([s / row[f"seconds_{q}"] for s, row in zip(scale, mine, strict=True)] for q in ("q3", "q1"))
        axes.fill_between(n, low, high, color=shown["color"], alpha=0.25, linewidth=0)
        axes.plot(n, [row["gb_per_s"] for row in mine], **shown)
    axes.set_yscale("log")
    return _finish(figure, axes)


@styled
def speed_up(rows: Sequence[Row], backends: Backends, title: str) -> Figure:
    """How many times as fast as NumPy, by size; below 1 is slower. The band is from quartile over quartile."""
    figure, axes = _by_size(title, "times as fast as NumPy")
    base = {row["n"]: row for row in rows if row["backend"] == BASELINE}
    axes.axhline(1, color=visible(backends[BASELINE]["color"]), linewidth=1.5, label=backends[BASELINE]["title"])
    for name, mine in _split(row for row in rows if row["n"] in base and row["backend"] != BASELINE):
        n = [row["n"] for row in mine]
        shown = look(backends, name)
        pairs = [(base[row["n"]], row) for row in mine]
        axes.fill_between(
            n,
            [b["seconds_q1"] / r["seconds_q3"] for b, r in pairs],
            [b["seconds_q3"] / r["seconds_q1"] for b, r in pairs],
            color=shown["color"],
            alpha=0.25,
            linewidth=0,
        )
        axes.plot(n, [b["seconds_median"] / r["seconds_median"] for b, r in pairs], **shown)
    axes.set_yscale("log")
    return _finish(figure, axes, suffix=TIMES)


def _by_size(title: str, label: str) -> tuple[Figure, Axes]:
    figure = Figure(SIZE)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlabel("elements")
    axes.set_ylabel(label)
    axes.set_title(title, loc="left")
    return figure, axes


def _finish(figure: Figure, axes: Axes, suffix: str = "") -> Figure:
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.yaxis.set_major_locator(LogLocator(numticks=8))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: power(n)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}{suffix}" if y < 1e4 else power(y) + suffix))
    figure.legend(loc="outside lower center", ncols=3, handlelength=1.8, columnspacing=1.2)
    return figure


def with_legend(figure: Figure, axes: Axes, title: str, label: str, columns: int = 4) -> Figure:
    """Title, what the x-axis is, and the legend beneath."""
    axes.set_title(title, loc="left")
    axes.set_xlabel(label)
    figure.legend(loc="outside lower center", ncols=columns, handlelength=1.8, columnspacing=1.2)
    return figure


def _split(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """(backend, its rows by size)."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["n"]):
        found.setdefault(row["backend"], []).append(row)
    return sorted(found.items(), key=lambda item: item[0] == DISPATCHER)


# ---------------------------------------------------------------- a function, and the map of winners
@styled
def curve(row: Row) -> Figure:
    """A function and its derivative."""
    figure = Figure(SIZE)
    axes = figure.add_subplot()
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.plot(row["x"], row["value"], color=VALUE_COLOR, linewidth=2, label="value")
    axes.plot(row["x"], _with_gaps(row), color=SLOPE_COLOR, linewidth=2, linestyle="--", label="derivative")
    axes.set_title(row["title"], loc="left")
    axes.set_xlabel("x")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _with_gaps(row: Row) -> list[float]:
    """The derivative, broken where it jumps."""
    slopes = list(row["derivative"])
    return [
        float("nan") if abs(b - a) > 0.05 * max(1.0, abs(a), abs(b)) and k else b
        for k, (a, b) in enumerate(zip([slopes[0], *slopes], slopes, strict=False))
    ]


@styled
def portrait(drawn: Curve) -> Figure:
    """A function and its derivative; at a kink a full dot is what holds there, an empty one what is beside it."""
    figure = Figure((6.2, 3.9))
    axes = figure.add_subplot()
    _draw(axes, drawn, width=2)
    axes.set_title(drawn.title, loc="left")
    axes.set_xlabel("x")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@styled
def thumbnail(drawn: Curve) -> Figure:
    """The same, small and without words."""
    figure = Figure((1.9, 1.25))
    axes = figure.add_subplot()
    _draw(axes, drawn, width=1.6, marks=False)
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    axes.spines[:].set_visible(False)
    return figure


def _draw(axes: Axes, drawn: Curve, width: float, marks: bool = True) -> None:
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    for form, color, line in (("value", VALUE_COLOR, "-"), ("derivative", SLOPE_COLOR, "--")):
        for k, segment in enumerate(drawn.segments):
            label = form if k == 0 else None
            axes.plot(segment.x, getattr(segment, form), color=color, linewidth=width, linestyle=line, label=label)
        for corner in drawn.corners if marks else ():
            _mark(axes, corner, form, color)


def _mark(axes: Axes, corner: Corner, form: str, color: str) -> None:
    """Dots where the function or its derivative jumps."""
    which = ("value", "derivative").index(form)
    here, beside = getattr(corner, form), (corner.left[which], corner.right[which])
    if math.isclose(*beside, abs_tol=1e-9):
        return
    dot = {"linestyle": "none", "marker": "o", "markersize": 5, "color": color, "zorder": 5}
    for y in beside:
        if not math.isclose(y, here, abs_tol=1e-9):
            axes.plot(corner.at, y, fillstyle="none", **dot)
    axes.plot(corner.at, here, **dot)


@styled
def crossover_map(findings: Findings) -> Figure:
    """Which way to write a kernel is fastest, for each function, form and size; the number is its factor over NumPy."""
    backends, sizes = findings.header["backends"], findings.sizes
    lines = [(r.name, form) for r in findings.activations for form in ("value", slope_form(r))]
    figure = Figure((6.4, 1.3 + 0.27 * len(lines)))
    axes = figure.add_subplot()
    cells = {(c.activation, c.form, c.n): c for c in findings.sweep if c.winner}
    for y, line in enumerate(lines):
        for x, n in enumerate(sizes):
            if (cell := cells.get((*line, n))) is not None:
                _tile(axes, x, y, cell, backends)
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xticks(range(len(sizes)), map(power, sizes))
    axes.set_yticks(range(len(lines)), [form_label(*line) for line in lines])
    axes.set_xlabel("elements")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    winners = [name for name in backends if any(cell.winner == name for cell in cells.values())]
    looks = [look(backends, name) for name in winners]
    handles = [
        Line2D([], [], linestyle="none", color=one["color"], marker=one["marker"], label=one["label"]) for one in looks
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=max(len(handles), 1), handletextpad=0.3)
    return figure


def _tile(axes: Axes, x: int, y: int, cell: Cell, backends: Backends) -> None:
    """Colour, marker and factor."""
    record = backends[cell.winner]
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=visible(record["color"]), linewidth=0))
    axes.plot(x - 0.3, y, marker=record["marker"], color=TILE_TEXT, markersize=4.5, linestyle="none")
    factor = cell.factor(cell.winner)
    number = "" if factor is None or cell.winner == BASELINE else compact(factor)
    text = number if cell.is_clear else f"≈ {number}"
    axes.text(x + 0.12, y, text, ha="center", va="center", color=TILE_TEXT, fontsize=8.5)


def compact(factor: float) -> str:
    """Two digits that matter, and no more than needed."""
    return f"{factor:.0f}" if factor >= 9.95 else f"{factor:.1f}" if factor >= 0.995 else f"{factor:.2g}"


# ---------------------------------------------------------------- SVG
def svg(figure: Figure, name: str) -> str:
    """The figure as SVG text that follows the page's colours; ``name`` keeps its ids apart from other charts' ids."""
    for line in (line for axes in figure.axes for line in (*axes.get_xgridlines(), *axes.get_ygridlines())):
        line.set_clip_on(False)  # it ends where the axes do
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", transparent=True)
    root = ElementTree.fromstring(buffer.getvalue().replace(INK, "currentColor"))
    attributes = {"viewBox": root.get("viewBox"), **SAID_ONCE}
    _name_ids(root, name)
    slim = ElementTree.Element("svg", attributes, xmlns=NAMESPACE.strip("{}"))
    slim.extend(_slim(root))
    return ElementTree.tostring(slim, encoding="unicode")


def _name_ids(root: ElementTree.Element, name: str) -> None:
    """Ids that something refers to become short ones; the others go, and with them most groups."""
    found = re.findall(r'(?:url\(#|href="#)([^)"]*)', ElementTree.tostring(root, encoding="unicode"))
    prefix = f"c{zlib.crc32(name.encode()):x}"
    short = {long: f"{prefix}-{k}" for k, long in enumerate(dict.fromkeys(found))}
    for element in root.iter():
        given = element.attrib
        if target := given.pop(LINK, None):
            given["href"] = f"#{short[target[1:]]}"
        if clip := given.get("clip-path"):
            given["clip-path"] = f"url(#{short[clip[5:-1]]})"
        if long := given.pop("id", None):
            given |= {"id": short[long]} if long in short else {}


def _slim(parent: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """What is drawn, without groups that group nothing."""
    for element in parent:
        element.tag = element.tag.removeprefix(NAMESPACE)
        if element.tag in ("metadata", "style") or element.get("style") == "fill: none":
            continue
        _shorten(element.attrib)
        element[:] = list(_slim(element))
        element.tail = None
        if element.tag not in ("text", "tspan"):
            element.text = None
        if element.tag == "g":
            _share_style(element)
        if element.tag == "g" and not element.attrib:
            yield from element
        elif element.tag != "defs" or len(element):
            yield element


def _shorten(given: dict[str, str]) -> None:
    """As many digits as are seen, and no style that goes without saying."""
    for key in given.keys() & {"d", "x", "y", "width", "height", "transform"}:
        given[key] = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), given[key])
    if "d" in given:
        given["d"] = re.sub(r"\s*([A-Za-z])\s*", r"\1", given["d"].strip())
    if given.get("transform", "").startswith("rotate(-0 "):
        del given["transform"]
    if "style" in given:
        parts = [part for part in given.pop("style").split("; ") if part not in GOES_WITHOUT_SAYING]
        given |= {"style": ";".join(parts).replace(": ", ":")} if parts else {}


def _share_style(group: ElementTree.Element) -> None:
    """A style that all of a group have is the group's."""
    styles = {child.get("style") for child in group}
    if len(group) > 1 and len(styles) == 1 and None not in styles:
        group.set("style", styles.pop())
        for child in group:
            del child.attrib["style"]


def draw_all(findings: Findings) -> dict[str, str]:
    """Every chart of the page: name -> SVG text."""
    backends = findings.header["backends"]
    charts = {"crossover": svg(crossover_map(findings), "crossover")} if findings.sweep else {}
    for record in findings.activations:
        row = findings.curve(record.name)
        if row is not None:
            charts[f"{record.name}-curve"] = svg(curve(row), f"{record.name}-curve")
        for form, dtype in product(("value", slope_form(record)), (SWEPT, *findings.dtypes)):
            rows = findings.rows_of(record.name, form, dtype)
            if not rows:
                continue
            title = ", ".join(told(record.name, form, dtype))
            for kind, draw in BY_SIZE.items():
                name = by_size_name(record.name, form, dtype, kind)
                charts[name] = svg(draw(rows, backends, title), name)
    return charts


def by_size_name(activation: str, form: str, dtype: str, kind: str) -> str:
    """relu-value-time, and relu-value-float16-time"""
    return "-".join((*told(activation, form, dtype), kind))


def told(activation: str, form: str, dtype: str) -> tuple[str, ...]:
    """What of a line is named: the dtype where it is not that of the sweep."""
    return (activation, form) if dtype == SWEPT else (activation, form, dtype)


BY_SIZE = {"time": time_per_element, "bandwidth": bandwidth, "speed-up": speed_up}
