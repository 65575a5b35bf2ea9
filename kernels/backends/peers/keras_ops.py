"""Keras: ``keras.activations`` and ``keras.ops``, computed by whichever library Keras is configured to use."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kernels.activations import Activation
from kernels.backends import peers
from kernels.backends.peers import jax_cpu, pytorch, tensorflow_cpu

BENEATH = {"torch": pytorch, "jax": jax_cpu, "tensorflow": tensorflow_cpu}

LACKED = ("rrelu", "relu_squared", "reglu", "geglu", "swiglu")

variants = peers.variants
bind = functools.partial(peers.bind, __name__)
takes_out = peers.without_out


def reason() -> str | None:
    """Keras itself may be missing, or the library that it is configured to compute with."""
    absent_ = peers.missing("Keras", "keras", "keras")
    if absent_:
        return absent_
    name = configured()
    if name not in BENEATH:
        known = ", ".join(BENEATH)
        return f"Keras is configured to compute with {name!r}: install one of {known}, and set KERAS_BACKEND to it"
    beneath = BENEATH[name].reason()
    return beneath and f"Keras is configured to compute with {name}, but {beneath}; or set KERAS_BACKEND to another"


def configured() -> str:
    """What Keras will compute with, found as Keras finds it, without importing it."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    with contextlib.suppress(OSError, ValueError):
        in_file = json.loads((home / "keras.json").read_text()).get("backend")
        return os.environ.get("KERAS_BACKEND") or in_file or "tensorflow"
    return os.environ.get("KERAS_BACKEND") or "tensorflow"


def absent(record: Activation, form: str, dtype: type | None = None) -> str | None:
    if record.name in LACKED:
        return f"Keras has no {record.name}"
    if record.name == "identity":
        return "Keras has no identity that computes: activations.linear gives its input back"
    if record.name == "sparsemax":
        return "Keras has no sparsemax that is one: of [2.1, 2, 0] it makes [0, 0, 0], for it adds sums of sums"
    if form != "value":
        return f"Keras has no {form}: gradients are those of the library that computes for it"
    if dtype is np.float64 and configured() == "jax":
        return f"Keras over JAX has no {record.name} in float64: where JAX's x64 is not on globally it computes float32"
    return peers.without_halves("Keras", dtype)


def beneath() -> Any:
    return BENEATH[configured()]


def fixed_threads() -> int | None:
    return beneath().fixed_threads()


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Without the warning that a softmax of rows of one entry gives."""
    with warnings.catch_warnings(), beneath().running(), _on_cpu():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _on_cpu() -> contextlib.AbstractContextManager:
    """Keras would move PyTorch's arrays to a GPU."""
    import keras

    return keras.device("cpu") if configured() == "torch" else contextlib.nullcontext()


def to_own(array: np.ndarray) -> Any:
    return beneath().to_own(array)


def to_numpy(array: Any) -> np.ndarray:
    return beneath().to_numpy(array)


def own(record: Activation, form: str, dtype: type, params: tuple, into: bool) -> Callable:
    function = _value(record.name, *params)
    if configured() != "jax":
        return function
    return lambda x: function(x).block_until_ready()


def _value(name: str, parameter: float = 1.0, second: float = 0.0) -> Callable:
    from keras import activations, ops

    return {
        "relu": activations.relu,
        "leaky_relu": functools.partial(activations.leaky_relu, negative_slope=parameter),
        "prelu": functools.partial(activations.leaky_relu, negative_slope=parameter),
        "relu6": activations.relu6,
        "hardtanh": activations.hard_tanh
        if (parameter, second) == (-1, 1)
        else lambda x: ops.clip(x, parameter, second),
        "threshold": functools.partial(activations.threshold, threshold=parameter, default_value=second),
        "hardshrink": functools.partial(activations.hard_shrink, threshold=parameter),
        "softshrink": functools.partial(activations.soft_shrink, threshold=parameter),
        "hardsigmoid": activations.hard_sigmoid,
        "hardswish": activations.hard_swish,
        "softsign": activations.softsign,
        "squareplus": functools.partial(activations.squareplus, b=parameter),
        "sparse_plus": activations.sparse_plus,
        "sparse_sigmoid": activations.sparse_sigmoid,
        "elu": functools.partial(activations.elu, alpha=parameter),
        "selu": activations.selu,
        "sigmoid": ops.sigmoid,
        "tanh": activations.tanh,
        "swish": activations.silu if parameter == 1 else lambda x: x * ops.sigmoid(parameter * x),
        "softplus": activations.softplus if parameter == 1 else lambda x: ops.softplus(parameter * x) / parameter,
        "logsigmoid": activations.log_sigmoid,
        "gelu": functools.partial(activations.gelu, approximate=False),
        "gelu_tanh": functools.partial(activations.gelu, approximate=True),
        "quick_gelu": lambda x: x * ops.sigmoid(1.702 * x),
        "mish": activations.mish,
        "exponential": activations.exponential,
        "celu": functools.partial(activations.celu, alpha=parameter),
        "tanhshrink": activations.tanh_shrink,
        "softcap": lambda x: parameter * ops.tanh(x / parameter),
        "softmax": activations.softmax,
        "softmin": lambda x: activations.softmax(-x),
        "log_softmax": activations.log_softmax,
        "glu": activations.glu,
    }[name]
