"""The outcome of a check: what was found, what the record allows, and how a run of them is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernels.activations import Activation, Bounds
from kernels.backends import find


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of one form from one backend."""

    check: str
    activation: str
    form: str
    backend: str
    dtype: str
    accuracy: str
    #: ULP, or the number of elements that differ.
    error: float
    bound: float
    worst: str

    @property
    def ok(self) -> bool:
        return self.error <= self.bound

    def __str__(self) -> str:
        verdict = "ok" if self.ok else "MISS"
        return (
            f"{verdict} {self.check}: {self.activation}.{self.form} {self.dtype} {self.accuracy} from {self.backend}: "
            f"{self.error:.3g} of at most {self.bound:g}, worst at {self.worst}"
        )


def bound_of(bounds: Bounds, backend: str, dtype: type, accuracy: str) -> float:
    """What a record promises of this backend."""
    base = find(backend)[0]
    single = dtype is np.float32
    if accuracy == "accurate" and single:
        return bounds.accurate if base.compiled else max(bounds.accurate, 0.51)
    if base.name == "python":
        # Computed in float64 and rounded once more for float32.
        return 0.51 if single else bounds.python64
    if base.name == "numpy":
        return bounds.numpy32 if single else bounds.numpy64
    return bounds.float32 if single else bounds.float64


def bits_differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays differ to the bit; any NaN equals any NaN, +0 and -0 differ."""
    unsigned = f"u{a.dtype.itemsize}"
    return (a.view(unsigned) != b.view(unsigned)) & ~(np.isnan(a) & np.isnan(b))


def first_difference(a: np.ndarray, b: np.ndarray, x: np.ndarray) -> str:
    differ = np.flatnonzero(bits_differ(a.reshape(-1), b.reshape(-1)))
    if not differ.size:
        return "-"
    i = differ[0]
    at = f"x={x.reshape(-1)[i]!r}" if x.size == a.size else f"element {i}"
    return f"{at}: {a.reshape(-1)[i]!r} against {b.reshape(-1)[i]!r}"


def finding(
    check: str, record: Activation, form: str, backend: str, dtype: type, accuracy: str, errors: np.ndarray,
    bound: float, x: np.ndarray,
) -> Finding:  # fmt: skip
    worst = int(np.argmax(errors)) if errors.size else 0
    at = repr(x.reshape(-1)[worst]) if x.size else "-"
    error = float(errors[worst]) if errors.size else 0.0
    return Finding(check, record.name, form, backend, np.dtype(dtype).name, accuracy, error, bound, at)


def matrix(findings: Sequence[Finding]) -> str:
    """Activation and form by backend: the worst error in ULP of the fast float32 class, or the misses."""
    backends = list(dict.fromkeys(f.backend for f in findings))
    lines = ["worst error in ULP (float32, fast class); = same bits as the reference; ! a miss", ""]
    width = max(len(b) for b in backends) + 2
    lines.append(f"{'':34}" + "".join(b.rjust(width) for b in backends))
    keys = dict.fromkeys((f.activation, f.form) for f in findings)
    for activation, form in keys:
        cells = [
            _cell([f for f in findings if (f.activation, f.form, f.backend) == (activation, form, b)]) for b in backends
        ]
        lines.append(f"{activation + '.' + form:34}" + "".join(c.rjust(width) for c in cells))
    return "\n".join(lines)


def _cell(findings: list[Finding]) -> str:
    if not findings:
        return "-"
    misses = sum(not f.ok for f in findings)
    if misses:
        return f"{misses}!"
    errors = [
        f.error for f in findings
        if f.check in ("oracle", "dense") and f.dtype == "float32" and f.accuracy == "fast"
    ]  # fmt: skip
    same = "=" if any(f.check == "bits" for f in findings) else ""
    return f"{max(errors):.2f}{same}" if errors else same or "ok"
