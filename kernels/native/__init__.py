"""Compiled code: the Cython loops, once per instruction-set level, and the fast call path."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType


@functools.cache
def native(module: str) -> ModuleType | None:
    """A compiled module, or None where it was left out of the build."""
    try:
        return importlib.import_module(f"kernels.native.{module}")
    except ImportError:
        return None
