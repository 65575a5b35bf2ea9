"""JAX on the CPU: ``jax.nn`` under ``jax.jit``, derivatives by its own forward and reverse mode."""

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

FORMS = ("value", "derivative", "backward", "value_and_derivative")
LACKED = ("threshold", "rrelu", "relu_squared", "hardshrink", "softshrink", "sparsemax")

reason = functools.partial(peers.missing, "JAX", "jax", "jax")
variants = peers.variants
bind = functools.partial(peers.bind, __name__)
takes_out = peers.without_out


def absent(record: Activation, form: str, dtype: type | None = None) -> str | None:
    if record.name in LACKED:
        return f"JAX has no {record.name}"
    return None if form in FORMS else f"JAX has no {form}: its reverse mode starts from the input; use backward"


@functools.cache
def library() -> Any:
    """JAX, started with as many threads as are allowed now: XLA's pool can't be changed afterwards."""
    os.environ.setdefault("NPROC", str(threads.get_num_threads()))
    import jax

    jax.local_devices(backend="cpu")
    return jax


def fixed_threads() -> int:
    library()
    return int(os.environ["NPROC"])


def to_own(array: np.ndarray) -> Any:
    """On the CPU, and what is computed from it stays there."""
    jax = library()
    return jax.device_put(array, jax.local_devices(backend="cpu")[0])


to_numpy = np.asarray


@contextlib.contextmanager
def running() -> Iterator[None]:
    """float64 holds inside, and nowhere else."""
    with library().enable_x64(True):
        yield


def own(record: Activation, form: str, dtype: type, params: tuple, into: bool) -> Callable:
    jax = library()
    value = _value(record.name, *params)
    compiled = jax.jit(
        {
            "value": value,
            "derivative": lambda x: _along_ones(value, x)[1],
            "value_and_derivative": lambda x: _along_ones(value, x),
            "backward": lambda g, x: jax.vjp(value, x)[1](g)[0],
        }[form]
    )
    if form == "value_and_derivative":
        return lambda x: jax.block_until_ready(compiled(x))
    return lambda *arrays: compiled(*arrays).block_until_ready()


def _along_ones(value: Callable, x: Any) -> tuple:
    """(value, derivative) of an elementwise function, by forward mode."""
    jax = library()
    return jax.jvp(value, (x,), (jax.numpy.ones_like(x),))


def _value(name: str, parameter: float = 1.0, second: float = 0.0) -> Callable:
    nn, jnp = library().nn, library().numpy
    return {
        "relu": nn.relu,
        "leaky_relu": lambda x: nn.leaky_relu(x, parameter),
        "prelu": lambda x: nn.leaky_relu(x, parameter),
        "identity": nn.identity,
        "relu6": nn.relu6,
        "hardtanh": nn.hard_tanh if (parameter, second) == (-1, 1) else lambda x: jnp.clip(x, parameter, second),
        "hardsigmoid": nn.hard_sigmoid,
        "hardswish": nn.hard_swish,
        "softsign": nn.soft_sign,
        "squareplus": lambda x: nn.squareplus(x, parameter),
        "sparse_plus": nn.sparse_plus,
        "sparse_sigmoid": nn.sparse_sigmoid,
        "elu": lambda x: nn.elu(x, parameter),
        "selu": nn.selu,
        "sigmoid": nn.sigmoid,
        "tanh": jnp.tanh,
        "swish": nn.silu if parameter == 1 else lambda x: x * nn.sigmoid(parameter * x),
        "softplus": nn.softplus if parameter == 1 else lambda x: nn.softplus(parameter * x) / parameter,
        "logsigmoid": nn.log_sigmoid,
        "gelu": functools.partial(nn.gelu, approximate=False),
        "gelu_tanh": functools.partial(nn.gelu, approximate=True),
        "quick_gelu": lambda x: x * nn.sigmoid(1.702 * x),
        "mish": nn.mish,
        "exponential": jnp.exp,
        "celu": lambda x: nn.celu(x, parameter),
        "tanhshrink": lambda x: x - jnp.tanh(x),
        "softcap": lambda x: parameter * jnp.tanh(x / parameter),
        "softmax": nn.softmax,
        "softmin": lambda x: nn.softmax(-x),
        "log_softmax": nn.log_softmax,
        "glu": nn.glu,
        "reglu": functools.partial(_pair, nn.relu),
        "geglu": functools.partial(_pair, functools.partial(nn.gelu, approximate=False)),
        "swiglu": functools.partial(_pair, nn.silu),
    }[name]


def _pair(gate: Callable, x: Any) -> Any:
    a, b = library().numpy.split(x, 2, axis=-1)
    return a * gate(b)
