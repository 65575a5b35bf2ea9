"""What asv and pytest-benchmark time: the cross product of the tables, and the prepared call of each case.

The default set takes minutes; KERNELS_ASV_FULL=1 adds the other activations and forms, the other dtypes, the
accurate class and all backends.
"""

from __future__ import annotations

import functools
import itertools
import os
import time
import timeit
from collections.abc import Callable
from importlib import util
from typing import Any, NamedTuple

import numpy as np

from kernels import constants
from kernels.activations import FORMS, MEASURED, RECORDS, Activation, lookup
from kernels.backends import ACCURACIES, OWN, contestant, get
from kernels.half import named
from kernels.measure import row_shape

FULL = os.environ.get("KERNELS_ASV_FULL", "0") not in ("", "0")

ACTIVATIONS = RECORDS if FULL else MEASURED
SIZES = (1, 1_000, 100_000, 10_000_000)
DTYPES = constants.DTYPES if FULL else ("float32",)
CLASSES = ACCURACIES if FULL else ACCURACIES[:1]
CONTESTANTS = tuple(OWN) if FULL else ("python", "numpy", "cython", "numba", "fastest")
#: Pure Python beyond this size would take most of the time and show nothing new.
PYTHON_UP_TO = 1_000
JACOBIAN_UP_TO = 100_000
#: Seconds of calls before any is timed: compilation, page faults, threads that find their cores, the clock.
WARM_UP = 0.1
#: Forms without ``out``.
FRESH = ("backward_parameters", "jacobian")


class Case(NamedTuple):
    """One thing to time, by name."""

    activation: str
    form: str
    dtype: str
    n: int
    backend: str
    accuracy: str = "fast"

    @property
    def record(self) -> Activation:
        return lookup(self.activation)

    @property
    def group(self) -> str:
        """What is compared with one another: everything but the backend."""
        return self._replace(backend="").id

    @property
    def id(self) -> str:
        """relu-float32-1000-numba, relu-derivative-float32-1000-numba-accurate."""
        form = "" if self.form == "value" else self.form
        accuracy = "" if self.accuracy == "fast" else self.accuracy
        return "-".join(filter(None, (self.activation, form, self.dtype, str(self.n), self.backend, accuracy)))

    @property
    def bytes(self) -> int:
        """Bytes read once plus bytes written once."""
        return self.n * self.record.bytes_per_element(self.form, named(self.dtype).itemsize)


class Prepared(NamedTuple):
    """A warm kernel and its arguments."""

    call: Callable
    arguments: tuple
    keywords: dict[str, Any]


# ---------------------------------------------------------------- which cases there are
def forms(record: Activation) -> tuple[str, ...]:
    """Value and derivative (of a row function: its gradient), in the full set every form."""
    if FULL:
        return record.forms
    return ("value", next(form for form in ("derivative", "backward_from_output", "backward") if form in record.forms))


def left_out(case: Case) -> str | None:
    """Why a combination is not timed, or None."""
    if case.backend == "python" and case.n > PYTHON_UP_TO:
        return f"pure Python is timed up to {PYTHON_UP_TO} elements"
    if case.form == "jacobian" and case.n > JACOBIAN_UP_TO:
        return f"the jacobian is timed up to {JACOBIAN_UP_TO} elements"
    if case.accuracy == "accurate" and (case.dtype != "float32" or case.backend == "python"):
        return "the accurate class differs from the fast one in compiled and NumPy float32 only"
    if case.dtype == "bfloat16" and util.find_spec("ml_dtypes") is None:
        return "bfloat16 needs ml_dtypes: pip install ml_dtypes"
    return None


def cases() -> list[Case]:
    """All cases, those that are compared next to one another."""
    return [case for record in ACTIVATIONS for case in cases_of(record) if left_out(case) is None]


def cases_of(record: Activation) -> list[Case]:
    """Every combination for one activation, left out or not."""
    axes = itertools.product(sorted(forms(record), key=FORMS.index), DTYPES, CLASSES, SIZES, CONTESTANTS)
    return [Case(record.name, form, dtype, n, backend, accuracy) for form, dtype, accuracy, n, backend in axes]


# ---------------------------------------------------------------- preparing a case
@functools.lru_cache(maxsize=1)
def prepare(case: Case) -> Prepared:
    """Compile, allocate and warm up a case; the last one is kept."""
    call = function(case)
    inputs = data(case)
    keywords = {}
    if case.backend == "python":
        inputs = [array.tolist() for array in inputs]
    elif case.form not in FRESH:
        shape = case.record.result_shape(case.form, inputs[-1].shape)
        outs = [np.empty(shape, inputs[0].dtype) for _ in range(1 + (case.form == "value_and_derivative"))]
        keywords["out"] = outs[0] if len(outs) == 1 else tuple(outs)
    prepared = Prepared(call, (*inputs, *case.record.example_parameters), keywords)
    start = time.perf_counter()
    while time.perf_counter() < start + WARM_UP:
        call(*prepared.arguments, **keywords)
    return prepared


def function(case: Case) -> Callable:
    if case.form == "backward_parameters":  # no kernel of its own: the sum over a kernel is the public function's
        return get(case.activation, case.backend, accuracy=case.accuracy).backward_parameters
    return contestant(case.record, case.form, named(case.dtype).type, case.backend, case.accuracy)


def data(case: Case) -> list[np.ndarray]:
    """x, or what goes with it: (g, x), (g, y)."""
    x = normal(case, 0)
    if not case.form.startswith("backward"):
        return [x]
    if case.form == "backward_from_output":
        x = contestant(case.record, "value", x.dtype.type, "numpy")(x, *case.record.example_parameters)
    g = normal(case, 1)
    return [g[..., : case.record.result_shape("value", g.shape)[-1]].copy(), x]


def normal(case: Case, seed: int) -> np.ndarray:
    generated = "float64" if case.dtype == "float64" else "float32"
    numbers = np.random.default_rng(seed).standard_normal(row_shape(case.record, case.n), dtype=generated)
    return numbers.astype(named(case.dtype), copy=False)


# ---------------------------------------------------------------- timing a case
def seconds_per_call(prepared: Prepared, at_least: float = 0.01) -> float:
    """Seconds of one call, from a batch of ``at_least`` seconds."""
    names = [f"a{i}" for i in range(len(prepared.arguments))]
    text = ", ".join([*names, *(f"{key}={key}" for key in prepared.keywords)])
    scope = {"call": prepared.call, **dict(zip(names, prepared.arguments, strict=True)), **prepared.keywords}
    timer = timeit.Timer(f"call({text})", globals=scope)
    number, seconds = 1, timer.timeit(1)
    while seconds < at_least:
        number = max(2 * number, int(1.2 * number * at_least / max(seconds, 1e-9)))
        seconds = timer.timeit(number)
    return seconds / number
