"""What the loops on the GPU are made of: device functions, arithmetic and memory accesses.

Importing this module imports Numba's CUDA target; ``numba_cuda`` does so when a kernel is first asked for. Every
primitive has a twin in plain Python for Numba's CUDA simulator, which has no intrinsics, no libdevice, and an fma that
rounds twice.
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
from numba import config, cuda

from kernels.backends import numba_formulas, numba_halves
from kernels.backends.numba_formulas import SIGNIFICAND_BITS, TYPES
from kernels.constants import HALF_TYPES

#: A vector access needs an address that is a multiple of this.
VECTOR_BYTES = 16

#: Elements that a thread takes at once, at most: each is a copy of the formula.
MOST_AT_ONCE = 8

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

    silence = functools.partial(np.errstate, all="ignore")

    def silenced(*arguments):
        with silence():
            return kernel(*arguments)

    # The simulator puts its own ``cuda`` into a kernel's globals, which are those of the module that it stands in.
    return types.FunctionType(silenced.__code__, kernel.__globals__, kernel.__name__, None, silenced.__closure__)


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
def half_conversions(name: str, real: type) -> tuple[Callable, Callable]:
    """(widen, narrow) of a half type's bit patterns, to and from numbers of ``real``, rounded once."""
    widened, narrowed = numba_halves.bind(name, primitives(np.float64) | _bit_primitives(), formula_jit)
    if name == "bfloat16" and real is np.float32:
        narrowed = _upper_half()
    if SIMULATED:
        # The texts take and give float64, and there is no conversion in Python.
        of_real = narrowed if name == "bfloat16" else lambda x: narrowed(np.float64(x))
        return lambda code: real(widened(code)), of_real
    return _device_widen(name, real), _device_narrow() if name == "float16" else narrowed


def _upper_half() -> Callable:
    """The bfloat16 nearest to a float32, of which it is the upper half; of two, the even one."""
    word_of = (lambda x: int(np.float32(x).view(np.uint32))) if SIMULATED else _device_word()

    def upper_half(x):
        word = np.int64(word_of(x))
        nearest = (word + 0x7FFF + ((word >> 16) & 1)) >> 16
        return np.uint16(nearest if x == x else 0x7FC0)

    return device(upper_half)


def _device_word() -> Callable:
    from llvmlite import ir
    from numba import types as nb
    from numba.cuda.extending import intrinsic

    @intrinsic
    def word(typing_context, x):
        return nb.uint32(x), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(32))

    return word


def _device_widen(name: str, real: type) -> Callable:
    """One instruction each: of float16 a conversion, of bfloat16, the upper half of a float32, a shift."""
    from llvmlite import ir
    from numba import from_dtype
    from numba.cuda.extending import intrinsic

    to = from_dtype(np.dtype(real))

    @intrinsic
    def widen(typing_context, code):
        def generate(context, builder, signature, arguments):
            if name == "float16":
                return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), _element(real))
            upper = builder.shl(builder.zext(arguments[0], ir.IntType(32)), ir.IntType(32)(16))
            single = builder.bitcast(upper, ir.FloatType())
            return single if real is np.float32 else builder.fpext(single, ir.DoubleType())

        return to(code), generate

    return widen


def _device_narrow() -> Callable:
    """Of float16: the instruction that rounds once."""
    from llvmlite import ir
    from numba import types as nb
    from numba.cuda.extending import intrinsic

    @intrinsic
    def narrow(typing_context, x):
        def generate(context, builder, signature, arguments):
            return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

        return nb.uint16(x), generate

    return narrow


# ---------------------------------------------------------------- memory
def stored(dtype: str) -> type:
    """What lies in memory: of half types, which Numba lacks, the bit patterns."""
    return np.uint16 if dtype in HALF_TYPES else np.dtype(dtype).type


class Memory:
    """Loads and stores of one dtype at an address, an element or ``width`` of them at once, and its conversions.

    ``width`` elements are ``units`` aligned accesses of 16 bytes, ``span`` elements apart: two loads in flight for
    each input, and no more than eight copies of a formula. ``widen`` makes a number that is computed with of what was
    loaded, ``narrow`` rounds one to what is stored. Addresses are integers on a GPU (cheap to launch with, known to be
    global memory) and arrays in the simulator.
    """

    def __init__(self, dtype: str, real: type):
        memory = stored(dtype)
        self.group = VECTOR_BYTES // memory().itemsize
        self.width = min(2 * self.group, MOST_AT_ONCE)
        self.units = self.width // self.group
        self.widen, self.narrow = (real, memory) if dtype not in HALF_TYPES else half_conversions(dtype, real)
        accesses = _python_accesses(self) if SIMULATED else (*_single(memory), *_grouped(memory, self.units))
        self.load, self.store, self.load_groups, self.store_groups = accesses


def _python_accesses(memory: Memory) -> tuple[Callable, ...]:
    def load(array, index):
        return array[index]

    def store(array, index, value):
        array[index] = value

    def indices(index, span):
        return [index + unit * span + k for unit in range(memory.units) for k in range(memory.group)]

    def load_groups(array, index, span):
        return tuple(array[i] for i in indices(index, span))

    def store_groups(array, index, span, values):
        for i, value in zip(indices(index, span), values, strict=True):
            array[i] = value

    return load, store, load_groups, store_groups


def _element(memory: type):
    from llvmlite import ir

    return {np.float32: ir.FloatType(), np.float64: ir.DoubleType(), np.uint16: ir.IntType(16)}[memory]


def _pointer(builder, address, index, memory: type, to):
    """A pointer into global memory, to element ``index`` from an address on."""
    from llvmlite import ir

    global_memory, wide = 1, ir.IntType(64)
    byte = builder.add(address, builder.mul(index, ir.Constant(wide, memory().itemsize)))
    return builder.inttoptr(byte, ir.PointerType(to, global_memory))


def _single(memory: type) -> tuple[Callable, Callable]:
    """Intrinsics that load and store an element."""
    from numba import from_dtype
    from numba import types as nb
    from numba.cuda.extending import intrinsic

    scalar, element, bytes_ = from_dtype(np.dtype(memory)), _element(memory), memory().itemsize

    @intrinsic
    def load(typing_context, address, index):
        def generate(context, builder, signature, arguments):
            return builder.load(_pointer(builder, *arguments, memory, element), align=bytes_)

        return scalar(nb.int64, nb.int64), generate

    @intrinsic
    def store(typing_context, address, index, value):
        def generate(context, builder, signature, arguments):
            builder.store(arguments[2], _pointer(builder, *arguments[:2], memory, element), align=bytes_)
            return context.get_dummy_value()

        return nb.void(nb.int64, nb.int64, scalar), generate

    return load, store


def _grouped(memory: type, units: int) -> tuple[Callable, Callable]:
    """Intrinsics that load and store a tuple by accesses of 16 bytes, ``span`` elements apart."""
    from llvmlite import ir
    from numba import from_dtype
    from numba import types as nb
    from numba.cuda.extending import intrinsic

    group = VECTOR_BYTES // memory().itemsize
    several = nb.UniTuple(from_dtype(np.dtype(memory)), group * units)
    # Vectors of eight 16-bit numbers would be split in two.
    in_pairs = memory is np.uint16
    element = ir.IntType(32) if in_pairs else _element(memory)
    unit = ir.VectorType(element, 4 if in_pairs else group)

    def pointers(builder, address, index, span):
        for _ in range(units):
            yield _pointer(builder, address, index, memory, unit)
            index = builder.add(index, span)

    @intrinsic
    def load_groups(typing_context, address, index, span):
        def generate(context, builder, signature, arguments):
            loaded = [builder.load(p, align=VECTOR_BYTES) for p in pointers(builder, *arguments)]
            numbers = [builder.extract_element(one, ir.IntType(32)(k)) for one in loaded for k in range(unit.count)]
            if in_pairs:
                numbers = [half for pair in numbers for half in _halves_of(builder, pair)]
            return context.make_tuple(builder, several, numbers)

        return several(nb.int64, nb.int64, nb.int64), generate

    @intrinsic
    def store_groups(typing_context, address, index, span, values):
        def generate(context, builder, signature, arguments):
            numbers = [builder.extract_value(arguments[3], k) for k in range(several.count)]
            if in_pairs:
                numbers = [_pair_of(builder, *numbers[k : k + 2]) for k in range(0, several.count, 2)]
            for part, pointer in enumerate(pointers(builder, *arguments[:3])):
                vector = ir.Constant(unit, ir.Undefined)
                for k in range(unit.count):
                    vector = builder.insert_element(vector, numbers[part * unit.count + k], ir.IntType(32)(k))
                builder.store(vector, pointer, align=VECTOR_BYTES)
            return context.get_dummy_value()

        return nb.void(nb.int64, nb.int64, nb.int64, several), generate

    return load_groups, store_groups


def _halves_of(builder, pair) -> tuple:
    """The two 16-bit numbers of a 32-bit one, the lower first."""
    from llvmlite import ir

    upper = builder.lshr(pair, ir.IntType(32)(16))
    return builder.trunc(pair, ir.IntType(16)), builder.trunc(upper, ir.IntType(16))


def _pair_of(builder, lower, upper):
    from llvmlite import ir

    lower, upper = (builder.zext(half, ir.IntType(32)) for half in (lower, upper))
    return builder.or_(lower, builder.shl(upper, ir.IntType(32)(16)))
