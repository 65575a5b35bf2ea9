"""What a form should give for some inputs, in float64 or, for float64 itself, in arbitrary precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernels.activations import BOUND_OF, Activation, lookup
from kernels.backends import get, numpy_vector
from kernels.ulp import near_roots


@dataclass(frozen=True)
class Truth:
    """What a form should give, and in which units errors count."""

    exact: np.ndarray
    #: The magnitudes whose last place is the unit.
    scale: np.ndarray
    #: More precisely, where float64 is not enough.
    precise: list | None = None

    def error(self, got: np.ndarray) -> np.ndarray:
        if self.precise is None:
            return got - self.exact
        from kernels import oracle

        differences = [oracle.mp.mpf(float(g)) - e for g, e in zip(got.ravel(), self.precise, strict=True)]
        return np.array(list(map(float, differences))).reshape(got.shape)


def truth(record: Activation, form: str, inputs: list, params: tuple, dtype: type) -> Truth:
    """By the NumPy text in float64, or for float64 by arbitrary precision; ``inputs`` are float64."""
    if dtype is not np.float64:
        exact = numpy_vector.bind(record, form, np.float64, "fast")(*inputs, *params)
        return Truth(exact, _scale(record, form, inputs, exact, dtype))
    precise = _by_oracle(record, form, inputs, params)
    exact = np.array(list(map(float, precise))).reshape(record.result_shape(form, inputs[-1].shape))
    return Truth(exact, _scale(record, form, inputs, exact, dtype), precise)


def _by_oracle(record: Activation, form: str, inputs: list, params: tuple) -> list:
    """The arbitrary-precision formulas."""
    return _oracle_rows(record, form, inputs) if not record.elementwise else _oracle_each(record, form, inputs, params)


def _oracle_each(record: Activation, form: str, inputs: list, params: tuple) -> list:
    from kernels import oracle

    formula = oracle.lookup(record, BOUND_OF[form])
    exact = [formula(float(x), *params) for x in inputs[-1]]
    return exact if len(inputs) == 1 else [float(g) * e for g, e in zip(inputs[0], exact, strict=True)]


def _oracle_rows(record: Activation, form: str, inputs: list) -> list:
    from kernels import oracle

    formula = oracle.lookup(record, "derivative_from_output" if form == "backward_from_output" else form)
    rows = zip(*(x.tolist() for x in inputs), strict=True)
    return [entry for row in rows for entry in formula(*row)]


def _scale(record: Activation, form: str, inputs: list, exact: np.ndarray, dtype: type) -> np.ndarray:
    """The magnitude whose last place is the unit: the exact result's, except where the formula has a root."""
    if record.kind == "row":
        return row_scale(record, form, inputs, exact)
    if record.gate:
        return gate_scale(record, inputs, exact, dtype)
    if not record.derivative_roots or form not in ("derivative", "backward"):
        return exact
    near = near_roots(inputs[-1], record.derivative_roots)
    return np.where(near, inputs[0] if form == "backward" else 1.0, exact)


def row_scale(record: Activation, form: str, inputs: Sequence[np.ndarray], exact: np.ndarray) -> np.ndarray:
    """The magnitude of results of rows: of a gradient, what it is the difference of; of a projection, the largest."""
    from kernels import oracle

    if form != "value":
        g, last = (np.asarray(a, np.float64) for a in inputs)
        y = last if form == "backward_from_output" else get(record.name, "numpy")(last)
        return oracle.lookup(record, "gradient_scale")(g, y)
    return (
        np.broadcast_to(exact.max(axis=-1, keepdims=True), exact.shape) if record.normaliser == "threshold" else exact
    )


def gate_scale(record: Activation, inputs: tuple, exact: np.ndarray, dtype: type) -> np.ndarray:
    """The magnitude of a pair's result; of its other factors where the gate is subnormal or has a root."""
    x = inputs[-1]
    half = x.shape[-1] // 2
    others, roots = np.abs(x[..., :half]), np.zeros(exact.shape, bool)
    if len(inputs) == 2:
        g = np.abs(inputs[0])
        others = np.concatenate([g, g * others], axis=-1)
        roots[..., half:] = near_roots(x[..., half:], lookup(record.gate).derivative_roots)
    return np.where(roots, others, np.maximum(np.abs(exact), others * float(np.finfo(dtype).tiny)))
