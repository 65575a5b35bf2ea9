"""The GPU beside the CPU, and what its compiler made of the kernels: a section of the page, from their rows.

Kernels, launches and transfers are of ``python -m kernels.report --device cuda``, registers and spills of ``make ptx``;
the CPU is that of the page's run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from statistics import median

from kernels.report import rows
from kernels.report.findings import DISPATCHER, Cell, Findings, extent, form_label, power, slope_form
from kernels.report.html import DASH, bullets, facts_list, figures, folded, listed, paragraph, seconds, table, times
from kernels.report.rows import Row

#: The contestant of this project, and the bytes of a number that its transfers are of.
OWN, FLOAT32 = "cuda", 4
#: The forms that move one array there and one back.
FORMS = ("value", "derivative")
#: In the order of their columns.
DTYPES = ("float16", "bfloat16", "float32", "float64")
NOT_MEASURED = """No run on a GPU lies beside these results{why}. <code>python -m kernels.report --device cuda</code>
makes one where there is a GPU; <code>make wheels</code> and <code>make report-cuda</code> bring it to a machine without
network."""
NOT_COMPILED = "Registers and spills are not known here: <code>make ptx</code> compiles every kernel and writes them."


@dataclass(frozen=True)
class Device:
    """The rows of a run on a GPU."""

    rows: Sequence[Row]

    @cached_property
    def header(self) -> Row:
        return rows.header(self.rows)

    @cached_property
    def timed(self) -> list[Row]:
        return [row for row in rows.of_kind(self.rows, "measurement") if row["status"] == "ok"]

    @cached_property
    def kernels(self) -> dict[tuple[str, str], dict[int, dict[str, Row]]]:
        """(activation, form) -> size -> contestant -> row, in float32, of rows as long as the CPU's."""
        return _by("n", (row for row in self.timed if not row.get("columns")))

    @cached_property
    def row_lengths(self) -> dict[tuple[str, str], dict[int, dict[str, Row]]]:
        """As ``kernels``, by the length of the rows of one size."""
        return _by("columns", (row for row in self.timed if row.get("columns")))

    @cached_property
    def launches(self) -> dict[str, float]:
        """Activation -> the host's seconds of a call."""
        return {row["activation"]: row["seconds"] for row in rows.of_kind(self.rows, "launch")}

    @cached_property
    def transfers(self) -> dict[int, Row]:
        return {row["bytes"]: row for row in rows.of_kind(self.rows, "transfer")}

    def kernel(self, activation: str, form: str, n: int) -> float | None:
        """Seconds on the device; None where it was not measured."""
        row = self.kernels.get((activation, form), {}).get(n, {}).get(OWN)
        return row and row["seconds_median"]

    def call(self, cell: Cell) -> float | None:
        """Seconds of one of many calls on arrays of the device: its kernel, or the host's part where that is longer."""
        kernel = self.kernel(cell.activation, cell.form, cell.n)
        return kernel and max(kernel, self.launches.get(cell.activation, 0.0))

    def with_transfers(self, cell: Cell) -> float | None:
        """Seconds from main memory and back: as the sweep measured it, else the sum of the parts."""
        if OWN in cell.rows:
            return cell.seconds(OWN)
        kernel, moved = self.call(cell), self.transfers.get(FLOAT32 * cell.n)
        return kernel + moved["to_device"] + moved["to_host"] if kernel and moved and cell.form in FORMS else None


def _by(key: str, found: Iterable[Row]) -> dict[tuple[str, str], dict[int, dict[str, Row]]]:
    by: dict[tuple[str, str], dict[int, dict[str, Row]]] = {}
    for row in sorted((row for row in found if row["dtype"] == "float32"), key=lambda row: row[key]):
        by.setdefault((row["activation"], row["form"]), {}).setdefault(row[key], {})[row["backend"]] = row
    return by


@dataclass(frozen=True)
class Gpu:
    """What there is of it: a run on a device, and the rows of compiled kernels."""

    device: Device | None = None
    compiled: Sequence[Row] = ()


def section(findings: Findings, gpu: Gpu, charts: Mapping[str, str]) -> str:
    """Whether a GPU pays, how near it is to its copy, what launches and transfers cost, registers and spills."""
    return "\n".join(
        [*_measured(findings, gpu.device, charts), "<h3>Registers and spills</h3>", compiled(gpu.compiled)]
    )


def _measured(findings: Findings, device: Device | None, charts: Mapping[str, str]) -> Iterator[str]:
    if device is None:
        why = findings.header["left_out"].get(OWN)
        yield paragraph(NOT_MEASURED.format(why=f", where it can't run: {escape(why)}" if why else ""))
        return
    facts = device.header["facts"]
    yield paragraph(verdict(findings, device), "answer")
    yield figures(charts, ("gpu-time", "gpu-share"))
    yield pays(findings, device)
    yield "<h3>How near to the device's own copy</h3>"
    yield shares(device)
    yield "<h3>What a call costs beside its kernel</h3>"
    yield host_side(device)
    about = {"GPU": device.header["machine"], "measured": device.header["started"], "plan": device.header["plan"]}
    yield facts_list(about | {"commit": device.header["commit"] or "unknown", "its host": facts["cpu"]})


# ---------------------------------------------------------------- does it pay?
def verdict(findings: Findings, device: Device) -> str:
    """From which size on a GPU is faster than kernels.fastest, over the functions: one sentence."""
    name = escape(device.header["machine"])
    if not any(DISPATCHER in cell.rows and device.call(cell) for cell in findings.sweep):
        return f"{name}: no CPU was timed at its sizes; <code>python -m kernels.report</code> does that."
    against = f"kernels.fastest on {escape(findings.header['facts']['cpu'])}"
    found = {words: _over_all(findings, seconds_of) for words, seconds_of in _ways(device).items()}
    told = "; ".join(f"for {words}, {where}" for words, where in found.items())
    return f"{name} is faster than {against}, in the median function: {told}."


def _ways(device: Device) -> dict[str, Callable[[Cell], float | None]]:
    return {"arrays that are on the GPU": device.call, "arrays that go there and back": device.with_transfers}


def _over_all(findings: Findings, seconds_of: Callable[[Cell], float | None]) -> str:
    """Where the median function is faster."""
    by_size: dict[int, list[float]] = {}
    for cell in findings.sweep:
        took = seconds_of(cell)
        if took and DISPATCHER in cell.rows:
            by_size.setdefault(cell.n, []).append(cell.seconds(DISPATCHER) / took)
    return extent({n: median(factors) for n, factors in by_size.items()})


def pays(findings: Findings, device: Device) -> str:
    """For each function: from which size on, and all three times by size."""
    body = []
    for record in findings.activations:
        for form in ("value", slope_form(record)):
            found = [findings.cell(record.name, form, n) for n in findings.sizes]
            cells = [cell for cell in found if cell and DISPATCHER in cell.rows and device.call(cell)]
            if cells:
                ways = [_extent(cells, seconds_of) for seconds_of in _ways(device).values()]
                by_size = {cell.n: _three_times(device, cell) for cell in cells}
                line = [by_size.get(n, DASH) for n in findings.sizes]
                body.append([escape(form_label(record.name, form)), *ways, *line])
    if not body:
        return ""
    head = ["function", "on the GPU", "with transfers", *map(power, findings.sizes)]
    meaning = "Where a GPU is faster, and the times: on the GPU, with transfers (↔), on the CPU."
    return paragraph(meaning, "soft") + table(head, body)


def _extent(cells: Sequence[Cell], seconds_of: Callable[[Cell], float | None]) -> str:
    return extent({cell.n: cell.seconds(DISPATCHER) / took for cell in cells if (took := seconds_of(cell))})


def _three_times(device: Device, cell: Cell) -> str:
    whole = device.with_transfers(cell)
    kernel = device.kernel(cell.activation, cell.form, cell.n)
    below = [f"↔ {seconds(whole)}" if whole else "", f"CPU {seconds(cell.seconds(DISPATCHER))}"]
    return seconds(kernel) + "".join(f"<small>{text}</small>" for text in below if text)


# ---------------------------------------------------------------- the device itself
def shares(device: Device) -> str:
    """Shares of the device's own copy by size, and of softmax and its like by the length of their rows."""
    ways = {"size": device.kernels, "length of the rows": device.row_lengths}
    return "\n".join(
        folded(f"{len(lines)} lines: function and form by {by}, other libraries beside", _shares(lines))
        for by, lines in ways.items()
        if lines
    )


def _shares(lines: Mapping[tuple[str, str], Mapping[int, Mapping[str, Row]]]) -> str:
    """GB/s as a share of the device's own copy of as many bytes, and the others' times beside at the largest."""
    columns = sorted({n for line in lines.values() for n in line})
    found = [row for line in lines.values() for one in line.values() for row in one.values()]
    others = sorted({(row["backend"], row.get("clock")) for row in found if row["backend"] != OWN})
    body = []
    for (name, form), line in lines.items():
        own = [line.get(n, {}).get(OWN) for n in columns]
        beside = [_beside(line.get(columns[-1], {}), other) for other, _ in others]
        cells = [f"{row['share_of_ceiling']:.0%}" if row else DASH for row in own]
        body.append([escape(form_label(name, form)), *cells, *beside])
    head = ["function", *map(power, columns)]
    for other, clock in others:
        head.append(f"{escape(other)} takes, at {power(columns[-1])}" + (_HOSTS_CLOCK if clock == "host" else ""))
    return table(head, body)


#: Of seconds that are not an event's.
_HOSTS_CLOCK = "<small>by the host's clock, its launch included</small>"


def _beside(contestants: Mapping[str, Row], other: str) -> str:
    if not {OWN, other} <= contestants.keys():
        return DASH
    return times(contestants[other]["seconds_median"] / contestants[OWN]["seconds_median"])


def host_side(device: Device) -> str:
    """What a launch takes of the host, and bytes on their way."""
    launches = sorted(device.launches.items(), key=lambda item: item[1])
    told = []
    if launches:
        (least, shortest), (most, longest) = launches[0], launches[-1]
        ends = f"{seconds(shortest)} ({escape(least)}) to {seconds(longest)} ({escape(most)})"
        told = [f"A call on arrays of the device keeps the host for {ends}, and does not wait for its result."]
    body = [
        [f"{size:,}", *(f"{seconds(row[way])}<small>{size / row[way] * 1e-9:.3g} GB/s</small>" for way in _WAYS)]
        for size, row in sorted(device.transfers.items())
    ]
    return bullets(told) + (table(["bytes", "to the device", "back"], body) if body else "")


_WAYS = ("to_device", "to_host")


# ---------------------------------------------------------------- registers
def compiled(found: Sequence[Row]) -> str:
    """The most registers of a thread by form and dtype, what spills, and every kernel after a click."""
    if not found:
        return paragraph(NOT_COMPILED)
    spilling = [row for row in found if row["spill_stores"] or row["spill_loads"] or row["stack"]]
    architectures = sorted({row["architecture"] for row in found})
    most = max(found, key=lambda row: row["registers"])
    told = (
        f"{len(found):,} kernels for {listed(architectures)}: at most {most['registers']} registers ({_named(most)}). "
    )
    spills = bullets(
        f"{_named(row)}: {row['spill_stores']} bytes stored, {row['spill_loads']} loaded" for row in spilling
    )
    columns = list(dict.fromkeys(_column(row) for row in sorted(found, key=_order)))
    forms = list(dict.fromkeys(row["form"] for row in found))
    body = [[escape(form), *(_most(found, form, column) for column in columns)] for form in forms]
    return "\n".join(
        [
            paragraph(told + (f"{len(spilling)} use local memory:" if spilling else "None spills.")),
            spills,
            table(["most registers, form", *columns], body),
            folded(f"All {len(found):,} kernels: registers of a thread", _every(found, columns, architectures)),
        ]
    )


def _named(row: Row) -> str:
    about = (form_label(row["name"], row["form"]), _column(row), row["variant"], row["architecture"])
    return escape(", ".join(text for text in about if text != "plain"))


def _column(row: Row) -> str:
    return row["dtype"] + ("" if row["accuracy"] == "fast" else f", {row['accuracy']}")


def _order(row: Row) -> tuple:
    return row["accuracy"] != "fast", DTYPES.index(row["dtype"])


def _most(found: Sequence[Row], form: str, column: str) -> str:
    mine = [row for row in found if row["form"] == form and _column(row) == column]
    if not mine:
        return DASH
    most = max(mine, key=lambda row: row["registers"])
    return f"{most['registers']}<small>{escape(most['name'])}</small>"


def _every(found: Sequence[Row], columns: Sequence[str], architectures: Sequence[str]) -> str:
    """A line a function, form and variant; a cell has the registers on each architecture."""
    lines: dict[tuple, dict[tuple, Row]] = {}
    for row in found:
        line = lines.setdefault((row["name"], row["form"], row["variant"]), {})
        line[_column(row), row["architecture"]] = row
    body = []
    for (name, form, variant), mine in lines.items():
        what = form_label(name, form) + ("" if variant == "plain" else f", {variant}")
        body.append([escape(what), *(_registers(mine, column, architectures) for column in columns)])
    meaning = paragraph(f"{' / '.join(architectures)}; ! where it uses local memory.", "soft")
    return meaning + table(["function", *columns], body)


def _registers(mine: Mapping[tuple, Row], column: str, architectures: Sequence[str]) -> str:
    rows_ = [mine.get((column, architecture)) for architecture in architectures]
    texts = [DASH if row is None else f"{row['registers']}{'!' if row['stack'] else ''}" for row in rows_]
    return " / ".join(texts) if any(rows_) else DASH
