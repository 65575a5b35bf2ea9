"""Charts that look across functions: roofs, errors beside times, textbook loops, outputs and caches, GPU, network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from kernels.activations import lookup
from kernels.report import costs, dtypes, lessons
from kernels.report.charts import (
    DASHES,
    GREY,
    INK,
    SIZE,
    Backends,
    by_size_name,
    look,
    style_of,
    styled,
    svg,
    time_per_element,
    told,
    visible,
    with_legend,
)
from kernels.report.findings import BASELINE, DISPATCHER, IN_CACHE, Findings, power, slope_form
from kernels.report.gpu import Device
from kernels.report.race import Race
from kernels.report.rows import Row, nanoseconds

#: Where an error of nothing stands on a logarithmic axis.
LEAST_ULP = 0.05
#: Room above and below the lines of charts that share a scale.
MARGIN = 1.3
DTYPE_LOOKS = {
    "float64": {"color": "#b07aa1", "marker": "s"},
    "float32": {"color": "#4e79a7", "marker": "o"},
    "bfloat16": {"color": "#59a14f", "marker": "v"},
    "float16": {"color": "#f28e2b", "marker": "^"},
}
BACKEND_LOOKS = {
    DISPATCHER: {"linestyle": "-", "linewidth": 1.5, "markersize": 4},
    BASELINE: {"linestyle": ":", "linewidth": 1.2, "markersize": 4, "fillstyle": "none"},
}
#: The function by which CPU and GPU are compared in a picture.
SHOWN = "sigmoid"


def draw_all(findings: Findings, race: Race | None, device: Device | None = None) -> dict[str, str]:
    """Every chart across functions: name -> SVG text."""
    figures: dict[str, Figure] = {}
    backends = findings.header["backends"]
    for threads in costs.thread_counts(findings):
        figures[f"roofline-{threads}"] = roofline(findings, threads)
    errors = {record.name: findings.value_at(record.name, IN_CACHE) or {} for record in findings.activations}
    if any(errors.values()):
        figures["errors"] = errors_by_time(errors, backends)
    raced = _raced(race)
    if raced:
        figures["errors-peers"] = errors_by_time(raced, race.header["backends"])
    texts = costs.texts_of(findings)
    if texts and any(name in cell for cell in errors.values() for name in texts):
        figures["textbook"] = textbook(errors, texts, backends)
    heaviest = costs.heaviest(findings)
    if heaviest:
        figures["memory"] = outputs(heaviest, backends)
    figures |= across_dtypes(findings) | network(findings) | peers(race) | (on_gpu(findings, device) if device else {})
    return {name: svg(figure, name) for name, figure in figures.items()}


def _raced(race: Race | None) -> dict[str, dict[str, Row]]:
    """Activation -> backend -> row of a race's values in float32, new output, at the size at which errors are."""
    if race is None:
        return {}
    wanted = {"form": "value", "dtype": "float32", "n": IN_CACHE, "allocate": True}
    return {h.activation: h.rows for h in race.heats if all(getattr(h, key) == value for key, value in wanted.items())}


# ---------------------------------------------------------------- roofs
@styled
def roofline(findings: Findings, threads: int) -> Figure:
    """GB/s of kernels.fastest by the bytes that a call moves, under the copying speed of each cache."""
    figure = Figure((4.8, 3.9))
    axes = figure.add_subplot()
    kernels_ = costs.under(findings, threads, DISPATCHER)
    moved = [costs.bytes_of(row) for mine in kernels_.values() for row in mine]
    least, most = min(moved, default=1e3), max(moved, default=1e8)
    for roof in costs.roofs(findings, threads):
        left, right = max(roof["first"], least), roof["last"] or max(most, 2 * roof["first"])
        axes.plot([left, right], [roof["gb_per_s"]] * 2, color=INK, linewidth=2.2, solid_capstyle="butt")
        if roof["first"] > least:
            axes.axvline(roof["first"], color=GREY, linewidth=0.8, linestyle=":")
        axes.annotate(
            f"{roof['cache']} {roof['gb_per_s']:.0f}",
            (math.sqrt(left * right), roof["gb_per_s"]),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    for k, (name, mine) in enumerate(kernels_.items()):
        at, style = [costs.bytes_of(row) for row in mine], style_of(k)
        low, high = ([n / row[f"seconds_{q}"] * 1e-9 for n, row in zip(at, mine, strict=True)] for q in ("q3", "q1"))
        axes.fill_between(at, low, high, color=style["color"], alpha=0.2, linewidth=0)
        axes.plot(at, [row["gb_per_s"] for row in mine], label=name, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("bytes read + written by a call")
    axes.set_ylabel("GB/s")
    axes.set_title("one thread" if threads == 1 else f"{threads} threads", loc="left")
    _plain_decades(axes)
    if kernels_:
        figure.legend(loc="outside lower center", ncols=4, handlelength=1.8, columnspacing=1.2)
    return figure


def _plain_decades(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=9))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda n, _: power(n) if n >= 1 else f"{n:g}"))


# ---------------------------------------------------------------- errors beside times
@styled
def errors_by_time(rows: Mapping[str, Mapping[str, Row]], backends: Backends) -> Figure:
    """A small chart for each function: the largest error over the time of an element, a mark for each backend."""
    names = [name for name, mine in rows.items() if mine]
    columns = 3
    lines = math.ceil(len(names) / columns)
    figure = Figure((6.6, 1.0 + 1.75 * lines))
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    shown = {}
    for axes, name in zip(grid.flat, names, strict=False):
        for backend, row in rows[name].items():
            if row["ulp"] is None:
                continue
            style = look(backends, backend)
            dot = {key: style[key] for key in ("color", "marker", "zorder")}
            hollow = {"fillstyle": "none"} if ":" in backend else {}
            low, middle, high, error = *nanoseconds(row), max(row["ulp"], LEAST_ULP)
            axes.hlines(error, low, high, color=style["color"], linewidth=1.2)
            dot |= hollow | {"linestyle": "none", "markersize": 6, "label": style["label"]}
            shown[backend] = axes.plot(middle, error, **dot)[0]
        axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_title(name, loc="left")
        axes.set_xscale("log")
        axes.set_yscale("log")
        _plain_decades(axes)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("ULP")
    for axes in list(grid.flat)[max(len(names) - columns, 0) : len(names)]:
        axes.set_xlabel("ns an element")
        axes.tick_params(labelbottom=True)
    figure.legend(handles=list(shown.values()), loc="outside lower center", ncols=4, handletextpad=0.3)
    return figure


# ---------------------------------------------------------------- textbook beside tuned
@styled
def textbook(rows: Mapping[str, Mapping[str, Row]], texts: Sequence[str], backends: Backends) -> Figure:
    """A line for each function: what a newcomer writes, hollow, and what is here, full."""
    names = [name for name, mine in rows.items() if any(text in mine for text in texts)]
    figure = Figure((6.2, 1.2 + 0.32 * len(names)))
    axes = figure.add_subplot()
    for text in dict.fromkeys(texts):
        style = look(backends, text)
        points = [(*nanoseconds(rows[name][text]), y) for y, name in enumerate(names) if text in rows[name]]
        low, middle, high, y = zip(*points, strict=True)
        axes.hlines(y, low, high, color=style["color"], linewidth=1.2)
        dot = {"color": style["color"], "marker": style["marker"], "markersize": 7, "linestyle": "none"}
        axes.plot(middle, y, label=style["label"], fillstyle="none" if ":" in text else "full", **dot)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=9))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(f"ns an element, {power(IN_CACHE)} elements")
    figure.legend(loc="outside lower center", ncols=3, handletextpad=0.3)
    return figure


# ---------------------------------------------------------------- outputs and caches
@styled
def outputs(conditions: Sequence[tuple[str, Mapping[str, Row]]], backends: Backends) -> Figure:
    """Bars of the time of a long array by what becomes of the output, and by caches; whiskers are quartiles."""
    names = list(dict.fromkeys(name for _, rows in conditions for name in rows if name != "python" and ":" not in name))
    first = next(row for _, rows in conditions for row in rows.values())
    figure = Figure(SIZE)
    axes = figure.add_subplot()
    width = 0.8 / max(len(names), 1)
    for k, name in enumerate(names):
        mine = [(x, rows[name]) for x, (_, rows) in enumerate(conditions) if name in rows]
        at = [x + (k - (len(names) - 1) / 2) * width for x, _ in mine]
        middle = [row["seconds_median"] * 1e3 for _, row in mine]
        ends = [
            [abs(row[f"seconds_{q}"] * 1e3 - m) for (_, row), m in zip(mine, middle, strict=True)] for q in ("q1", "q3")
        ]
        style = look(backends, name)
        axes.bar(
            at, middle, width * 0.92, color=style["color"], label=style["label"], yerr=ends, error_kw={"ecolor": GREY}
        )
    axes.set_xticks(range(len(conditions)), [name.replace(", ", ",\n") for name, _ in conditions])
    axes.set_ylabel("ms a call")
    axes.set_title(f"{first['activation']}, {power(first['n'])} elements", loc="left")
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside lower center", ncols=4, handlelength=1.2)
    return figure


# ---------------------------------------------------------------- dtypes
def across_dtypes(findings: Findings) -> dict[str, Figure]:
    """A chart for each function whose values were measured in several dtypes by size, all on the same scale."""
    found = dtypes.compared(findings)
    every = [nanoseconds(row) for lines in found.values() for rows in lines.values() for row in rows]
    low, high = min((q1 for q1, _, _ in every), default=1.0), max((q3 for _, _, q3 in every), default=1.0)
    backends = findings.header["backends"]
    return {
        dtypes.chart(name): in_dtypes(lines, backends, name, (low / MARGIN, high * MARGIN))
        for name, lines in found.items()
    }


@styled
def in_dtypes(lines: dtypes.Lines, backends: Backends, name: str, limits: tuple[float, float]) -> Figure:
    """Nanoseconds an element of a value by size, a colour for each dtype; NumPy's are dotted and hollow."""
    figure = Figure(SIZE)
    axes = figure.add_subplot()
    for (backend, dtype), rows in lines.items():
        style = DTYPE_LOOKS[dtype] | BACKEND_LOOKS[backend]
        n = [row["n"] for row in rows]
        low, middle, high = zip(*map(nanoseconds, rows), strict=True)
        axes.fill_between(n, low, high, color=style["color"], alpha=0.25, linewidth=0)
        axes.plot(n, middle, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(limits)
    axes.set_ylabel("ns an element")
    axes.set_xlabel("elements")
    axes.set_title(name, loc="left")
    _plain_decades(axes)
    shown = dict.fromkeys(dtype for _, dtype in lines)
    keys = [Line2D([], [], label=dtype, **DTYPE_LOOKS[dtype] | BACKEND_LOOKS[DISPATCHER]) for dtype in shown]
    for backend in dict.fromkeys(backend for backend, _ in lines):
        style = BACKEND_LOOKS[backend] | {"color": GREY, "label": backends[backend]["title"]}
        keys.append(Line2D([], [], **style))
    figure.legend(handles=keys, loc="outside lower center", ncols=3, handlelength=2.4, columnspacing=1.2)
    return figure


# ---------------------------------------------------------------- a GPU
def on_gpu(findings: Findings, device: Device) -> dict[str, Figure]:
    """The values of one function on CPU and GPU by size, and of all as shares of the device's copy."""
    both = {cell.activation for cell in findings.sweep if cell.form == "value" and device.call(cell)}
    values = [record.name for record in findings.activations if record.name in both]
    figures = {"gpu-share": gpu_shares(device)} if device.kernels else {}
    if values:
        figures["gpu-time"] = gpu_times(findings, device, SHOWN if SHOWN in values else values[0])
    return figures


@styled
def gpu_times(findings: Findings, device: Device, name: str) -> Figure:
    """Nanoseconds an element of a value by size: the CPU, the GPU alone, and with transfers."""
    cells = [cell for cell in findings.sweep if (cell.activation, cell.form) == (name, "value")]
    backends = findings.header["backends"]
    lines = {
        look(backends, DISPATCHER)["label"]: (
            DISPATCHER,
            "-",
            lambda cell: cell.rows.get(DISPATCHER) and cell.seconds(DISPATCHER),
        ),
        "GPU, kernel alone": ("cuda", "-", lambda cell: device.kernel(name, "value", cell.n)),
        "GPU, with transfers": ("cuda", "--", device.with_transfers),
    }
    figure = Figure(SIZE)
    axes = figure.add_subplot()
    for label, (backend, dashes, seconds_of) in lines.items():
        found = [
            (cell.n, took / cell.n * 1e9) for cell in sorted(cells, key=lambda c: c.n) if (took := seconds_of(cell))
        ]
        style = look(backends, backend) | {"linestyle": dashes, "label": label, "linewidth": 1.5}
        axes.plot([n for n, _ in found], [took for _, took in found], **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylabel("ns an element")
    _plain_decades(axes)
    return with_legend(figure, axes, f"{name}: CPU and GPU", "elements", columns=3)


@styled
def gpu_shares(device: Device) -> Figure:
    """GB/s of each function's value as a share of the device's own copy."""
    figure = Figure(SIZE)
    axes = figure.add_subplot()
    values = [(name, sizes) for (name, form), sizes in device.kernels.items() if form == "value"]
    for k, (name, sizes) in enumerate(values):
        found = {n: one["cuda"]["share_of_ceiling"] for n, one in sizes.items() if "cuda" in one}
        axes.plot(list(found), list(found.values()), label=name, **style_of(k))
    axes.axhline(1, color=GREY, linewidth=1.2, linestyle="-.")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: power(n)))
    axes.xaxis.set_minor_locator(NullLocator())
    return with_legend(figure, axes, "share of the device's own copy", "elements")


# ---------------------------------------------------------------- other libraries
def peers(race: Race | None) -> dict[str, Figure]:
    """Time by size of every library, in each dtype, with a new output each call."""
    figures = {}
    for (name, form, dtype, allocate), heats in race.lines.items() if race else ():
        if allocate and form in ("value", slope_form(lookup(name))):
            rows = [row for heat in heats.values() for row in heat.rows.values()]
            title = f"{', '.join(told(name, form, dtype))}: other libraries, new outputs"
            figures[by_size_name(name, form, dtype, "peers")] = time_per_element(rows, race.header["backends"], title)
    return figures


# ---------------------------------------------------------------- a network
def network(findings: Findings) -> dict[str, Figure]:
    """The experiments with a network, by name."""
    figures = {}
    learned = lessons.learned(findings, "ordinary")
    if learned:
        figures["learning"] = over_epochs(learned, "accuracy", "share of unseen digits that are right")
        figures["zeros"] = over_epochs(learned, "zeros", "share of hidden outputs that are 0")
        own = [row for row in learned if any(row["parameters"])]
        if own:
            figures["parameters"] = parameters(own)
    for name in ("high rate", "negative bias"):
        rows = lessons.learned(findings, name)
        if rows:
            figures[f"dead-{name.replace(' ', '-')}"] = over_epochs(
                rows, "dead", f"share of dead units: {lessons.words(rows[0])}"
            )
    for scale in lessons.scales(findings):
        rows = lessons.layers(findings, scale)
        place = rows[0]["scale"]
        figures[f"gradient-{place:g}"] = by_layer(
            rows, "gradient", f"norm of the gradient, weights of variance {scale}"
        )
        figures[f"variance-{place:g}"] = by_layer(
            rows, "variance", f"variance of the outputs, weights of variance {scale}"
        )
    steps = lessons.steps(findings)
    if steps:
        figures["step"] = step_times(steps, findings.header["backends"])
    return figures


@styled
def over_epochs(rows: Sequence[Row], what: str, title: str) -> Figure:
    figure = Figure(SIZE)
    axes = figure.add_subplot()
    for k, row in enumerate(rows):
        axes.plot(range(len(row[what])), row[what], label=row["activation"], **style_of(k))
    axes.set_ylim(-0.03, 1.03)
    return with_legend(figure, axes, title, "epoch")


@styled
def parameters(rows: Sequence[Row]) -> Figure:
    """Learned parameters of each hidden layer over the epochs."""
    figure = Figure(SIZE)
    axes = figure.add_subplot()
    for k, row in enumerate(rows):
        for layer, values in enumerate(zip(*row["parameters"], strict=True)):
            style = style_of(k) | {"linestyle": DASHES[layer % len(DASHES)]}
            axes.plot(range(len(values)), _drawable(values), label=f"{row['activation']}, layer {layer + 1}", **style)
    return with_legend(figure, axes, "learned parameters", "epoch", columns=2)


@styled
def by_layer(rows: Sequence[Row], what: str, title: str) -> Figure:
    figure = Figure(SIZE)
    axes = figure.add_subplot()
    for k, row in enumerate(rows):
        axes.plot(range(1, len(row[what]) + 1), _drawable(row[what]), label=row["activation"], **style_of(k))
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    return with_legend(figure, axes, title, "layer")


def _drawable(values: Sequence[float | None]) -> list[float]:
    """What became infinite is a gap."""
    return [math.nan if value is None else value for value in values]


@styled
def step_times(rows: Mapping[str, Sequence[Row]], backends: Backends) -> Figure:
    """Milliseconds of a training step by backend, whiskers are quartiles."""
    figure = Figure(SIZE)
    axes = figure.add_subplot()
    names = list(dict.fromkeys(row["backend"] for mine in rows.values() for row in mine))
    width = 0.8 / len(names)
    for k, name in enumerate(names):
        mine = [next(row for row in each if row["backend"] == name) for each in rows.values()]
        middle = [row["seconds_median"] * 1e3 for row in mine]
        ends = [[abs(row[f"seconds_{q}"] * 1e3 - m) for row, m in zip(mine, middle, strict=True)] for q in ("q1", "q3")]
        at = [x + (k - (len(names) - 1) / 2) * width for x in range(len(mine))]
        color, title = visible(backends[name]["color"]), backends[name]["title"]
        axes.bar(at, middle, width * 0.92, color=color, label=title, yerr=ends, error_kw={"ecolor": GREY})
    axes.set_xticks(range(len(rows)), list(rows))
    axes.set_ylabel("ms a step")
    axes.set_title("a training step, forward and backward", loc="left")
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside lower center", ncols=4, handlelength=1.2)
    return figure
