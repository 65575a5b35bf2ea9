"""The Numba CPU backend: serial kernels compiled one by one, one parallel driver over their addresses.

A kernel is a ``cfunc`` of the same C signature as the Cython loops (x, out, n, params). The driver,
``@njit(parallel=True)``, deals blocks of the arrays to threads and calls the kernels by address, so that it compiles
once for every activation, and a new activation costs one small serial compilation a formula."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator

import numpy as np

from kernels import threads
from kernels.activations import RECORDS, Activation, lookup
from kernels.backends import jacobians
from kernels.constants import LANES, inside
from kernels.half import format_behind, is_half, through_float32

_INSTALL = 'pip install "activation-kernels[numba]"'
#: From this many elements on, the parallel driver runs.
THREADS_FROM = 131_072
#: Numbers of a half type: as many elements pay for computing all results.
CODES = 65_536
#: From this many elements on, calls of a half type look their results up.
LOOK_UP_FROM = 4096
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
def row(loop: str, compute: str) -> object:
    """The compiled loop of a row function, called as in the Cython text: the same signature, n is the row's length.

    The parameters are the number of rows and, for a gradient, the address of grad_output.
    """
    name = next(one.name for one in RECORDS if one.kind == "row" and loop in (one.name, *one.row_loops))
    if lookup(name).normaliser == "threshold":
        text = _projection(name, loop, compute)
    elif loop == name:
        text = _row_value(name, compute)
    else:
        text = _row_gradient(name, loop.removesuffix("_rows"), compute)
    return _compile(_each_row(text), compute, np.intp)


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
    term, value = text[f"{name}_term"], text[f"{name}_value"]
    largest_of, lanes, tree, real = _largest_of(name, compute), _tools()[1], _tree(_sum), text["real"]
    add_kept, add_terms = _add_terms(text["kept_term"], compute), _add_terms(term, compute)
    reciprocal, logarithm_of = _reciprocal(real), _logarithm(real)

    def divided(x, out, g, begin, n):
        totals, rests = lanes(0.0), lanes(0.0)
        largest = largest_of(x, begin, n)
        for i in range(begin, begin + n):
            out[i] = term(x[i], largest)
        add_kept(out, begin, n, largest, totals, rests)
        high, low = reciprocal(totals, rests, tree)
        for i in range(begin, begin + n):
            out[i] = value(out[i], high, low)

    def subtracted(x, out, g, begin, n):
        totals, rests = lanes(0.0), lanes(0.0)
        largest = largest_of(x, begin, n)
        add_terms(x, begin, n, largest, totals, rests)
        logarithm = logarithm_of(totals, rests, tree)
        for i in range(begin, begin + n):
            out[i] = value(x[i], largest, logarithm)

    return subtracted if lookup(name).normaliser == "logarithm" else divided


def _largest_of(name: str, compute: str) -> Callable:
    from numba import njit

    text = formulas(compute)
    entry, lowest, lanes, larger = text[f"{name}_entry"], text["real"](-np.inf), _tools()[1], _tree(_larger)

    @njit(error_model="numpy")
    def largest_of(x, begin, n):
        end = begin + n
        whole = end - n % LANES
        tops = lanes(lowest)
        for first in range(begin, whole, LANES):
            for j in range(LANES):
                one = entry(x[first + j])
                tops[j] = one if one > tops[j] else tops[j]
        for i in range(whole, end):
            one = entry(x[i])
            tops[i - whole] = one if one > tops[i - whole] else tops[i - whole]
        return larger(tops)

    return largest_of


def _add_terms(term: Callable, compute: str) -> Callable:
    """The sums of a row's terms, a lane each, and what rounding took from them."""
    from numba import njit

    text = formulas(compute)
    rounding, start, zero, lanes = text["rounding_of_sum"], text["SUM_START"], text["real"](0), _tools()[1]

    @njit(error_model="numpy")
    def add_terms(x, begin, n, largest, totals, rests):
        end = begin + n
        whole = end - n % LANES
        sums, lost = lanes(start), lanes(zero)
        for first in range(begin, whole, LANES):
            for j in range(LANES):
                one = term(x[first + j], largest)
                total = sums[j] + one
                lost[j] += rounding(total, one, sums[j])
                sums[j] = total
        for i in range(whole, end):
            one = term(x[i], largest)
            total = sums[i - whole] + one
            lost[i - whole] += rounding(total, one, sums[i - whole])
            sums[i - whole] = total
        for j in range(LANES):
            totals[j] = np.float64(sums[j]) - np.float64(start)
            rests[j] = np.float64(lost[j])

    return add_terms


def _projection(name: str, loop: str, compute: str) -> Callable:
    """The loops of a projection, which computes in float64 whatever its arrays are."""
    text, wide = formulas(compute), formulas("float64")
    largest_of, threshold_of, mean_of = _largest_of(name, compute), _threshold(), _mean()
    value, gradient, real, zero = wide[f"{name}_value"], wide[f"{name}_gradient"], text["real"], 0.0

    def forward(x, out, g, begin, n):
        largest = np.float64(largest_of(x, begin, n))
        threshold = threshold_of(x, begin, n, largest)
        for i in range(begin, begin + n):
            out[i] = real(value(np.float64(x[i]) - largest, threshold))

    def backward(x, out, g, begin, n):
        largest = np.float64(largest_of(x, begin, n))
        threshold = threshold_of(x, begin, n, largest)
        mean = mean_of(x, g, begin, n, largest, threshold)
        for i in range(begin, begin + n):
            out[i] = real(gradient(np.float64(g[i]), np.float64(x[i]) - largest, threshold, mean))

    def from_output(y, out, g, begin, n):
        mean = mean_of(y, g, begin, n, zero, zero)
        for i in range(begin, begin + n):
            out[i] = real(gradient(np.float64(g[i]), np.float64(y[i]), zero, mean))

    return {name: forward, f"{name}_backward_rows": backward, f"{name}_gradient_rows": from_output}[loop]


@functools.cache
def _threshold() -> Callable:
    """Michelot's: of what is above a threshold that is too low, the one that makes its sum 1, until nothing falls."""
    from numba import njit

    lanes, tree = _tools()[1], _tree(_sum)

    @njit(error_model="numpy")
    def threshold_of(x, begin, n, largest):
        threshold, whole = -1.0, begin + n - n % LANES
        while True:
            sums, counts = lanes(0.0), lanes(0.0)
            for first in range(begin, whole, LANES):
                for j in range(LANES):
                    z = np.float64(x[first + j]) - largest
                    sums[j] += 0.0 if z <= threshold else z
                    counts[j] += 0.0 if z <= threshold else 1.0
            for i in range(whole, begin + n):
                z = np.float64(x[i]) - largest
                sums[i - whole] += 0.0 if z <= threshold else z
                counts[i - whole] += 0.0 if z <= threshold else 1.0
            higher = (tree(sums) - 1.0) / tree(counts)
            if not higher > threshold:
                return higher
            threshold = higher

    return threshold_of


@functools.cache
def _mean() -> Callable:
    """Of g, where x is above the threshold; NaN where that is."""
    from numba import njit

    lanes, tree = _tools()[1], _tree(_sum)

    @njit(error_model="numpy")
    def mean_of(x, g, begin, n, largest, threshold):
        sums, counts = lanes(0.0), lanes(0.0)
        for i in range(n):
            z = np.float64(x[begin + i]) - largest
            sums[i % LANES] += 0.0 if z <= threshold else np.float64(g[begin + i])
            counts[i % LANES] += 0.0 if z <= threshold else 1.0
        return tree(sums) / tree(counts) + (threshold - threshold)

    return mean_of


def _row_gradient(name: str, formula: str, compute: str) -> Callable:
    text = formulas(compute)
    product, gradient = text[f"{name}_product"], text[formula]
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


@functools.cache
def _logarithm(dtype: type) -> Callable:
    """The logarithm of the sum of the terms, the largest of which is 1."""
    from numba import njit

    logarithm_of_sum = formulas("float64")["logarithm_of_sum"]
    up, down = (np.float64(formulas(np.dtype(dtype).name)[name]) for name in ("UP", "DOWN"))

    @njit(error_model="numpy")
    def logarithm(totals, rests, sum_tree):
        return dtype(logarithm_of_sum(sum_tree(totals), sum_tree(rests), up, down))

    return logarithm


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


@functools.cache
def gated(name: str, form: str, compute: str) -> object:
    """The compiled loop of a gated pair: of its first half.

    The parameters are the addresses of the second half, of grad_output and of the second half's gradient.
    """
    record = lookup(name)
    gate, slope = _gate(record, "", compute), _gate(record, "_derivative", compute)
    pointer = _tools()[2]

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

    return _compile(value if form == "value" else backward, compute, np.intp)


def _gate(record: Activation, ending: str, compute: str) -> Callable:
    """A formula of the gate with its parameters."""
    from numba import njit

    gate = lookup(record.gate)
    format_ = gate.format_of(gate.name + ending, compute)
    formula, real = formulas(format_)[gate.name + ending], formulas(format_)["real"]
    beta = real(record.gate_parameters[0]) if record.gate_parameters else None
    return formula if beta is None else njit(error_model="numpy")(lambda x: formula(x, beta))


# ---------------------------------------------------------------- drivers
@functools.cache
def drivers(dtype: type, compute: type, parallel: bool) -> tuple[Callable, Callable, Callable]:
    """(elementwise, rows, gated): the loops over blocks and rows, for arrays of ``dtype`` computed in ``compute``."""
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

    def over_pairs(kernel, x, g, out):
        """Blocks of the halves of x's rows into ``out``, in one half of which or in two the results are."""
        half = x.shape[1] // 2
        blocks = (half + BLOCK - 1) // BLOCK
        two = out.shape[1] > half
        for k in span(x.shape[0] * blocks):
            r, start = k // blocks, k % blocks * BLOCK
            stop = min(start + BLOCK, half)
            a, b = x[r, start:stop].astype(compute), x[r, half + start : half + stop].astype(compute)
            gradient = g[r, start:stop].astype(compute)
            first, second = np.empty(stop - start, compute), np.empty(stop - start, compute)
            params = np.array([b.ctypes.data, gradient.ctypes.data, second.ctypes.data], np.intp)
            call(kernel, a, first, stop - start, params, (b, gradient, second))
            for i in range(stop - start):
                out[r, start + i] = first[i]
            if two:
                for i in range(stop - start):
                    out[r, half + start + i] = second[i]

    return compiled(over_blocks), compiled(over_rows), compiled(over_pairs)


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


@functools.cache
def look_up_driver(parallel: bool) -> Callable:
    """The loop from a half type's bit patterns to those of one or two results, of which all are known."""
    from numba import njit, prange

    span = prange if parallel else range

    def over_codes(first, second, x, out, out2):
        for i in span(x.size):
            code = x[i]
            out[i] = first[code]
            if second.size:
                out2[i] = second[code]

    return njit(parallel=parallel, error_model="numpy", nogil=True)(over_codes)


def _run(driver: Callable[[bool], Callable], size: int, args: tuple) -> None:
    """The serial driver for little work and in a forked child, else the parallel one, one call at a time."""
    if size < THREADS_FROM or threads.get_num_threads() == 1:
        driver(False)(*args)
        return
    with parallel_region():
        driver(True)(*args)


@contextlib.contextmanager
def parallel_region() -> Iterator[None]:
    """One parallel call at a time, in as many threads as are set."""
    import numba

    with _lock:
        before = numba.get_num_threads()
        numba.set_num_threads(min(threads.get_num_threads(), numba.config.NUMBA_NUM_THREADS))
        try:
            yield
        finally:
            numba.set_num_threads(before)


def bind(record: Activation, form: str, dtype: type, accuracy: str, variant: str | None = None) -> Callable:
    if form == "jacobian":
        return jacobians.bind(record, lambda one, inside: bind(one, "value", inside, accuracy), accuracy)
    if is_half(dtype) and not record.elementwise:
        return through_float32(bind(record, form, np.float32, "fast"))
    compute = format_behind(form) if is_half(dtype) else inside(np.dtype(dtype).name, accuracy)
    if record.elementwise:
        return _bind_elementwise(record, form, dtype, compute)
    if record.gate:
        return _bind_gated(record, form, dtype, compute)
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
            if x.size >= LOOK_UP_FROM and inputs == 1 and not each and is_paid(values.tobytes(), x.size):
                _run(look_up_driver, x.size, (*every_result(values.tobytes()), arrays[0], *arrays[2:]))
                return out
        _run(driver, x.size, (*steps, *pair, *arrays, values, each))
        return out

    elements = {}

    def is_paid(params: bytes, n: int) -> bool:
        """Whether, with n more elements, as many as there are numbers have gone through with the same parameters."""
        count = elements.get(params, 0) + n
        elements.clear()
        elements[params] = count
        return count >= CODES

    @functools.lru_cache(maxsize=1)
    def every_result(params: bytes) -> tuple[np.ndarray, np.ndarray]:
        """The bit patterns of all results for parameters in float64, of the second output, too, or none."""
        codes, none = np.arange(CODES, dtype=np.uint16), np.empty(0, np.uint16)
        one, two = np.empty_like(codes), np.empty_like(codes) if second else none
        _run(driver, CODES, (*steps, *plain, codes, none, one, two, np.array(np.frombuffer(params)), False))
        return one, two

    return kernel


def _bind_rows(record: Activation, form: str, dtype: type, compute: str) -> Callable:
    compute = record.format_of(record.name, compute)
    from kernels.backends.cython_loops import formulas as names

    value, gradient = names(record, form)
    real = formulas(compute)["real"]
    projects = record.normaliser == "threshold" and form == "backward"
    first = 0 if form == "backward_from_output" or projects else row(value, compute).address
    second = 0 if form == "value" else row(gradient, compute).address
    driver = functools.partial(_driver, 1, dtype, real)

    def kernel(*args, out=None):
        x = args[-1]
        out = np.empty_like(x) if out is None else out
        _run(driver, x.size, (first, second, x, args[0], out))
        return out

    return kernel


def _bind_gated(record: Activation, form: str, dtype: type, compute: str) -> Callable:
    real, address = formulas(compute)["real"], gated(record.name, form, compute).address
    driver = functools.partial(_driver, 2, dtype, real)

    def kernel(*args, out=None):
        x = args[-1]
        out = np.empty(record.result_shape(form, x.shape), dtype) if out is None else out
        _run(driver, x.size, (address, x, args[0], out))
        return out

    return kernel
