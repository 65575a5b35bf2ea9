"""The crossover table: backend, level and thread count of the dispatcher from which size on, and when it streams.

The shipped table names Cython levels only. ``python -m kernels.tune`` measures this machine's own and writes it to the
user's cache directory; a table from another machine, version or format is ignored with a warning.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import warnings
from dataclasses import dataclass
from typing import Any

from kernels.native.built import usable_levels

FORMAT = 2
MAX_SEGMENTS = 8
#: Overrides where the machine's own table lies; empty: no table but the shipped one.
VARIABLE = "KERNELS_CROSSOVER"
KEYS = ("activation", "form", "dtype", "accuracy")
#: Where the system does not tell the size of the last-level cache.
USUAL_CACHE = 32 << 20


def fingerprint() -> dict[str, Any]:
    """What a table was measured on."""
    from kernels.machine import cpu_model, versions

    installed = versions()
    own = {name: installed.get(name) for name in ("python", "numba", "activation-kernels")}
    return {"cpu": cpu_model(), "cores": os.cpu_count(), **own}


def user_path() -> str:
    """Where this machine's own table lies."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get(VARIABLE) or os.path.join(base, "activation-kernels", "crossover.json")


def shipped() -> dict:
    return _content(os.path.join(os.path.dirname(__file__), "crossover.json"))


def _content(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


@dataclass(frozen=True)
class Table:
    """A machine's own rows and then the shipped ones, or the shipped ones alone."""

    source: str
    rows: list[dict]
    #: Bytes read and written from which outputs go past the caches.
    stream_from: int


@functools.cache
def table() -> Table:
    """The table that holds here."""
    path = user_path()
    named = os.environ.get(VARIABLE)
    if named != "" and (named or os.path.isfile(path)):
        own = _read(path)
        if own is not None:
            return Table(path, own["rows"] + shipped()["rows"], own["stream_from"])
    return Table("shipped", shipped()["rows"], last_level_cache())


def last_level_cache() -> int:
    """Bytes of the third-level cache, or what is usual where the system does not tell."""
    from kernels.machine import caches

    return caches().get("L3", USUAL_CACHE)


def _read(path: str) -> dict | None:
    """The content of a machine's own table, or None, with a word, where it does not hold here."""
    try:
        content = _content(path)
        problem = _problem(content)
    except (OSError, ValueError) as error:
        problem = f"unreadable: {error}"
    if problem is None:
        return content
    warnings.warn(
        f"the crossover table {path} is ignored ({problem}); the shipped one is used. "
        "Measure anew with `python -m kernels.tune`.",
        stacklevel=2,
    )
    return None


def _problem(content: Any) -> str | None:
    """Why a table does not hold here, or None."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return f"its format is not {FORMAT}"
    if content.get("machine") != fingerprint():
        return f"measured on {content.get('machine')}, this is {fingerprint()}"
    rows = content.get("rows")
    if not isinstance(rows, list):
        return "it has no list of rows"
    if not _is_count(content.get("stream_from"), 2**63):
        return f"stream_from must be a whole number of bytes, given {content.get('stream_from')!r}"
    return next((problem for row in rows if (problem := _row_problem(row))), None)


def _row_problem(row: Any) -> str | None:
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in KEYS):
        return f"a row lacks one of {', '.join(KEYS)}: {row}"
    found = row.get("segments")
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_SEGMENTS:
        return f"a row needs 1 to {MAX_SEGMENTS} segments: {row}"
    if not all(_is_segment(segment) for segment in found):
        return f"a segment needs whole numbers from >= 0 and threads >= 0 and a backend that runs here: {found}"
    starts = [segment["from"] for segment in found]
    if starts[0] != 0 or starts != sorted(set(starts)):
        return f"segments must start at 0 and rise: {starts}"
    return None


def _is_segment(segment: Any) -> bool:
    if not isinstance(segment, dict):
        return False
    numbers = (segment.get("from"), segment.get("threads"))
    return all(_is_count(number, 2**31) for number in numbers) and _runs(segment.get("backend"))


def _is_count(number: Any, end: int) -> bool:
    return type(number) is int and 0 <= number < end


def _runs(backend: Any) -> bool:
    """Whether the dispatcher can take kernels from this backend here."""
    if backend == "numba":
        from kernels.backends import numba_cpu

        return numba_cpu.reason() is None
    return backend == "cython" or backend in {f"cython:{level}" for level in usable_levels()}


def segments(**wanted: str) -> list[dict]:
    """The segments of the first row that fits; "*" fits everything, and a machine's own rows come first."""
    for row in table().rows:
        if all(row[key] in ("*", wanted[key]) for key in KEYS):
            return row["segments"]
    raise LookupError(f"the crossover table has no row for {wanted}")
