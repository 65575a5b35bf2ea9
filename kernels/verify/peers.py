"""Other libraries by the same measure: their worst errors beside those of kernels.fastest, held to nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kernels.activations import RECORDS, Activation, lookup
from kernels.backends import PEERS, BackendUnavailable, available, find
from kernels.verify.checks import dense_errors, oracle_errors
from kernels.verify.inputs import DTYPES
from kernels.verify.rows import check_rows

#: Forms whose error is that of one formula.
COMPARED = ("value", "derivative", "backward", "backward_from_output")
#: A worst error that is larger than a peer's by more ULP than this is told.
WORSE = 0.5


@dataclass(frozen=True)
class Compared:
    """The worst error of one form from one backend, over the same inputs for all."""

    activation: str
    form: str
    dtype: str
    backend: str
    #: Over the results that are numbers where they should be.
    ulp: float
    #: Results that are NaN or infinite where they should not be, or the reverse.
    wrong: int

    def __str__(self) -> str:
        mark = "!" if self.wrong else ""
        return f"{self.ulp:.2f}{mark}" if self.ulp < 1000 else f"{self.ulp:.0e}{mark}"


def by_name(asked: Sequence[str]) -> list[str]:
    """The peers asked for, or with "all" those installed; KeyError and BackendUnavailable say what is wrong."""
    for name in asked:
        if name != "all" and not find(name)[0].peer:
            raise KeyError(f"{name!r} is no peer; known are: all, {', '.join(PEERS)}")
        if name != "all":
            available(name)
    found = [name for name, peer in PEERS.items() if name in asked or ("all" in asked and peer.reason() is None)]
    if asked and not found:
        raise BackendUnavailable("no peer is installed: pip install 'activation-kernels[peers]'")
    return found


def comparisons(peers: Sequence[str], names: Sequence[str] = (), forms: Sequence[str] = ()) -> Iterator[Callable]:
    """Functions without arguments that give the Compared of kernels.fastest and of each peer that has the form."""
    for record, form in _compared(names, forms):
        for dtype in DTYPES:
            those = [name for name in peers if has(name, record, form, dtype)]
            for backend in ("fastest", *those) if those else ():
                yield functools.partial(worst, record, form, backend, dtype)


def lacking(peers: Sequence[str], names: Sequence[str], forms: Sequence[str]) -> list[str]:
    """Why there is nothing to compare."""
    wanted = _compared(names, forms)
    reasons = [PEERS[name].module.absent(record, form, DTYPES[0]) for record, form in wanted for name in peers]
    return list(dict.fromkeys(reasons)) or [f"compared are the forms {', '.join(COMPARED)}"]


def _compared(names: Sequence[str], forms: Sequence[str]) -> list[tuple[Activation, str]]:
    chosen = [lookup(name) for name in names] or RECORDS
    return [(r, form) for r in chosen for form in COMPARED if form in r.forms and (not forms or form in forms)]


def has(peer: str, record: Activation, form: str, dtype: type) -> bool:
    return PEERS[peer].module.absent(record, form, dtype) is None


def worst(record: Activation, form: str, backend: str, dtype: type) -> Compared:
    """By the oracle, and for float32 over many bit patterns, too; rows by the oracle."""
    if not record.elementwise:
        errors = np.array([check_rows(record, form, backend, dtype, "fast").error])
    else:
        errors = oracle_errors(record, form, backend, dtype, "fast", count=60)[1]
        if dtype is np.float32:
            errors = np.append(errors, dense_errors(record, form, backend, "fast", count=1_000_003)[1])
    finite = np.isfinite(errors)
    largest = float(errors[finite].max(initial=0.0))
    return Compared(record.name, form, np.dtype(dtype).name, backend, largest, int(np.count_nonzero(~finite)))


def table(found: Sequence[Compared]) -> str:
    """The worst errors by form and backend, and where kernels.fastest is behind a peer."""
    backends = list(dict.fromkeys(w.backend for w in found))
    width = max(map(len, backends)) + 4
    lines = ["peers, worst error in ULP; ! NaN or infinite where it should not be, or the reverse", ""]
    lines.append(f"{'':42}" + "".join(b.rjust(width) for b in backends))
    by_key: dict[tuple, dict[str, Compared]] = {}
    for one in found:
        by_key.setdefault((one.activation, one.form, one.dtype), {})[one.backend] = one
    for (activation, form, dtype), row in by_key.items():
        cells = [str(row.get(b, "-")).rjust(width) for b in backends]
        lines.append(f"{activation + '.' + form + ' ' + dtype:42}" + "".join(cells))
    lines += ["", *(behind(by_key.values()) or [f"kernels.fastest is nowhere behind a peer by more than {WORSE} ULP"])]
    return "\n".join(lines)


def behind(rows: Iterable[dict[str, Compared]]) -> list[str]:
    return [
        f"less accurate than {other.backend}: {ours.activation}.{ours.form} {ours.dtype}: {ours} against {other}"
        for row in rows
        for ours in [row["fastest"]]
        for other in row.values()
        if ours.ulp > other.ulp + WORSE
    ]
