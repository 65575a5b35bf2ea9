"""The special values of the records in every form: in vector body and scalar tail, strided, without a warning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kernels.activations import BOUND_OF, Activation, Special
from kernels.backends import find
from kernels.ulp import ulp_errors
from kernels.verify.findings import Finding, bound_of
from kernels.verify.inputs import evaluate, parameters

#: Around the lengths of vectors and of their tails.
LENGTHS = range(1, 68)
#: Powers of two, so that a product with them is exact.
GRADIENTS = (1.0, -2.0, 0.5)
STEPS = (2, -1, -3)


@dataclass(frozen=True)
class Table:
    """Special inputs of a form, with the value and the slope at each."""

    x: np.ndarray
    value: np.ndarray
    slope: np.ndarray

    @classmethod
    def of(cls, record: Activation, form: str, dtype: type) -> Table:
        from kernels import oracle

        special = (*record.special, Special(np.nan, np.nan, np.nan))
        x = np.array([s.value if form == "backward_from_output" else s.x for s in special], dtype)
        value, slope = np.array([(s.value, s.derivative) for s in special]).T
        if form in ("backward_from_output", "backward_parameters"):
            formula, params = oracle.lookup(record, BOUND_OF[form]), parameters(record, dtype)
            slope = np.array([float(formula(float(one), *params)) for one in x])
        return cls(x, value, slope)

    def expected(self, form: str, which: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, ...]:
        value, slope = self.value[which], self.slope[which]
        if form == "backward_parameters":
            return (np.sum(g * slope, keepdims=True),)
        products = {"value": (value,), "derivative": (slope,), "value_and_derivative": (value, slope)}
        return products.get(form) or (g * slope,)


def check_special(record: Activation, form: str, backend: str, dtype: type, accuracy: str) -> Finding:
    """What comes out is the correctly rounded expectation; of a given y, within the formula's bound."""
    table = Table.of(record, form, dtype)
    compiled = find(backend)[0].compiled and form != "backward_parameters"
    y_bound = bound_of(record.ulp[BOUND_OF[form]], backend, dtype, accuracy) if form == "backward_from_output" else 0.0
    misses, worst = 0, "-"
    for x, g, which in cases(table, form):
        with np.errstate(all="raise"):
            got = evaluate(record, form, backend, accuracy, x, g)
        for one, exact in zip(got if isinstance(got, tuple) else (got,), table.expected(form, which, g), strict=True):
            wrong = ~agrees(np.atleast_1d(one), exact, y_bound, compiled)
            if wrong.any():
                misses, i = misses + int(wrong.sum()), int(np.argmax(wrong))
                worst = f"x={x[i]!r}, {i} of {x.size}: {np.atleast_1d(one)[i]!r}, expected {exact[i]!r}"
    return Finding("special", record.name, form, backend, np.dtype(dtype).name, accuracy, misses, 0, worst)


def cases(table: Table, form: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(x, g, places in the table): all values in turns, each alone, and all strided.

    A sum over parameters has one value, lest an infinity meet another one.
    """
    alone = [np.full(LENGTHS[-1], k) for k in range(table.x.size)]
    turns = [np.arange(n) % table.x.size for n in LENGTHS] if form != "backward_parameters" else []
    for which in alone + turns:
        g = np.resize(np.array(GRADIENTS, table.x.dtype), which.size)
        yield table.x[which], np.abs(g) if form == "backward_parameters" else g, which
    for step in STEPS:
        for which in turns[-1:] or alone:
            apart = np.full((2, which.size * abs(step)), 0.75, table.x.dtype)[:, ::step]
            apart[0], apart[1] = table.x[which], 1
            yield *apart, which


def agrees(got: np.ndarray, exact: np.ndarray, bound: float, signed: bool) -> np.ndarray:
    """Where a result is the rounded expectation, or within the bound; ``signed``: the sign of a zero counts."""
    with np.errstate(over="ignore"):
        rounded = exact.astype(got.dtype)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    if bound:
        same |= ulp_errors(got, exact, got.dtype.type) <= bound
    return same & ((exact != 0) | (np.signbit(got) == np.signbit(exact))) if signed else same
