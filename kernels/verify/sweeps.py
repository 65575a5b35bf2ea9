"""Sweeps: one formula over many inputs, every form that it decides and every contestant held to one reference.

A sweep goes in blocks, dealt to threads, through all 2^32 float32 inputs, or through a stratified sample of float64
(``strata``). What it finds is the worst error of each entry, and where. ``Sweep``, ``strata.Sample``,
``row_samples.RowSample`` and ``bits.Equality`` have one shape: ``entries``, ``name``, ``check``, ``blocks``, ``count``,
``prepare`` and ``join``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from kernels import threads
from kernels.activations import BOUND_OF, RECORDS, Activation, lookup
from kernels.backends import PEERS, Origin, find
from kernels.ulp import near_roots, ulp_errors
from kernels.verify import references
from kernels.verify.inputs import parameters, possible_outputs, quiet

#: Patterns of a block: the arrays of a block stay in the second-level cache.
BLOCK = 1 << 16
PATTERNS = 1 << 32
#: Forms of one formula each; what is made of two, a gated pair too, is held to those by the other checks.
FORMS_OF = {
    "elementwise": ("value", "derivative", "backward", "backward_from_output"),
    "row": ("value", "backward_from_output"),
    "gated": (),
}
#: backward is taken with both: 1 shows the derivative, the other one the rounding of the product.
GRADIENTS = (1.0, -0.7310585975646973)


@dataclass(frozen=True)
class Entry:
    """What is measured: one form of one activation from one backend, with one gradient."""

    activation: str
    form: str
    #: None where the form takes none.
    gradient: float | None
    dtype: str
    backend: str
    accuracy: str

    @property
    def record(self) -> Activation:
        return lookup(self.activation)

    @property
    def key(self) -> str:
        """The formula that decides the error."""
        return BOUND_OF[self.form]

    @property
    def name(self) -> str:
        gradient = "" if self.gradient is None else f", g = {self.gradient:.3g}"
        return f"{self.activation}.{self.form}{gradient}"

    @property
    def function(self) -> Callable[..., np.ndarray]:
        """The form, as a caller has it."""
        return Origin(self.activation, self.backend, self.accuracy).form(self.form)

    def call(self, size: int) -> Callable[[np.ndarray], np.ndarray]:
        """The form as a function of up to ``size`` inputs alone."""
        dtype = np.dtype(self.dtype).type
        params, form = parameters(self.record, dtype), self.function
        if self.gradient is None:
            return lambda x: form(x, *params)
        g = np.full(size, self.gradient, dtype)
        return lambda x: form(g[: x.size], x, *params)


@dataclass(frozen=True)
class Worst:
    """The largest error seen, and where."""

    #: Over the results that are numbers where they should be.
    error: float
    x: float
    got: float
    reference: float
    #: Results that are NaN or infinite where they should not be, or the reverse, or zeros of the wrong sign.
    wrong: int = 0
    wrong_at: float | None = None


NOTHING = Worst(-1.0, float("nan"), float("nan"), float("nan"))


def entries(
    names: Sequence[str], forms: Sequence[str], dtype: str, contestants: Sequence[tuple[str, str]]
) -> Iterator[Entry]:
    """Every form of one formula of these activations (or all), from each (backend, accuracy) that has it."""
    for record in [lookup(name) for name in names] or RECORDS:
        for form in FORMS_OF[record.kind]:
            if form in record.forms and (not forms or form in forms):
                for backend, accuracy in contestants:
                    for gradient in gradients(record, form, backend):
                        if takes_part(record, form, dtype, backend, accuracy):
                            yield Entry(record.name, form, gradient, dtype, backend, accuracy)


def gradients(record: Activation, form: str, backend: str) -> tuple[float | None, ...]:
    if not form.startswith("backward") or not record.elementwise:
        return (None,)
    return GRADIENTS[:1] if backend in PEERS else GRADIENTS


def takes_part(record: Activation, form: str, dtype: str, backend: str, accuracy: str) -> bool:
    """Other libraries lack some forms; what has one class of accuracy is measured as "fast"."""
    if accuracy != "fast" and (dtype == "float64" or not find(backend)[0].compiled):
        return False
    return backend not in PEERS or PEERS[backend].module.absent(record, form, np.dtype(dtype).type) is None


@dataclass(frozen=True)
class Sweep:
    """Entries of one formula over all float32 inputs, or over every ``step``-th of them."""

    entries: tuple[Entry, ...]
    step: int = 1

    @property
    def name(self) -> str:
        first = self.entries[0]
        peer = ", other libraries" if first.backend in PEERS else ""
        return f"{first.activation} {first.key.replace('_', ' ')}, {first.dtype}{peer}"

    #: What rows call the measure.
    check = "ulp"
    #: What is said beforehand.
    note = ""

    @property
    def blocks(self) -> range:
        return range(PATTERNS // (BLOCK * self.step))

    @property
    def count(self) -> int:
        return len(self.blocks) * BLOCK

    def prepare(self) -> Callable[[int], list[Worst]]:
        """The worst errors of the entries in the k-th block."""
        first = self.entries[0]
        calls = [one.call(BLOCK) for one in self.entries]
        reference = references.text(first.record, first.key, np.float32)

        def block(k: int) -> list[Worst]:
            x = self.inputs(k)
            if not x.size:
                return [NOTHING] * len(calls)
            near = near_roots(x, first.record.derivative_roots)
            with np.errstate(all="ignore"):
                exact = reference(x.astype(np.float64))
                return hold(self.entries, [call(x) for call in calls], x, exact, near)

        return block

    @staticmethod
    def join(one: Worst, other: Worst) -> Worst:
        at = other.wrong_at if one.wrong_at is None else one.wrong_at
        return replace(max(one, other, key=lambda worst: worst.error), wrong=one.wrong + other.wrong, wrong_at=at)

    def inputs(self, k: int) -> np.ndarray:
        """The k-th block of patterns; for a formula of y = f(x), those that can be a y. Every NaN is a quiet one."""
        first = self.entries[0]
        size = BLOCK * self.step
        x = np.arange(k * size, (k + 1) * size, self.step, dtype=np.uint32).view(np.float32)
        return possible_outputs(first.record, x) if first.key == "derivative_from_output" else quiet(x)


# ---------------------------------------------------------------- errors
def hold(
    entries: Sequence[Entry], results: Sequence[np.ndarray], x: np.ndarray, exact: np.ndarray, near: np.ndarray
) -> list[Worst]:
    """The worst error of each; backward of 1 has the derivative's results, which are judged once."""
    judged: dict[bool, list[tuple[np.ndarray, Worst]]] = {True: [], False: []}
    worst = []
    for one, got in zip(entries, results, strict=True):
        seen = judged[one.gradient in (None, 1.0)]
        found = next((w for other, w in seen if np.array_equal(other.view(np.uint32), got.view(np.uint32))), None)
        if found is None:
            product = times_gradient(exact, one)
            found = worst_of(errors_of(one, got, product, near), x, got, product)
            seen.append((got, found))
        worst.append(found)
    return worst


def times_gradient(exact: np.ndarray, entry: Entry) -> np.ndarray:
    """The exact results of a form from those of its formula."""
    if entry.gradient in (None, 1.0):
        return exact
    dtype = np.dtype(entry.dtype).type
    if entry.accuracy == "fast":
        rounded = exact.astype(dtype)
        exact = np.where(np.isinf(rounded), rounded, exact)  # a factor beyond the format stays so
    return exact * exact.dtype.type(dtype(entry.gradient))


def errors_of(entry: Entry, got: np.ndarray, exact: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Errors in ULP; ``near`` is where a root of the derivative is, beside which an absolute error counts."""
    dtype = np.dtype(entry.dtype).type
    errors = ulp_errors(got, exact, dtype)
    limit = entry.record.ulp[entry.key].absolute * float(np.finfo(dtype).eps)
    if limit and near.any():
        errors[near & (np.abs(got - exact) <= limit)] = 0.0
    # A result that vanishes keeps the sign of what it stands for; beside a root it may not know it.
    zero = np.flatnonzero(got == 0)
    turned = (exact[zero] != 0) & (np.signbit(got[zero]) != np.signbit(exact[zero])) & ~near[zero]
    errors[zero[turned]] = np.inf
    return errors


def worst_of(errors: np.ndarray, x: np.ndarray, got: np.ndarray, exact: np.ndarray) -> Worst:
    """``errors`` are infinite where a result is wrong by more than ULP can tell."""
    wrong = np.flatnonzero(np.isinf(errors))
    errors[wrong] = -1.0
    i = int(np.argmax(errors))
    worst = Worst(float(errors[i]), float(x[i]), float(got[i]), float(exact[i]))
    return replace(worst, wrong=int(wrong.size), wrong_at=float(x[wrong[0]])) if wrong.size else worst


# ---------------------------------------------------------------- running
def run(sweep: Sweep, advance: Callable[[], None] = lambda: None) -> list[Worst]:
    """What is found for each entry; ``advance`` is told after each block."""
    worst = [NOTHING] * len(sweep.entries)
    with dealing(sweep.entries) as count, ThreadPoolExecutor(count) as pool:
        for found in pool.map(sweep.prepare(), sweep.blocks):
            worst = list(map(sweep.join, worst, found))
            advance()
    return worst


@contextlib.contextmanager
def dealing(entries: Sequence[Entry]) -> Iterator[int]:
    """How many threads there are to deal blocks to, while each call uses one.

    Other libraries get one block at a time: some crash when called from several threads.
    """
    count = threads.get_num_threads()
    threads.set_num_threads(1)
    try:
        yield 1 if any(one.backend in PEERS for one in entries) else count
    finally:
        threads.set_num_threads(count)
