"""The table of backends, and ``get``: the function object of an activation from one backend.

A backend is one module with ``reason()`` (None, or why it can't run and what to install), ``variants()`` (what may
follow the colon in ``get("relu", "cython:x86-64-v3")``) and ``bind(record, form, dtype, accuracy, variant)``, which
gives the kernel for prepared arrays: ``kernel(x, *params, out=None)`` (for the backward forms ``kernel(g, x, *params,
out=None)``). ``peers`` are such modules, too, and so are the textbook loops, which some backends have beside their own.
"""

from __future__ import annotations

import functools
import importlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from kernels.activations import FORMS, Activation, lookup
from kernels.backends.unavailable import BackendUnavailable
from kernels.documentation import docstring
from kernels.front import Missing, form_class
from kernels.half import is_half, through_float32

ACCURACIES = ("fast", "accurate")
#: What follows the colon for the loop that a newcomer writes.
TEXTBOOK = "textbook"


@dataclass(frozen=True)
class Backend:
    """One implementation of the whole table."""

    name: str
    module_name: str
    title: str
    #: Held to the same bits as the other compiled backends.
    compiled: bool
    #: Colour and marker in every chart.
    color: str
    marker: str
    #: Somebody else's library: compared with, held to none of the promises.
    peer: bool = False
    #: The module of the loops that a newcomer writes: to compare with, held to none of the promises either.
    textbook_name: str | None = None
    #: Takes arrays in GPU memory, too.
    takes_device: bool = False
    #: Computes on a GPU only: measured there, and no contestant of the CPU's race.
    only_device: bool = False

    @property
    def module(self) -> ModuleType:
        return importlib.import_module(self.module_name)

    def text(self, variant: str | None) -> ModuleType:
        """The module that has a variant's kernels."""
        return importlib.import_module(self.textbook_name) if self.is_textbook(variant) else self.module

    def is_textbook(self, variant: str | None) -> bool:
        return self.textbook_name is not None and variant == TEXTBOOK

    def is_foreign(self, variant: str | None) -> bool:
        """Whether it is compared with only: it may lack forms, has one accuracy class and computes no half types."""
        return self.peer or self.is_textbook(variant)

    def reason(self) -> str | None:
        """None where the backend runs, else why not and what to install."""
        return self.module.reason()

    def variants(self) -> tuple[str, ...]:
        """What may follow the colon: instruction-set levels, or second texts."""
        return self.module.variants()

    def second_texts(self) -> tuple[str, ...]:
        """What may follow the colon for another text of the same functions: a newcomer's."""
        if self.textbook_name is None:
            return () if self.compiled else self.variants()
        return (TEXTBOOK,) if self.text(TEXTBOOK).reason() is None else ()


_BACKENDS = (
    Backend("python", "kernels.backends.pure_python", "pure Python", False, "#b07aa1", "v"),
    Backend("numpy", "kernels.backends.numpy_vector", "NumPy", False, "#4e79a7", "s"),
    Backend(
        *("cython", "kernels.backends.cython_loops", "Cython", True, "#f28e2b", "o"),
        textbook_name="kernels.backends.cython_textbook",
    ),
    Backend(
        *("numba", "kernels.backends.numba_cpu", "Numba CPU", True, "#59a14f", "^"),
        textbook_name="kernels.backends.numba_textbook",
    ),
    Backend("cuda", "kernels.backends.numba_cuda", "Numba CUDA", True, "#e15759", "D", takes_device=True),
    Backend("fastest", "kernels.backends.dispatcher", "kernels.fastest", True, "#222222", "*", takes_device=True),
    Backend("torch", "kernels.backends.peers.pytorch", "PyTorch", False, "#d37295", "P", peer=True),
    Backend("jax", "kernels.backends.peers.jax_cpu", "JAX", False, "#76b7b2", "X", peer=True),
    Backend("keras", "kernels.backends.peers.keras_ops", "Keras", False, "#9c755f", "p", peer=True),
    Backend("onnxruntime", "kernels.backends.peers.onnx_runtime", "ONNX Runtime", False, "#edc948", "h", peer=True),
    Backend("numexpr", "kernels.backends.peers.numexpr_vm", "numexpr", False, "#a0cbe8", "<", peer=True),
    Backend("tensorflow", "kernels.backends.peers.tensorflow_cpu", "TensorFlow", False, "#8cd17d", ">", peer=True),
    Backend(
        *("triton", "kernels.backends.peers.triton_jit", "Triton", False, "#6b4c9a", "d"),
        peer=True,
        only_device=True,
    ),
)

#: name -> Backend
BACKENDS: Mapping[str, Backend] = MappingProxyType({backend.name: backend for backend in _BACKENDS})
#: This project's own, which the promises are about, and the libraries that it is compared with.
OWN: Mapping[str, Backend] = MappingProxyType({name: b for name, b in BACKENDS.items() if not b.peer})
PEERS: Mapping[str, Backend] = MappingProxyType({name: b for name, b in BACKENDS.items() if b.peer})


def described() -> dict[str, dict[str, Any]]:
    """What the rows of a run say of each backend, for those who draw them."""
    return {
        b.name: {"title": b.title, "color": b.color, "marker": b.marker, "compiled": b.compiled}
        for b in BACKENDS.values()
    }


def find(name: str) -> tuple[Backend, str | None]:
    """(backend, variant) of "cython" or "cython:x86-64-v3"; KeyError lists what exists."""
    if not isinstance(name, str):
        raise TypeError(f"a backend is named by a string, given {name!r}; known are: {', '.join(BACKENDS)}")
    base, colon, variant = name.partition(":")
    if base not in BACKENDS or (colon and not variant):
        raise KeyError(f"unknown backend {name!r}; known are: {', '.join(BACKENDS)}")
    return BACKENDS[base], variant or None


def available(name: str) -> tuple[Backend, str | None]:
    """Like ``find``, but raises BackendUnavailable where it can't run here."""
    backend, variant = find(name)
    reason = backend.reason() or backend.text(variant).reason()
    if reason is not None:
        raise BackendUnavailable(f"backend {name!r} is not available: {reason}")
    known_variants = dict.fromkeys((*backend.variants(), *backend.second_texts()))
    if variant is not None and variant not in known_variants:
        known = ", ".join(known_variants) or "none"
        raise BackendUnavailable(f"backend {backend.name!r} has no variant {variant!r} here; it has: {known}")
    return backend, variant


def bind(record: Activation, form: str, dtype: type, backend: str, accuracy: str = "fast") -> Callable:
    """The bare kernel for prepared arrays: what is timed, without the input rules around it."""
    found, variant = available(backend)
    _refuse_class(backend, accuracy)
    return found.text(variant).bind(record, form, dtype, accuracy, variant)


def _refuse_class(name: str, accuracy: str) -> None:
    backend, variant = find(name)
    if backend.is_foreign(variant) and accuracy != "fast":
        raise ValueError(f"{name} has one accuracy class, its own: accuracy must be 'fast', given {accuracy!r}")


def contestant(record: Activation, form: str, dtype: type, backend: str, accuracy: str = "fast") -> Callable:
    """What is timed, ``call(*arrays, *params, out=...)``: the backend's own call path on prepared arrays.

    For backends with a compiled call path that is the public function itself, for the others the bare kernel.
    """
    found, variant = available(backend)
    if not hasattr(found.text(variant), "wrap"):
        return bind(record, form, dtype, backend, accuracy)
    return Origin(record.name, backend, accuracy).form(form)


def get(name: str, backend: str = "fastest", *, accuracy: str = "fast") -> Any:
    """The function object of an activation from one backend.

    ``name`` is a name or alias of ``ACTIVATIONS``; ``backend`` one of ``BACKENDS``, after a colon a variant;
    ``accuracy`` is "fast" (float32 computed in float32) or "accurate" (float32 computed in float64 and rounded once).
    Peers such as "torch" and second texts such as "numba:textbook" lack some forms, which then say why.

    KeyError for an unknown name, ValueError for an unknown accuracy, BackendUnavailable where the backend can't run
    here."""
    if accuracy not in ACCURACIES:
        raise ValueError(f"unknown accuracy {accuracy!r}; accepted are: {', '.join(ACCURACIES)}")
    record = lookup(name)
    _refuse_class(backend, accuracy)
    with _lock:
        return _function(record.name, backend, accuracy)


@dataclass(frozen=True)
class Origin:
    """What ``get`` was asked for, kept by the objects that it gave: they are pickled as this."""

    name: str
    backend: str
    accuracy: str

    def form(self, form: str) -> Any:
        """The very object that ``get`` gives."""
        function = get(self.name, self.backend, accuracy=self.accuracy)
        return function if form == "value" else getattr(function, form)

    def on_device(self, form: str) -> Callable:
        """A form for arrays in GPU memory; TypeError names the backends that take them."""
        taking = [name for name, one in BACKENDS.items() if one.takes_device]
        if self.backend not in taking:
            names = ", ".join(taking)
            raise TypeError(f"the backend {self.backend!r} takes no arrays in GPU memory: those that do are {names}")
        from kernels.backends import numba_cuda

        return numba_cuda.OnDevice(lookup(self.name), form, self.accuracy)


def absence(record: Activation, form: str, backend: str) -> str | None:
    """None, or why a backend lacks a form that the function has: only peers and textbook loops do."""
    found, variant = find(backend)
    return found.text(variant).absent(record, form) if found.is_foreign(variant) else None


#: Two threads that ask at once get the same object.
_lock = threading.RLock()


def _after_fork() -> None:
    # Another thread may have held the lock.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _function(name: str, backend_name: str, accuracy: str) -> Any:
    record = lookup(name)
    backend, variant = available(backend_name)
    text = backend.text(variant)
    origin = Origin(name, backend_name, accuracy)

    @functools.cache
    def kernel_for(form: str, dtype: type) -> Callable:
        if is_half(dtype) and backend.is_foreign(variant):
            return through_float32(kernel_for(form, np.float32))
        return text.bind(record, form, dtype, accuracy, variant)

    wrap = getattr(text, "wrap", lambda form, *_: form)
    absent = {form: absence(record, form, backend_name) for form in record.forms}
    forms = {}
    for form in record.forms:
        if absent[form]:
            continue
        general = form_class(record, form)(record, form, kernel_for, origin)
        forms[form] = _documented(wrap(general, record, form, accuracy, variant), general)
    function = forms.pop("value", None)
    if function is None:
        raise BackendUnavailable(absent["value"])
    for form in FORMS[1:]:
        setattr(function, form, forms.get(form) or Missing(record, form, absent.get(form)))
    return function


def _documented(callable_: Any, general: Any) -> Any:
    if callable_ is not general:
        callable_.__name__ = general.__name__
        callable_.__qualname__ = general.__qualname__
        callable_.__signature__ = general.__signature__
    callable_.__doc__ = docstring(general.record, general.form)
    return callable_
