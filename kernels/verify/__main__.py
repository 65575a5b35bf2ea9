"""``python -m kernels.verify`` holds every backend to the others and to the mathematics."""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from kernels import command_line, threads
from kernels.activations import FORMS, RECORDS, lookup
from kernels.backends import ACCURACIES, OWN, PEERS, Backend, BackendUnavailable
from kernels.verify import COUNT, PARTS, checks, choices, peers
from kernels.verify.findings import Finding, matrix

#: Where the rows are that the documentation shows.
PUBLISHED = Path("reports/sample")


def print_left_out(backends: Mapping[str, Backend]) -> None:
    for name, backend in backends.items():
        if backend.reason() is not None:
            print(f"left out: {name}: {backend.reason()}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kernels.verify", description=__doc__.replace("``", ""))
    parser.add_argument("names", nargs="*", help="activations (default: all)")
    parser.add_argument(
        "--backend",
        action="extend",
        type=command_line.names,
        default=[],
        metavar="A,B",
        help="backends or variants (repeatable; default: all)",
    )
    parser.add_argument(
        "--form", action="append", choices=FORMS, default=[], help="this form only (repeatable; default: all)"
    )
    parser.add_argument(
        "--peers",
        type=command_line.names,
        default=[],
        metavar="A,B",
        help="measure these libraries and kernels.fastest side by side instead; all: those installed",
    )
    parser.add_argument(
        "--exhaustive",
        action="store_true",
        help="all 2^32 float32 inputs, the bits of every backend over them, and 10^8 float64 inputs, of "
        "kernels.fastest, kernels.accurate and NumPy, or of the backends that are named; --peers beside them",
    )
    parser.add_argument("--part", action="append", choices=PARTS, default=[], help="with --exhaustive: this part only")
    parser.add_argument(
        "--accuracy", action="append", choices=ACCURACIES, default=[], help="with --exhaustive: one class only"
    )
    parser.add_argument(
        "--count",
        type=choices.count,
        default=COUNT,
        help="with --exhaustive: inputs of float64 a formula (default: %(default)s)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("reports/accuracy.jsonl"),
        help="rows of --exhaustive (default: %(default)s)",
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="put those rows among the published ones in reports/sample, and write their page, accuracy.md",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        others = choices.check(chosen)
    except (KeyError, BackendUnavailable) as error:
        parser.error(error.args[0])
    try:
        import mpmath  # noqa: F401
        import rich  # noqa: F401
    except ImportError:
        print("this needs rich and mpmath: pip install 'activation-kernels[verify]'", file=sys.stderr)
        return 2
    if chosen.table and not PUBLISHED.is_dir():
        parser.error(f"--table writes into {PUBLISHED}, which is not here: call it from the root of a checkout")
    if chosen.table and not chosen.exhaustive:
        return _publish(chosen)
    if chosen.exhaustive:
        return _check_exhaustively(chosen, others, parser)
    if others:
        return _compare(others, chosen, parser)
    return _check(chosen)


def _check_exhaustively(chosen: argparse.Namespace, others: Sequence[str], parser: argparse.ArgumentParser) -> int:
    from kernels.verify import bits, exhaustive

    contestants = [
        (backend, accuracy)
        for backend in [*(chosen.backend or ["fastest", "numpy"]), *others]
        for accuracy in chosen.accuracy or ACCURACIES
    ]
    parts = chosen.part or PARTS
    compared = tuple(bits.compared(chosen.backend))
    scope = exhaustive.Scope(tuple(contestants), compared, chosen.names, chosen.form, parts, chosen.count)
    todo = exhaustive.sweeps(scope)
    if not todo:
        parser.error(f"nothing to sweep of {choices.in_words(chosen)}: {exhaustive.swept()}")
    code = exhaustive.check(todo, chosen.results)
    if chosen.table:
        _publish(chosen)
    return code


def _publish(chosen: argparse.Namespace) -> int:
    from kernels.verify import outcomes

    print("\n".join(outcomes.publish(chosen.results, PUBLISHED)))
    return 0


def _compare(others: Sequence[str], chosen: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from rich.progress import track

    todo = list(peers.comparisons(others, chosen.names, chosen.form))
    if not todo:
        why = "; ".join(peers.lacking(others, chosen.names, chosen.form))
        parser.error(f"nothing to compare of {choices.in_words(chosen)}: {why}")
    print_left_out(PEERS)
    print(peers.table([one() for one in track(todo, description="comparing", transient=True)]))
    return 0


def _check(chosen: argparse.Namespace) -> int:
    from rich.progress import track

    print_left_out(OWN)
    todo = [lookup(name).name for name in chosen.names] or [record.name for record in RECORDS]
    found = track(_findings(todo, chosen), total=len(todo), description="verifying", transient=True)
    findings = [finding for of_one in found for finding in of_one]
    print(matrix(findings))
    misses = [f for f in findings if not f.ok]
    for miss in misses:
        print(miss)
    print(f"\n{len(findings)} checks, {len(misses)} misses")
    return 1 if misses else 0


def _findings(names: Sequence[str], chosen: argparse.Namespace) -> Iterator[list[Finding]]:
    """What is found of each activation; a process on each core, since most of the time is Python's."""
    check = functools.partial(checks.findings, backends=chosen.backend, forms=chosen.form)
    workers = min(threads.get_num_threads(), len(names))
    if workers == 1:
        yield from map(check, names)
        return
    # A fork would take the threads' locks along, whatever state they are in.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(check, names)


if __name__ == "__main__":
    sys.exit(main())
