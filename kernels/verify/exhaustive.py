"""``python -m kernels.verify --exhaustive``: every float32 there is, through every form, against float64 references.

The reference is the NumPy text computed in float64, which shares nothing with the compiled formulas and is itself held
to the arbitrary-precision oracle by the tests: its error, a few units of float64, is a hundred millionth of what is
measured. One reference serves all contestants. Outcomes are rows, one a line, written when a form is done; a run that
is stopped goes on with the forms that its file lacks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from kernels import machine, threads
from kernels.activations import BOUND_OF, RECORDS, ROUNDED, Activation, lookup
from kernels.backends import find, get, numpy_vector
from kernels.ulp import near_roots, ulp_errors
from kernels.verify.findings import bound_of
from kernels.verify.inputs import parameters
from kernels.verify.peers import has

#: Patterns of a block: the arrays of a block stay in the second-level cache.
BLOCK = 1 << 16
PATTERNS = 1 << 32
#: Forms of one formula each; a pair is held to its halves' bits by the other checks.
FORMS = ("value", "derivative", "backward", "backward_from_output")
#: backward is taken with both: 1 shows the derivative, the other one the rounding of the product.
GRADIENTS = (1.0, -0.7310585975646973)


@dataclass(frozen=True)
class Sweep:
    """One form of one activation over all inputs, with one gradient."""

    activation: str
    form: str
    #: None where the form takes none.
    gradient: float | None

    @property
    def record(self) -> Activation:
        return lookup(self.activation)

    @property
    def name(self) -> str:
        gradient = "" if self.gradient is None else f", g = {self.gradient:.3g}"
        return f"{self.activation}.{self.form}{gradient}"


@dataclass(frozen=True)
class Contestant:
    """What is held to the reference."""

    backend: str
    accuracy: str


@dataclass(frozen=True)
class Worst:
    """The largest error seen, and where."""

    error: float
    x: float
    got: float
    reference: float


NOTHING = Worst(-1.0, float("nan"), float("nan"), float("nan"))


def sweeps(names: Sequence[str], forms: Sequence[str]) -> Iterator[Sweep]:
    """The sweeps of these activations and forms, or of all."""
    for record in [lookup(name) for name in names] or RECORDS:
        for form in FORMS:
            if record.elementwise and form in record.forms and (not forms or form in forms):
                for gradient in GRADIENTS if form.startswith("backward") else (None,):
                    yield Sweep(record.name, form, gradient)


# ---------------------------------------------------------------- one sweep
def run(
    sweep: Sweep,
    contestants: Sequence[Contestant],
    advance: Callable[[int], None] = lambda patterns: None,
    patterns: int = PATTERNS,
) -> list[Worst]:
    """The worst error of each contestant over all patterns, or over as many blocks of them, evenly spread."""
    calls = [_call(sweep, contestant) for contestant in contestants]
    reference = _reference(sweep)
    worst = [NOTHING] * len(calls)

    def block(k: int) -> list[Worst]:
        with np.errstate(all="ignore"):
            return _block(sweep, calls, reference, k)

    blocks = range(0, PATTERNS // BLOCK, PATTERNS // patterns)
    with ThreadPoolExecutor(threads.get_num_threads()) as pool:
        for found in pool.map(block, blocks):
            worst = [max(pair, key=lambda one: one.error) for pair in zip(worst, found, strict=True)]
            advance(BLOCK)
    return worst


def _block(sweep: Sweep, calls: Sequence[Callable], reference: Callable, k: int) -> list[Worst]:
    x = inputs(sweep, k)
    if not x.size:
        return [NOTHING] * len(calls)
    exact = reference(x.astype(np.float64))
    near = near_roots(x, sweep.record.derivative_roots)
    limit = sweep.record.ulp[BOUND_OF[sweep.form]].absolute * np.finfo(np.float32).eps
    return [_worst(call(x), exact, x, near, limit) for call in calls]


def inputs(sweep: Sweep, k: int) -> np.ndarray:
    """The k-th block of patterns; for a form of y = f(x), those that can be a y. Every NaN is a quiet one."""
    x = np.arange(k * BLOCK, (k + 1) * BLOCK, dtype=np.uint32).view(np.float32)
    if sweep.form == "backward_from_output":
        low, high = sweep.record.range
        return x[(x >= np.float32(low)) & (x <= np.float32(high))]
    return np.where(np.isnan(x), np.float32(np.nan), x)


def _worst(got: np.ndarray, exact: np.ndarray, x: np.ndarray, near: np.ndarray, limit: float) -> Worst:
    errors = ulp_errors(got, exact, np.float32)
    if limit and near.any():
        errors[near & (np.abs(got - exact) <= limit)] = 0.0
    # A result that vanishes keeps the sign of what it stands for; beside a root it may not know it.
    errors[~near & (got == 0) & (exact != 0) & (np.signbit(got) != np.signbit(exact))] = np.inf
    i = int(np.argmax(errors))
    return Worst(float(errors[i]), float(x[i]), float(got[i]), float(exact[i]))


def _call(sweep: Sweep, contestant: Contestant) -> Callable:
    function = get(sweep.activation, contestant.backend, accuracy=contestant.accuracy)
    params = parameters(sweep.record, np.float32)
    form = function if sweep.form == "value" else getattr(function, sweep.form)
    if sweep.gradient is None:
        return lambda x: form(x, *params)
    g = np.full(BLOCK, sweep.gradient, np.float32)
    return lambda x: form(g[: x.size], x, *params)


def _reference(sweep: Sweep) -> Callable:
    record, params = sweep.record, parameters(sweep.record, np.float32)
    text = numpy_vector.bind(record, sweep.form, np.float64, "fast")
    if sweep.gradient is None:
        return lambda x: text(x, *params)
    g = np.full(BLOCK, np.float32(sweep.gradient), np.float64)
    return lambda x: text(g[: x.size], x, *params)


# ---------------------------------------------------------------- rows
#: What tells a row from others of its commit.
KEYS = ("activation", "form", "gradient", "backend", "accuracy")
#: What else an outcome depends on.
ABOUT = ("cpu", "level", "commit", "versions")


def row(sweep: Sweep, contestant: Contestant, worst: Worst, facts: dict) -> dict:
    """One outcome, with what it depends on."""
    measured = {"max_ulp": worst.error, "bound": bound(sweep, contestant), "worst": asdict(worst)}
    about = {key: facts[key] for key in ABOUT}
    return {**asdict(sweep), **asdict(contestant), "dtype": "float32", **measured, **about}


def bound(sweep: Sweep, contestant: Contestant) -> float | None:
    """What the record promises; None for other libraries, which promise nothing here."""
    if find(contestant.backend)[0].peer:
        return None
    promised = bound_of(sweep.record.ulp[BOUND_OF[sweep.form]], contestant.backend, np.float32, contestant.accuracy)
    if sweep.gradient in (None, 1.0):
        return promised
    if contestant.accuracy == "accurate":
        return max(promised, ROUNDED.accurate)
    # The product's unit may be half the derivative's, and it is rounded once more.
    return 2 * promised + 0.5


def read(path: Path, facts: dict) -> list[dict]:
    """The rows of this machine, commit and versions; none where the code has no commit of its own."""
    if not path.exists() or not facts["commit"] or facts["commit"].endswith("+"):
        return []
    rows = [row for line in path.read_text().splitlines() if (row := _parsed(line))]
    return [row for row in rows if all(row[key] == facts[key] for key in ABOUT)]


def _parsed(line: str) -> dict | None:
    """A row, or None for a line that was cut off."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def append(path: Path, rows: Sequence[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cut_off = path.exists() and not path.read_text().endswith("\n")
    with path.open("a") as file:
        file.write("\n" if cut_off else "")
        file.writelines(json.dumps(found) + "\n" for found in rows)


def table(rows: Sequence[dict]) -> str:
    """The largest errors by form and contestant, the worst input beside each."""
    lines = [f"{'form':42}{'from':24}{'max ULP':>9}{'bound':>8}  worst at"]
    for found in rows:
        sweep = Sweep(*(found[key] for key in KEYS[:3]))
        limit = "" if found["bound"] is None else f"{found['bound']:.2f}"
        mark = "" if is_within(found) else "  MISS"
        source = f"{found['backend']}, {found['accuracy']}"
        at = f"x = {found['worst']['x']!r}"
        lines.append(f"{sweep.name:42}{source:24}{found['max_ulp']:9.3f}{limit:>8}  {at}{mark}")
    return "\n".join(lines)


def is_within(found: dict) -> bool:
    return found["bound"] is None or found["max_ulp"] <= found["bound"]


# ---------------------------------------------------------------- all sweeps
def check(todo: Sequence[Sweep], contestants: Sequence[Contestant], path: Path, patterns: int = PATTERNS) -> int:
    """Run what the file lacks, show everything; the exit code is 1 where a bound is missed."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    facts = machine.facts()
    found = {tuple(one[key] for key in KEYS): one for one in read(path, facts)}
    wanted = []
    columns = TextColumn("{task.description:36}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True) as progress:
        bar = progress.add_task("", total=len(todo) * patterns)
        for sweep in todo:
            keys = {one: (*asdict(sweep).values(), one.backend, one.accuracy) for one in _able(sweep, contestants)}
            wanted += keys.values()
            missing = [one for one, key in keys.items() if key not in found]
            progress.update(bar, description=sweep.name)
            if not missing:
                progress.advance(bar, patterns)
                continue
            worst = run(sweep, missing, lambda count: progress.advance(bar, count), patterns)
            rows = [row(sweep, one, w, facts) for one, w in zip(missing, worst, strict=True)]
            append(path, rows)
            found |= {keys[one]: r for one, r in zip(missing, rows, strict=True)}
    shown = [found[key] for key in wanted]
    print(table(shown))
    misses = sum(not is_within(one) for one in shown)
    print(f"\n{len(shown)} outcomes over {patterns} inputs each, {misses} misses; rows in {path}")
    return 1 if misses else 0


def _able(sweep: Sweep, contestants: Sequence[Contestant]) -> list[Contestant]:
    """Those that have the form: other libraries lack some, and have one class of accuracy."""

    def takes_part(one: Contestant) -> bool:
        backend = find(one.backend)[0]
        if not backend.peer:
            return True
        return one.accuracy == "fast" and has(backend.name, sweep.record, sweep.form, np.float32)

    return [one for one in contestants if takes_part(one)]
