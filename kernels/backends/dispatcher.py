"""What ``kernels.fastest`` calls: for each size the backend that the crossover table names, all through one C path.

Without the compiled part the NumPy text answers, and ``kernels.info()`` says so.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

from kernels import crossover
from kernels.activations import Activation, lookup
from kernels.backends import cython_loops, jacobians, numpy_vector
from kernels.constants import DTYPES
from kernels.native.built import was_built


def reason() -> None:
    """Always available."""


def variants() -> tuple[str, ...]:
    return ()


@functools.cache
def fallback() -> str | None:
    """Why NumPy answers instead of compiled code, or None."""
    if not was_built():
        warnings.warn(f"kernels.fastest uses NumPy: {cython_loops.reason()}", RuntimeWarning, stacklevel=4)
    return cython_loops.reason()


@functools.cache
def plan(name: str, form: str, accuracy: str) -> object:
    """The dispatcher's plan, its addresses drawn from the crossover table."""
    record = lookup(name)
    rows = {}
    for dtype in DTYPES:
        compute = cython_loops.loops_in(dtype, accuracy)
        found = crossover.segments(activation=name, form=form, dtype=dtype, accuracy=accuracy)
        rows[dtype] = [(s["from"], *addresses(record, form, compute, s["backend"]), s["threads"]) for s in found]
    return cython_loops.make_plan(record, form, accuracy, rows)


def addresses(record: Activation, form: str, compute: str, backend: str) -> tuple[int, int, int, int]:
    """Addresses of a form's two loops by "cython", "cython:LEVEL" or "numba", and of those that stream; 0 for none."""
    base, _, level = backend.partition(":")
    if base == "numba":
        from kernels.backends import numba_cpu

        return (*numba_cpu.addresses(record, form, compute), 0, 0)
    return cython_loops.loop_addresses(record, form, compute, level or None)


def bind(record: Activation, form: str, dtype: type, accuracy: str, variant: str | None = None) -> Callable:
    if fallback():
        return numpy_vector.bind(record, form, dtype, accuracy)
    if form == "jacobian":
        return jacobians.bind(record, lambda one, inside: bind(one, "value", inside, accuracy), accuracy)
    return cython_loops.planned(plan(record.name, form, accuracy), record, form, dtype)


def wrap(general, record: Activation, form: str, accuracy: str, variant: str | None):
    if fallback() or form in ("jacobian", "backward_parameters"):
        return general
    return cython_loops.fast_form(general, record, form, plan(record.name, form, accuracy))
