"""``python -m kernels.report.sample``: the sample that the README shows, from the newest results of finished runs.

Its page and charts go to DIR/sample, its words and figures into the README beside DIR, between two marks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from kernels.files import write_whole
from kernels.report.__main__ import DONE, INSTALL, USAGE
from kernels.report.accuracy import Table
from kernels.report.findings import DISPATCHER, Findings, about, geometric_mean
from kernels.report.material import Material
from kernels.report.race import Heat, Race, digits, loss, means, summary

BEGIN, END = "<!-- sample: make sample writes what follows -->", "<!-- end of the sample -->"
#: Lost cells that the README names; the page has all.
NAMED = 5
CROSSOVER, BY_SIZE = "crossover", "sigmoid-value-time"
ALT = {
    CROSSOVER: "Which implementation is fastest at which size: activations by array size, each cell the winner",
    BY_SIZE: "Time an element of sigmoid by array size and backend",
}


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m kernels.report.sample", description=__doc__.replace("``", ""))
    found.add_argument(
        "--output", type=Path, default=Path("reports"), metavar="DIR", help="where results lie; default: %(default)s"
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    folder = parser().parse_args(arguments).output
    readme, target = folder.resolve().parent / "README.md", folder / "sample"
    found = Material(folder, finished=True)
    if found.own is None:
        return _fail(f"there is no finished run in {found.results}; measure first: python -m kernels.report")
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if not 0 <= text.find(BEGIN) < text.find(END):
        return _fail(f"{readme} has no lines {BEGIN!r} and {END!r} to write between")
    try:
        drawn = found.charts()
    except ImportError as error:
        return _fail(f"drawing needs matplotlib ({error}); {INSTALL}")
    target.mkdir(parents=True, exist_ok=True)
    charts = [name for name in ALT if name in drawn]
    for name in charts:
        write_whole(target / f"{name}.svg", _on_white(drawn[name]))
    page = target / "index.html"
    write_whole(page, found.page(drawn))
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    middle = "\n\n".join(words(found.own, found.race, charts))
    write_whole(readme, f"{before}\n\n{middle}\n\n{after}")
    print(f"{page}: the page, {page.stat().st_size / 1e6:.1f} MB. {readme}: the figures. {len(charts)} charts.")
    print(f"From {', '.join(map(str, found.paths))}.")
    return DONE


def _on_white(chart: str) -> str:
    """What stands alone has no page to take its colours from."""
    return chart.replace("<svg ", '<svg style="background:#fff" ', 1)


def words(findings: Findings, race: Race | None, charts: Sequence[str]) -> Iterator[str]:
    """The paragraphs of the README's sample."""
    shown = {name: f"![{ALT[name]}](reports/sample/{name}.svg)" for name in charts}
    if CROSSOVER in shown:
        yield shown[CROSSOVER]
    yield (
        f"The crossover map of one machine ({about(findings.header)}): float32, the number is the winner's speed over "
        "NumPy's. Yours will differ, which is the point: measure it. [The whole page](reports/sample/index.html) is "
        "one file to save and open."
    )
    if race and race.heats:
        alike = all(findings.header[key] == race.header[key] for key in ("machine", "commit"))
        yield from _raced(race, "same machine, same commit" if alike else about(race.header))
    if BY_SIZE in shown:
        yield shown[BY_SIZE]


def _raced(race: Race, where: str) -> Iterator[str]:
    values = [heat for heat in race.heats if (heat.form, heat.dtype, heat.allocate) == ("value", "float32", True)]
    count, threads = len({heat.activation for heat in values}), race.header.get("threads")
    yield (
        f"How many times as long as `kernels.fastest` others take ({where}): values of {count} functions "
        f"as far as a library has them, geometric mean; float32, a new output each call, {threads} threads, in turns."
    )
    yield peers(race, values).markdown
    lost = "; ".join(map(loss, race.lost[:NAMED]))
    more = f"; the other {len(race.lost) - NAMED} are on the page" if len(race.lost) > NAMED else ""
    losses = f" Its worst losses: {lost}{more}." if lost else ""
    yield f"In all cells, forms and dtypes: {summary(race.heats)}.{losses}"


def peers(race: Race, heats: Sequence[Heat]) -> Table:
    """A line a size: what a call of ours takes, and the others' times over it."""
    from kernels.report.html import seconds  # with matplotlib, whose absence main tells

    ratios = means(heats)
    names = [name for name in race.header["backends"] if name in ratios]
    body = []
    for n in sorted({heat.n for heat in heats}):
        mine = geometric_mean(heat.rows[DISPATCHER]["seconds_median"] for heat in heats if heat.n == n)
        others = [f"{digits(ratios[name][n])}x" if n in ratios[name] else "" for name in names]
        body.append([f"{n:,}", seconds(mine), *others])
    return Table(["elements", "`kernels.fastest`", *(race.header["backends"][name]["title"] for name in names)], body)


def _fail(message: str) -> int:
    print(f"python -m kernels.report.sample: {message}", file=sys.stderr)
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
