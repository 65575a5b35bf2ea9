"""The Numba CPU backend: serial kernels compiled one by one, one parallel driver over their addresses.

A kernel is a ``cfunc`` of the same C signature as the Cython loops (x, out, n, params). The driver,
``@njit(parallel=True)``, deals blocks of the arrays to threads and calls the kernels by address, so that it compiles
once for every activation, and a new activation costs one small serial compilation a formula."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable

import numpy as np

from kernels import threads
from kernels.activations import Activation
from kernels.backends.cython_loops import jacobian
from kernels.constants import LANES, inside
from kernels.half import format_behind, is_half, through_float32

_INSTALL = 'pip install "activation-kernels[numba]"'
#: From this many elements on, the parallel driver runs.
THREADS_FROM = 131_072
#: Elements of a block: what a block needs stays in the first-level cache.
BLOCK = 1024

#: Numba's workqueue layer aborts on concurrent calls, whichever layer is in use is known only later.
_lock = threading.Lock()


def _after_fork() -> None:
    # Another thread may have held the lock.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def reason() -> str | None:
    try:
        import numba  # noqa: F401
    except ImportError as error:
        return f"numba can't be imported ({error}); {_INSTALL}"
    return None


def variants() -> tuple[str, ...]:
    return ()


# ---------------------------------------------------------------- primitives
@functools.cache
def formulas(compute: str) -> dict[str, Callable]:
    """The scalar formulas for a format, compiled lazily as inlined functions."""
    from numba import njit

    from kernels.backends.numba_formulas import TYPES, bind

    return bind(compute, primitives(TYPES[compute]), njit(error_model="numpy"))


def primitives(dtype: type) -> dict[str, Callable]:
    """fma and the square root as the processor's instructions, powers of two and signs as bits."""
    from llvmlite import ir
    from numba.extending import intrinsic

    from kernels.backends.numba_formulas import SIGNIFICAND_BITS

    integer = ir.IntType(8 * dtype().itemsize)

    @intrinsic
    def fma(_, a, b, c):
        return a(a, a, a), lambda context, builder, sig, args: builder.fma(*args)

    @intrinsic
    def power_of_two(_, z):
        def generate(context, builder, sig, args):
            bits = builder.shl(builder.bitcast(args[0], integer), integer(SIGNIFICAND_BITS[dtype]))
            return builder.bitcast(bits, args[0].type)

        return z(z), generate

    @intrinsic
    def sqrt(_, x):
        def generate(context, builder, sig, args):
            return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [args[0].type]), args)

        return x(x), generate

    @intrinsic
    def copy_sign(_, x, sign):
        def generate(context, builder, sig, args):
            number = args[0].type
            pair = ir.FunctionType(number, [number, number])
            return builder.call(builder.module.declare_intrinsic("llvm.copysign", [number], pair), args)

        return x(x, sign), generate

    return {"fma": fma, "power_of_two": power_of_two, "copy_sign": copy_sign, "sqrt": sqrt}


def bit_primitives() -> dict[str, Callable]:
    """A float64's bits as an integer, and back."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def bits(_, x):
        return types.int64(x), lambda context, builder, sig, args: builder.bitcast(args[0], ir.IntType(64))

    @intrinsic
    def from_bits(_, word):
        return types.float64(word), lambda context, builder, sig, args: builder.bitcast(args[0], ir.DoubleType())

    return {"bits": bits, "from_bits": from_bits}


@functools.cache
def _tools():
    """Intrinsics: call a kernel by address, an array on the stack, a pointer from an address."""
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def call(_, address, x, out, n, params, kept):
        # The arrays themselves are arguments, so that none is freed before the kernel has run.
        def generate(context, builder, sig, args):
            byte_pointer = ir.IntType(8).as_pointer()
            word = context.get_value_type(types.intp)

            def data(k):
                array = context.make_array(sig.args[k])(context, builder, args[k])
                return builder.bitcast(array.data, byte_pointer)

            kernel_type = ir.FunctionType(ir.VoidType(), [byte_pointer, byte_pointer, word, byte_pointer])
            kernel = builder.inttoptr(args[0], kernel_type.as_pointer())
            builder.call(kernel, [data(1), data(2), args[3], data(4)])
            return context.get_dummy_value()

        return types.void(address, x, out, n, params, kept), generate

    @intrinsic
    def lanes(_, start):
        """An array of LANES numbers on the stack, all ``start``."""

        def generate(context, builder, sig, args):
            array = cgutils.alloca_once(builder, context.get_value_type(start), size=ir.IntType(32)(LANES))
            for j in range(LANES):
                builder.store(args[0], builder.gep(array, [ir.IntType(32)(j)]))
            return array

        return types.CPointer(start)(start), generate

    @intrinsic
    def pointer(_, address, like):
        def generate(context, builder, sig, args):
            return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

        return like(address, like), generate

    return call, lanes, pointer


# ---------------------------------------------------------------- kernels
def _compile(function: Callable, compute: str, params: type | None = None) -> object:
    """A kernel in a format, whose parameters are of the same type unless another is given."""
    from kernels.backends.numba_formulas import TYPES

    real = TYPES[compute]
    return _compile_typed(function, real, real, params or real)


def _compile_typed(function: Callable, *arrays: type) -> object:
    """A kernel for elements of x, out and params of these types."""
    from numba import cfunc, from_dtype, types

    x, out, params = (types.CPointer(from_dtype(np.dtype(one))) for one in arrays)
    kernel = cfunc(types.void(x, out, types.intp, params), error_model="numpy", nopython=True)(function)
    _kept.append(kernel)
    return kernel


#: Compiled kernels are never freed: their addresses live on in plans and closures.
_kept: list[object] = []


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
    return _compile(_loop(formulas(compute)[formula], parameters, each), compute)


@functools.cache
def conversions(half: str) -> tuple[object, object]:
    """The steps that load a half type's bit patterns as float64 and save float64 as such, rounded once."""
    from numba import njit

    from kernels.backends import numba_halves

    needs = bit_primitives() | {"copy_sign": primitives(np.float64)["copy_sign"]}
    widened, narrowed = numba_halves.bind(half, needs, njit(error_model="numpy"))
    load = _compile_typed(_loop(widened, 0, False), np.uint16, np.float64, np.float64)
    return load, _compile_typed(_loop(narrowed, 0, False), np.float64, np.uint16, np.float64)


@functools.cache
def row(name: str, compute: str) -> tuple[object, object]:
    """(value, backward from output) of a row function: the same signature, n is the row's length.

    The parameters are the number of rows and, for a gradient, the address of grad_output.
    """
    return tuple(_compile(_each_row(text(name, compute)), compute, np.intp) for text in (_row_value, _row_gradient))


def _each_row(one_row: Callable) -> Callable:
    from numba import njit

    compiled = njit(error_model="numpy")(one_row)
    pointer = _tools()[2]

    def rows(x, out, n, params):
        g = pointer(params[1], x)
        for r in range(params[0]):
            compiled(x, out, g, r * n, n)

    return rows


def _row_value(name: str, compute: str) -> Callable:
    text = formulas(compute)
    term, value, rounding = text[f"{name}_term"], text[f"{name}_value"], text["rounding_of_sum"]
    real, start = text["real"], text["SUM_START"]
    lowest, zero = real(-np.inf), real(0)
    lanes = _tools()[1]
    largest_of, sum_tree = _tree(_larger), _tree(_sum)
    reciprocal = _reciprocal(real)

    def forward(x, out, g, begin, n):
        end = begin + n
        whole = end - n % LANES
        tops = lanes(lowest)
        for first in range(begin, whole, LANES):
            for j in range(LANES):
                tops[j] = x[first + j] if x[first + j] > tops[j] else tops[j]
        for i in range(whole, end):
            tops[i - whole] = x[i] if x[i] > tops[i - whole] else tops[i - whole]
        largest = largest_of(tops)
        for i in range(begin, end):
            out[i] = term(x[i], largest)
        sums, lost = lanes(start), lanes(zero)
        for first in range(begin, whole, LANES):
            for j in range(LANES):
                total = sums[j] + out[first + j]
                lost[j] += rounding(total, out[first + j], sums[j])
                sums[j] = total
        for i in range(whole, end):
            total = sums[i - whole] + out[i]
            lost[i - whole] += rounding(total, out[i], sums[i - whole])
            sums[i - whole] = total
        totals, rests = lanes(0.0), lanes(0.0)
        for j in range(LANES):
            totals[j] = np.float64(sums[j]) - np.float64(start)
            rests[j] = np.float64(lost[j])
        high, low = reciprocal(totals, rests, sum_tree)
        for i in range(begin, end):
            out[i] = value(out[i], high, low)

    return forward


def _row_gradient(name: str, compute: str) -> Callable:
    text = formulas(compute)
    product, gradient = text[f"{name}_product"], text[f"{name}_gradient"]
    lanes, sum_tree = _tools()[1], _tree(_sum)
    real = text["real"]

    def backward(y, out, g, begin, n):
        end = begin + n
        sums = lanes(0.0)
        whole = end - n % LANES
        for start in range(begin, whole, LANES):
            for j in range(LANES):
                sums[j] += np.float64(product(g[start + j], y[start + j]))
        for i in range(whole, end):
            sums[i - whole] += np.float64(product(g[i], y[i]))
        total = real(sum_tree(sums))
        for i in range(begin, end):
            out[i] = gradient(g[i], y[i], total)

    return backward


@functools.cache
def _reciprocal(dtype: type) -> Callable:
    """1 / (the sum of the terms), as the sum of two numbers of ``dtype``."""
    from numba import njit

    rounding = formulas("float64")["rounding_of_reciprocal"]

    def of_single(totals, rests, sum_tree):
        for j in range(LANES):
            totals[j] += rests[j]
        reciprocal = 1.0 / sum_tree(totals)
        high = np.float32(reciprocal)
        return high, np.float32(reciprocal - np.float64(high))

    def of_double(totals, rests, sum_tree):
        sum_, low = sum_tree(totals), sum_tree(rests)
        total = sum_ + low
        low -= total - sum_
        reciprocal = 1.0 / total
        return reciprocal, rounding(reciprocal, total, low)

    return njit(error_model="numpy")(of_single if dtype is np.float32 else of_double)


def _larger(a, b):
    return b if b > a else a


def _sum(a, b):
    return a + b


@functools.cache
def _tree(combine: Callable) -> Callable:
    """The fixed tree over LANES numbers, which it overwrites."""
    from numba import njit

    both = njit(error_model="numpy")(combine)

    @njit(error_model="numpy")
    def tree(values):
        half = LANES // 2
        while half:
            for j in range(half):
                values[j] = both(values[j], values[j + half])
            half //= 2
        return values[0]

    return tree


# ---------------------------------------------------------------- drivers
@functools.cache
def drivers(dtype: type, compute: type, parallel: bool) -> tuple[Callable, Callable]:
    """(elementwise, rows): the loops over blocks and rows, for arrays of ``dtype`` computed in ``compute``."""
    from numba import njit, prange

    call = _tools()[0]
    span = prange if parallel else range
    compiled = njit(parallel=parallel, error_model="numpy", nogil=True)
    same = dtype is compute

    def over_blocks(first, second, x, g, out, out2, params, each):
        """Kernel ``first`` gives out (times g where g is not empty), kernel ``second`` out2 where it is not 0."""
        source_at = x.ctypes.data
        direct = same and not g.size and source_at != out.ctypes.data and source_at != out2.ctypes.data
        for k in span((x.size + BLOCK - 1) // BLOCK):
            start = k * BLOCK
            stop = min(start + BLOCK, x.size)
            values = params[start:stop] if each else params
            if direct:
                call(first, x[start:stop], out[start:stop], stop - start, values, values)
                if second:
                    call(second, x[start:stop], out2[start:stop], stop - start, values, values)
                continue
            source = x[start:stop].astype(compute)
            result = np.empty(stop - start, compute)
            call(first, source, result, stop - start, values, values)
            if g.size:
                for i in range(stop - start):
                    out[start + i] = compute(g[start + i]) * result[i]
            else:
                for i in range(stop - start):
                    out[start + i] = result[i]
            if second:
                call(second, source, result, stop - start, values, values)
                for i in range(stop - start):
                    out2[start + i] = result[i]

    def over_rows(first, second, x, g, out):
        """``first`` turns x into y where it is not 0; ``second`` turns (g, y) into the gradient where it is not 0."""
        n = x.shape[1]
        for k in span(x.shape[0]):
            y = x[k].astype(compute)
            result = np.empty(n, compute)
            gradient = g[k].astype(compute)
            params = np.array([1, gradient.ctypes.data], np.intp)
            if first:
                call(first, y, result, n, params, gradient)
            if second:
                if first:
                    y[:] = result
                call(second, y, result, n, params, gradient)
            for i in range(n):
                out[k, i] = result[i]

    return compiled(over_blocks), compiled(over_rows)


def _driver(which: int, dtype: type, compute: type, parallel: bool) -> Callable:
    return drivers(dtype, compute, parallel)[which]


@functools.cache
def half_driver(parallel: bool) -> Callable:
    """The loop over blocks of a half type's bit patterns, computed in float64."""
    from numba import njit, prange

    call = _tools()[0]
    span = prange if parallel else range

    def over_blocks(load, save, first, second, x, g, out, out2, params, each):
        for k in span((x.size + BLOCK - 1) // BLOCK):
            start = k * BLOCK
            stop = min(start + BLOCK, x.size)
            n = stop - start
            source, result, other = np.empty(n), np.empty(n), np.empty(n)
            call(load, x[start:stop], source, n, result, result)
            if each:
                call(load, params[start:stop], other, n, result, result)
                call(first, source, result, n, other, other)
            else:
                call(first, source, result, n, params, params)
            if g.size:
                call(load, g[start:stop], other, n, result, result)
                for i in range(n):
                    result[i] = other[i] * result[i]
            call(save, result, out[start:stop], n, result, result)
            if second:
                if each:
                    call(second, source, result, n, other, other)
                else:
                    call(second, source, result, n, params, params)
                call(save, result, out2[start:stop], n, result, result)

    return njit(parallel=parallel, error_model="numpy", nogil=True)(over_blocks)


def _run(driver: Callable[[bool], Callable], size: int, args: tuple) -> None:
    """The serial driver for little work and in a forked child, else the parallel one, one call at a time."""
    if size < THREADS_FROM or threads.get_num_threads() == 1:
        driver(False)(*args)
        return
    import numba

    with _lock:
        before = numba.get_num_threads()
        numba.set_num_threads(min(threads.get_num_threads(), numba.config.NUMBA_NUM_THREADS))
        try:
            driver(True)(*args)
        finally:
            numba.set_num_threads(before)


def bind(record: Activation, form: str, dtype: type, accuracy: str, variant: str | None = None) -> Callable:
    if form == "jacobian":
        return jacobian(lambda inside: bind(record, "value", inside, accuracy), accuracy)
    if is_half(dtype) and not record.elementwise:
        return through_float32(bind(record, form, np.float32, "fast"))
    compute = format_behind(form) if is_half(dtype) else inside(np.dtype(dtype).name, accuracy)
    if record.elementwise:
        return _bind_elementwise(record, form, dtype, compute)
    return _bind_rows(record, form, dtype, compute)


def _bind_elementwise(record: Activation, form: str, dtype: type, compute: str) -> Callable:
    from kernels.backends.cython_loops import formulas as names

    first, second = names(record, form)
    count = len(record.parameters)
    inputs = 2 if form.startswith("backward") else 1
    nothing = np.empty(0, dtype)
    real = formulas(compute)["real"]
    halves = is_half(dtype)
    steps = tuple(step.address for step in conversions(np.dtype(dtype).name)) if halves else ()
    driver = half_driver if halves else functools.partial(_driver, 0, dtype, real)

    def address(formula: str | None, each: bool) -> int:
        return elementwise(formula, record.format_of(formula, compute), count, each).address if formula else 0

    plain = (address(first, False), address(second, False))

    def kernel(*args, out=None):
        x, params = args[inputs - 1], args[inputs:]
        g = args[0] if inputs == 2 else nothing
        if out is None:
            out = np.empty_like(x)
            out = (out, np.empty_like(x)) if second else out
        each = bool(params) and isinstance(params[0], np.ndarray)
        values = params[0] if each and halves else np.asarray(params[0] if each else params, real)
        pair = (address(first, True), address(second, True)) if each else plain
        one, two = out if second else (out, nothing)
        arrays = (x, g, one, two)
        if halves:
            arrays = tuple(array.view(np.uint16) for array in arrays)
            values = values.view(np.uint16) if each else values
        _run(driver, x.size, (*steps, *pair, *arrays, values, each))
        return out

    return kernel


def _bind_rows(record: Activation, form: str, dtype: type, compute: str) -> Callable:
    compute = record.format_of(record.name, compute)
    forward, backward = row(record.name, compute)
    real = formulas(compute)["real"]
    first = 0 if form == "backward_from_output" else forward.address
    second = 0 if form == "value" else backward.address
    driver = functools.partial(_driver, 1, dtype, real)

    def kernel(*args, out=None):
        x = args[-1]
        out = np.empty_like(x) if out is None else out
        _run(driver, x.size, (first, second, x, args[0], out))
        return out

    return kernel
