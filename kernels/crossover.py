"""The crossover table: which backend, level and thread count the dispatcher uses from which size on.

The shipped table names Cython levels only. ``python -m kernels.tune`` measures this machine's own and writes it to the
user's cache directory; a table from another machine, version or format is ignored with a warning.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import sys
import warnings
from importlib import resources
from pathlib import Path
from typing import Any

FORMAT = 1
#: Overrides where the machine's own table lies; empty: no table but the shipped one.
VARIABLE = "KERNELS_CROSSOVER"
KEYS = ("activation", "form", "dtype", "accuracy")


def fingerprint() -> dict[str, Any]:
    """What a table was measured on."""
    from kernels.machine import cpu_model

    return {"cpu": cpu_model(), "cores": os.cpu_count(), "python": platform.python_version()}


def user_path() -> Path:
    """Where this machine's own table lies."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(VARIABLE) or Path(base) / "activation-kernels" / "crossover.json")


def shipped() -> dict:
    return json.loads(resources.files("kernels").joinpath("crossover.json").read_text())


@functools.cache
def table() -> tuple[str, list[dict]]:
    """(where the table comes from, its rows)."""
    path = user_path()
    if os.environ.get(VARIABLE) != "" and path.is_file():
        own = _read(path)
        if own is not None:
            return str(path), own + shipped()["rows"]
    return "shipped", shipped()["rows"]


def _read(path: Path) -> list[dict] | None:
    """The rows of a machine's own table, or None, with a word, where it does not hold here."""
    try:
        content = json.loads(path.read_text())
        problem = None
        if content["format"] != FORMAT:
            problem = f"format {content['format']}, expected {FORMAT}"
        elif content["machine"] != fingerprint():
            problem = f"measured on {content['machine']}, this is {fingerprint()}"
        rows = content["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"unreadable: {error!r}"
    if problem is None:
        return rows
    warnings.warn(
        f"the crossover table {path} is ignored ({problem}); the shipped one is used. "
        "Measure anew with `python -m kernels.tune`.",
        stacklevel=2,
    )
    return None


def segments(**wanted: str) -> list[dict]:
    """The segments of the first row that fits; "*" fits everything, and a machine's own rows come first."""
    _, rows = table()
    for row in rows:
        if all(row[key] in ("*", wanted[key]) for key in KEYS):
            return row["segments"]
    raise LookupError(f"the crossover table has no row for {wanted}")
