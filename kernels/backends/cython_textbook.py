"""What a newcomer to Cython writes, compiled as a newcomer compiles it: a contestant of the report."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels import threads
from kernels.activations import Activation
from kernels.backends.textbook import absent  # noqa: F401  (part of what a text has)
from kernels.native import native
from kernels.native.built import missing


def reason() -> str | None:
    return None if native("textbook") else missing("textbook")


def bind(record: Activation, form: str, dtype: type, accuracy: str, variant: str | None = None) -> Callable:
    text = getattr(native("textbook"), record.name)

    def kernel(x, *params, out=None):
        out = np.empty_like(x) if out is None else out
        x, target = (x.reshape(-1), out.reshape(-1)) if record.elementwise else (x, out)
        text(x, target, threads.get_num_threads(), *params)
        return out

    return kernel
