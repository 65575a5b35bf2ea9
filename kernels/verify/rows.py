"""Row functions and gated pairs against the arbitrary-precision ones, at row lengths around the lanes and long ones."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kernels.activations import Activation, lookup
from kernels.backends import find, get
from kernels.truth import gate_scale, row_scale
from kernels.ulp import ulp_of
from kernels.verify.findings import Finding, bound_of
from kernels.verify.inputs import evaluate, reference_backend

LENGTHS = (1, 2, 31, 32, 33, 67, 300)


class Row(NamedTuple):
    """One row, its exact results, and the units in which their errors count; None: each result's own."""

    x: np.ndarray
    g: np.ndarray
    exact: Sequence
    unit: np.ndarray | None

    def error(self, got: np.ndarray) -> float:
        """The largest error of the results."""
        from kernels import oracle

        if self.unit is None:
            return max(oracle.ulp_error(a, b, got.dtype.type) for a, b in zip(got, self.exact, strict=True))
        triples = zip(map(float, got), self.exact, self.unit, strict=True)
        return float(max(abs(a - b) / unit for a, b, unit in triples))


def check_rows(record: Activation, form: str, backend: str, dtype: type, accuracy: str) -> Finding:
    """One form over all lengths and spreads."""
    worst_error, worst = 0.0, "-"
    for n in LENGTHS:
        for spread in spreads(record, backend):
            row = exact_row(record.name, form, dtype, n, spread)
            error = row.error(evaluate(record, form, backend, accuracy, row.x[None], row.g[None])[0])
            if error > worst_error:
                worst_error, worst = error, f"a row of {n}, spread {spread}"
    bounds = record.ulp[form if record.gate else "value" if form == "value" else "derivative_from_output"]
    bound = bound_of(bounds, backend, dtype, accuracy)
    if form == "backward" and not record.gate:
        # The rounding of y itself comes first, then that of the gradient.
        bound = bound + bound_of(record.ulp["value"], backend, dtype, accuracy)
    return Finding("oracle", record.name, form, backend, np.dtype(dtype).name, accuracy, worst_error, bound, worst)


def spreads(record: Activation, backend: str) -> tuple[float, ...]:
    """Standard deviations of a row: a projection keeps more of narrow rows."""
    if record.normaliser == "threshold":
        return 0.05, 1.0
    return (1.0, 10.0) if find(backend)[0].compiled else (1.0,)


@functools.cache
def exact_row(name: str, form: str, dtype: type, n: int, spread: float) -> Row:
    """A random row of n results; for backward_from_output, of outputs."""
    record, rng = lookup(name), np.random.default_rng([2, n])
    x = (rng.standard_normal((1, 2 * n if record.gate else n)) * spread).astype(dtype)
    if form == "backward_from_output":
        x = get(record.name, reference_backend())(x)
    g = rng.standard_normal(n).astype(dtype)
    return Row(x[0], g, *exact_results(record, form, x[0], g))


def exact_results(record: Activation, form: str, x: np.ndarray, g: np.ndarray) -> tuple[Sequence, np.ndarray | None]:
    """(results, units): a gradient's unit is that of what it is the difference of, since it may cancel."""
    from kernels import oracle

    dtype = x.dtype.type
    xs, gs = list(map(float, x)), list(map(float, g))
    if record.gate:
        inputs = (g, x) if form == "backward" else (x,)
        exact = oracle.lookup(record, form)(*(list(map(float, one)) for one in inputs))
        scale = gate_scale(record, tuple(one[None] for one in inputs), np.array([exact], float), dtype)[0]
        return exact, ulp_of(scale, dtype)
    if form == "value":
        exact = oracle.lookup(record, "value")(xs)
        if record.normaliser != "threshold":
            return exact, None
        return exact, ulp_of(row_scale(record, form, (x,), np.array(exact, float)), dtype)
    name = "derivative_from_output" if form == "backward_from_output" else "backward"
    exact = oracle.lookup(record, name)(gs, xs)
    return exact, ulp_of(row_scale(record, form, (g, x), np.array(exact, float)), dtype)
