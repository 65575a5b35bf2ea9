"""What was built, and what of it runs on this processor."""

from __future__ import annotations

import functools
import json
import os

from kernels.native import import_errors, native
from kernels.native.levels import levels_here

#: Caps the instruction-set level, for example KERNELS_MAX_LEVEL=x86-64-v3.
CAP = "KERNELS_MAX_LEVEL"
_BUILD = "build the compiled part with `pip install -e .` (needs a C compiler and the Python headers)"
_REPORT = os.path.join(os.path.dirname(__file__), "build_report.json")


def was_built() -> bool:
    """Whether a build ran at all: a checkout can be imported without one."""
    return os.path.isfile(_REPORT)


@functools.cache
def build_report() -> dict:
    """What the build left out, and why: {"left_out": {module: reason}}."""
    if not was_built():
        return {"left_out": {"kernels": f"this checkout was never built: {_BUILD}"}}
    with open(_REPORT, encoding="utf-8") as file:
        return json.load(file)


def missing(module: str) -> str:
    """Why a compiled module is not there, and what to do."""
    if not was_built():
        return build_report()["left_out"]["kernels"]
    found = build_report()["left_out"].get(f"kernels.native.{module}")
    if found:
        return f"{module} was left out of the build: {found}; then install again"
    return f"{module} can't be imported ({import_errors.get(module)}); {_BUILD}"


@functools.cache
def level_states() -> dict[str, str | None]:
    """Level -> None where it is built, runs here and is within the cap, else why not; best level last."""
    cpu = native("cpu")
    states: dict[str, str | None] = {}
    names = [level.name for level in levels_here()]
    cap = os.environ.get(CAP)
    if cap and cap not in names:
        raise ValueError(f"{CAP}={cap!r} is not a level of this machine; accepted are: {', '.join(names)}")
    for level in levels_here():
        if cpu is None:
            states[level.name] = missing("cpu")
        elif level.name not in cpu.runnable_levels():
            states[level.name] = "this processor does not run it"
        elif cap and names.index(level.name) > names.index(cap):
            states[level.name] = f"above the cap {CAP}={cap}"
        else:
            states[level.name] = None if native(level.module) else missing(level.module)
    return states


def usable_levels() -> tuple[str, ...]:
    """The levels that are built and run here, best first."""
    return tuple(name for name, why in reversed(level_states().items()) if why is None)
