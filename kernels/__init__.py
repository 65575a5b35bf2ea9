"""Neural-network activation functions, written five ways, proven equal, timed; the fastest importable.

>>> from kernels.fastest import relu
>>> relu([1.0, -2.0, 3.0])
array([1., 0., 3.])
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from kernels.activations import ACTIVATIONS, Activation

#: Names that load NumPy and the compiled part when first used, so that the table alone stays light.
_LAZY = {
    "BACKENDS": "kernels.backends",
    "Backend": "kernels.backends",
    "BackendUnavailable": "kernels.backends",
    "get": "kernels.backends",
    "info": "kernels.info",
    "get_num_threads": "kernels.threads",
    "set_num_threads": "kernels.threads",
}

__all__ = ["ACTIVATIONS", "Activation", *_LAZY]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'kernels' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
