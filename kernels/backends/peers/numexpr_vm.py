"""numexpr: one expression a form, compiled once for its virtual machine.

Constants are whole numbers or arguments: a literal 0.5 would turn float32 into float64.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import numpy as np

from kernels import threads
from kernels.activations import Activation
from kernels.backends import peers

SELU_SCALE = 1.0507009873554804934
SELU_SCALE_ALPHA = SELU_SCALE * 1.6732632423543772848
#: 2 sqrt(2 / pi)
GELU_SLOPE = 1.5957691216057308

#: The constants of a definition, which stand for p and q.
CONSTANTS = {
    "selu": (SELU_SCALE, SELU_SCALE_ALPHA),
    "gelu_tanh": (GELU_SLOPE, GELU_SLOPE * 0.044715),
    "quick_gelu": (1.702,),
}
#: In x and the parameters or constants p and q.
VALUE = {
    "relu": "where(x <= 0, 0, x)",
    "leaky_relu": "where(x > 0, x, p * x)",
    "prelu": "where(x > 0, x, p * x)",
    "relu6": "where(x <= 0, 0, where(x > 6, 6 * one, x))",
    "hardtanh": "where(x < p, p, where(x > q, q, x))",
    "threshold": "where(x <= p, q, x)",
    "rrelu": "where(x > 0, x, (p + q) / 2 * x)",
    "relu_squared": "where(x <= 0, 0, x) ** 2",
    "hardshrink": "where(abs(x) <= p, 0, x)",
    "softshrink": "where(x > p, x - p, where(x < -p, x + p, 0))",
    "hardsigmoid": "where(x <= -3, 0, where(x >= 3, one, (x + 3) / 6))",
    "hardswish": "where(x <= -3, 0, where(x >= 3, x, x * (x + 3) / 6))",
    "softsign": "x / (1 + abs(x))",
    "squareplus": "(x + sqrt(x * x + p)) / 2",
    "sparse_plus": "where(x <= -1, 0, where(x >= 1, x, (x + 1) ** 2 / 4))",
    "sparse_sigmoid": "where(x <= -1, 0, where(x >= 1, one, (x + 1) / 2))",
    "elu": "where(x > 0, x, p * expm1(x))",
    "selu": "where(x > 0, p * x, q * expm1(x))",
    "sigmoid": "1 / (1 + exp(-x))",
    "tanh": "tanh(x)",
    "swish": "x / (1 + exp(-p * x))",
    "softplus": "where(p * x > 0, x, 0) + log1p(exp(-abs(p * x))) / p",
    "logsigmoid": "where(x < 0, x, 0) - log1p(exp(-abs(x)))",
    "gelu_tanh": "x / (1 + exp(-x * (p + q * x * x)))",
    "quick_gelu": "x / (1 + exp(-p * x))",
    "mish": "x * tanh(log1p(exp(x)))",
    "exponential": "exp(x)",
    "celu": "where(x > 0, x, p * expm1(x / p))",
    "tanhshrink": "x - tanh(x)",
    "softcap": "p * tanh(x / p)",
}
DERIVATIVE = {
    "relu": "where(x > 0, one, 0)",
    "leaky_relu": "where(x > 0, 1, p)",
    "prelu": "where(x > 0, 1, p)",
    "relu6": "where(x <= 0, 0, where(x >= 6, 0, one))",
    "hardtanh": "where(x <= p, 0, where(x >= q, 0, one))",
    "threshold": "where(x > p, one, 0)",
    "rrelu": "where(x > 0, 1, (p + q) / 2)",
    "relu_squared": "2 * where(x <= 0, 0, x)",
    "hardshrink": "where(abs(x) > p, one, 0)",
    "softshrink": "where(abs(x) > p, one, 0)",
    "hardsigmoid": "where(abs(x) < 3, one / 6, 0)",
    "hardswish": "where(x <= -3, 0, where(x >= 3, 1, (2 * x + 3) / 6))",
    "softsign": "1 / (1 + abs(x)) ** 2",
    "squareplus": "(1 + x / sqrt(x * x + p)) / 2",
    "sparse_plus": "where(x <= -1, 0, where(x >= 1, one, (x + 1) / 2))",
    "sparse_sigmoid": "where(abs(x) < 1, one / 2, 0)",
    "elu": "where(x > 0, 1, p * exp(x))",
    "selu": "where(x > 0, p, q * exp(x))",
    "sigmoid": "exp(-abs(x)) / (1 + exp(-abs(x))) ** 2",
    "tanh": "1 - tanh(x) ** 2",
    "swish": "(1 + p * x / (1 + exp(p * x))) / (1 + exp(-p * x))",
    "softplus": "1 / (1 + exp(-p * x))",
    "logsigmoid": "1 / (1 + exp(x))",
    "gelu_tanh": "(1 + x * (p + 3 * q * x * x) / (1 + exp(x * (p + q * x * x)))) / (1 + exp(-x * (p + q * x * x)))",
    "quick_gelu": "(1 + p * x / (1 + exp(p * x))) / (1 + exp(-p * x))",
    "mish": "tanh(log1p(exp(x))) + x * (1 - tanh(log1p(exp(x))) ** 2) / (1 + exp(-x))",
    "exponential": "exp(x)",
    "celu": "where(x > 0, 1, exp(x / p))",
    "tanhshrink": "tanh(x) ** 2",
    "softcap": "1 - tanh(x / p) ** 2",
}
#: In the output, which is called x here, too.
FROM_OUTPUT = {
    "relu": DERIVATIVE["relu"],
    "leaky_relu": DERIVATIVE["leaky_relu"],
    "elu": "where(x > 0, 1, x + p)",
    "selu": "where(x > 0, p, x + q)",
    "sigmoid": "x * (1 - x)",
    "tanh": "1 - x ** 2",
    "softplus": "-expm1(-p * x)",
    "exponential": "x",
    "celu": "where(x > 0, 1, (x + p) / p)",
}
EXPRESSIONS = {"value": VALUE, "derivative": DERIVATIVE, "backward": DERIVATIVE, "backward_from_output": FROM_OUTPUT}

reason = functools.partial(peers.missing, "numexpr", "numexpr", "numexpr")
variants = peers.variants
bind = functools.partial(peers.bind, __name__)
fixed_threads = peers.adjustable
to_numpy = np.asarray


def absent(record: Activation, form: str, dtype: type | None = None) -> str | None:
    if not record.elementwise:
        return f"numexpr has no {record.name}: an expression can't hold a sum over a row"
    if record.name == "identity":
        return "numexpr has no identity: it computes nothing"
    if record.name not in VALUE:
        return f"numexpr has no {record.name}: its functions lack erfc"
    if form not in EXPRESSIONS:
        return f"numexpr has no {form}: an expression gives one array"
    return peers.without_halves("numexpr", dtype)


def takes_out(record: Activation, form: str) -> bool:
    return True


def to_own(array: np.ndarray) -> np.ndarray:
    return array


@contextlib.contextmanager
def running() -> Iterator[None]:
    import numexpr

    before, count = numexpr.get_num_threads(), threads.get_num_threads()
    # Setting them starts threads anew.
    if count != before:
        numexpr.set_num_threads(count)
    try:
        yield
    finally:
        if count != before:
            numexpr.set_num_threads(before)


def own(record: Activation, form: str, dtype: type, params: tuple, into: bool) -> Callable:
    text = EXPRESSIONS[form][record.name]
    if not form.startswith("backward"):
        return _compiled(text, ("x",), record.name, dtype, params)
    text = text.replace("one", "g") if record.name == "relu" else f"g * ({text})"
    return _compiled(text, ("g", "x"), record.name, dtype, params)


def _compiled(text: str, arrays: tuple[str, ...], name: str, dtype: type, params: tuple) -> Callable:
    import numexpr

    given = CONSTANTS.get(name, params)
    constants = {n: dtype(p) for n, p in zip("pq", given, strict=False)} | {"one": dtype(1)}
    used = {n: constant for n, constant in constants.items() if n in numexpr.necompiler.getExprNames(text, {})[0]}
    # numexpr's name for float32 is ``float``.
    kind = float if dtype is np.float32 else np.double
    compiled = functools.partial(numexpr.NumExpr(text, [(n, kind) for n in (*arrays, *used)]), ex_uses_vml=False)
    if not used:
        return compiled
    values = tuple(used.values())
    return lambda *data, out=None: compiled(*data, *values, out=out)
