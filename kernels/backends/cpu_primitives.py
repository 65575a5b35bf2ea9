"""What the Numba CPU kernels are made of: the scalar formulas with this target's primitives, and its intrinsics."""

from __future__ import annotations

import functools
from collections.abc import Callable

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.backends import numba_formulas
from kernels.backends.numba_formulas import SIGNIFICAND_BITS, TYPES
from kernels.constants import LANES

#: Division by zero is no exception, which would keep loops from being vectorised.
jit = njit(error_model="numpy")


@functools.cache
def formulas(compute: str) -> dict[str, Callable]:
    """The scalar formulas for a format, compiled lazily as inlined functions."""
    return numba_formulas.bind(compute, primitives(TYPES[compute]), jit)


def primitives(dtype: type) -> dict[str, Callable]:
    """fma and the square root as the processor's instructions, powers of two and signs as bits."""
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


@intrinsic
def bits(_, x):
    """A float64's bits as an integer."""
    return types.int64(x), lambda context, builder, sig, args: builder.bitcast(args[0], ir.IntType(64))


@intrinsic
def from_bits(_, word):
    """The float64 of an integer's bits."""
    return types.float64(word), lambda context, builder, sig, args: builder.bitcast(args[0], ir.DoubleType())


@intrinsic
def call(_, address, x, out, n, params, kept):
    """Call a kernel by address; ``kept`` holds other arrays that it reads or writes."""

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
    """An address as a pointer of the type of ``like``."""

    def generate(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return like(address, like), generate
