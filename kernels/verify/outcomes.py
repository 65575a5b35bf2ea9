"""What sweeps found, as rows: flat JSON objects, one a line, with what each depends on; and as tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from kernels.activations import BOUND_OF, RECORDS, Activation, Bounds, lookup
from kernels.backends import find
from kernels.files import write_whole
from kernels.report import accuracy
from kernels.verify.findings import bound_of
from kernels.verify.sweeps import PATTERNS, Entry, Worst

Row = dict

ENTRY = tuple(field.name for field in fields(Entry))
#: What tells a row from others of its commit.
KEYS = ("check", *ENTRY, "inputs")
#: What else an outcome depends on.
ABOUT = ("cpu", "level", "commit", "versions")


def row(check: str, entry: Entry, inputs: int, worst: Worst, facts: dict) -> Row:
    """One outcome, with what it depends on."""
    measured = {"inputs": inputs, "error": worst.error, "bound": bound(check, entry), "worst": asdict(worst)}
    title = {"title": find(entry.backend)[0].title}
    return {"check": check, **asdict(entry), **title, **measured, **{key: facts[key] for key in ABOUT}}


def key(check: str, entry: Entry, inputs: int) -> tuple:
    return (check, *asdict(entry).values(), inputs)


def key_of(found: Row) -> tuple:
    return tuple(found[name] for name in KEYS)


def entry_of(found: Row) -> Entry:
    return Entry(*(found[name] for name in ENTRY))


def bound(check: str, entry: Entry) -> float | None:
    """What the record promises; None for other libraries, which promise nothing here."""
    if check == "bits":
        return 0.0
    if find(entry.backend)[0].peer:
        return None
    dtype = np.dtype(entry.dtype).type
    promised = bound_of(entry.record.ulp[entry.key], entry.backend, dtype, entry.accuracy)
    if entry.gradient in (None, 1.0):
        return promised
    if entry.accuracy == "accurate":
        return max(promised, Bounds.accurate)  # rounded twice, the second time to float32
    # The product's unit may be half the derivative's, and it is rounded once more.
    return 2 * promised + 0.5


def is_within(found: Row) -> bool:
    return found["bound"] is None or (found["error"] <= found["bound"] and not found["worst"]["wrong"])


# ---------------------------------------------------------------- on disk
def of_this_code(rows: Iterable[Row], facts: dict) -> list[Row]:
    """The rows of this machine, commit and versions; none where the code has no commit of its own."""
    if not facts["commit"] or facts["commit"].endswith("+"):
        return []
    return [found for found in rows if all(found[about] == facts[about] for about in ABOUT)]


def append(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cut_off = path.exists() and not path.read_text().endswith("\n")
    with path.open("a") as file:
        file.write("\n" if cut_off else "")
        file.writelines(json.dumps(found) + "\n" for found in rows)


# ---------------------------------------------------------------- on the screen
def table(rows: Sequence[Row]) -> str:
    """What was found by form and contestant, the worst input beside each."""
    lines = []
    for check, what in (("ulp", "max ULP"), ("bits", "other bits")):
        mine = [_line(found) for found in rows if found["check"] == check]
        lines += [f"{'form':42}{'dtype':9}{'from':28}{what:>11}{'bound':>8}  worst at", *mine] if mine else []
    return "\n".join(lines)


def _line(found: Row) -> str:
    entry, limit = entry_of(found), "" if found["bound"] is None else f"{found['bound']:.2f}"
    mark = "" if is_within(found) else "  MISS"
    digits = 3 if found["check"] == "ulp" else 0
    error = f"{found['error']:.{digits}f}" if found["error"] < 1e6 else f"{found['error']:.1e}"
    source = f"{found['backend']}, {found['accuracy']}"
    at = f"x = {found['worst']['x']!r}" if found["error"] > 0 else "-"
    if found["worst"]["wrong"]:
        at += f"; {found['worst']['wrong']} not numbers or signs, first x = {found['worst']['wrong_at']!r}"
    return f"{entry.name:42}{entry.dtype:9}{source:28}{error:>11}{limit:>8}  {at}{mark}"


# ---------------------------------------------------------------- published
def publish(path: Path, folder: Path) -> list[str]:
    """Put the rows of a run among those in ``folder``, and their page beside; lines that say what was done.

    Only rows of committed code are published: what others can't check out, they can't check. They carry the bounds that
    the records state today.
    """
    new = accuracy.read(path)
    usable = [found for found in new if found["commit"] and not found["commit"].endswith("+")]
    kept = folder / accuracy.FILE
    latest = accuracy.latest([*accuracy.read(kept), *usable])
    names = {record.name for record in RECORDS}
    rows = sorted((found for found in latest if found["activation"] in names), key=_in_order)
    rows = [{**found, "bound": bound(found["check"], entry_of(found))} for found in rows]
    write_whole(kept, "".join(json.dumps(found) + "\n" for found in rows))
    write_whole(folder / "accuracy.md", accuracy.markdown(rows))
    done = f"{len(rows)} rows, {len(usable)} of them from {path}, and their page are in {folder}"
    left_out = {
        "code that was not committed": len(new) - len(usable),
        "activations that are no longer in the table": len(latest) - len(rows),
    }
    return [done, *(f"{count} rows of {what} were left out" for what, count in left_out.items() if count), *drift(rows)]


def _in_order(found: Row) -> tuple:
    names = [record.name for record in RECORDS]
    forms = list(BOUND_OF)
    return names.index(found["activation"]), forms.index(found["form"]), found["gradient"] not in (None, 1.0)


def measured_bounds(rows: Iterable[Row]) -> dict[tuple[str, str, str, str], float]:
    """(activation, formula, dtype, class) -> the largest error of kernels.fastest, as a bound is written."""
    largest: dict[tuple, float] = {}
    for found in rows:
        sampled = found["dtype"] == "float64" or not lookup(found["activation"]).elementwise
        complete = sampled or found["inputs"] == PATTERNS
        if found["check"] == "ulp" and found["backend"] == "fastest" and found["gradient"] in (None, 1.0) and complete:
            key = (found["activation"], BOUND_OF[found["form"]], found["dtype"], found["accuracy"])
            largest[key] = max(largest.get(key, 0.0), found["error"])
    return {key: accuracy.rounded_up(error) for key, error in largest.items()}


def fits(promised: float, measured: float, record: Activation, dtype: str) -> bool:
    """Whether a bound is the measured one, or no less where other parameters may have larger errors.

    Rows are a sample, and others may have somewhat larger errors: their bound is the measured one or a little more. So
    are float64's numbers.
    """
    if not record.elementwise:
        return measured <= promised <= 1.15 * measured + 0.1
    # A drawn weight's mean is rounded, unless it is that of the example.
    others = record.drawn or any(p.divides for p in record.parameters)
    more = 0.05 * measured if dtype == "float64" else 0
    return promised >= measured if others else measured <= promised <= measured + more


def drift(rows: Iterable[Row]) -> list[str]:
    """Every bound of the records that does not fit the measured one."""
    lines = []
    for (name, formula, dtype, accuracy_class), measured in measured_bounds(rows).items():
        promised = bound_of(lookup(name).ulp[formula], "fastest", np.dtype(dtype).type, accuracy_class)
        if not fits(promised, measured, lookup(name), dtype):
            what = f"{name} {formula} {dtype} {accuracy_class}"
            lines.append(f"{what}: the record says {promised:g}, measured {measured:g}")
    return lines
