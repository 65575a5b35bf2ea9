"""ONNX Runtime on the CPU: for each function a model of one operator, built in memory."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from kernels import threads
from kernels.activations import Activation
from kernels.backends import peers

#: Version of the operators; the first with a Gelu is 20.
OPSET, IR = 20, 9
QUICK_GELU = 1.702
#: Without a float64 kernel, or with attributes that are float32 whatever the data are.
FLOAT32_ONLY = (
    "leaky_relu", "prelu", "elu", "selu", "softplus", "gelu", "gelu_tanh", "mish", "celu",
    "hardshrink", "softshrink", "hardsigmoid", "hardswish", "softsign",
)  # fmt: skip

LACKED = (
    "threshold",
    "rrelu",
    "relu_squared",
    "squareplus",
    "sparse_plus",
    "sparse_sigmoid",
    "glu",
    "reglu",
    "geglu",
    "swiglu",
    "sparsemax",
)

variants = peers.variants
bind = functools.partial(peers.bind, __name__)
fixed_threads = peers.adjustable
to_numpy = np.asarray
running = contextlib.nullcontext


def reason() -> str | None:
    """It needs the runtime, and ``onnx`` to build the models with."""
    return peers.missing("ONNX Runtime", "onnxruntime", "onnxruntime onnx") or peers.missing(
        "ONNX, which builds the models for ONNX Runtime,", "onnx", "onnx"
    )


def absent(record: Activation, form: str, dtype: type | None = None) -> str | None:
    if record.name in LACKED:
        return f"ONNX Runtime has no {record.name}"
    if form != "value":
        return f"ONNX Runtime has no {form}: it is for inference"
    if dtype is np.float64 and record.name in FLOAT32_ONLY:
        return f"ONNX Runtime has no {record.name} in float64: no kernel, or its attributes are float32"
    return peers.without_halves("ONNX Runtime", dtype)


def takes_out(record: Activation, form: str) -> bool:
    return True


def to_own(array: np.ndarray) -> np.ndarray:
    return array


def own(record: Activation, form: str, dtype: type, params: tuple, into: bool) -> Callable:
    session = _session(record.name, dtype, params, threads.get_num_threads())
    return _bound(session) if into else lambda x: session.run(None, {"x": x})[0]


def _bound(session: Any) -> Callable:
    """The session's call into ``out``, bound to both arrays when they are first seen, as its user does."""
    binding = session.io_binding()
    held: tuple = (None, None)

    def call(x, out):
        nonlocal held
        if x is not held[0] or out is not held[1]:
            binding.bind_cpu_input("x", x)
            binding.bind_output("y", "cpu", 0, out.dtype.type, out.shape, out.ctypes.data)
            held = x, out
        session.run_with_iobinding(binding)
        return out

    return call


def _session(name: str, dtype: type, params: tuple, count: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count
    options.inter_op_num_threads = 1
    # Each session has threads of its own, which would spin into the next contestant's time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(_model(name, dtype, params), options, providers=["CPUExecutionProvider"])


def _model(name: str, dtype: type, params: tuple) -> bytes:
    from onnx import helper, numpy_helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    params = (0.0, 6.0) if name == "relu6" else params
    nodes = _nodes(name, *params)
    params = (QUICK_GELU,) if name == "quick_gelu" else params
    used = {name for node in nodes for name in node.input}
    # Clip takes scalars, PRelu no scalar.
    shape = () if name in ("relu6", "hardtanh") else (1,)
    given = {n: np.full(shape, p, dtype) for n, p in zip("pq", params, strict=False) if n in used}
    constants = [numpy_helper.from_array(array, n) for n, array in given.items()]
    x, y = (helper.make_tensor_value_info(one, kind, None) for one in "xy")
    graph = helper.make_graph(nodes, name, [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    return model.SerializeToString()


def _nodes(name: str, parameter: float = 1.0, second: float = 0.0) -> list:
    from onnx import helper

    node = functools.partial(helper.make_node, inputs=["x"], outputs=["y"])
    product = functools.partial(helper.make_node, "Mul")
    gate = functools.partial(helper.make_node, "Sigmoid", outputs=["s"])
    return {
        "relu": [node("Relu")],
        "leaky_relu": [node("LeakyRelu", alpha=parameter)],
        "prelu": [helper.make_node("PRelu", ["x", "p"], ["y"])],
        "identity": [node("Identity")],
        "relu6": [helper.make_node("Clip", ["x", "p", "q"], ["y"])],
        "hardtanh": [helper.make_node("Clip", ["x", "p", "q"], ["y"])],
        "hardshrink": [node("Shrink", lambd=parameter)],
        "softshrink": [node("Shrink", lambd=parameter, bias=parameter)],
        "hardsigmoid": [node("HardSigmoid", alpha=1 / 6, beta=0.5)],
        "hardswish": [node("HardSwish")],
        "softsign": [node("Softsign")],
        "elu": [node("Elu", alpha=parameter)],
        # The operator's defaults are these constants in float32.
        "selu": [node("Selu")],
        "sigmoid": [node("Sigmoid")],
        "tanh": [node("Tanh")],
        "swish": [gate(["x"]), product(["x", "s"], ["y"])]
        if parameter == 1
        else [product(["x", "p"], ["t"]), gate(["t"]), product(["x", "s"], ["y"])],
        "softplus": [node("Softplus")]
        if parameter == 1
        else [
            product(["x", "p"], ["t"]),
            helper.make_node("Softplus", ["t"], ["u"]),
            helper.make_node("Div", ["u", "p"], ["y"]),
        ],
        "logsigmoid": [gate(["x"]), helper.make_node("Log", ["s"], ["y"])],
        "gelu": [node("Gelu")],
        "gelu_tanh": [node("Gelu", approximate="tanh")],
        "quick_gelu": [product(["x", "p"], ["t"]), gate(["t"]), product(["x", "s"], ["y"])],
        "mish": [node("Mish")],
        "exponential": [node("Exp")],
        "celu": [node("Celu", alpha=parameter)],
        "tanhshrink": [node("Tanh", outputs=["t"]), helper.make_node("Sub", ["x", "t"], ["y"])],
        "softcap": [
            helper.make_node("Div", ["x", "p"], ["t"]),
            helper.make_node("Tanh", ["t"], ["u"]),
            product(["u", "p"], ["y"]),
        ],
        "softmax": [node("Softmax", axis=-1)],
        "softmin": [helper.make_node("Neg", ["x"], ["t"]), helper.make_node("Softmax", ["t"], ["y"], axis=-1)],
        "log_softmax": [node("LogSoftmax", axis=-1)],
    }[name]
