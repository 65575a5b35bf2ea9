"""Libraries that a user would pick instead: contestants of the report, held to none of this project's promises.

A peer is one module, as every backend, and imports its library when it is first asked for a kernel, not before. Beside
``reason``, ``variants`` and ``bind`` it has

- ``absent(record, form, dtype)``: None, or why the library has no such form;
- ``own(record, form, dtype, params, into)``: the form as the library's user calls it, on the library's own arrays,
  with ``out=`` where ``into``;
- ``to_own(array)`` and ``to_numpy(array)``, without a copy where the library allows;
- ``takes_out(record, form)``: whether ``own`` can be asked for that;
- ``running()``: a context to call it in, with as many threads as ``kernels.set_num_threads`` allows;
- ``fixed_threads()``: None, or how many threads the library started with, where it can't change them afterwards.

``own``'s function is what is timed; ``bind`` wraps it into arrays for ``kernels.get``. Peers differ from the records at
special values: NaN, infinities, and the derivative at a kink are as the library has them.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib import util

import numpy as np

from kernels.activations import Activation
from kernels.half import is_half


def missing(title: str, module: str, install: str, extra: str = "peers") -> str | None:
    """None where a library is installed, else the sentence that says how to install it; imports nothing."""
    if util.find_spec(module) is not None:
        return None
    return f'{title} is not installed: pip install {install} (or "activation-kernels[{extra}]")'


def variants() -> tuple[str, ...]:
    """A library has one implementation of each function."""
    return ()


def without_halves(title: str, dtype: type | None) -> str | None:
    """``absent`` of a library whose half types are not compared with."""
    return f"{title} is not measured in half types" if dtype and is_half(dtype) else None


def without_out(record: Activation, form: str) -> bool:
    """``takes_out`` of a library that gives new arrays only."""
    return False


def adjustable() -> None:
    """``fixed_threads`` of a library whose threads can be changed at any time."""


def bind(
    module_name: str, record: Activation, form: str, dtype: type, accuracy: str, variant: str | None = None
) -> Callable:
    """The kernel over NumPy arrays; LookupError where the library has no such form."""
    peer = sys.modules[module_name]
    if variant is not None:
        raise LookupError(f"a peer has no variant {variant!r}")
    why = peer.absent(record, form, dtype)
    if why:
        raise LookupError(why)
    own = functools.lru_cache(maxsize=16)(functools.partial(peer.own, record, form, dtype, into=False))
    inputs = 2 if form.startswith("backward") else 1

    def kernel(*args, out=None):
        params = tuple(map(_number, args[inputs:]))
        with peer.running():
            result = own(params)(*map(peer.to_own, args[:inputs]))
            pair = form == "value_and_derivative"
            results = tuple(peer.to_numpy(one) for one in (result if pair else (result,)))
        outs = results if out is None else out if pair else (out,)
        for one, target in zip(results, outs, strict=True):
            np.copyto(target, one)
        return tuple(outs) if pair else outs[0]

    return kernel


def _number(value: object) -> float:
    if isinstance(value, np.ndarray):
        raise TypeError("a peer takes scalar parameters; arrays of them are computed by this project's own backends")
    return value
