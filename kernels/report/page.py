"""The page: one HTML file that needs nothing but itself, put together from findings and charts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template

from kernels.activations import Activation
from kernels.report import rows
from kernels.report.accuracy import DTYPES, NOTES, about
from kernels.report.accuracy import table as errors
from kernels.report.charts import INK, TIMES, compact, visible
from kernels.report.findings import (
    BANDS,
    BASELINE,
    DISPATCHER,
    Cell,
    Findings,
    band,
    condition,
    geometric_mean,
    level_with_best,
    losses,
    mean_factor,
    power,
    slope_form,
    wins,
)
from kernels.report.race import Heat, Race, digits, loss, summary
from kernels.report.race import label as race_label
from kernels.report.rows import Row

#: Stands where nothing was measured.
DASH = "\N{EN DASH}"
#: The folder of the documentation, beside the page.
DOCS = "docs"
#: Losses that are named, a backend; the others are counted.
NAMED_LOSSES = 8
#: Cores at work elsewhere from which on the page warns.
BUSY = 0.1


def render(
    findings: Findings,
    charts: Mapping[str, str],
    problems: Sequence[str] = (),
    race: Race | None = None,
    swept: Sequence[Row] = (),
    documented: Collection[str] = (),
) -> str:
    """The page; ``problems`` are lines of the results that could not be read, ``race`` is with other libraries.

    ``swept`` are the outcomes of ``kernels.verify --exhaustive``, ``documented`` the functions that have a page.
    """
    parts: dict[str, Callable[[Findings], str]] = {
        "answer": answer,
        "warning": warning,
        "winners": winners,
        "losses": lost,
        "machine": machine,
        "data": data_sets,
        "conditions": conditions,
        "accuracy": accuracy,
        "compilation": compilation,
    }
    filled = {name: part(findings) for name, part in parts.items()}
    filled["contents"] = contents(findings, documented)
    filled["peers"] = peers(race)
    filled["all_inputs"] = all_inputs(swept)
    filled["crossover"] = figure(charts, "crossover", "wide")
    filled["activations"] = "\n".join(
        activation(findings, record, charts, record.name in documented) for record in findings.activations
    )
    filled["skipped"] = skipped(findings, problems)
    filled |= how(findings)
    return fill("page.html", filled)


def fill(template: str, parts: Mapping[str, str]) -> str:
    """A page of the template of that name, with the one style that all pages have."""
    folder = resources.files("kernels.report")
    style = folder.joinpath("style.css").read_text(encoding="utf-8")
    return Template(folder.joinpath(template).read_text(encoding="utf-8")).substitute(parts, style=style)


# ---------------------------------------------------------------- small pieces of HTML
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


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{text}</p>' if kind else f"<p>{text}</p>"


def facts_list(known: Mapping[str, object]) -> str:
    """What is known, each with its name; what is empty is left out."""
    lines = [f"<dt>{escape(name)}</dt><dd>{escape(str(fact))}</dd>" for name, fact in known.items() if fact != ""]
    return "<dl>" + "".join(lines) + "</dl>"


def title(findings: Findings | Race, name: str) -> str:
    base, _, variant = name.partition(":")
    found = findings.header["backends"][base]["title"]
    return escape(f"{found}, {variant}" if variant else found)


def dotted(findings: Findings | Race, name: str) -> str:
    color = visible(findings.header["backends"][name.partition(":")[0]]["color"]).replace(INK, "currentColor")
    return f'<span class="dot" style="background:{color}"></span>{title(findings, name)}'


def times(factor: float | None) -> str:
    return DASH if factor is None else f"{compact(factor)}{TIMES}"


def label(cell: Cell) -> str:
    form = "" if cell.form == "value" else f", {cell.form}"
    return escape(f"{cell.activation}{form}")


def listed(words: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


# ---------------------------------------------------------------- the answer
def answer(findings: Findings) -> str:
    cells = findings.sweep
    if not cells:
        return paragraph("Nothing was measured yet.", "answer")
    facts = findings.header["facts"]
    won = wins(cells)
    contestants = [name for name in findings.backends if name != DISPATCHER and ":" not in name]
    ranking = [f"{title(findings, name)} in {won[name]}" for name in sorted(contestants, key=lambda name: -won[name])]
    machine_ = f"{escape(facts['cpu'])}, {facts['cores']} cores"
    verdict = f"the fastest to write a kernel in is {listed(ranking)}" if ranking else "no backend was compared"
    first = (
        f"On this machine ({machine_}), of {len(cells)} cells (a function or its derivative at one size), {verdict}."
    )
    bands = [text for one in BANDS if (text := _band(findings, *one))]
    return "\n".join(
        [
            paragraph(first, "answer"),
            f"<ul>{''.join(f'<li>{text}</li>' for text in bands)}</ul>",
            paragraph(_dispatcher(findings), "answer"),
        ]
    )


def _band(findings: Findings, name: str, first: float, last: float) -> str | None:
    cells = band(findings.sweep, first, last)
    if not cells:
        return None
    ranked = wins(cells).most_common()
    if not ranked:
        return None
    best, count = ranked[0]
    sentence = f"For {name}: <strong>{title(findings, best)}</strong>, fastest in {count} of {len(cells)} cells"
    others = [name for name in findings.backends if name not in (BASELINE, DISPATCHER) and ":" not in name]
    factors = [(name, mean_factor(cells, name)) for name in others]
    words = [f"{title(findings, name)} {times(factor)}" for name, factor in factors if factor is not None]
    return f"{sentence}. Over NumPy, geometric mean: {listed(words)}." if words else sentence + "."


def _dispatcher(findings: Findings) -> str:
    level, compared = level_with_best(findings.sweep)
    if not compared:
        return "kernels.fastest was not measured."
    text = f"<code>kernels.fastest</code> is as fast as the best of them, or faster, in {level} of {compared} cells"
    factor = mean_factor(findings.sweep, DISPATCHER)
    if factor is None:
        return text + "."
    lost_cells = losses(findings.sweep, DISPATCHER)
    slower = f"slower than NumPy in {len(lost_cells)}" if lost_cells else "nowhere slower than NumPy beyond the noise"
    return f"{text}, {times(factor)} NumPy's speed on geometric mean, {slower}."


def warning(findings: Findings) -> str:
    """A word where other processes were at work meanwhile."""
    elsewhere = findings.busy_elsewhere
    if elsewhere is None or elsewhere < BUSY:
        return ""
    text = (
        f"Other processes kept {elsewhere:.2g} cores busy while this was measured. Where all threads take part, above "
        "all in long arrays, waiting for a core is in the times. Measure again on a machine at rest."
    )
    return paragraph(text, "warning")


def contents(findings: Findings, documented: Collection[str]) -> str:
    places = {"winners": "Winners", "losses": "Losses", "machine": "Machine", "crossover": "Crossover map"}
    places["peers"] = "Other libraries"
    places |= {record.name: record.name for record in findings.activations}
    places |= {"accuracy": "Accuracy", "compilation": "Compilation", "left-out": "Not measured", "how": "Method"}
    guide = f'<a href="{DOCS}/index.html">What each function is</a>' if documented else ""
    return guide + "".join(f'<a href="#{escape(place)}">{escape(text)}</a>' for place, text in places.items())


def winners(findings: Findings) -> str:
    body = []
    for record in findings.activations:
        for form in ("value", slope_form(record)):
            cells = [findings.cell(record.name, form, n) for n in findings.sizes]
            name = record.name if form == "value" else f"{record.name}, {form}"
            body.append([escape(name), *(_winner(findings, cell) for cell in cells)])
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
    """Cells in which a compiled backend, or the dispatcher, is slower than NumPy beyond the noise."""
    lines = []
    for name in findings.backends:
        compared = sum(name in cell.rows and BASELINE in cell.rows for cell in findings.sweep)
        if not compared or not findings.header["backends"][name.partition(":")[0]]["compiled"]:
            continue
        cells = losses(findings.sweep, name)
        named = [f"{label(c)} at {power(c.n)} ({times(1 / c.factor(name))} slower)" for c in cells[:NAMED_LOSSES]]
        more = f"; and {len(cells) - NAMED_LOSSES} more" if len(cells) > NAMED_LOSSES else ""
        worst = f": {'; '.join(named)}{more}" if named else ""
        lines.append(f"<li>{dotted(findings, name)}: slower in {len(cells)} of {compared} cells{worst}.</li>")
    return f"<ul>{''.join(lines)}</ul>" if lines else paragraph("Nothing was compared with NumPy.")


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
    return facts_list(known)


# ---------------------------------------------------------------- an activation
def activation(findings: Findings, record: Activation, charts: Mapping[str, str], documented: bool) -> str:
    more = f'<a href="{DOCS}/{record.name}.html">When to use it, accuracy, other libraries\' names</a>'
    parts = [
        f'<h2 id="{escape(record.name)}">{escape(record.name)}</h2>',
        *([paragraph(more, "soft")] if documented else []),
        f'<div class="about">{figure(charts, f"{record.name}-curve", "one")}{_about(record)}</div>',
    ]
    for form in ("value", slope_form(record)):
        drawn = [figure(charts, f"{record.name}-{form}-{kind}") for kind in ("time", "bandwidth", "speed-up")]
        parts += [f"<h3>{escape(record.name)}, {form}</h3>", f'<div class="charts">{"".join(drawn)}</div>']
    return "\n".join(parts)


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
    alike = [
        row
        for row in findings.timed
        if condition({**row, "data": "normal"}) == "as in the sweep" and row["form"] == "value"
    ]
    others = sorted({row["data"] for row in alike} - {"normal"})
    seconds = {(row["activation"], row["backend"], row["data"], row["n"]): row["seconds_median"] for row in alike}
    sizes = {row["n"] for row in alike if row["data"] != "normal"}
    if not sizes:
        return paragraph("No other data was measured.")
    n = min(sizes, key=lambda size: abs(size - 10_000))
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
        by_size.setdefault(row["n"], []).append(row["seconds_median"] / row["n"] * 1e9)
    sizes = sorted({row["n"] for row in findings.timed})
    order = {name: k for k, name in enumerate(findings.backends)}
    body = []
    for key in sorted(found, key=lambda key: (key[0] != "value", *key[:2], order[key[2]])):
        form, words, name = key
        means = [geometric_mean(found[key].get(n, ())) for n in sizes]
        line = [escape(form), escape(words), dotted(findings, name)]
        body.append([*line, *(DASH if mean is None else f"{mean:.3g}" for mean in means)])
    meaning = paragraph("Nanoseconds an element, geometric mean over the functions measured.", "soft")
    summary = f"<summary>{len(body)} lines: form, condition and backend by size</summary>"
    return f"{meaning}<details>{summary}{table(['form', 'condition', 'backend', *map(power, sizes)], body)}</details>"


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
            [escape(what), *(DASH if f is None else "wrong" if f == float("inf") else f"{f:.2f}" for f in found)]
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


def compilation(findings: Findings) -> str:
    """What first calls cost beyond later ones; only the first of a function and form compiles anything."""
    first: dict[str, dict[tuple, float]] = {}
    for row in findings.timed:
        mine = first.setdefault(row["backend"], {})
        key = (row["activation"], row["form"], row["dtype"], row["accuracy"])
        mine[key] = max(mine.get(key, 0.0), row["compile_seconds"])
    body = []
    for name in findings.backends:
        seconds = sorted(first.get(name, {}).values())
        if seconds:
            middle, most = seconds[len(seconds) // 2], seconds[-1]
            body.append(
                [dotted(findings, name), str(len(seconds)), f"{middle:.3f}", f"{most:.2f}", f"{sum(seconds):.2f}"]
            )
    return table(["backend", "functions", "median", "largest", "all together"], body)


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
        parts.append(f"<h3>Cases</h3><details><summary>{_counted(found)}</summary>{inner}</details>")
    if problems:
        parts.append("<h3>Unreadable lines</h3><ul>" + "".join(f"<li>{escape(p)}</li>" for p in problems) + "</ul>")
    return "\n".join(parts) or paragraph("Everything in the plan was measured.")


def _counted(found: Sequence[Row]) -> str:
    counts = {status: sum(row["status"] == status for row in found) for status in rows.STATUSES}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) + ", each with its reason"


def _what(row: Row) -> str:
    other = condition(row)
    extra = "" if other == "as in the sweep" else f" ({other})"
    return f"{row['activation']}, {row['form']}, {row['backend']}, {power(row['n'])}{extra}"


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
    lost_cells = "".join(f"<li>{escape(loss(heat))}</li>" for heat in race.lost)
    return "\n".join(
        [
            paragraph(f"{escape(summary(race.heats))}.", "answer"),
            facts_list(measured),
            f"<h3>Lost cells, the worst first</h3><ul>{lost_cells}</ul>" if lost_cells else "",
            table(["function", *map(power, race.sizes)], body),
        ]
    )


def _heat(race: Race, heat: Heat | None) -> str:
    if heat is None:
        return DASH
    sign = {"win": "", "tie": "≈ ", "loss": "✗ "}[heat.verdict]
    return f"{sign}{dotted(race, heat.rival)} {digits(heat.ratio[1])}{TIMES}<small>{heat.quartiles}</small>"


# ---------------------------------------------------------------- method
def how(findings: Findings) -> dict[str, str]:
    """The numbers in the words on method, which stand in the page's text."""
    samples = [row["samples"] for row in findings.timed] or [0]
    ways = sorted({way for row in rows.of_kind(findings.rows, "ceiling") for way in row["ways"]})
    return {
        "fewest_samples": str(min(samples)),
        "most_samples": str(max(samples)),
        "ways": escape("; ".join(ways)) or "none was measured",
        "longest_call": escape(str(findings.header.get("longest_call"))),
    }
