"""What runs on the GPU: primitives, memory accesses and the loops around the scalar formulas.

Importing this module imports Numba's CUDA target; ``numba_cuda`` does so when a kernel is first asked for. Every
primitive has a twin in plain Python for Numba's CUDA simulator, which has no intrinsics, no libdevice, and an fma that
rounds twice. ``cuda`` is a global here because the simulator replaces it in a kernel's globals.
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
import operator
import textwrap
import types
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numba import config, cuda, float64

from kernels.activations import lookup
from kernels.backends import numba_formulas, numba_halves
from kernels.backends.numba_formulas import SIGNIFICAND_BITS, TYPES
from kernels.constants import LANES

#: Elements that a thread takes at once: one 16-byte access in float32, two in float64.
GROUP = 4

#: Dynamic shared memory of a row kernel's block.
ROW_SHARED_BYTES = LANES * 8

#: A vector access needs an address that is a multiple of this.
VECTOR_BYTES = 16

SIMULATED = bool(config.ENABLE_CUDASIM)

#: Operators that NVVM, nvJitLink and ptxas contract to fma unless the operation says how it rounds.
_SEPARATE = {ast.Add: "rounded_add", ast.Sub: "rounded_subtract", ast.Mult: "rounded_multiply"}


# ---------------------------------------------------------------- compiling device functions
class _Rounded(ast.NodeTransformer):
    """Writes a + b, a - b and a * b as calls."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        name = _SEPARATE.get(type(node.op))
        if name is None:
            return node
        call = ast.Call(ast.Name(name, ast.Load()), [node.left, node.right], [])
        return ast.copy_location(call, node)


def separately_rounded(function: types.FunctionType) -> types.FunctionType:
    """``function`` with operators that no compiler contracts.

    Numba offers no switch for NVVM's -fma=0, and under link-time optimisation it would not reach the last compiler.
    An operation that states its rounding (``mul.rn``) is never contracted, by any of them.
    """
    tree = _Rounded().visit(ast.parse(textwrap.dedent(inspect.getsource(function))))
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    code = compile(ast.fix_missing_locations(tree), function.__code__.co_filename, "exec")
    body = next(c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == function.__name__)
    return types.FunctionType(body, function.__globals__, function.__name__)


def device(function: Callable) -> Callable:
    """A device function, always inlined: no kernel has a call left. In the simulator, the function itself."""
    return function if SIMULATED else cuda.jit(device=True, forceinline=True)(function)


def formula_jit(function: types.FunctionType) -> Callable:
    """``device`` for a formula's text."""
    return function if SIMULATED else device(separately_rounded(function))


def quiet(kernel: Callable) -> Callable:
    """Silences NumPy's warnings in the simulator, whose threads do not inherit the launcher's ``np.errstate``."""
    if not SIMULATED:
        return kernel

    @functools.wraps(kernel)
    def silenced(*arguments):
        with np.errstate(all="ignore"):
            return kernel(*arguments)

    return silenced


# ---------------------------------------------------------------- arithmetic
def exact_fma(a: float, b: float, c: float) -> float:
    """a * b + c of float64, rounded once."""
    product = a * b
    if not (math.isfinite(a) and math.isfinite(b)) or a == 0 or b == 0:
        return product + c
    if not math.isfinite(c):
        return c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def odd_sum(a: float, b: float) -> float:
    """a + b rounded to odd, so that rounding once more, to float32, is exact."""
    total = a + b
    part = total - a
    error = (a - (total - part)) + (b - part)
    if error == 0 or not math.isfinite(error) or np.float64(total).view(np.int64) & 1:
        return total
    return math.nextafter(total, math.copysign(math.inf, error))


def _python_fma(dtype: type) -> Callable:
    if dtype is np.float64:
        return lambda a, b, c: np.float64(exact_fma(float(a), float(b), float(c)))
    # A product of two float32 is exact in float64.
    return lambda a, b, c: np.float32(odd_sum(float(a) * float(b), float(c)))


def _python_power(dtype: type) -> Callable:
    bits = np.uint32 if dtype is np.float32 else np.uint64
    modulus = 1 << (8 * dtype().itemsize)
    return lambda z: bits((int(z.view(bits)) << SIGNIFICAND_BITS[dtype]) % modulus).view(dtype)


def _device_fma() -> Callable:
    """LLVM's own fma: unlike libdevice's it may move out of a branch, which makes a select of it."""
    from numba.cuda.extending import intrinsic

    @intrinsic
    def fma(typing_context, a, b, c):
        return a(a, a, a), lambda context, builder, signature, arguments: builder.fma(*arguments)

    return fma


def _device_power(dtype: type) -> Callable:
    from llvmlite import ir
    from numba.cuda.extending import intrinsic

    integer = ir.IntType(8 * dtype().itemsize)

    @intrinsic
    def power(typing_context, z):
        def generate(context, builder, signature, arguments):
            bits = builder.bitcast(arguments[0], integer)
            bits = builder.shl(bits, ir.Constant(integer, SIGNIFICAND_BITS[dtype]))
            return builder.bitcast(bits, arguments[0].type)

        return z(z), generate

    return power


def _device_copy_sign(dtype: type) -> Callable:
    from llvmlite import ir
    from numba.cuda.extending import intrinsic

    width = 8 * dtype().itemsize
    integer = ir.IntType(width)

    @intrinsic
    def copy_sign(typing_context, x, sign):
        def generate(context, builder, signature, arguments):
            magnitude, sign_bit = (builder.bitcast(a, integer) for a in arguments)
            magnitude = builder.and_(magnitude, ir.Constant(integer, (1 << (width - 1)) - 1))
            sign_bit = builder.and_(sign_bit, ir.Constant(integer, 1 << (width - 1)))
            return builder.bitcast(builder.or_(magnitude, sign_bit), arguments[0].type)

        return x(x, sign), generate

    return copy_sign


@functools.cache
def primitives(dtype: type) -> dict[str, Callable]:
    """What ``numba_formulas.bind`` asks a target for, and the operators of ``separately_rounded``."""
    if SIMULATED:
        return {
            "fma": _python_fma(dtype),
            "power_of_two": _python_power(dtype),
            "copy_sign": np.copysign,
            "sqrt": np.sqrt,
            "rounded_add": operator.add,
            "rounded_subtract": operator.sub,
            "rounded_multiply": operator.mul,
        }
    letter = "f" if dtype is np.float32 else "d"
    add = getattr(cuda.libdevice, f"{letter}add_rn")
    return {
        "fma": _device_fma(),
        "power_of_two": _device_power(dtype),
        "copy_sign": _device_copy_sign(dtype),
        "sqrt": getattr(cuda.libdevice, f"{letter}sqrt_rn"),
        "rounded_add": add,
        # libdevice has no dsub_rn; this is the same to the bit.
        "rounded_subtract": device(lambda a, b: add(a, -b)),
        "rounded_multiply": getattr(cuda.libdevice, f"{letter}mul_rn"),
    }


@functools.cache
def formulas(compute: str) -> dict[str, Callable]:
    """The scalar formulas for a format on this target."""
    return numba_formulas.bind(compute, primitives(TYPES[compute]), formula_jit)


def _bit_primitives() -> dict[str, Callable]:
    """A float64's bits as an integer, and back."""
    if SIMULATED:
        return {
            "bits": lambda x: np.float64(x).view(np.int64),
            "from_bits": lambda word: np.int64(word).view(np.float64),
        }
    from llvmlite import ir
    from numba import types as nb
    from numba.cuda.extending import intrinsic

    @intrinsic
    def bits(typing_context, x):
        return nb.int64(x), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(64))

    @intrinsic
    def from_bits(typing_context, word):
        return nb.float64(word), lambda context, builder, signature, args: builder.bitcast(args[0], ir.DoubleType())

    return {"bits": bits, "from_bits": from_bits}


@functools.cache
def halves(name: str) -> tuple[Callable, Callable]:
    """(widened, narrowed) of a half type's bit patterns."""
    return numba_halves.bind(name, primitives(np.float64) | _bit_primitives(), formula_jit)


# ---------------------------------------------------------------- memory
class Memory:
    """Loads and stores of one dtype at an address: ``load``, ``store``, and those of GROUP elements.

    Addresses are integers on a GPU (cheap to launch with, known to be global memory) and arrays in the simulator.
    """

    def __init__(self, dtype: type):
        self.dtype = dtype
        if SIMULATED:
            self.load, self.load_group, self.store, self.store_group = _python_accesses()
        else:
            self.load, self.store = _accesses(dtype, 1, 1)
            self.load_group, self.store_group = _accesses(dtype, GROUP, min(GROUP, VECTOR_BYTES // dtype().itemsize))


def _python_accesses() -> tuple[Callable, ...]:
    def load(memory, index):
        return memory[index]

    def load_group(memory, index):
        return tuple(memory[index + k] for k in range(GROUP))

    def store(memory, index, value):
        memory[index] = value

    def store_group(memory, index, values):
        for k in range(GROUP):
            memory[index + k] = values[k]

    return load, load_group, store, store_group


def _accesses(dtype: type, count: int, width: int) -> tuple[Callable, Callable]:
    """Intrinsics that load and store ``count`` elements, ``width`` at a time; a tuple where count > 1."""
    from llvmlite import ir
    from numba import from_dtype
    from numba import types as nb
    from numba.cuda.extending import intrinsic

    scalar = from_dtype(np.dtype(dtype))
    value = nb.UniTuple(scalar, count) if count > 1 else scalar
    element = {np.float32: ir.FloatType(), np.float64: ir.DoubleType(), np.uint16: ir.IntType(16)}[dtype]
    unit = ir.VectorType(element, width) if width > 1 else element
    alignment = width * dtype().itemsize
    wide, narrow = ir.IntType(64), ir.IntType(32)
    global_memory = 1

    def pointers(builder, arguments):
        offset = builder.mul(arguments[1], ir.Constant(wide, dtype().itemsize))
        for part in range(count // width):
            byte = ir.Constant(wide, part * alignment)
            address = builder.add(arguments[0], builder.add(offset, byte))
            yield builder.inttoptr(address, ir.PointerType(unit, global_memory))

    @intrinsic
    def load(typing_context, address, index):
        def generate(context, builder, signature, arguments):
            units = [builder.load(p, align=alignment) for p in pointers(builder, arguments)]
            if count == 1:
                return units[0]
            lanes = [ir.Constant(narrow, k) for k in range(width)]
            return context.make_tuple(builder, value, [builder.extract_element(u, k) for u in units for k in lanes])

        return value(nb.int64, nb.int64), generate

    @intrinsic
    def store(typing_context, address, index, values):
        def generate(context, builder, signature, arguments):
            for part, pointer in enumerate(pointers(builder, arguments)):
                whole = arguments[2]
                if count > 1:
                    whole = ir.Constant(unit, ir.Undefined)
                    for k in range(width):
                        one = builder.extract_value(arguments[2], part * width + k)
                        whole = builder.insert_element(whole, one, ir.Constant(narrow, k))
                builder.store(whole, pointer, align=alignment)
            return context.get_dummy_value()

        return nb.void(nb.int64, nb.int64, value), generate

    return load, store


# ---------------------------------------------------------------- loops
def elementwise_loop(apply: Callable, memory: Memory, two_outputs: bool, parameter_array: bool) -> Callable:
    """The loop of every elementwise kernel: ``apply(first, second, p, q)`` gives a tuple of one or two outputs.

    Elements [start, start + GROUP * groups) go in groups, whose addresses the launcher has made sure are aligned; those
    before and after one by one. ``first`` and ``second`` are the same address where there is one input only.
    """
    load, store, load_group, store_group = memory.load, memory.store, memory.load_group, memory.store_group

    @quiet
    def elementwise(first, second, p, q, out, second_out, start, groups, n):
        thread = cuda.grid(1)
        step = cuda.gridsize(1)
        group = thread
        while group < groups:
            i = start + group * GROUP
            a = load_group(first, i)
            b = load_group(second, i)
            w = load_group(p, i) if parameter_array else (p, p, p, p)
            r = apply(a[0], b[0], w[0], q)
            s = apply(a[1], b[1], w[1], q)
            t = apply(a[2], b[2], w[2], q)
            u = apply(a[3], b[3], w[3], q)
            store_group(out, i, (r[0], s[0], t[0], u[0]))
            if two_outputs:
                store_group(second_out, i, (r[1], s[1], t[1], u[1]))
            group += step
        vectorised = groups * GROUP
        single = thread
        while single < n - vectorised:
            i = single if single < start else single + vectorised
            r = apply(load(first, i), load(second, i), load(p, i) if parameter_array else p, q)
            store(out, i, r[0])
            if two_outputs:
                store(second_out, i, r[1])
            single += step

    return elementwise


def pair_loop(apply: Callable, memory: Memory, two: bool) -> Callable:
    """The loop of every gated pair: ``apply(g, a, b, p)`` gives a result for the first half and one for the second."""
    load, store = memory.load, memory.store

    @quiet
    def pairs(first, second, out, p, rows, half):
        i = cuda.grid(1)
        step = cuda.gridsize(1)
        while i < rows * half:
            at = i + i // half * half
            r = apply(load(first, i) if two else load(second, at), load(second, at), load(second, at + half), p)
            store(out, at if two else i, r[0])
            if two:
                store(out, at + half, r[1])
            i += step

    return pairs


def reduction(combine: Callable) -> Callable:
    """The fixed tree over LANES values in shared memory; every thread gets the result."""

    def reduce(shared, lane, value):
        shared[lane] = value
        cuda.syncthreads()
        half = LANES // 2
        while half > 0:
            if lane < half:
                shared[lane] = combine(shared[lane], shared[lane + half])
            cuda.syncthreads()
            half //= 2
        result = shared[0]
        cuda.syncthreads()
        return result

    return device(reduce)


def larger(m, v):
    """The larger one, by a select: a NaN in ``v`` is ignored here and comes back through the row's terms."""
    return v if v > m else m


def _reciprocal(real: type, sum_of: Callable) -> Callable:
    """1 / (the sum of the terms), as the sum of two numbers, from each lane's sum and what rounding took from it."""
    add, rounding = primitives(np.float64)["rounded_add"], formulas("float64")["rounding_of_reciprocal"]

    def of_single(shared, lane, total, lost):
        reciprocal = np.float64(1) / sum_of(shared, lane, add(total, lost))
        high = np.float32(reciprocal)
        return high, np.float32(add(reciprocal, -np.float64(high)))

    def of_double(shared, lane, total, lost):
        high = sum_of(shared, lane, total)
        low = sum_of(shared, lane, lost)
        both = add(high, low)
        low = add(low, -add(both, -high))
        reciprocal = np.float64(1) / both
        return reciprocal, rounding(reciprocal, both, low)

    return of_single if real is np.float32 else of_double


def _logarithm(real: type, sum_of: Callable) -> Callable:
    """The logarithm of the sum of the terms, the largest of which is 1; there is no low part."""
    logarithm_of_sum = formulas("float64")["logarithm_of_sum"]
    up, down = (np.float64(formulas(np.dtype(real).name)[name]) for name in ("UP", "DOWN"))

    def logarithm(shared, lane, total, lost):
        high = sum_of(shared, lane, total)
        return real(logarithm_of_sum(high, sum_of(shared, lane, lost), up, down)), real(0)

    return logarithm


def _output(name: str, compute: str, memory: Memory) -> Callable:
    """An entry of the result, from x, the largest entry and what the sum of the terms became."""
    text, load = formulas(compute), memory.load
    term, value, real = text[f"{name}_term"], text[f"{name}_value"], text["real"]

    def divided(second, i, largest, reciprocal, low):
        return value(term(real(load(second, i)), largest), reciprocal, low)

    def subtracted(second, i, largest, logarithm, low):
        return value(real(load(second, i)), largest, logarithm)

    return device(subtracted if lookup(name).normaliser == "logarithm" else divided)


def row_loop(name: str, gradient_rows: str, compute: str, memory: Memory, form: str) -> Callable:
    """The loop of every row kernel: one block of LANES threads a row, lane j taking the elements i with i % LANES == j.

    ``first`` is the gradient and ``second`` x or y. A term is
    computed anew where it is needed: the same bits, and no scratch memory. An element is read for the last time by the
    thread that then writes it, so out may be an input.
    Its ROW_SHARED_BYTES are the launcher's to ask for: the simulator's threads race for an array of fixed size.
    """
    load, store, double = memory.load, memory.store, np.float64
    normalise, gradient = form != "backward_from_output", form != "value"
    store_as = memory.dtype
    text, formula = formulas(compute), gradient_rows.removesuffix("_rows")
    entry, term = text[f"{name}_entry"], text[f"{name}_term"]
    product, gradient_of = text[f"{formula.partition('_gradient')[0]}_product"], text[formula]
    real, start, rounding_of_sum = text["real"], text["SUM_START"], text["rounding_of_sum"]
    arithmetic, wide = primitives(real), primitives(np.float64)
    add, add_wide = arithmetic["rounded_add"], wide["rounded_add"]
    maximum, sum_of, larger_of = reduction(device(larger)), reduction(add_wide), device(larger)
    normaliser = device((_logarithm if lookup(name).normaliser == "logarithm" else _reciprocal)(real, sum_of))
    value_of = _output(name, compute, memory)

    def output_at(second, i, largest, high, low):
        return value_of(second, i, largest, high, low) if normalise else real(load(second, i))

    output = device(output_at)

    @quiet
    def row(first, second, out, rows, n):
        shared = cuda.shared.array(0, float64)
        lane = cuda.threadIdx.x
        r = cuda.blockIdx.x
        while r < rows:
            begin = r * n + lane
            end = r * n + n
            largest = real(-math.inf)
            high = real(0)
            low = real(0)
            products = real(0)
            if normalise:
                for i in range(begin, end, LANES):
                    largest = larger_of(largest, entry(real(load(second, i))))
                largest = real(maximum(shared, lane, double(largest)))
                total = start
                lost = real(0)
                for i in range(begin, end, LANES):
                    one = term(real(load(second, i)), largest)
                    before = total
                    total = add(before, one)
                    lost = add(lost, rounding_of_sum(total, one, before))
                high, low = normaliser(shared, lane, add_wide(double(total), -double(start)), double(lost))
            if gradient:
                accumulator = double(0)
                for i in range(begin, end, LANES):
                    g = real(load(first, i))
                    y = output(second, i, largest, high, low)
                    accumulator = add_wide(accumulator, double(product(g, y)))
                products = real(sum_of(shared, lane, accumulator))
            for i in range(begin, end, LANES):
                y = output(second, i, largest, high, low)
                store(out, i, store_as(gradient_of(real(load(first, i)), y, products) if gradient else y))
            r += cuda.gridDim.x

    return row


def projection_loop(name: str, compute: str, memory: Memory, form: str) -> Callable:
    """The loop of a projection: as ``row_loop``, but it computes in float64 whatever its arrays are."""
    load, store, double, store_as = memory.load, memory.store, np.float64, memory.dtype
    entry, text = formulas(compute)[f"{name}_entry"], formulas("float64")
    real, gradient_of, value_of = formulas(compute)["real"], text[f"{name}_gradient"], text[f"{name}_value"]
    add = primitives(np.float64)["rounded_add"]
    maximum, sum_of, larger_of = reduction(device(larger)), reduction(add), device(larger)
    from_output, gradient = form == "backward_from_output", form != "value"

    @quiet
    def row(first, second, out, rows, n):
        shared = cuda.shared.array(0, float64)
        lane = cuda.threadIdx.x
        r = cuda.blockIdx.x
        while r < rows:
            begin = r * n + lane
            end = r * n + n
            largest = real(-math.inf)
            top = double(0)
            threshold = double(0)
            mean = double(0)
            if not from_output:
                for i in range(begin, end, LANES):
                    largest = larger_of(largest, entry(real(load(second, i))))
                top = maximum(shared, lane, double(largest))
                threshold = double(-1)
                rising = True
                while rising:
                    total = double(0)
                    count = double(0)
                    for i in range(begin, end, LANES):
                        z = add(double(load(second, i)), -top)
                        total = add(total, double(0) if z <= threshold else z)
                        count = add(count, double(0) if z <= threshold else double(1))
                    total = add(sum_of(shared, lane, total), double(-1))
                    higher = total / sum_of(shared, lane, count)
                    rising = higher > threshold
                    threshold = higher
            if gradient:
                total = double(0)
                count = double(0)
                for i in range(begin, end, LANES):
                    z = add(double(load(second, i)), -top)
                    total = add(total, double(0) if z <= threshold else double(load(first, i)))
                    count = add(count, double(0) if z <= threshold else double(1))
                total = sum_of(shared, lane, total)
                mean = add(total / sum_of(shared, lane, count), add(threshold, -threshold))
            for i in range(begin, end, LANES):
                z = add(double(load(second, i)), -top)
                if gradient:
                    store(out, i, store_as(gradient_of(double(load(first, i)), z, threshold, mean)))
                else:
                    store(out, i, store_as(value_of(z, threshold)))
            r += cuda.gridDim.x

    return row
