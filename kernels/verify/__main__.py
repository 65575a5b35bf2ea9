"""``python -m kernels.verify`` holds every backend to the others and to the mathematics."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kernels.activations import lookup
from kernels.backends import ACCURACIES, OWN, PEERS, Backend, BackendUnavailable, available
from kernels.verify import checks, peers
from kernels.verify.findings import matrix


def print_left_out(backends: Mapping[str, Backend]) -> None:
    for name, backend in backends.items():
        if backend.reason() is not None:
            print(f"left out: {name}: {backend.reason()}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kernels.verify", description=__doc__.replace("``", ""))
    parser.add_argument("names", nargs="*", help="activations (default: all)")
    parser.add_argument(
        "--backend", action="append", default=[], help="a backend or variant (repeatable; default: all)"
    )
    parser.add_argument("--form", action="append", default=[], help="a form (repeatable; default: all)")
    parser.add_argument(
        "--peers",
        type=lambda text: text.split(","),
        default=[],
        metavar="A,B",
        help="measure these libraries and kernels.fastest side by side instead; all: those installed",
    )
    parser.add_argument(
        "--exhaustive",
        action="store_true",
        help="all 2^32 float32 inputs instead, a minute or two a form, of kernels.fastest, kernels.accurate and the "
        "backends (libraries too) that are named",
    )
    parser.add_argument(
        "--accuracy", action="append", choices=ACCURACIES, default=[], help="with --exhaustive: one class only"
    )
    parser.add_argument(
        "--results", type=Path, default=Path("reports/accuracy.jsonl"), help="with --exhaustive (default: %(default)s)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        for name in chosen.names:
            lookup(name)
        for backend in chosen.backend:
            available(backend)
        others = peers.by_name(chosen.peers)
    except (KeyError, BackendUnavailable) as error:
        parser.error(error.args[0])
    try:
        import mpmath  # noqa: F401
        import rich  # noqa: F401
    except ImportError:
        print("this needs rich and mpmath: pip install 'activation-kernels[verify]'", file=sys.stderr)
        return 2
    if chosen.exhaustive:
        if others:
            parser.error("--exhaustive takes other libraries by --backend, not by --peers")
        return _check_exhaustively(chosen, parser)
    if others:
        return _compare(others, chosen)
    return _check(chosen)


def _check_exhaustively(chosen: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from kernels.verify import exhaustive

    todo = list(exhaustive.sweeps(chosen.names, chosen.form))
    if not todo:
        parser.error(f"nothing of one input: {', '.join(chosen.names)} {', '.join(chosen.form)}")
    contestants = [
        exhaustive.Contestant(backend, accuracy)
        for backend in chosen.backend or ["fastest"]
        for accuracy in chosen.accuracy or ACCURACIES
    ]
    return exhaustive.check(todo, contestants, chosen.results)


def _compare(others: Sequence[str], chosen: argparse.Namespace) -> int:
    from rich.progress import track

    print_left_out(PEERS)
    todo = list(peers.comparisons(others, chosen.names, chosen.form))
    print(peers.table([one() for one in track(todo, description="comparing", transient=True)]))
    return 0


def _check(chosen: argparse.Namespace) -> int:
    from rich.progress import track

    print_left_out(OWN)
    todo = list(checks.cases(chosen.names, chosen.backend, chosen.form))
    findings = [case() for case in track(todo, description="verifying", transient=True)]
    print(matrix(findings))
    misses = [f for f in findings if not f.ok]
    for miss in misses:
        print(miss)
    print(f"\n{len(findings)} checks, {len(misses)} misses")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
