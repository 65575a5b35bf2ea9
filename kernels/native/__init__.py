"""Compiled code: the Cython loops, once per instruction-set level, and the fast call path."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType

#: module -> why it could not be imported
import_errors: dict[str, str] = {}


@functools.cache
def native(module: str) -> ModuleType | None:
    """A compiled module, or None where it was left out of the build or does not load here."""
    try:
        return importlib.import_module(f"kernels.native.{module}")
    except (ImportError, ValueError, RuntimeError) as error:  # the latter two: built for another NumPy
        import_errors[module] = str(error)
        return None
