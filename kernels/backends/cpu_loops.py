"""The serial kernels of elementwise functions and of gated pairs, compiled one by one when they are first asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import cfunc, from_dtype, types

from kernels.activations import Activation, lookup
from kernels.backends import numba_halves
from kernels.backends.cpu_primitives import bits, formulas, from_bits, jit, pointer, primitives
from kernels.backends.numba_formulas import TYPES

#: Compiled kernels are never freed: their addresses live on in plans and closures.
_kept: list[object] = []


def compiled(function: Callable, compute: str, params: type | None = None) -> object:
    """A kernel in a format, whose parameters are of the same type unless another is given."""
    real = TYPES[compute]
    return compiled_typed(function, real, real, params or real)


def compiled_typed(function: Callable, *arrays: type) -> object:
    """A kernel for elements of x, out and params of these types."""
    x, out, params = (types.CPointer(from_dtype(np.dtype(one))) for one in arrays)
    kernel = cfunc(types.void(x, out, types.intp, params), error_model="numpy", nopython=True)(function)
    _kept.append(kernel)
    return kernel


def _loop(formula: Callable, parameters: int, each: bool) -> Callable:
    """The one loop text: how a formula is applied to n elements."""
    if parameters == 0:

        def loop(x, out, n, params):
            for i in range(n):
                out[i] = formula(x[i])

    elif each:

        def loop(x, out, n, params):
            for i in range(n):
                out[i] = formula(x[i], params[i])

    elif parameters == 1:

        def loop(x, out, n, params):
            first = params[0]
            for i in range(n):
                out[i] = formula(x[i], first)

    else:

        def loop(x, out, n, params):
            first, second = params[0], params[1]
            for i in range(n):
                out[i] = formula(x[i], first, second)

    return loop


@functools.cache
def elementwise(formula: str, compute: str, parameters: int, each: bool = False) -> object:
    """The compiled loop around one scalar formula; its ``.address`` is the kernel."""
    return compiled(_loop(formulas(compute)[formula], parameters, each), compute)


@functools.cache
def conversions(half: str, compute: type) -> tuple[object, object]:
    """The steps that load a half type's bit patterns as numbers and save numbers as such, rounded once."""
    needs = {"bits": bits, "from_bits": from_bits, "copy_sign": primitives(np.float64)["copy_sign"]}
    widened, narrowed = numba_halves.bind(half, needs, jit)
    narrow = jit(lambda x: narrowed(np.float64(x)))
    load = compiled_typed(_loop(widened, 0, False), np.uint16, compute, compute)
    return load, compiled_typed(_loop(narrow, 0, False), compute, np.uint16, compute)


@functools.cache
def gated(name: str, form: str, compute: str) -> object:
    """The compiled loop of a gated pair: of its first half.

    The parameters are the addresses of the second half, of grad_output and of the second half's gradient.
    """
    record = lookup(name)
    gate, slope = _gate(record, "", compute), _gate(record, "_derivative", compute)

    def value(a, out, n, params):
        b = pointer(params[0], a)
        for i in range(n):
            out[i] = a[i] * gate(b[i])

    def backward(a, out, n, params):
        b, g, second = pointer(params[0], a), pointer(params[1], a), pointer(params[2], a)
        for i in range(n):
            first = g[i] * gate(b[i])
            second[i] = (g[i] * a[i]) * slope(b[i])
            out[i] = first

    return compiled(value if form == "value" else backward, compute, np.intp)


def _gate(record: Activation, ending: str, compute: str) -> Callable:
    """A formula of the gate with its parameters."""
    gate = lookup(record.gate)
    format_ = gate.format_of(gate.name + ending, compute)
    formula, real = formulas(format_)[gate.name + ending], formulas(format_)["real"]
    beta = real(record.gate_parameters[0]) if record.gate_parameters else None
    return formula if beta is None else jit(lambda x: formula(x, beta))
