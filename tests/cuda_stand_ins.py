"""Stand-ins, on machines without a GPU, for CuPy, JAX and the driver: their memory is the host's."""

from __future__ import annotations

import contextlib
import ctypes
import struct
import types
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

STREAM = 4711


class ndarray:  # noqa: N801
    """What of a CuPy array is read; anything else, above all its conversion, is an AttributeError."""

    __module__ = "cupy"

    def __init__(self, numbers: np.ndarray, device: int = 0):
        self.numbers = numbers
        self.shape, self.dtype, self.itemsize, self.strides = (
            numbers.shape,
            numbers.dtype,
            numbers.itemsize,
            numbers.strides,
        )
        self.flags = SimpleNamespace(c_contiguous=numbers.flags.c_contiguous)
        self.data = SimpleNamespace(ptr=numbers.ctypes.data)
        self.device = SimpleNamespace(id=device)


def aligned(shape: tuple[int, ...], dtype, offset: int = 0) -> np.ndarray:
    """An array whose address is ``offset`` beyond a multiple of 16, as those of GPU memory are but for the offset."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 32, np.uint8)
    start = -raw.ctypes.data % 16 + offset
    return raw[start : start + size].view(dtype).reshape(shape)


def array(numbers, device: int = 0, offset: int = 0) -> ndarray:
    """A stand-in with these numbers."""
    numbers = np.asarray(numbers)
    memory = aligned(numbers.shape, numbers.dtype, offset)
    memory[...] = numbers
    return ndarray(memory, device)


def cupy() -> types.ModuleType:
    """A module with what is called of CuPy."""
    module = types.ModuleType("cupy")
    module.empty_like = lambda like, shape=None: ndarray(
        aligned(like.shape if shape is None else shape, like.dtype), like.device.id
    )
    module.cuda = SimpleNamespace(
        Device=lambda device: contextlib.nullcontext(),
        get_current_stream=lambda device: SimpleNamespace(ptr=STREAM + device),
    )
    return module


class Written:
    """An array of a library that has no current stream, but says on which one it is written."""

    def __init__(self, numbers: np.ndarray, stream: int):
        self.numbers, self.stream = numbers, stream

    @property
    def __cuda_array_interface__(self) -> dict:
        return self.numbers.__array_interface__ | {"stream": self.stream}


class Lender:
    """An array of a library that lends by DLPack, as JAX does; ``asked`` are the streams that it was lent to."""

    asked: ClassVar[list[int | None]] = []

    def __init__(self, numbers: np.ndarray):
        self.numbers, self.dtype = numbers, numbers.dtype

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.numbers.__dlpack_device__()

    def __dlpack__(self, *, stream: int | None = None):
        self.asked.append(stream)
        return self.numbers.__dlpack__()

    def __array_namespace__(self) -> SimpleNamespace:
        return SimpleNamespace(from_dlpack=lambda offered: Lender(np.from_dlpack(offered)))


class Sharded(Lender):
    """A lender's array on several devices."""

    def __dlpack_device__(self) -> tuple[int, int]:
        raise BufferError("only an array on one device can be lent")


class Streams:
    """``cuda.bindings.driver``: keeps which stream waits for which, and what became of events."""

    CUevent_flags = SimpleNamespace(CU_EVENT_DISABLE_TIMING=2)
    CUresult = SimpleNamespace(CUDA_ERROR_NOT_READY=600)

    def __init__(self):
        self.recorded: dict[str, int] = {}
        self.waits: list[tuple[int, int]] = []
        #: What is said of events that are not under way any more.
        self.ended: dict[str, int] = {}

    def cuCtxGetDevice(self) -> tuple[int, int]:  # noqa: N802
        return 0, 0

    def cuDriverGetVersion(self) -> tuple[int, int]:  # noqa: N802
        return 0, 13_000

    def cuEventCreate(self, flags: int) -> tuple[int, str]:  # noqa: N802
        return 0, f"event {len(self.recorded)}"

    def cuEventQuery(self, event: str) -> tuple[int]:  # noqa: N802
        return (self.ended.get(event, self.CUresult.CUDA_ERROR_NOT_READY),)

    def cuEventRecord(self, event: str, stream: int) -> tuple[int]:  # noqa: N802
        self.recorded[event] = stream
        return (0,)

    def cuStreamWaitEvent(self, stream: int, event: str, flags: int) -> tuple[int]:  # noqa: N802
        self.waits.append((stream, self.recorded[event]))
        return (0,)

    def cuEventDestroy(self, event: str) -> tuple[int]:  # noqa: N802
        del self.recorded[event]
        return (0,)


class Driver:
    """``cuda.bindings.driver``: keeps what it was told to launch."""

    def __init__(self, layout: str):
        self.packing = struct.Struct(layout)
        self.launches: list[tuple] = []

    def cuCtxGetDevice(self) -> tuple[int, int]:  # noqa: N802
        return 0, 0

    def cuLaunchKernel(self, function, *rest) -> tuple[int]:  # noqa: N802
        """rest: grid, block, shared memory, stream, None for arguments one by one, address of what tells of them."""
        extra = (ctypes.c_void_p * 5).from_address(rest[-1])
        assert (extra[0], extra[2], extra[4]) == (1, 2, None)
        size = ctypes.c_size_t.from_address(extra[3]).value
        values = self.packing.unpack(ctypes.string_at(extra[1], size))
        self.launches.append((rest[0], rest[3], rest[7], values))
        return (0,)
