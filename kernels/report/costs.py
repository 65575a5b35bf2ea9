"""What a kernel costs beside its time: compiling, memory, caches, transfers; and what bounds it: the roofs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from statistics import median

from kernels.report import rows
from kernels.report.findings import BASELINE, DISPATCHER, IN_CACHE, Findings, is_ordinary, power
from kernels.report.html import DASH, bullets, count, dotted, folded, seconds, table, times
from kernels.report.rows import Row, nanoseconds

#: Sizes at which it is said after how many calls compiling pays.
PAYS_AT = (10**3, 10**5, 10**6)
#: What is done with the output, or with the caches: (name, what a row of it has).
CONDITIONS = (
    ("out=", {}),
    ("new output, dropped", {"allocate": True}),
    ("new output, kept", {"allocate": True, "keep": True}),
    ("cold caches", {"cold": True}),
)


# ---------------------------------------------------------------- compiling
def compilation(findings: Findings) -> str:
    """What first calls cost beyond later ones, and after how many calls that is earned back."""
    body = []
    for name in findings.backends:
        took = sorted(findings.first_calls(name).values())
        if took:
            middle, most = took[len(took) // 2], took[-1]
            pays = [_calls_to_pay(findings, name, n) for n in PAYS_AT]
            cells = [str(len(took)), f"{middle:.3f}", f"{most:.2f}", f"{sum(took):.2f}", *pays]
            body.append([dotted(findings, name), *cells])
    head = ["backend", "functions", "median, s", "largest, s", "all together, s"]
    return table([*head, *(f"pays after, at {power(n)}" for n in PAYS_AT)], body) if body else ""


def _calls_to_pay(findings: Findings, name: str, n: int) -> str:
    """Calls at one size that earn back against NumPy what the first call took: the median of the functions."""
    if name == BASELINE:
        return DASH
    first, found = findings.first_calls(name), []
    for cell in (cell for cell in findings.sweep if cell.n == n and {name, BASELINE} <= cell.rows.keys()):
        gain = cell.seconds(BASELINE) - cell.seconds(name)
        extra = first.get((cell.activation, cell.form, "float32", "fast"), 0.0)
        found.append(max(extra / gain, 1) if gain > 0 else math.inf)
    if not found:
        return DASH
    middle = median(found)
    return "never" if middle == math.inf else f"{count(math.ceil(middle))} calls" if middle > 1 else "the first call"


# ---------------------------------------------------------------- outputs and caches
def _alike(findings: Findings, change: dict) -> dict[tuple[str, int, str], Row]:
    """(activation, n, backend) -> the row of a value that differs from the sweep in this alone."""
    unchanged = {"allocate": False, "keep": False, "cold": False}
    found = {}
    for row in findings.timed:
        plain = is_ordinary(row | unchanged) and row["form"] == "value"
        if plain and all(row[key] == (unchanged | change)[key] for key in unchanged):
            found[row["activation"], row["n"], row["backend"]] = row
    return found


def memory(findings: Findings) -> str:
    """Time with a new output, and with cold caches, as multiples of the time with ``out=`` and warm ones."""
    named = {name: _alike(findings, change) for name, change in CONDITIONS}
    others = [name for name, _ in CONDITIONS[1:] if named[name]]
    keys = [key for key in named["out="] if any(key in named[name] for name in others)]
    if not keys:
        return ""
    body = []
    for key in keys:
        activation, n, backend = key
        base = named["out="][key]["seconds_median"]
        ratios = [times(named[name][key]["seconds_median"] / base) if key in named[name] else DASH for name in others]
        body.append([f"{escape(activation)}, {power(n)}", dotted(findings, backend), seconds(base), *ratios])
    inner = table(["function, size", "backend", "out=, warm", *others], body)
    return folded(f"{len(body)} lines: function, size and backend", inner)


def heaviest(findings: Findings) -> list[tuple[str, dict[str, Row]]]:
    """(condition, backend -> row) of the first function at the largest size that has conditions."""
    named = {name: _alike(findings, change) for name, change in CONDITIONS}
    common = [key for key in named["out="] if any(key in named[name] for name, _ in CONDITIONS[1:])]
    if not common:
        return []
    largest = max(n for _, n, _ in common)
    first = next(activation for activation, n, _ in common if n == largest)
    return [
        (name, {backend: row for (a, n, backend), row in found.items() if (a, n) == (first, largest)})
        for name, found in named.items()
    ]


# ---------------------------------------------------------------- roofs
def roofs(findings: Findings, threads: int) -> list[Row]:
    return [row for row in rows.of_kind(findings.rows, "roof") if row["threads"] == threads]


def thread_counts(findings: Findings) -> list[int]:
    return sorted({row["threads"] for row in rows.of_kind(findings.rows, "roof")})


def under(findings: Findings, threads: int, backend: str) -> dict[str, list[Row]]:
    """Activation -> rows of its values by size, computed with so many threads."""
    wanted = {"threads": None if threads == findings.header.get("threads") else threads}
    found: dict[str, list[Row]] = {}
    for row in sorted(findings.timed, key=lambda row: row["n"]):
        same = is_ordinary(row | {"threads": None}) and row["form"] == "value" and row["backend"] == backend
        if same and row["threads"] == wanted["threads"]:
            found.setdefault(row["activation"], []).append(row)
    return found


def bytes_of(row: Row) -> float:
    """Bytes read and written by a call."""
    return row["gb_per_s"] * row["seconds_median"] * 1e9


def roofline(findings: Findings) -> str:
    """Each kernel as a share of the copying speed of the cache that its arrays lie in."""
    counts = thread_counts(findings)
    if not counts:
        return ""
    parts = [_speeds(findings, counts)]
    for threads in counts:
        ceilings = roofs(findings, threads)
        kernels_ = under(findings, threads, DISPATCHER)
        body = [[escape(name), *(_share(mine, roof) for roof in ceilings)] for name, mine in kernels_.items()]
        if body:
            head = ["kernels.fastest", *(escape(roof["cache"]) for roof in ceilings)]
            parts.append(f"<h3>{_threads(threads)}: GB/s, share of the roof</h3>" + table(head, body))
    return "\n".join(parts)


def _threads(number: int) -> str:
    return "one thread" if number == 1 else f"{number} threads"


def _speeds(findings: Findings, counts: Sequence[int]) -> str:
    by_cache: dict[str, dict[int, Row]] = {}
    for threads in counts:
        for row in roofs(findings, threads):
            by_cache.setdefault(row["cache"], {})[threads] = row
    body = []
    for cache, mine in by_cache.items():
        cells = [
            f"{mine[t]['gb_per_s']:.0f} GB/s<small>{escape(_best(mine[t]))}</small>" if t in mine else DASH
            for t in counts
        ]
        body.append([escape(cache), *cells])
    return table(["copying within", *map(_threads, counts)], body)


def _best(roof: Row) -> str:
    return max(roof["ways"], key=roof["ways"].get)


def _share(mine: Sequence[Row], roof: Row) -> str:
    """The row whose arrays fill this cache best."""
    inside = [row for row in mine if roof["first"] < bytes_of(row) <= (roof["last"] or math.inf)]
    if not inside:
        return DASH
    row = min(inside, key=lambda row: abs(math.log(bytes_of(row) / roof["bytes"])))
    share = row["gb_per_s"] / roof["gb_per_s"]
    return f"{row['gb_per_s']:.0f} <strong>{share:.0%}</strong><small>{power(row['n'])} elements</small>"


# ---------------------------------------------------------------- one row for everything
def together(findings: Findings) -> str:
    """Speed, bandwidth, share of the copy, error, compile seconds and memory of every kernel at one size."""
    body = []
    for row in (row for row in findings.timed if is_ordinary(row) and (row["n"], row["form"]) == (IN_CACHE, "value")):
        first = findings.first_calls(row["backend"]).get((row["activation"], "value", "float32", "fast"), 0.0)
        extra = row["memory_bytes"]
        low, middle, high = nanoseconds(row)
        cells = [
            dotted(findings, row["backend"]),
            f"{middle:.3g}",
            f"{low:.3g} to {high:.3g}",
            f"{row['gb_per_s']:.3g}",
            f"{row['share_of_ceiling']:.0%}",
            DASH if row["ulp"] is None else f"{row['ulp']:.2f}",
            f"{first:.3f}",
            DASH if extra is None else f"{extra / row['n']:.2g}",
        ]
        body.append([escape(row["activation"]), *cells])
    if not body:
        return ""
    head = [
        "function",
        "backend",
        "ns an element",
        "quartiles",
        "GB/s",
        "of the copy",
        "ULP",
        "compile, s",
        "memory, bytes an element",
    ]
    return folded(f"{len(body)} lines, one a kernel, at {power(IN_CACHE)} elements", table(head, body))


# ---------------------------------------------------------------- textbook beside tuned
def texts_of(findings: Findings) -> list[str]:
    """Backends that have a second text, each after that text."""
    second = [name for name in findings.backends if ":" in name]
    return [one for name in second for one in (name, name.partition(":")[0]) if one in findings.backends]


def textbook(findings: Findings) -> str:
    """What a newcomer writes beside what is here, at the size that the pure Python texts have, too."""
    names = texts_of(findings)
    body = []
    for record in findings.activations:
        cell = findings.value_at(record.name, IN_CACHE)
        if cell and any(name in cell for name in names if ":" in name):
            body.append([escape(record.name), *(_text(cell, name) for name in names)])
    if not body:
        return ""
    gains = [_gain(findings, name) for name in names if ":" in name]
    head = ["function", *(dotted(findings, name) for name in names)]
    return bullets(filter(None, gains)) + table(head, body)


def _text(cell: dict[str, Row], name: str) -> str:
    if name not in cell:
        return DASH
    row = cell[name]
    return f"{seconds(row['seconds_median'] / row['n'])}<small>{row['ulp']:.2g} ULP</small>"


def _gain(findings: Findings, name: str) -> str:
    base = name.partition(":")[0]
    cells = [findings.value_at(record.name, IN_CACHE) or {} for record in findings.activations]
    factors = {
        record.name: cell[name]["seconds_median"] / cell[base]["seconds_median"]
        for record, cell in zip(findings.activations, cells, strict=True)
        if {name, base} <= cell.keys()
    }
    if not factors:
        return ""
    least, most = min(factors, key=factors.get), max(factors, key=factors.get)
    compared = f"{dotted(findings, name)} takes {times(median(factors.values()))} as long as {dotted(findings, base)}"
    ends = f"{times(factors[least])} for {escape(least)}, {times(factors[most])} for {escape(most)}"
    return f"{compared}, median over the functions; {ends}."
