"""What sweeps found, as rows: flat JSON objects, one a line, with what each depends on; and as tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from kernels.activations import ROUNDED
from kernels.backends import find
from kernels.verify.findings import bound_of
from kernels.verify.sweeps import Entry, Worst

Row = dict

ENTRY = tuple(field.name for field in fields(Entry))
#: What tells a row from others of its commit.
KEYS = ("check", *ENTRY, "inputs")
#: What else an outcome depends on.
ABOUT = ("cpu", "level", "commit", "versions")
#: Digits after the point to which a bound is rounded up.
DIGITS = 2


def row(check: str, entry: Entry, inputs: int, worst: Worst, facts: dict) -> Row:
    """One outcome, with what it depends on."""
    measured = {"inputs": inputs, "error": worst.error, "bound": bound(check, entry), "worst": asdict(worst)}
    return {"check": check, **asdict(entry), **measured, **{key: facts[key] for key in ABOUT}}


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
        return max(promised, ROUNDED.accurate)
    # The product's unit may be half the derivative's, and it is rounded once more.
    return 2 * promised + 0.5


def rounded_up(error: float) -> float:
    """As a bound is written."""
    return math.ceil(round(error * 10**DIGITS, 6)) / 10**DIGITS


def is_within(found: Row) -> bool:
    return found["bound"] is None or found["error"] <= found["bound"]


# ---------------------------------------------------------------- on disk
def read(path: Path) -> list[Row]:
    """All rows, the latest of those that say the same; a line that was cut off is none."""
    if not path.exists():
        return []
    rows = [found for line in path.read_text().splitlines() if (found := _parsed(line))]
    return list({(*key_of(found), *(str(found[about]) for about in ABOUT)): found for found in rows}.values())


def _parsed(line: str) -> Row | None:
    try:
        return json.loads(line)
    except ValueError:
        return None


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
    return f"{entry.name:42}{entry.dtype:9}{source:28}{error:>11}{limit:>8}  {at}{mark}"
