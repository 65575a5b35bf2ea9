"""Every activation of the catalogue, aliases too, as its fastest kernel: ``from kernels.fastest import relu``.

NumPy's arrays, lists and numbers give NumPy's; arrays of PyTorch, JAX, pandas, xarray and Dask give their own kind
(``kernels.host_kinds``), those in GPU memory too (``kernels.device_arrays``), without a copy where the library allows.
"""

from __future__ import annotations

from typing import Any

from kernels.activations import ACTIVATIONS
from kernels.backends import get

__all__ = list(ACTIVATIONS)


def __getattr__(name: str) -> Any:
    if name not in ACTIVATIONS:
        raise AttributeError(f"module {__name__!r} has no activation {name!r}; it has: {', '.join(ACTIVATIONS)}")
    function = get(name, accuracy="fast")
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return __all__
