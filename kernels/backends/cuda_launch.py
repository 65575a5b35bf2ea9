"""Launching kernels on a GPU: how many threads, where 16-byte accesses may start, and the launch itself.

A launch packs its arguments, addresses and numbers, and calls the driver: no argument is looked at or converted.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import threading
from collections.abc import Callable, Sequence

import numpy as np

from kernels.backends.cuda_primitives import MOST_AT_ONCE, SIMULATED, VECTOR_BYTES, stored
from kernels.device_arrays import View, is_current, itemsize, made_current

#: Threads a block of the loop over elements, and blocks for each multiprocessor: all the threads that it can hold.
THREADS = 256
BLOCKS_PER_MULTIPROCESSOR = 8

#: The simulator starts a Python thread for each of the device's.
SIMULATED_THREADS, SIMULATED_BLOCKS = 2, 2

#: From cuda.h: how a launch is told where its packed arguments are.
_END, _BUFFER, _BUFFER_SIZE = 0, 1, 2


# ---------------------------------------------------------------- how elements are dealt
@functools.cache
def widths(dtype: str) -> tuple[int, int]:
    """Elements of a 16-byte access, and those that a thread takes at once, as ``Memory`` has them."""
    group = VECTOR_BYTES // itemsize(dtype)
    return group, min(2 * group, MOST_AT_ONCE)


def groups(arrays: Sequence[View], n: int) -> tuple[int, int]:
    """Where 16-byte accesses may start, and how often a thread's worth follows; never where arrays differ in that."""
    offsets = {array.address % VECTOR_BYTES for array in arrays}
    size = itemsize(arrays[0].dtype)
    start = -offsets.pop() % VECTOR_BYTES
    if offsets or start % size or start // size >= n:
        return 0, 0
    start //= size
    return start, (n - start) // widths(arrays[0].dtype)[1]


def groups_of_pairs(arrays: Sequence[View], n: int, half: int) -> int:
    """As ``groups``, from the first of n pairs on: no access may cross from one half of a row to the other."""
    group, width = widths(arrays[0].dtype)
    aligned = half % group == 0 and not any(array.address % VECTOR_BYTES for array in arrays)
    return n // width if aligned else 0


def grid(device: int, groups: int, n: int, dtype: str) -> tuple[int, int, int]:
    """Blocks, threads and shared memory of the loop over elements."""
    if SIMULATED:
        return SIMULATED_BLOCKS, SIMULATED_THREADS, 0
    work = max(groups, n - groups * widths(dtype)[1])
    return min(_multiprocessors(device) * BLOCKS_PER_MULTIPROCESSOR, -(-work // THREADS)), THREADS, 0


@functools.cache
def _multiprocessors(device: int) -> int:
    from numba import cuda

    return cuda.gpus[device].MULTIPROCESSOR_COUNT


# ---------------------------------------------------------------- the launch
class _Packed(threading.local):
    """A thread's memory for packed arguments, and what tells the driver of it."""

    def __init__(self, size: int):
        self.buffer = ctypes.create_string_buffer(size)
        self.size = ctypes.c_size_t(size)
        where = ctypes.addressof(self.buffer), ctypes.addressof(self.size)
        self.extra = (ctypes.c_void_p * 5)(_BUFFER, where[0], _BUFFER_SIZE, where[1], _END)
        self.place = self.buffer, ctypes.addressof(self.extra)


class Launcher:
    """A compiled kernel: ``launch(config, stream, values, arrays)``.

    ``config`` is blocks, threads and bytes of shared memory, ``values`` are the arguments as ``layout`` has them
    (``struct``; P is an address), ``arrays`` those that the addresses are of.
    """

    def __init__(self, driver, function, layout: str):
        """``driver`` is ``cuda.bindings.driver``, ``function`` its handle of the kernel."""
        self.driver, self.function = driver, function
        self.packing = struct.Struct(layout)
        self.packed = _Packed(self.packing.size)

    def launch(self, config: tuple[int, int, int], stream: int, values: tuple, arrays: Sequence[View]) -> None:
        buffer, packed = self.packed.place
        self.packing.pack_into(buffer, 0, *values)
        device = arrays[0].device
        if is_current(self.driver, device):
            self._launch(config, stream, packed)
        else:
            with made_current(device):
                self._launch(config, stream, packed)

    def _launch(self, config: tuple[int, int, int], stream: int, packed: int) -> None:
        blocks, threads, shared = config
        (error,) = self.driver.cuLaunchKernel(self.function, blocks, 1, 1, threads, 1, 1, shared, stream, 0, packed)
        if error:
            raise RuntimeError(f"the GPU did not take the kernel: {error.name}")


def compiled(kernel, layout: str) -> Callable:
    """What launches a kernel that Numba compiled for one signature."""
    from cuda.bindings import driver

    (code,) = kernel.overloads.values()
    launcher = Launcher(driver, driver.CUfunction(int(code._codelibrary.get_cufunc().handle)), layout)
    # The code is unloaded with the last reference to it.
    launcher.kernel = kernel
    return launcher.launch


# ---------------------------------------------------------------- in the simulator
def simulated(kernel, layout: str) -> Callable:
    """As ``compiled``, for a kernel of the simulator."""

    def launcher(config: tuple[int, int, int], stream: int, values: tuple, arrays: Sequence[View]) -> None:
        blocks, threads, shared = config
        memory = {array.address: array for array in arrays}
        letters = zip(layout, values, strict=True)
        arguments = [Simulated(memory[value]) if letter == "P" else _typed(letter, value) for letter, value in letters]
        kernel[blocks, threads, stream, shared](*arguments)

    return launcher


def _typed(letter: str, value):
    return {"f": np.float32, "d": np.float64}.get(letter, int)(value)


class Simulated:
    """The memory behind an address: an index outside of it is an error."""

    def __init__(self, view: View):
        memory = (ctypes.c_char * view.nbytes).from_address(view.address)
        self.numbers = np.frombuffer(memory, stored(view.dtype))

    def __getitem__(self, index: int):
        return self.numbers[self._checked(index)]

    def __setitem__(self, index: int, value) -> None:
        self.numbers[self._checked(index)] = value

    def _checked(self, index: int) -> int:
        if index < 0:
            raise IndexError(f"index {index} is before the array")
        return index
