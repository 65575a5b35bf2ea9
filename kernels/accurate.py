"""The names of ``kernels.fastest`` in the accurate class: float32 computed in float64 and rounded once."""

from __future__ import annotations

from typing import Any

from kernels.activations import ACTIVATIONS
from kernels.backends import get

__all__ = list(ACTIVATIONS)


def __getattr__(name: str) -> Any:
    if name not in ACTIVATIONS:
        raise AttributeError(f"module {__name__!r} has no activation {name!r}; it has: {', '.join(ACTIVATIONS)}")
    function = get(name, accuracy="accurate")
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return __all__
