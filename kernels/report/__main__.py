"""``python -m kernels.report``: measure every backend by size, draw charts and a page that opens with the answer.

Rows go to disk as they are measured. A run that was interrupted continues when the same command is given again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kernels.report import rows

INSTALL = 'pip install "activation-kernels[report]"'
DONE, USAGE, INTERRUPTED = 0, 2, 130
#: Where a terminal is narrower, lines of the table run on.
TABLE_WIDTH = 110


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m kernels.report", description=__doc__.replace("``", ""))
    scope = found.add_mutually_exclusive_group()
    scope.add_argument("--quick", action="store_const", const="quick", dest="scope", help="four sizes, under a minute")
    scope.add_argument(
        "--full",
        action="store_const",
        const="full",
        dest="scope",
        help="float64, every form, cold caches, new outputs, one thread, other data, to 10^8; says how long it takes",
    )
    scope.add_argument("--render-only", action="store_true", help="draw the newest results again, measure nothing")
    found.add_argument(
        "--fresh", action="store_true", help="start over, even where an interrupted run could be continued"
    )
    found.add_argument("--output", type=Path, default=Path("reports"), metavar="DIR", help="default: %(default)s")
    found.add_argument("--activations", type=_names, default=(), metavar="A,B", help="only these, by name or alias")
    found.add_argument(
        "--backends", type=_names, default=(), metavar="A,B", help="only these, for example numpy,cython:x86-64-v3"
    )
    found.add_argument(
        "--peers",
        type=_names,
        default=(),
        metavar="A,B",
        help="race kernels.fastest and NumPy against other libraries, for example torch,jax; all: those installed",
    )
    found.add_argument(
        "--dtype",
        type=_names,
        metavar="A,B",
        help="of the race: float32, float64, float16, bfloat16; default: the first two",
    )
    found.set_defaults(scope="default")
    return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        code = DONE if given.render_only else measure(given)
        return code or draw(given.output)
    except KeyboardInterrupt:
        print("\nInterrupted. The same command continues.", file=sys.stderr)
        return INTERRUPTED


# ---------------------------------------------------------------- measuring
def measure(given: argparse.Namespace) -> int:
    try:
        from rich.console import Console
    except ImportError as error:
        return _fail(f"the report needs rich ({error}); {INSTALL}")
    from kernels.backends import BackendUnavailable
    from kernels.report import plan, run

    console = Console()
    if given.peers and given.backends:
        return _fail("--peers races kernels.fastest and NumPy; --backends has no place beside it")
    if given.dtype and not given.peers:
        return _fail("--dtype is of a race with other libraries: give --peers, too; --full measures float64")
    scope = plan.SCOPES[given.scope]
    try:
        if given.peers:
            made = plan.make_race(scope, given.peers, given.activations, given.dtype or plan.RACED)
        else:
            made = plan.make(scope, given.activations, given.backends)
    except (KeyError, BackendUnavailable) as error:
        return _fail(error.args[0])
    going = run.start(made, given.output / "results", given.fresh)
    announce(console, made, going)
    try:
        _measure(console, going)
    except KeyboardInterrupt:
        measured = len(made.cases) - going.left
        console.print(
            f"\nInterrupted: {measured} of {len(made.cases)} cases are measured, in {going.results.path}. The same "
            "command continues; --fresh starts over; --render-only draws what is there.",
            highlight=False,
            soft_wrap=True,
        )
        return INTERRUPTED
    if given.peers:
        show_race(console, going.results.path)
    return DONE


def announce(console, made, going) -> None:
    """What will be measured, how long it takes, and what is left out."""
    measured = len(made.cases) - going.left
    seconds = made.seconds * going.left / max(len(made.cases), 1)
    minutes = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
    again = f", {measured} of them measured before the interruption" if measured else ""
    console.print(
        f"Plan {made.name}: {len(made.cases)} cases{again}; about {minutes}.", highlight=False, soft_wrap=True
    )
    sizes = sorted({case.n for case in made.cases})
    console.print(
        f"Backends {', '.join(dict.fromkeys(case.backend for case in made.cases))}; sizes {sizes[0]} to {sizes[-1]:,}; "
        f"activations {', '.join(dict.fromkeys(case.activation for case in made.cases))}.",
        highlight=False,
        soft_wrap=True,
    )
    for name, reason in made.left_out.items():
        console.print(f"Left out: {name}: {reason}", highlight=False, markup=False, soft_wrap=True)


def _measure(console, going) -> None:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    times = TimeElapsedColumn(), TextColumn("passed,"), TimeRemainingColumn(), TextColumn("left")
    columns = BarColumn(), MofNCompleteColumn(), *times, TextColumn("{task.description}")
    # Redrawn between groups only: a redrawing thread would disturb what is measured.
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task("starting", total=len(going.plan.cases), completed=len(going.plan.cases) - going.left)

        def advance(group: str, cases: int) -> None:
            progress.update(task, description=group, advance=cases)
            progress.refresh()

        going.measure(advance)


def show_race(console, path: Path) -> None:
    """Every cell with the fastest of the others, what was lost, and the sum of it."""
    from rich.console import Console
    from rich.table import Table

    from kernels.report.race import Race, digits, label, loss, summary

    race = Race(rows.read(path)[0])
    table = Table("function", "n", "fastest other", "its time / ours", "quartiles", "")
    for heat in race.heats:
        style = {"win": None, "tie": "yellow", "loss": "red"}[heat.verdict]
        cells = label(heat.line), f"{heat.n:,}", heat.rival, digits(heat.ratio[1]), heat.quartiles, heat.verdict
        table.add_row(*cells, style=style)
    Console(width=max(console.width, TABLE_WIDTH)).print(table)
    for heat in race.lost:
        console.print(f"lost: {loss(heat)}", highlight=False, markup=False, soft_wrap=True)
    for row in race.not_timed:
        what = label((row["activation"], row["form"], row["dtype"], row["allocate"]))
        text = f"{row['status']}: {row['backend']}, {what}, {row['n']:,}: {row['reason']}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    console.print(f"{summary(race.heats)}.", highlight=False, soft_wrap=True)


# ---------------------------------------------------------------- drawing
def draw(folder: Path) -> int:
    """Charts and page from the newest results, and from the newest race with other libraries."""
    newest = [rows.newest(folder / "results"), rows.newest(folder / "results", f"{rows.PEERS_PLAN}*")]
    paths = [path for path in newest if path is not None]
    if not paths:
        return _fail(f"there are no results in {folder / 'results'}; measure first: python -m kernels.report")
    read = {path: rows.read(path) for path in paths}
    problems = [problem for _, mine in read.values() for problem in mine]
    for problem in problems:
        print(problem, file=sys.stderr)
    for path, (found, _) in read.items():
        if rows.header(found) is None:
            return _fail(f"{path} has no readable run row at its start; measure again, with --fresh")
    try:
        from kernels.report import charts, page
    except ImportError as error:
        return _fail(f"drawing needs matplotlib ({error}); {INSTALL}")
    from kernels.report import accuracy
    from kernels.report.findings import Findings
    from kernels.report.race import Race

    found, raced = (read[path][0] if path else None for path in newest)
    # Without a run of its own the page has the race alone.
    findings = Findings(found or [row for row in raced if row["kind"] != "measurement"])
    drawn = charts.draw_all(findings)
    (folder / "charts").mkdir(parents=True, exist_ok=True)
    for name, text in drawn.items():
        (folder / "charts" / f"{name}.svg").write_text(text, encoding="utf-8")
    target = folder / "index.html"
    documented = {path.stem for path in (folder / page.DOCS).glob("*.html")}
    text = page.render(findings, drawn, problems, raced and Race(raced), accuracy.swept(folder), documented)
    target.write_text(text, encoding="utf-8")
    print(f"{target}: the page. {folder / 'charts'}: {len(drawn)} charts. {', '.join(map(str, paths))}: the rows.")
    return DONE


def _fail(message: str) -> int:
    print(f"python -m kernels.report: {message}", file=sys.stderr)
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
