"""PyTorch: the functions of ``torch`` and ``torch.nn.functional``, and the operators that its autograd calls."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kernels import threads
from kernels.activations import Activation
from kernels.backends import peers
from kernels.half import named

FORMS = ("value", "backward", "backward_from_output")
#: Their operators start from the input.
FROM_INPUT = ("softplus",)
#: Operators without ``out``, and one that is three of them.
WITHOUT_OUT = ("selu", "prelu", "softsign", "reglu", "geglu", "swiglu")
LACKED = ("relu_squared", "squareplus", "sparse_plus", "sparse_sigmoid", "sparsemax")
QUICK_GELU = 1.702
#: The default of ``functional.softplus``.
SOFTPLUS_THRESHOLD = 20
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848, 1.0507009873554804934

reason = functools.partial(peers.missing, "PyTorch", "torch", "torch")
variants = peers.variants
bind = functools.partial(peers.bind, __name__)
fixed_threads = peers.adjustable


def absent(record: Activation, form: str, dtype: type | None = None) -> str | None:
    if record.name in LACKED:
        return f"PyTorch has no {record.name}"
    if record.name == "identity":
        return "PyTorch has no identity that computes: nn.Identity gives its input back"
    if record.gate and record.name != "glu" and form == "backward":
        return f"PyTorch has no backward of {record.name}: its autograd takes the halves' gradients one by one"
    if form in FORMS and not (form == "backward_from_output" and record.name in FROM_INPUT):
        return None
    return f"PyTorch has no {form} of its own: its autograd gives the product with a gradient, which is backward"


def takes_out(record: Activation, form: str) -> bool:
    return form == "value" and record.name not in WITHOUT_OUT


def to_own(array: np.ndarray) -> Any:
    import torch

    # Memory that can't be written would raise a warning.
    own_ = array if array.flags.writeable else array.copy()
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(own_.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own_)


def to_numpy(array: Any) -> np.ndarray:
    import torch

    if array.dtype is torch.bfloat16:
        return array.view(torch.int16).numpy().view(named("bfloat16"))
    return array.numpy()


@contextlib.contextmanager
def running() -> Iterator[None]:
    import torch

    before, count = torch.get_num_threads(), threads.get_num_threads()
    with torch.inference_mode():
        if count != before:
            torch.set_num_threads(count)
        try:
            yield
        finally:
            if count != before:
                torch.set_num_threads(before)


def own(record: Activation, form: str, dtype: type, params: tuple, into: bool) -> Callable:
    make = {"value": _value, "backward": _backward, "backward_from_output": _backward_from_output}[form]
    return (_value_into if into else make)(record.name, dtype, *params)


def _value(name: str, dtype: type, parameter: float = 1.0, second: float = 0.0) -> Callable:
    import torch
    from torch.nn import functional

    return {
        "relu": torch.relu,
        "leaky_relu": functools.partial(functional.leaky_relu, negative_slope=parameter),
        "prelu": functools.partial(torch.prelu, weight=torch.full((1,), parameter, dtype=_dtype(dtype))),
        "relu6": functional.relu6,
        "hardtanh": functools.partial(functional.hardtanh, min_val=parameter, max_val=second),
        "threshold": functools.partial(functional.threshold, threshold=parameter, value=second),
        "rrelu": functools.partial(functional.rrelu, lower=parameter, upper=second),
        "hardshrink": functools.partial(functional.hardshrink, lambd=parameter),
        "softshrink": functools.partial(functional.softshrink, lambd=parameter),
        "hardsigmoid": functional.hardsigmoid,
        "hardswish": functional.hardswish,
        "softsign": functional.softsign,
        "elu": functools.partial(functional.elu, alpha=parameter),
        "selu": torch.selu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "swish": functional.silu if parameter == 1 else lambda x: x * torch.sigmoid(parameter * x),
        "softplus": functools.partial(functional.softplus, beta=parameter),
        "logsigmoid": functional.logsigmoid,
        "gelu": functional.gelu,
        "gelu_tanh": functools.partial(functional.gelu, approximate="tanh"),
        "quick_gelu": lambda x: x * torch.sigmoid(QUICK_GELU * x),
        "mish": functional.mish,
        "exponential": torch.exp,
        "celu": functools.partial(functional.celu, alpha=parameter),
        "tanhshrink": functional.tanhshrink,
        "softcap": lambda x: parameter * torch.tanh(x / parameter),
        "softmax": functools.partial(torch.softmax, dim=-1),
        "softmin": functools.partial(functional.softmin, dim=-1),
        "log_softmax": functools.partial(torch.log_softmax, dim=-1),
        "glu": functional.glu,
        "reglu": _pair(functional.relu),
        "geglu": _pair(functional.gelu),
        "swiglu": _pair(functional.silu),
    }[name]


def _pair(gate: Callable) -> Callable:
    """The halves' product, as PyTorch's user writes it."""

    def pair(x):
        a, b = x.chunk(2, -1)
        return a * gate(b)

    return pair


def _value_into(name: str, dtype: type, parameter: float = 1.0, second: float = 0.0) -> Callable:
    """With ``out=``: ``torch.nn.functional`` has none, so these are the operators beneath it."""
    import torch

    def gated(x, out, beta=parameter):
        return torch.mul(x, torch.sigmoid(beta * x), out=out)

    aten = torch.ops.aten
    return {
        "relu": aten.relu.out,
        "leaky_relu": lambda x, out: aten.leaky_relu.out(x, parameter, out=out),
        "relu6": lambda x, out: aten.hardtanh.out(x, 0, 6, out=out),
        "hardtanh": lambda x, out: aten.hardtanh.out(x, parameter, second, out=out),
        "threshold": lambda x, out: aten.threshold.out(x, parameter, second, out=out),
        "rrelu": lambda x, out: aten.leaky_relu.out(x, (parameter + second) / 2, out=out),
        "hardshrink": lambda x, out: aten.hardshrink.out(x, parameter, out=out),
        "softshrink": lambda x, out: aten.softshrink.out(x, parameter, out=out),
        "hardsigmoid": aten.hardsigmoid.out,
        "hardswish": aten.hardswish.out,
        "elu": lambda x, out: aten.elu.out(x, parameter, out=out),
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "swish": aten.silu.out if parameter == 1 else gated,
        "softplus": lambda x, out: aten.softplus.out(x, parameter, out=out),
        "logsigmoid": aten.log_sigmoid.out,
        "gelu": aten.gelu.out,
        "gelu_tanh": functools.partial(aten.gelu.out, approximate="tanh"),
        "quick_gelu": functools.partial(gated, beta=QUICK_GELU),
        "mish": aten.mish.out,
        "exponential": torch.exp,
        # celu is this with a scale of the input.
        "celu": lambda x, out: aten.elu.out(x, parameter, 1, 1 / parameter, out=out),
        "tanhshrink": lambda x, out: torch.sub(x, torch.tanh(x), out=out),
        "softcap": lambda x, out: torch.mul(torch.tanh(x / parameter), parameter, out=out),
        "softmax": functools.partial(torch.softmax, dim=-1),
        "softmin": lambda x, out: torch.softmax(-x, -1, out=out),
        "log_softmax": functools.partial(torch.log_softmax, dim=-1),
        "glu": lambda x, out: aten.glu.out(x, -1, out=out),
    }[name]


def _backward(name: str, dtype: type, parameter: float = 1.0, second: float = 0.0) -> Callable:
    import torch

    aten = torch.ops.aten
    from_output = {n: _backward_from_output(n, dtype) for n in ("sigmoid", "tanh", "softmax", "log_softmax")}
    softmax = functools.partial(torch.softmax, dim=-1)
    leaky = aten.leaky_relu_backward.default
    elu = aten.elu_backward.default
    return {
        "relu": lambda g, x: aten.threshold_backward.default(g, x, 0),
        "leaky_relu": lambda g, x: leaky(g, x, parameter, False),
        # prelu's own operator computes the gradient of the weight, too.
        "prelu": lambda g, x: leaky(g, x, parameter, False),
        "relu6": lambda g, x: aten.hardtanh_backward.default(g, x, 0, 6),
        "hardtanh": lambda g, x: aten.hardtanh_backward.default(g, x, parameter, second),
        "threshold": lambda g, x: aten.threshold_backward.default(g, x, parameter),
        "rrelu": lambda g, x: leaky(g, x, (parameter + second) / 2, False),
        "hardshrink": lambda g, x: aten.hardshrink_backward.default(g, x, parameter),
        "softshrink": lambda g, x: aten.softshrink_backward.default(g, x, parameter),
        "hardsigmoid": aten.hardsigmoid_backward.default,
        "hardswish": aten.hardswish_backward.default,
        "softsign": lambda g, x: g / torch.square(x.abs() + 1),
        "elu": lambda g, x: elu(g, parameter, 1, 1, False, x),
        "selu": lambda g, x: elu(g, SELU_ALPHA, SELU_SCALE, 1, False, x),
        "sigmoid": lambda g, x: from_output["sigmoid"](g, torch.sigmoid(x)),
        "tanh": lambda g, x: from_output["tanh"](g, torch.tanh(x)),
        "swish": aten.silu_backward.default if parameter == 1 else _gated_backward(parameter),
        "softplus": lambda g, x: aten.softplus_backward.default(g, x, parameter, SOFTPLUS_THRESHOLD),
        # The second result of forward is what its backward keeps.
        "logsigmoid": lambda g, x: aten.log_sigmoid_backward.default(g, x, aten.log_sigmoid_forward.default(x)[1]),
        "gelu": aten.gelu_backward.default,
        "gelu_tanh": functools.partial(aten.gelu_backward.default, approximate="tanh"),
        "quick_gelu": _gated_backward(QUICK_GELU),
        "mish": aten.mish_backward.default,
        "exponential": lambda g, x: g * torch.exp(x),
        "celu": lambda g, x: elu(g, parameter, 1, 1 / parameter, False, x),
        "tanhshrink": lambda g, x: g * torch.square(torch.tanh(x)),
        "softcap": lambda g, x: from_output["tanh"](g, torch.tanh(x / parameter)),
        "softmax": lambda g, x: from_output["softmax"](g, softmax(x)),
        "softmin": lambda g, x: -from_output["softmax"](g, softmax(-x)),
        "log_softmax": lambda g, x: from_output["log_softmax"](g, torch.log_softmax(x, -1)),
        "glu": lambda g, x: aten.glu_backward.default(g, x, -1),
    }[name]


def _gated_backward(beta: float) -> Callable:
    import torch

    def backward(g, x):
        # silu of t = beta x has this function's derivative.
        return torch.ops.aten.silu_backward.default(g, beta * x)

    return backward


def _backward_from_output(name: str, dtype: type, parameter: float = 1.0) -> Callable:
    import torch

    aten = torch.ops.aten
    elu = aten.elu_backward.default
    return {
        "relu": lambda g, y: aten.threshold_backward.default(g, y, 0),
        "leaky_relu": lambda g, y: aten.leaky_relu_backward.default(g, y, parameter, True),
        "elu": lambda g, y: elu(g, parameter, 1, 1, True, y),
        "selu": lambda g, y: elu(g, SELU_ALPHA, SELU_SCALE, 1, True, y),
        "sigmoid": aten.sigmoid_backward.default,
        "tanh": aten.tanh_backward.default,
        "exponential": lambda g, y: g * y,
        "celu": lambda g, y: elu(g, parameter, 1, 1 / parameter, True, y),
        "softmax": lambda g, y: aten._softmax_backward_data.default(g, y, -1, _dtype(dtype)),
        "softmin": lambda g, y: -aten._softmax_backward_data.default(g, y, -1, _dtype(dtype)),
        "log_softmax": lambda g, y: aten._log_softmax_backward_data.default(g, y, -1, _dtype(dtype)),
    }[name]


def _dtype(dtype: type) -> Any:
    import torch

    return getattr(torch, np.dtype(dtype).name)
