"""``python -m kernels.tune``: measure which kernel and how many threads win on this machine, from which size on.

For every activation, form and dtype the kernels of each usable level, and Numba's where it is installed, are timed in
cache on one thread; then the winner on one thread against all threads over growing sizes; and once, on the cheapest
kernel, stores past the caches against ordinary ones. The result goes to the user's cache directory, where the
dispatcher finds it from the next start on; ``--dry-run`` only shows it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernels import crossover
from kernels.activations import RECORDS, Activation
from kernels.backends import BACKENDS, cython_loops, dispatcher, get
from kernels.constants import DTYPES, inside
from kernels.files import write_whole
from kernels.measure import FORMS, Timed, sample
from kernels.native import native

IN_CACHE = 16_384
SIZES = tuple(2**k for k in range(13, 21))
#: Bytes read and written at which streaming is tried.
TRAFFIC = tuple(2**k for k in range(22, 29))
NEVER = 2**62
#: Seconds a size for that.
STREAM_SECONDS = 0.5
#: Rows of functions of rows.
ROW = 128
#: A challenger must be faster by this much to replace the best Cython level, and threads to be used.
MARGIN = 0.95


@dataclass(frozen=True)
class Choice:
    """What was chosen for one activation, form, dtype and accuracy, and by how much."""

    activation: str
    form: str
    dtype: str
    accuracy: str
    backend: str
    #: Time of the best Cython level over the chosen kernel's.
    gain: float
    #: All threads from this size on; None: never.
    threads_from: int | None

    def row(self) -> dict:
        """The row of the crossover table."""
        segments = [{"from": 0, "backend": self.backend, "threads": 1}]
        if self.threads_from:
            segments.append({"from": self.threads_from, "backend": self.backend, "threads": 0})
        keys = {key: getattr(self, key) for key in crossover.KEYS}
        return {**keys, "segments": segments}


def candidates() -> list[str]:
    """Kernels that the dispatcher could call: the best Cython level first."""
    names = [f"cython:{level}" for level in cython_loops.variants()]
    return [*names, *(["numba"] if BACKENDS["numba"].reason() is None else [])]


def goals() -> Iterator[tuple[Activation, str, str, str]]:
    """What the dispatcher has plans for."""
    for record in RECORDS:
        for form in record.forms:
            if form in FORMS:
                for dtype, accuracy in (("float32", "fast"), ("float64", "fast"), ("float32", "accurate")):
                    yield record, form, dtype, accuracy


def timed(record: Activation, form: str, dtype: str, accuracy: str, backend: str, n: int, workers: int) -> Timed:
    """One kernel in the dispatcher's own pipeline, on n elements."""
    compute = inside(dtype, accuracy)
    segment = (0, *dispatcher.addresses(record, form, compute, backend), workers)
    plan = cython_loops.make_plan(record, form, accuracy, {name: [segment] for name in DTYPES})
    function = cython_loops.planned(plan, record, form, np.dtype(dtype).type)
    rng = np.random.default_rng(0)
    shape = (n,) if record.elementwise else (n // ROW, ROW)
    x = rng.standard_normal(shape).astype(dtype)
    g = np.ones(record.result_shape("value", shape), dtype)
    inputs = (g, x) if form.startswith("backward") else (x,)
    out = np.empty(record.result_shape(form, shape), dtype)
    out = (out, np.empty_like(x)) if form == "value_and_derivative" else out
    names = {f"a{k}": value for k, value in enumerate((*inputs, *record.example_parameters))}
    return Timed(f"f({', '.join(names)}, out=out)", f=function, out=out, **names)


def choose(goal: tuple[Activation, str, str, str], budget: float, rng: np.random.Generator) -> Choice:
    """Measure one goal within about ``budget`` seconds."""
    record, form, dtype, accuracy = goal
    names = candidates()
    contest = [timed(*goal, name, IN_CACHE, 1) for name in names]
    medians = [timing.median for timing in sample(contest, budget / 2, rng)]
    best = int(np.argmin(medians))
    best = best if medians[best] < MARGIN * medians[0] else 0
    start = threads_from(goal, names[best], budget / 2, rng) if native("dispatch").get_num_threads() > 1 else None
    return Choice(record.name, form, dtype, accuracy, names[best], medians[0] / medians[best], start)


def threads_from(goal: tuple, backend: str, budget: float, rng: np.random.Generator) -> int | None:
    """The smallest size from which all threads beat one at every size measured; found by bisection."""
    low, high = 0, len(SIZES)
    while low < high:
        middle = (low + high) // 2
        contest = [timed(*goal, backend, SIZES[middle], workers) for workers in (1, 0)]
        one, many = (timing.median for timing in sample(contest, budget / 3, rng))
        low, high = (low, middle) if many < MARGIN * one else (middle + 1, high)
    return SIZES[low] if low < len(SIZES) else None


class Streamed(Timed):
    """A call whose outputs go past the caches from ``stream_from`` bytes on."""

    def __init__(self, stream_from: int, **names):
        self.stream_from = stream_from
        super().__init__("f(x, out=out)", **names)

    def run(self, loops: int) -> int:
        native("dispatch").set_stream_from(self.stream_from)
        return super().run(loops)


def stream_from(rng: np.random.Generator) -> int:
    """The least traffic in bytes from which streaming wins at every size tried."""
    usual = native("dispatch").get_stream_from()
    start = NEVER
    try:
        for nbytes in reversed(TRAFFIC):
            names = {"f": get("relu"), "x": rng.standard_normal(nbytes // 8, np.float32)}
            names["out"] = np.zeros_like(names["x"])
            plain, streamed = sample([Streamed(NEVER, **names), Streamed(0, **names)], STREAM_SECONDS, rng)
            if streamed.median > MARGIN * plain.median:
                break
            start = nbytes
    finally:
        native("dispatch").set_stream_from(usual)
    return start


def write(choices: list[Choice], stream_from_: int) -> str:
    """Put the table where the dispatcher looks for it, whole or not at all."""
    path = Path(crossover.user_path())
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "format": crossover.FORMAT,
        "machine": crossover.fingerprint(),
        "measured": time.strftime("%Y-%m-%d"),
        "stream_from": stream_from_,
        "rows": [choice.row() for choice in choices],
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")
    return str(path)


def show(choices: list[Choice], stream_from_: int) -> None:
    print(f"{'activation':12}{'form':22}{'dtype':9}{'class':10}{'kernel':18}{'gain':>6}  all threads from")
    for c in choices:
        start = c.threads_from if c.threads_from else "never"
        print(f"{c.activation:12}{c.form:22}{c.dtype:9}{c.accuracy:10}{c.backend:18}{c.gain:6.2f}  {start}")
    start = "never" if stream_from_ == NEVER else f"from {stream_from_ >> 20} MB read and written on"
    print(f"outputs go past the caches: {start}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m kernels.tune", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=70.0, help="time to spend (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="measure and show, but write nothing")
    arguments = parser.parse_args()
    if dispatcher.fallback():
        print(f"nothing to tune: {dispatcher.fallback()}", file=sys.stderr)
        return 1
    try:
        from rich.progress import track
    except ImportError:
        print("this needs rich: pip install 'activation-kernels[report]'", file=sys.stderr)
        return 2
    if os.environ.get(crossover.VARIABLE) == "":
        print(f"{crossover.VARIABLE} is empty, which means the shipped table: unset it first", file=sys.stderr)
        return 2
    todo = list(goals())
    print(f"{len(todo)} goals, about {arguments.seconds:.0f} s; candidates: {', '.join(candidates())}")
    rng = np.random.default_rng()
    budget = arguments.seconds / len(todo)
    choices = [choose(goal, budget, rng) for goal in track(todo, description="tuning")]
    streaming = stream_from(rng)
    show(choices, streaming)
    print(
        "nothing written"
        if arguments.dry_run
        else f"written to {write(choices, streaming)}; used from the next start on"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
