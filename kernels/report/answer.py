"""The top of the page: what to write a kernel in, from which size on, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from statistics import median

from kernels.report import gpu
from kernels.report.accuracy import MANY
from kernels.report.findings import (
    BANDS,
    BASELINE,
    DISPATCHER,
    Findings,
    about,
    band,
    extent,
    geometric_mean,
    level_with_best,
    losses,
    mean_factor,
    power,
    wins,
)
from kernels.report.gpu import Device
from kernels.report.html import DASH, count, dotted, listed, paragraph, seconds, table, times, title
from kernels.report.race import Race, summary

#: A first call that takes no more seconds than this is like any other.
AT_ONCE = 0.01
#: Cores at work elsewhere from which on the page warns.
BUSY = 0.1
#: What a way to write a kernel asks for beside its time.
PRICES = {
    "python": "nothing",
    "numpy": "nothing; temporaries",
    "cython": "a C compiler at install",
    "numba": "numba installed",
    "cuda": "a GPU, numba-cuda",
    DISPATCHER: "this package",
}
CAPTION = f"Speed by number of elements: {times(1.0)} is NumPy's, {times(10.0)} takes a tenth of its time."
NOTE = """Geometric means over functions and derivatives in float32. First call: the median of what it takes beyond a
later one. Error: the largest seen. Textbook: a plain loop around the C library's exp, values only."""
OTHERS_SAY, GPU_SAYS = '<a href="#peers">Against other libraries</a>', '<a href="#gpu">On a GPU</a>'


def answer(findings: Findings, race: Race | None, device: Device | None = None) -> str:
    """Of what it is, the verdict in plain words, then every choice in a line."""
    return "\n".join([paragraph(escape(about(findings.header)), "soft"), *_answered(findings, race, device)])


def _answered(findings: Findings, race: Race | None, device: Device | None) -> Iterator[str]:
    if findings.sweep:
        yield paragraph(_verdict(findings), "answer")
        yield choices(findings, device)
        yield paragraph(_written_plainly(findings))
        yield paragraph(_dispatcher(findings))
        yield paragraph(f"{OTHERS_SAY}: {_against(race)}")
        yield paragraph(f"{GPU_SAYS}: {_gpu(findings, device)}")
    elif race and race.heats:
        yield _of_race_alone(race)
    else:
        yield paragraph(gpu.verdict(findings, device) if device else "Nothing was measured yet.", "answer")


def _against(race: Race | None) -> str:
    """Where kernels.fastest stands among them, or how to learn it."""
    if race and race.heats:
        return f"{escape(summary(race.heats))}."
    return "not raced yet; <code>python -m kernels.report --peers all</code> races those that are installed."


def _gpu(findings: Findings, device: Device | None) -> str:
    if device:
        return gpu.verdict(findings, device)
    return "none was measured; <code>python -m kernels.report --device cuda</code> does it where there is one."


def _of_race_alone(race: Race) -> str:
    others = [name for name in race.header["backends"] if any(name in heat.rows for heat in race.heats)]
    names = listed([title(race, name) for name in others if name != DISPATCHER])
    result = escape(summary(race.heats))
    told = f"On this machine ({escape(_machine(race))}), <code>kernels.fastest</code> against {names}: {result}."
    more = "Only this race was measured. <code>python -m kernels.report</code> compares NumPy, Cython, Numba and CUDA."
    return paragraph(told, "answer") + paragraph(more)


def _machine(findings: Findings | Race) -> str:
    facts = findings.header["facts"]
    return f"{facts['cpu']}, {facts['cores']} cores"


def _verdict(findings: Findings) -> str:
    cells = findings.sweep
    won = wins(cells)
    best = {name: wins(band(cells, *ends)).most_common(1) for name, *ends in BANDS}
    leaders = {name: ranked[0][0] for name, ranked in best.items() if ranked}
    if not leaders:
        return "No backend was compared."
    sizes = f"{power(findings.sizes[0])} to {power(findings.sizes[-1])}"
    compared = f"{len(cells)} comparisons (a function or its derivative at one size, {sizes} numbers)"
    if len(set(leaders.values())) == 1:
        name = next(iter(leaders.values()))
        where = f"on this machine it is the fastest in {won[name]} of {compared}"
        return f"Write it in <strong>{title(findings, name)}</strong>, at any size: {where}."
    words = [f"<strong>{title(findings, name)}</strong> for {escape(sort)}" for sort, name in leaders.items()]
    counted = listed([f"{title(findings, name)} is the fastest in {n}" for name, n in won.most_common()])
    return f"Write it in {listed(words)}. On this machine, of {compared}, {counted}."


def _written_plainly(findings: Findings) -> str:
    """What the verdict does not hold for: the loop that a newcomer writes."""
    plain = [name for name in findings.backends if findings.header["backends"][name.partition(":")[0]]["compiled"]]
    told = [f"{title(findings, name)} {pays_from(findings, name)}" for name in plain if ":" in name]
    if not told:
        return "The loops of Cython and Numba have vector math of their own."
    return (
        "That takes vector math of your own, as the loops here have. The loop that a newcomer writes, around the C "
        f"library's exp, is faster than NumPy much less often: {'; '.join(told)} "
        '(<a href="#textbook">a newcomer\'s loop beside a tuned one</a>).'
    )


def choices(findings: Findings, device: Device | None = None) -> str:
    """Each way to write a kernel: its speed over NumPy by size, from where it is faster, and what it costs."""
    sizes = [_sizes(*ends) for _, *ends in BANDS]
    head = ["write it in", *sizes, "faster than NumPy", "first call", "error, ULP", "it asks for"]
    body = []
    on_device = list(_on_device(findings, device)) if device else []
    for name in dict.fromkeys((*findings.backends, *findings.header["left_out"])):
        if name in findings.backends:
            means = [mean_factor(band(findings.sweep, *ends), name) for _, *ends in BANDS]
            asks = PRICES.get(name.partition(":")[0], "")
            cells = [*map(times, means), pays_from(findings, name), _first_call(findings, name), _error(findings, name)]
            body.append([dotted(findings, name), *cells, asks])
        elif name in PRICES and not on_device:
            body.append([dotted(findings, name), *[DASH] * len(BANDS), "not measured", DASH, DASH, PRICES[name]])
    return paragraph(CAPTION, "soft") + table(head, body + on_device) + paragraph(NOTE, "soft")


def _on_device(findings: Findings, device: Device) -> Iterator[list[str]]:
    """The GPU as a choice: for arrays that are there, and, unless the sweep has it, for those of main memory."""
    ways = {"arrays there": device.call, "with transfers": device.with_transfers}
    for words, seconds_of in ways.items():
        if words == "arrays there" or gpu.OWN not in findings.backends:
            factors: dict[int, list[float]] = {}
            for cell in findings.sweep:
                if BASELINE in cell.rows and (took := seconds_of(cell)):
                    factors.setdefault(cell.n, []).append(cell.seconds(BASELINE) / took)
            bands = [[f for n, mine in factors.items() if first <= n <= last for f in mine] for _, first, last in BANDS]
            where = extent({n: geometric_mean(mine) for n, mine in factors.items()})
            speeds = [times(geometric_mean(mine)) for mine in bands]
            yield [f"{dotted(findings, gpu.OWN)}, {words}", *speeds, where, DASH, "the CPU's bits", PRICES[gpu.OWN]]


def _sizes(first: float, last: float) -> str:
    """A band of sizes, short enough for a heading."""
    if last == math.inf:
        return f"from {power(first)} on"
    return f"{power(first)} to {power(last)}" if first else f"up to {power(last)}"


def pays_from(findings: Findings, name: str) -> str:
    """The size from which on a backend is faster than NumPy, on geometric mean over what was measured at each size."""
    if name == BASELINE:
        return DASH
    by_size = {n: mean_factor(band(findings.sweep, n, n), name) for n in findings.sizes}
    return extent({n: factor for n, factor in by_size.items() if factor is not None})


def _first_call(findings: Findings, name: str) -> str:
    found = findings.first_calls(name).values()
    if not found:
        return DASH
    middle = median(found)
    return seconds(middle) if middle > AT_ONCE else "at once"


def _error(findings: Findings, name: str) -> str:
    found = [cell.rows[name]["ulp"] for cell in findings.sweep if name in cell.rows]
    if not found:
        return DASH
    return f"{max(found):.2g}" if max(found) < MANY else count(max(found))


def _dispatcher(findings: Findings) -> str:
    level, compared = level_with_best(findings.sweep)
    if not compared:
        return "kernels.fastest was not measured."
    text = (
        f"Or write nothing: <code>kernels.fastest</code> is as fast as the best of them, or faster, in {level} of "
        f"{compared} cells"
    )
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
