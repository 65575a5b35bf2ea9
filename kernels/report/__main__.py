"""``python -m kernels.report``: measure every backend by size, draw charts and a page that opens with the answer.

Rows go to disk as they are measured. A run that was interrupted continues when the same command is given again, unless
the code is edited and not committed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kernels import command_line
from kernels.files import write_whole
from kernels.report import rows

INSTALL = 'pip install "activation-kernels[report]"'
DONE, MISSED, USAGE, INTERRUPTED = 0, 1, 2, 130
#: What a run on a GPU has no choice of, or does not do.
NOT_ON_DEVICE = ("backends", "peers", "dtype", "scheduler", "compare", "history", "self_test", "render_only")
#: What the same command does after an interruption where the code has no commit of its own.
EDITED = "starts over, as the code has changes that are not committed"
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
    scope.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="say case by case whether B is faster or slower than A: result files of this, asv or pytest-benchmark, or "
        "commits with results",
    )
    scope.add_argument(
        "--history",
        action="store_true",
        help="say what became faster or slower, commit by commit, as asv timed them",
    )
    scope.add_argument(
        "--self-test",
        action="store_true",
        help="measure a kernel against itself, and against itself slowed by 5 %%: what does this machine's noise hide?",
    )
    scope.add_argument("--render-only", action="store_true", help="draw the newest results again, measure nothing")
    found.add_argument(
        "--fresh", action="store_true", help="start over, even where an interrupted run could be continued"
    )
    found.add_argument("--output", type=Path, default=Path("reports"), metavar="DIR", help="default: %(default)s")
    several = {"type": command_line.names, "default": (), "metavar": "A,B"}
    found.add_argument("--activations", **several, help="only these, by name or alias")
    found.add_argument("--backends", **several, help="only these, for example numpy,cython:x86-64-v3")
    found.add_argument(
        "--peers",
        **several,
        help="race kernels.fastest and NumPy against other libraries, for example torch,jax; all: those installed",
    )
    found.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="run this on every worker host of a dask.distributed cluster, one after the other, and draw all of them",
    )
    found.add_argument(
        "--dtype",
        **several,
        help="float32, float64, float16, bfloat16: what is raced, by default the first two; without --peers, in what "
        "every backend is measured and charted by size beside float32",
    )
    found.add_argument(
        "--device",
        choices=["cuda"],
        help="measure the kernels on the GPU, by events, against its own copy and, where they are installed, PyTorch, "
        "torch.compile, CuPy and JAX, for the page and in print",
    )
    found.set_defaults(scope="default")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        if given.device:
            return measure_device(given)
        if given.compare:
            return compare_two(*given.compare, given.output / "results")
        if given.history:
            return show_history(given.output)
        if given.self_test:
            return test_itself(given.output / "results")
        code = DONE if given.render_only else measure_cluster(given) if given.scheduler else measure(given)
        return code or draw(given.output)
    except KeyboardInterrupt:
        print(f"\nInterrupted.{_again(given)}", file=sys.stderr)
        return INTERRUPTED


def _again(given: argparse.Namespace) -> str:
    """What may follow an interruption that ``measure`` has not told of: it was before or after its measuring."""
    if given.device or given.scheduler or given.self_test:
        return " The same command starts over."
    return "" if given.compare or given.history else " --render-only draws what was measured."


# ---------------------------------------------------------------- measuring
def measure(given: argparse.Namespace) -> int:
    try:
        from rich.console import Console
    except ImportError as error:
        return _fail(f"the report needs rich ({error}); {INSTALL}")
    from kernels.backends import BackendUnavailable
    from kernels.report import conditions, plan, run

    console = Console()
    try:
        made = plan.of_choices(**choices(given))
    except (KeyError, BackendUnavailable) as error:
        return _fail(error.args[0])
    going = run.start(made, given.output / "results", given.fresh)
    announce(console, made, going)
    for text in conditions.in_words(going.conditions):
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    try:
        _measure(console, going)
    except BlockingIOError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        measured = len(made.cases) - going.left
        again = "continues; --fresh starts over" if run.can_continue(going.about["commit"]) else EDITED
        console.print(
            f"\nInterrupted: {measured} of {len(made.cases)} cases are measured, in {going.results.path}. The same "
            f"command {again}; --render-only draws what is there.",
            highlight=False,
            soft_wrap=True,
        )
        return INTERRUPTED
    if given.peers:
        show_race(console, going.results.path)
    return DONE


def choices(given: argparse.Namespace) -> dict:
    """The options that say what is measured."""
    return {name: getattr(given, name) for name in ("scope", "activations", "backends", "peers", "dtype")}


def measure_device(given: argparse.Namespace) -> int:
    from kernels.backends import BackendUnavailable, available
    from kernels.report import device

    beside = [f"--{name.replace('_', '-')}" for name in NOT_ON_DEVICE if getattr(given, name)]
    if beside:
        accepted = "--quick, --full, --activations and --output"
        return _fail(f"--device measures on a GPU alone: leave out {', '.join(beside)}; beside it go {accepted}")
    try:
        available("cuda")
        path = device.measure(given.scope, given.activations, given.output / "results", device.Gpu())
    except (KeyError, BackendUnavailable) as error:
        return _fail(error.args[0])
    print("\n".join(device.lines(rows.read(path)[0])))
    return draw(given.output)


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


def measure_cluster(given: argparse.Namespace) -> int:
    """The same run on every worker host; a file a host."""
    from kernels.backends import BackendUnavailable
    from kernels.report import cluster

    try:
        client = cluster.connect(given.scheduler)
    except (ImportError, OSError) as error:
        return _fail(str(error))
    with client:
        print(f"Hosts, one after the other: {', '.join(sorted(cluster.hosts(client)))}.")
        try:
            for path in cluster.sweep(client, choices(given), given.output / "results"):
                print(f"measured: {path}")
        except (KeyError, BackendUnavailable) as error:
            return _fail(error.args[0])
    return DONE


# ---------------------------------------------------------------- trust
def compare_two(first: str, second: str, folder: Path) -> int:
    """What is faster or slower in the second, and how sure that is."""
    from kernels.report import compare

    try:
        show_comparison(compare.Comparison(compare.load(first, folder), compare.load(second, folder)))
    except ValueError as error:
        return _fail(str(error))
    return DONE


def show_history(folder: Path) -> int:
    """Commit by commit, in the terminal and as a page."""
    from kernels.report import compare

    steps = compare.steps()
    if not steps:
        return _fail(f"{compare.ASV} has no two commits of one machine; time them first: make history")
    for step in steps:
        show_comparison(step)
    try:
        from kernels.report import history
    except ImportError as error:
        return _fail(f"the page needs matplotlib ({error}); {INSTALL}")
    target = folder / "history.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, history.page(steps, (folder / "index.html").exists()))
    print(f"{target}: the page.")
    return DONE


def show_comparison(found) -> None:
    from rich.console import Console
    from rich.table import Table

    from kernels.report import compare

    console = Console()
    table = Table("case", "verdict", "B / A", "interval", "sure")
    for line in compare.lines(found):
        table.add_row(*line, style={"faster": "green", "slower": "red"}[line[1]])
    if table.row_count:
        Console(width=max(console.width, TABLE_WIDTH)).print(table)
    texts = [f"A: {found.first.name}", f"B: {found.second.name}"]
    for text in [*texts, *(f"differs: {text}" for text in found.differences), f"{found.summary}."]:
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def test_itself(folder: Path) -> int:
    """Pairs without and with a slowdown; their rows go to disk, and the page shows what came out."""
    from rich.progress import track

    from kernels.report import run, selftest, verdicts

    results = run.start_self_test(folder)
    bar = iter(track(range(2 * selftest.PAIRS), description="pairs", transient=True))
    found = selftest.run(results.append, lambda: next(bar, None), selftest.PAIRS)
    next(bar, None)
    print(f"{verdicts.summary(found)}.\nrows: {results.path}")
    return DONE if verdicts.passes(found) else MISSED


# ---------------------------------------------------------------- drawing
def draw(folder: Path) -> int:
    """Charts and page from the newest results, of this project's own, of a race and of a GPU."""
    from kernels.report.material import Material

    found = Material(folder)
    for problem in found.problems:
        print(problem, file=sys.stderr)
    if not found.paths:
        return _fail(
            f"there are no results in {found.results} that can be read; measure first: python -m kernels.report"
        )
    try:
        drawn = found.charts()
    except ImportError as error:
        return _fail(f"drawing needs matplotlib ({error}); {INSTALL}")
    (folder / "charts").mkdir(parents=True, exist_ok=True)
    for name, text in drawn.items():
        write_whole(folder / "charts" / f"{name}.svg", text)
    target = folder / "index.html"
    write_whole(target, found.page(drawn, found.documented))
    print(
        f"{target}: the page. {folder / 'charts'}: {len(drawn)} charts. {', '.join(map(str, found.paths))}: the rows."
    )
    if found.race is None:
        print("Against other libraries: python -m kernels.report --peers all")
    return DONE


def _fail(message: str) -> int:
    print(f"python -m kernels.report: {message}", file=sys.stderr)
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
