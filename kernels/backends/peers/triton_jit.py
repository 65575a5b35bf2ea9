"""Triton on a GPU: kernels written by hand, as its users write them, launched on PyTorch's tensors.

They stand in ``triton_kernels``. With TRITON_INTERPRET=1 Triton's interpreter runs them on the host: slow, and there to
see what they compute.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from kernels.activations import Activation
from kernels.backends import peers
from kernels.backends.peers import pytorch

#: What is written: form -> functions.
FUNCTIONS = {
    "value": (
        *("relu", "leaky_relu", "elu", "sigmoid", "tanh", "swish", "softplus"),
        *("gelu", "gelu_tanh", "mish", "exponential", "softmax", "log_softmax"),
    ),
    "backward": (
        *("relu", "leaky_relu", "elu", "sigmoid", "tanh", "swish", "softplus"),
        *("gelu", "gelu_tanh", "mish", "exponential"),
    ),
    "backward_from_output": ("sigmoid", "tanh", "exponential", "softmax", "log_softmax"),
}
DTYPES = ("float16", "bfloat16", "float32")
#: Elements of a program; of a row of its own the most.
BLOCK, LONGEST_ROW = 1024, 65_536
#: (from this block on, warps of a program of a row)
WARPS = ((32_768, 32), (8192, 16), (2048, 8), (0, 4))

variants = peers.variants
bind = functools.partial(peers.bind, __name__)
fixed_threads = peers.adjustable
running = pytorch.running


def reason() -> str | None:
    titles = {"triton": "Triton", "torch": "PyTorch, whose tensors Triton takes,"}
    for module, title in titles.items():
        absent_ = peers.missing(title, module, "torch triton", "peers-cuda")
        if absent_ is not None:
            return absent_
    if is_interpreted() or _has_gpu():
        return None
    return "Triton finds no GPU here: it takes an NVIDIA GPU, its driver, and a PyTorch that is built for CUDA"


def is_interpreted() -> bool:
    """Whether Triton's interpreter stands in for a GPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache
def _has_gpu() -> bool:
    try:
        # PyTorch, which takes seconds, need not be imported where there is no driver.
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    import torch

    return torch.cuda.is_available()


def absent(record: Activation, form: str, dtype: type | None = None) -> str | None:
    if record.name not in FUNCTIONS["value"]:
        return f"Triton has no {record.name}: it has functions that its user writes, and this one is not written here"
    if record.name not in FUNCTIONS.get(form, ()):
        return f"Triton has no {form} of {record.name}: it is not written here"
    if dtype is not None and np.dtype(dtype).name not in DTYPES:
        return f"Triton's kernels are written for {', '.join(DTYPES)}, not {np.dtype(dtype).name}"
    return None


def takes_out(record: Activation, form: str) -> bool:
    return True


def to_own(array: np.ndarray) -> Any:
    tensor = pytorch.to_own(array)
    return tensor if is_interpreted() else tensor.cuda()


def to_numpy(array: Any) -> np.ndarray:
    return pytorch.to_numpy(array.cpu())


def own(record: Activation, form: str, dtype: type, params: tuple, into: bool) -> Callable:
    """Into a new tensor like the last of those that are given, or into ``out``."""
    launch = _rows if record.kind == "row" else _elements
    name = record.name + {"value": "", "backward": "_slope"}.get(form, f"_{form}")
    return launch(_kernels(), form, name, *params)


@functools.cache
def _kernels() -> ModuleType:
    from kernels.backends.peers import triton_kernels

    return triton_kernels


def _elements(written: ModuleType, form: str, name: str, parameter: float = 0.0) -> Callable:
    formula = getattr(written, name.replace("backward_from_output", "slope_from_output"))
    kernel = written.value_kernel if form == "value" else written.backward_kernel

    def run(*arrays, out=None):
        out, n = _output(arrays, out), arrays[-1].numel()
        kernel[(-(-n // BLOCK),)](*arrays, out, n, parameter, formula=formula, block=BLOCK)
        return out

    return run


def _rows(written: ModuleType, form: str, name: str) -> Callable:
    formula = getattr(written, name)
    kernel = written.row_kernel if form == "value" else written.row_backward_kernel

    def run(*arrays, out=None):
        out, columns = _output(arrays, out), arrays[-1].shape[-1]
        if columns > LONGEST_ROW:
            raise ValueError(f"a row is held by one program, at most {LONGEST_ROW:,} long, given {columns:,}")
        block = 1 << (columns - 1).bit_length()
        warps = next(count for start, count in WARPS if block >= start)
        rows = arrays[-1].numel() // columns
        kernel[(rows,)](*arrays, out, columns, formula=formula, block=block, num_warps=warps)
        return out

    return run


def _output(arrays: Sequence[Any], out: Any) -> Any:
    import torch

    return torch.empty_like(arrays[-1]) if out is None else out
