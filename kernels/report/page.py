"""The page: one HTML file that needs nothing but itself, put together from findings and charts."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Collection, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from kernels.activations import Activation
from kernels.report import DOCS, costs, dtypes, history, lessons, rows, trust
from kernels.report.accuracy import DTYPES, MANY, NOTES, about
from kernels.report.accuracy import table as errors
from kernels.report.answer import answer, warning
from kernels.report.charts import BY_SIZE, TIMES, by_size_name
from kernels.report.findings import (
    BASELINE,
    DISPATCHER,
    IN_CACHE,
    SWEPT,
    Cell,
    Findings,
    case_label,
    condition,
    form_label,
    geometric_mean,
    is_ordinary,
    losses,
    power,
    slope_form,
)
from kernels.report.gpu import Gpu
from kernels.report.gpu import section as gpu_section
from kernels.report.html import (
    DASH,
    Section,
    bullets,
    dotted,
    facts_list,
    figure,
    figures,
    fill,
    folded,
    label,
    paragraph,
    table,
    times,
    title,
)
from kernels.report.race import VERDICTS, Heat, Race, digits, loss, means, summary
from kernels.report.race import label as race_label
from kernels.report.rows import Row, nanoseconds
from kernels.report.trust import Trusted
from kernels.report.verdicts import ROUNDS

#: Losses that are named, a backend; the others are counted.
NAMED_LOSSES = 8


def render(
    findings: Findings,
    charts: Mapping[str, str],
    problems: Sequence[str] = (),
    race: Race | None = None,
    swept: Sequence[Row] = (),
    documented: Collection[str] = (),
    trusted: Trusted | None = None,
    gpu: Gpu | None = None,
) -> str:
    """The page; ``problems`` are lines of the results that could not be read, ``race`` is with other libraries.

    ``swept`` are the outcomes of ``kernels.verify --exhaustive``, ``documented`` the functions that have a page,
    ``gpu`` is a run on a device and what its compiler made of the kernels.
    """
    gpu = gpu or Gpu()
    found = [
        *comparison(findings, charts),
        *(activation(findings, record, charts, record.name in documented) for record in findings.activations),
        *bounds(findings, charts, gpu),
        errors_beside_times(findings, charts, swept),
        *surroundings(findings, charts, race),
        *trust_in(trusted or Trusted()),
        *conditions_of(findings, problems),
    ]
    shown = [section for section in found if section.body]
    return fill(
        "page.html",
        {
            "answer": answer(findings, race, gpu.device),
            "warning": warning(findings),
            "problems": unreadable(problems),
            "contents": contents(shown, {record.name for record in findings.activations}, documented),
            "sections": "\n\n".join(section.html for section in shown),
        },
    )


# ---------------------------------------------------------------- the sections
@functools.cache
def texts() -> dict[str, Any]:
    """The words around the numbers."""
    return tomllib.loads(resources.files("kernels.report").joinpath("page.toml").read_text(encoding="utf-8"))


def section(place: str, body: str) -> Section:
    found = texts()["sections"][place]
    known = {"size": power(IN_CACHE), "timed": texts()["timed"], "rounds": ROUNDS}
    lead, how = (found.get(part, "").format_map(known) for part in ("lead", "how"))
    return Section(place, found["short"], found["title"], body, lead, how)


def comparison(findings: Findings, charts: Mapping[str, str]) -> list[Section]:
    """Who is fastest where, and who loses."""
    map_ = figure(charts, "crossover", "wide") if "crossover" in charts else ""
    return [
        section("crossover", map_ and map_ + folded("The same as a table, with kernels.fastest", winners(findings))),
        section("losses", lost(findings)),
        section(
            "textbook", figure(charts, "textbook", "wide") + costs.textbook(findings) if "textbook" in charts else ""
        ),
    ]


def bounds(findings: Findings, charts: Mapping[str, str], gpu: Gpu) -> list[Section]:
    """What limits a kernel, and what it costs beside its time."""
    names = [f"roofline-{threads}" for threads in costs.thread_counts(findings)]
    return [
        section("roofline", figures(charts, names) + costs.roofline(findings) if names else ""),
        section("compilation", costs.compilation(findings)),
        section("memory", figures(charts, ("memory",)) + costs.memory(findings) if "memory" in charts else ""),
        section("dtypes", dtypes.section(findings, charts)),
        section("together", costs.together(findings)),
        section("gpu", gpu_section(findings, gpu, charts)),
    ]


def errors_beside_times(findings: Findings, charts: Mapping[str, str], swept: Sequence[Row]) -> Section:
    peers_ = ""
    if "errors-peers" in charts:
        peers_ = "<h3>Other libraries</h3>" + figure(charts, "errors-peers", "wide")
    parts = [
        figure(charts, "errors", "wide") if "errors" in charts else "",
        peers_,
        folded("The largest error of each, in ULP", accuracy(findings)) if findings.timed else "",
        folded("All inputs: the largest errors of an exhaustive run", all_inputs(swept)),
    ]
    return section("accuracy", "\n".join(filter(None, parts)))


def surroundings(findings: Findings, charts: Mapping[str, str], race: Race | None) -> list[Section]:
    """Other libraries, and a network."""
    return [
        section("peers", peers(race) + ("" if findings.activations else _races(race, charts))),
        section("network", lessons.network(findings, charts)),
    ]


def trust_in(trusted: Trusted) -> list[Section]:
    """Whether the measuring can be believed, and what other machines and commits say."""
    return [
        section("trust", trust.self_test(trusted.self_test)),
        section("machines", trust.machines(trusted.machines)),
        section("history", history.section(trusted.history)),
    ]


def conditions_of(findings: Findings, problems: Sequence[str]) -> list[Section]:
    """What was measured, where and how, and what was not."""
    return [
        section("data", data_sets(findings)),
        section("conditions", conditions(findings)),
        section("dispatcher", dispatcher(findings)),
        section("left-out", skipped(findings, problems)),
        section("machine", machine(findings)),
        section("how", method(findings)),
    ]


def contents(shown: Sequence[Section], functions: Collection[str], documented: Collection[str]) -> str:
    """Links to the sections, those of functions in a line of their own."""
    guide = f'<a href="{DOCS}/index.html">What each function is</a>' if documented else ""
    links = {one.place: f'<a href="#{escape(one.place)}">{escape(one.short)}</a>' for one in shown}
    topics, own = ("".join(link for place, link in links.items() if (place in functions) is of) for of in (False, True))
    return f"<div>{topics}</div><div>{guide}{own}</div>"


def unreadable(problems: Sequence[str]) -> str:
    """A word at the top where lines of the results could not be used."""
    if not problems:
        return ""
    text = f"{len(problems)} lines or files of results could not be read and are left out:"
    return paragraph(f'{text} <a href="#left-out">which, and why</a>.', "warning")


def winners(findings: Findings) -> str:
    body = []
    for record in findings.activations:
        for form in ("value", slope_form(record)):
            cells = [findings.cell(record.name, form, n) for n in findings.sizes]
            body.append([escape(form_label(record.name, form)), *(_winner(findings, cell) for cell in cells)])
    return table(["function", *map(power, findings.sizes)], body)


def _winner(findings: Findings, cell: Cell | None) -> str:
    if cell is None or cell.winner is None:
        return DASH
    sign = "" if cell.is_clear else "≈ "
    factor = "" if cell.winner == BASELINE else f" {times(cell.factor(cell.winner))}"
    fastest = cell.factor(DISPATCHER)
    below = "" if fastest is None else f"<small>fastest {times(fastest)}</small>"
    return f"{sign}{dotted(findings, cell.winner)}{factor}{below}"


def lost(findings: Findings) -> str:
    """Cells in which a compiled backend is slower than NumPy, or the dispatcher than the best, beyond the noise."""
    lines = []
    for name in findings.backends:
        if findings.header["backends"][name.partition(":")[0]]["compiled"]:
            compared = sum({name, BASELINE} <= cell.rows.keys() for cell in findings.sweep)
            cells = losses(findings.sweep, name)
            named = [f"{label(c)} at {power(c.n)} ({times(1 / c.factor(name))} slower)" for c in cells[:NAMED_LOSSES]]
            if compared:
                line = f"slower than NumPy in {len(cells)} of {compared} cells{_enumerated(named, len(cells))}"
                lines.append(f"{dotted(findings, name)}: {line}.")
    return bullets([*lines, *_beaten(findings)])


def _beaten(findings: Findings) -> list[str]:
    """Where kernels.fastest is not the fastest."""
    cells = [c for c in findings.sweep if DISPATCHER in c.rows and c.winner and c.is_slower(DISPATCHER, c.winner)]
    worst = sorted(cells, key=lambda c: c.factor(DISPATCHER, c.winner))
    named = [
        f"{label(c)} at {power(c.n)} ({c.factor(c.winner, DISPATCHER):.2f}{TIMES}, {title(findings, c.winner)})"
        for c in worst[:NAMED_LOSSES]
    ]
    found = f"slower than the best of the others in {len(cells)} of {len(findings.sweep)} cells"
    return [f"{dotted(findings, DISPATCHER)}: {found}{_enumerated(named, len(cells))}."] if findings.sweep else []


def _enumerated(named: Sequence[str], number: int) -> str:
    more = f"; and {number - len(named)} more" if number > len(named) else ""
    return f": {'; '.join(named)}{more}" if named else ""


# ---------------------------------------------------------------- machine
def machine(findings: Findings) -> str:
    head, facts = findings.header, findings.header["facts"]
    size = [f"{name} {bytes_ // 1024} KB" for name, bytes_ in facts["caches"].items()]
    known = {
        "processor": f"{facts['cpu']} ({facts['machine']}), {facts['cores']} cores",
        "caches": ", ".join(size) or "unknown",
        "level": facts["level"] or "no compiled level",
        "threads": head.get("threads"),
        "governor": facts["governor"] or "not readable",
        "system": facts["system"],
        "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        "commit": head["commit"] or "unknown",
        "started": head["started"],
        "load": "unknown" if head.get("load") is None else f"{head['load']:.2f} at the start",
        "plan": f"{head['plan']}, {len(findings.measurements)} of {head['cases']} cases so far"
        if not rows.is_finished(findings.rows)
        else f"{head['plan']}, {head['cases']} cases",
    }
    return trust.machine_check(head) + facts_list(known)


# ---------------------------------------------------------------- an activation
def activation(findings: Findings, record: Activation, charts: Mapping[str, str], documented: bool) -> Section:
    more = f'<a href="{DOCS}/{record.name}.html">When to use it, accuracy, other libraries\' names</a>'
    parts = [
        *([paragraph(more, "soft")] if documented else []),
        f'<div class="about">{figure(charts, f"{record.name}-curve", "one")}{_about(record)}</div>',
    ]
    for form in ("value", slope_form(record)):
        drawn = [_by_size(charts, record.name, form, SWEPT)]
        drawn += [
            folded(f"In {dtype}", one) for dtype in dtypes.OTHERS if (one := _by_size(charts, record.name, form, dtype))
        ]
        parts += [f"<h3>{escape(record.name)}, {form}</h3>", *drawn] if any(drawn) else []
    return Section(record.name, record.name, record.name, "\n".join(parts), how=texts()["timed"])


def _by_size(charts: Mapping[str, str], name: str, form: str, dtype: str) -> str:
    return figures(charts, (by_size_name(name, form, dtype, kind) for kind in (*BY_SIZE, "peers")))


def _about(record: Activation) -> str:
    parameters = [f"{p.name} ({p.meaning}), here {p.example}" for p in record.parameters]
    known = {
        "value": record.formula,
        "derivative": record.derivative_formula,
        "parameters": "; ".join(parameters) or "none",
        "also called": ", ".join(record.aliases),
        "reference": record.reference,
    }
    return facts_list(known)


# ---------------------------------------------------------------- tables over all activations
def data_sets(findings: Findings) -> str:
    """Time on other data as a multiple of the time on normal data, at the size that has all data sets."""
    alike = [row for row in findings.timed if is_ordinary({**row, "data": "normal"}) and row["form"] == "value"]
    others = sorted({row["data"] for row in alike} - {"normal"})
    seconds = {(row["activation"], row["backend"], row["data"], row["n"]): row["seconds_median"] for row in alike}
    sizes = {row["n"] for row in alike if row["data"] != "normal"}
    if not sizes:
        return ""
    n = min(sizes, key=lambda size: abs(size - IN_CACHE))
    names = [name for name in findings.backends if any(key[1:] == (name, others[0], n) for key in seconds)]
    body = []
    for record in findings.activations:
        line = [escape(record.name)]
        for name in names:
            base = seconds.get((record.name, name, "normal", n))
            found = [seconds.get((record.name, name, data, n)) for data in others]
            line.append(" / ".join(DASH if s is None or not base else f"{s / base:.2f}" for s in found))
        body.append(line)
    meaning = (
        f"Time at {power(n)} elements as a multiple of the time on normal data: {' / '.join(map(escape, others))}."
    )
    return paragraph(meaning, "soft") + table(["function", *(dotted(findings, name) for name in names)], body)


def conditions(findings: Findings) -> str:
    """Nanoseconds an element, geometric mean over the functions, by form, condition, backend and size."""
    found: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for row in findings.timed:
        by_size = found.setdefault((row["form"], condition(row), row["backend"]), {})
        by_size.setdefault(row["n"], []).append(nanoseconds(row)[1])
    sizes = sorted({row["n"] for row in findings.timed})
    order = {name: k for k, name in enumerate(findings.backends)}
    body = []
    for key in sorted(found, key=lambda key: (key[0] != "value", *key[:2], order[key[2]])):
        form, words, name = key
        middle = [geometric_mean(found[key].get(n, ())) for n in sizes]
        line = [escape(form), escape(words) or "as in the sweep", dotted(findings, name)]
        body.append([*line, *(DASH if mean is None else f"{mean:.3g}" for mean in middle)])
    if not body:
        return ""
    meaning = paragraph("Nanoseconds an element, geometric mean over the functions measured.", "soft")
    inner = table(["form", "condition", "backend", *map(power, sizes)], body)
    return meaning + folded(f"{len(body)} lines: form, condition and backend by size", inner)


def accuracy(findings: Findings) -> str:
    worst: dict[tuple, float] = {}
    for row in findings.measurements:
        key = (row["activation"], row["form"], row["dtype"], row["accuracy"], row["backend"])
        if row["status"] == "wrong":
            worst[key] = float("inf")
        elif row["ulp"] is not None:
            worst[key] = max(worst.get(key, 0.0), row["ulp"])
    names = [name for name in findings.backends if any(key[-1] == name for key in worst)]
    body = []
    for line in dict.fromkeys(key[:-1] for key in worst):
        found = [worst.get((*line, name)) for name in names]
        what = ", ".join(part for part in line if part not in ("value", "fast", "float32"))
        body.append(
            [
                escape(what),
                *(
                    DASH if f is None else "wrong" if f == float("inf") else f"{f:.2f}" if f < MANY else f"{f:.0f}"
                    for f in found
                ),
            ]
        )
    return table(["function", *(dotted(findings, name) for name in names)], body)


def all_inputs(swept: Sequence[Row]) -> str:
    """The largest errors over all inputs, other libraries beside."""
    if not swept:
        return paragraph("Not measured. To measure it: <code>python -m kernels.verify --exhaustive</code>.")
    parts = [paragraph(escape(NOTES.replace("`", "")), "soft")]
    for dtype in DTYPES:
        found = errors(swept, dtype)
        if found:
            body = [list(map(escape, line)) for line in found.body]
            parts += [f"<h4>{dtype}</h4>", table(list(map(escape, found.head)), body)]
    facts = "".join(f"<li>{escape(line)}</li>" for line in about(swept))
    return "\n".join([*parts, f"<ul>{facts}</ul>"])


def skipped(findings: Findings, problems: Sequence[str]) -> str:
    parts = []
    left_out = findings.header["left_out"]
    if left_out:
        body = [[title(findings, name), f'<td class="wrap">{escape(reason)}</td>'] for name, reason in left_out.items()]
        parts.append("<h3>Backends</h3>" + table(["backend", "reason"], body))
    found = findings.problems
    if found:
        body = [[escape(_what(row)), row["status"], f'<td class="wrap">{escape(row["reason"])}</td>'] for row in found]
        inner = table(["case", "status", "reason"], body)
        parts.append("<h3>Cases</h3>" + folded(_counted(found), inner))
    if problems:
        parts.append("<h3>Unreadable lines</h3>" + bullets(map(escape, problems)))
    return "\n".join(parts) or paragraph("Everything in the plan was measured.")


def _counted(found: Sequence[Row]) -> str:
    counts = {status: sum(row["status"] == status for row in found) for status in rows.STATUSES}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) + ", each with its reason"


def _what(row: Row) -> str:
    return f"{case_label(row)}, {power(row['n'])}, {row['backend']}"


# ---------------------------------------------------------------- other libraries
def peers(race: Race | None) -> str:
    """kernels.fastest against the fastest of the others, cell by cell, and every cell that it loses."""
    if race is None or not race.heats:
        return paragraph("Not measured. To measure it: <code>python -m kernels.report --peers all</code>.")
    body = [
        [escape(race_label(line)), *(_heat(race, heats.get(n)) for n in race.sizes)]
        for line, heats in race.lines.items()
    ]
    facts = race.header["facts"]
    measured = {
        "measured": f"{race.header['started']}, commit {race.header['commit'] or 'unknown'}, {facts['cpu']}",
        "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        "threads": f"{race.header.get('threads')}, OMP_WAIT_POLICY {race.header.get('wait_policy') or 'not set'}",
        "not there": "; ".join(f"{name}: {why}" for name, why in race.header["left_out"].items()),
        "not timed": _counted(race.not_timed) if race.not_timed else "",
    }
    lost_cells = bullets(escape(loss(heat)) for heat in race.lost)
    return "\n".join(
        [
            paragraph(f"{escape(summary(race.heats))}.", "answer"),
            f"<h3>Lost cells, the worst first</h3>{lost_cells}" if lost_cells else "",
            "<h3>Each library</h3>",
            each_peer(race),
            "<h3>Every cell, the fastest of the others</h3>",
            table(["function", *map(power, race.sizes)], body),
            facts_list(measured),
        ]
    )


def _races(race: Race | None, charts: Mapping[str, str]) -> str:
    """What stands in the functions' own sections, where there are none."""
    parts = []
    for dtype in (SWEPT, *dtypes.OTHERS):
        lines = dict.fromkeys((name, form) for name, form, raced, _ in (race.lines if race else ()) if raced == dtype)
        drawn = figures(charts, (by_size_name(*line, dtype, "peers") for line in lines))
        parts += [folded(f"Time by size in {dtype}, function by function", drawn)] if drawn else []
    return "\n".join(parts)


def each_peer(race: Race) -> str:
    """The time of each library over that of kernels.fastest, geometric mean by size, and the cells that it wins."""
    ratios, body = means(race.heats), []
    for name in (name for name in race.header["backends"] if name in ratios):
        verdicts = [heat.verdict_on(name) for heat in race.heats if name in heat.rows]
        counts = [str(verdicts.count(verdict)) for verdict in VERDICTS]
        body.append([dotted(race, name), *counts, *(times(ratios[name].get(n)) for n in race.sizes)])
    meaning = paragraph("Time over that of kernels.fastest, geometric mean over functions, forms and dtypes.", "soft")
    return meaning + table(["library", "we win", "ties", "we lose", *map(power, race.sizes)], body)


def _heat(race: Race, heat: Heat | None) -> str:
    if heat is None:
        return DASH
    sign = {"win": "", "tie": "≈ ", "loss": "✗ "}[heat.verdict]
    return f"{sign}{dotted(race, heat.rival)} {digits(heat.ratio[1])}{TIMES}<small>{heat.quartiles}</small>"


# ---------------------------------------------------------------- method
def dispatcher(findings: Findings) -> str:
    """The segments of its table: function by function where they differ."""
    known = findings.header.get("dispatcher")
    if not known:
        return ""
    body = []
    for name, segments in known["segments"].items():
        told = [f"from {one['from']:,}: {one['backend']}, {_threads(one['threads'])}" for one in segments]
        body.append([escape(name), f'<td class="wrap">{escape("; ".join(told))}</td>'])
    source = escape(known["source"])
    stream = (
        f"Table: {source}. Stores go past the caches from {known['stream_from']:,} bytes on, input and output together."
    )
    return paragraph(stream) + table(["function", "elements: kernel"], body)


def _threads(number: int) -> str:
    return {0: "all threads", 1: "one thread"}.get(number, f"{number} threads")


def method(findings: Findings) -> str:
    samples = [row["samples"] for row in findings.timed]
    if not samples:
        return ""
    ways = sorted({way for row in rows.of_kind(findings.rows, "ceiling") for way in row["ways"]})
    known = {
        "samples": f"{min(samples)} to {max(samples)}",
        "ways": escape("; ".join(ways)) or "none was measured",
        "longest_call": escape(str(findings.header.get("longest_call"))),
    }
    return bullets(line.format_map(known) for line in texts()["method"])
