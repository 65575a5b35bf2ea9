"""TensorFlow on the CPU: ``tf.nn``, called eagerly, and the operators that its gradient tape calls."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kernels import threads
from kernels.activations import Activation
from kernels.backends import peers

#: Where TensorFlow has an operator for the product of gradient and derivative, in the input or in the output.
FROM_INPUT = ("relu", "leaky_relu", "prelu")
FROM_OUTPUT = ("relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh")

LACKED = (
    "threshold", "rrelu", "relu_squared", "hardshrink", "softshrink",
    "hardsigmoid", "hardswish", "squareplus", "sparse_plus", "sparse_sigmoid",
    "sparsemax", "glu", "reglu", "geglu", "swiglu",
)  # fmt: skip

reason = functools.partial(peers.missing, "TensorFlow", "tensorflow", "tensorflow")
variants = peers.variants
bind = functools.partial(peers.bind, __name__)
takes_out = peers.without_out


def absent(record: Activation, form: str, dtype: type | None = None) -> str | None:
    if record.name in LACKED:
        return f"TensorFlow has no {record.name}"
    if form in ("value", "backward") or (form == "backward_from_output" and record.name in FROM_OUTPUT):
        return peers.without_halves("TensorFlow", dtype)
    return f"TensorFlow has no {form} of {record.name}: its tape gives the product with a gradient, which is backward"


@functools.cache
def library() -> Any:
    """TensorFlow, started with as many threads as are allowed now: its pools can't be changed afterwards."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow

    config, count = tensorflow.config.threading, threads.get_num_threads()
    # Where somebody else has started TensorFlow already, it keeps what it has.
    with contextlib.suppress(RuntimeError):
        config.set_intra_op_parallelism_threads(count)
        config.set_inter_op_parallelism_threads(count)
    return tensorflow


def fixed_threads() -> int:
    """0, which is all, where somebody else has started it."""
    return library().config.threading.get_intra_op_parallelism_threads() or os.cpu_count()


def to_own(array: np.ndarray) -> Any:
    with library().device("CPU"):
        return library().constant(array)


def to_numpy(array: Any) -> np.ndarray:
    return array.numpy()


@contextlib.contextmanager
def running() -> Iterator[None]:
    with library().device("CPU"):
        yield


def own(record: Activation, form: str, dtype: type, params: tuple, into: bool) -> Callable:
    name = record.name
    if form == "value":
        return _value(name, *params)
    if form == "backward_from_output" or name in FROM_INPUT:
        return _gradient(name, *params)
    value = _value(name, *params)
    if name in FROM_OUTPUT:
        gradient = _gradient(name, *params)
        return lambda g, x: gradient(g, value(x))
    return _by_tape(value)


def _value(name: str, parameter: float = 1.0, second: float = 0.0) -> Callable:
    tf, nn = library(), library().nn
    return {
        "relu": nn.relu,
        "leaky_relu": functools.partial(nn.leaky_relu, alpha=parameter),
        "prelu": functools.partial(nn.leaky_relu, alpha=parameter),
        "identity": tf.identity,
        "relu6": nn.relu6,
        "hardtanh": lambda x: tf.clip_by_value(x, parameter, second),
        "softsign": nn.softsign,
        "elu": nn.elu if parameter == 1 else lambda x: tf.where(x > 0, x, parameter * tf.math.expm1(x)),
        "selu": nn.selu,
        "sigmoid": tf.sigmoid,
        "tanh": tf.tanh,
        # nn.silu does the same, but makes a function with a gradient of its own at every call.
        "swish": lambda x: x * tf.sigmoid(x if parameter == 1 else parameter * x),
        "softplus": nn.softplus if parameter == 1 else lambda x: nn.softplus(parameter * x) / parameter,
        "logsigmoid": tf.math.log_sigmoid,
        "gelu": functools.partial(nn.gelu, approximate=False),
        "gelu_tanh": functools.partial(nn.gelu, approximate=True),
        "quick_gelu": lambda x: x * tf.sigmoid(1.702 * x),
        "mish": lambda x: x * tf.tanh(nn.softplus(x)),
        "exponential": tf.exp,
        "celu": lambda x: tf.where(x > 0, x, parameter * tf.math.expm1(x / parameter)),
        "tanhshrink": lambda x: x - tf.tanh(x),
        "softcap": lambda x: parameter * tf.tanh(x / parameter),
        "softmax": nn.softmax,
        "softmin": lambda x: nn.softmax(-x),
        "log_softmax": nn.log_softmax,
    }[name]


def _gradient(name: str, parameter: float = 1.0) -> Callable:
    """The operator f(gradient, x or y)."""
    tf, raw = library(), library().raw_ops
    return {
        "relu": lambda g, y: raw.ReluGrad(gradients=g, features=y),
        "leaky_relu": lambda g, y: raw.LeakyReluGrad(gradients=g, features=y, alpha=parameter),
        "prelu": lambda g, x: raw.LeakyReluGrad(gradients=g, features=x, alpha=parameter),
        "elu": lambda g, y: (
            raw.EluGrad(gradients=g, outputs=y) if parameter == 1 else tf.where(y > 0, g, g * (y + parameter))
        ),
        "selu": lambda g, y: raw.SeluGrad(gradients=g, outputs=y),
        "sigmoid": lambda g, y: raw.SigmoidGrad(y=y, dy=g),
        "tanh": lambda g, y: raw.TanhGrad(y=y, dy=g),
    }[name]


def _by_tape(value: Callable) -> Callable:
    """backward as TensorFlow's user gets it, compiled into a graph."""
    tf = library()

    @tf.function
    def backward(g, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = value(x)
        return tape.gradient(y, x, output_gradients=g)

    return backward
