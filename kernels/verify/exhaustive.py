"""``python -m kernels.verify --exhaustive``: every float32 there is, through every form, and 10^8 of float64.

Three parts: float32 in ULP, the bits of every backend and level where there is an exponential, float64 in ULP.
Functions of a whole row get 10^8 numbers of either dtype, in random rows. What was found is written when a sweep is
done; a run that is stopped goes on with the sweeps that its file lacks.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kernels import machine
from kernels.activations import RECORDS, lookup
from kernels.backends import PEERS
from kernels.report import accuracy
from kernels.verify import COUNT, PARTS, bits, outcomes
from kernels.verify.outcomes import Row
from kernels.verify.row_samples import RowSample
from kernels.verify.strata import Sample
from kernels.verify.sweeps import FORMS_OF, Entry, Sweep, dealing, entries, run

#: Other libraries are held to nothing, and called from one thread: they get every so manieth input, an odd number, so
#: that no bit of a pattern is the same in all of them.
PEER_STEP = 17
#: Blocks that are run to tell how long all of them take.
TRIED = 12
#: From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class Scope:
    """What is to be swept."""

    #: (backend, accuracy)
    contestants: tuple[tuple[str, str], ...]
    #: Backends and levels that are held to the reference backend by bits.
    compared: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS
    count: int = COUNT


def sweeps(scope: Scope) -> list[Sweep]:
    """All parts of one activation after the other, in the order of the table."""
    of_kind = {"elementwise": _sweeps_of, "row": _samples_of_rows, "gated": lambda name, scope: ()}
    chosen = [record for record in RECORDS if _chosen(record, scope)]
    return [sweep for record in chosen for sweep in of_kind[record.kind](record.name, scope)]


def _chosen(record, scope: Scope) -> bool:
    return not scope.names or record in [lookup(name) for name in scope.names]


def _sweeps_of(name: str, scope: Scope) -> Iterator[Sweep]:
    if "float32" in scope.parts:
        for group in by_formula(entries([name], scope.forms, "float32", scope.contestants)):
            yield Sweep(group, step_of(group))
    if "bits" in scope.parts:
        compared = [(backend, "fast") for backend in scope.compared]
        yield from bits.equalities(list(entries([name], scope.forms, "float32", compared)))
    if "float64" in scope.parts:
        for group in by_formula(entries([name], scope.forms, "float64", scope.contestants)):
            yield Sample(group, _wanted(group, scope))


def _samples_of_rows(name: str, scope: Scope) -> Iterator[RowSample]:
    for dtype in ("float32", "float64"):
        if dtype in scope.parts:
            for group in by_formula(entries([name], scope.forms, dtype, scope.contestants)):
                yield RowSample(group, _wanted(group, scope))


def swept() -> str:
    """What there are sweeps of."""
    forms = "; ".join(f"{', '.join(forms)} of {kind} functions" for kind, forms in FORMS_OF.items() if forms)
    return (
        f"swept are {forms}; in the accurate class compiled backends in float32; and the bits of elementwise functions "
        f"that have an exponential, from {', '.join(bits.compared()) or 'no backend here'}"
    )


def _wanted(group: Sequence[Entry], scope: Scope) -> int:
    return max(scope.count // step_of(group), 1)


def step_of(group: Sequence[Entry]) -> int:
    return PEER_STEP if group[0].backend in PEERS else 1


def by_formula(found: Iterator[Entry]) -> Iterator[tuple[Entry, ...]]:
    """Entries that share a reference; other libraries get one of their own, whose blocks are not dealt to threads."""
    groups: dict[tuple[str, str, bool], list[Entry]] = {}
    for one in found:
        groups.setdefault((one.activation, one.key, one.backend in PEERS), []).append(one)
    yield from map(tuple, groups.values())


def seconds(sweep: Sweep) -> float:
    """How long a sweep takes, from a few blocks of it."""
    block, blocks = sweep.prepare(), sweep.blocks
    tried = blocks[len(blocks) // (2 * TRIED) :: max(len(blocks) // TRIED, 1)]
    with dealing(sweep.entries) as count:
        block(tried[0])
        start = time.perf_counter()
        for k in tried:
            block(k)
        return (time.perf_counter() - start) * len(blocks) / len(tried) / count


def keep_memory() -> None:
    """Temporary arrays that go back to the system and come again, page by page, are a third of the time in glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_TRIM_THRESHOLD, 1 << 30)
        mallopt(M_MMAP_THRESHOLD, 1 << 25)


def check(todo: Sequence[Sweep], path: Path) -> int:
    """Run what the file lacks, show everything; the exit code is 1 where a bound is missed."""
    keep_memory()
    facts = machine.facts()
    found = {outcomes.key_of(one): one for one in outcomes.of_this_code(accuracy.read(path), facts)}
    wanted = [key for sweep in todo for key in _keys(sweep).values()]
    missing = [left for sweep in todo if (left := _without(sweep, found))]
    _sweep(missing, found, path, facts)
    shown = [found[key] for key in wanted]
    print(outcomes.table(shown))
    misses = sum(not outcomes.is_within(one) for one in shown)
    print(f"\n{len(shown)} outcomes, {misses} misses; rows in {path}")
    return 1 if misses else 0


def _keys(sweep: Sweep) -> dict[Entry, tuple]:
    return {one: outcomes.key(sweep.check, one, sweep.count) for one in sweep.entries}


def _without(sweep: Sweep, found: dict[tuple, Row]) -> Sweep | None:
    """The sweep of those entries that were not found yet."""
    left = tuple(one for one, key in _keys(sweep).items() if key not in found)
    return replace(sweep, entries=left) if left else None


def _sweep(missing: Sequence[Sweep], found: dict[tuple, Row], path: Path, facts: dict) -> None:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track

    expected = [seconds(sweep) for sweep in track(missing, description="estimating", transient=True)]
    if missing:
        print(
            f"{len(missing)} sweeps, about {sum(expected) / 60:.0f} minutes; a run that is stopped goes on from there"
        )
    print("".join(f"{sweep.note}\n" for sweep in missing if sweep.note), end="")
    columns = TextColumn("{task.description:36}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True)
    with Progress(*columns, transient=True) as progress:
        bar = progress.add_task("", total=sum(expected))
        for sweep, duration in zip(missing, expected, strict=True):
            progress.update(bar, description=sweep.name)
            a_block = duration / len(sweep.blocks)
            worst = run(sweep, lambda share=a_block: progress.advance(bar, share))
            pairs = zip(_keys(sweep).items(), worst, strict=True)
            rows = {key: outcomes.row(sweep.check, one, sweep.count, w, facts) for (one, key), w in pairs}
            outcomes.append(path, list(rows.values()))
            found |= rows
