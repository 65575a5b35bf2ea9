"""DLPack, by which libraries lend each other arrays: what a capsule says, and Numba's memory in a capsule."""

from __future__ import annotations

import atexit
import ctypes
import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

#: Of the protocol's device types; GPU memory that the host reads, too, has another.
CUDA, CUDA_MANAGED = 2, 13
#: What the protocol calls the legacy default stream, 0 being ambiguous, and no stream to wait for.
LEGACY_DEFAULT, NO_WAITING = 1, -1

#: (code, bits) -> dtype
_DTYPES = {(2, 16): "float16", (2, 32): "float32", (2, 64): "float64", (4, 16): "bfloat16"}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_NAME = b"dltensor"


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("axes", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class Lent(NamedTuple):
    """An array as its library lends it; the memory is lent for as long as the capsule lives."""

    capsule: Any
    #: None where it is none of DTYPES.
    dtype: str | None
    shape: tuple[int, ...]
    #: In elements; None where there are none, for C order.
    strides: tuple[int, ...] | None
    address: int
    device: int


def borrow(array: Any, stream: int | None) -> Lent:
    """The memory of an array, which is ready for what ``stream`` does next."""
    capsule = array.__dlpack__(stream=stream)
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", _API))
    tensor = _Managed.from_address(get(capsule, _NAME)).tensor
    dtype = _DTYPES.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    strides = tuple(tensor.strides[: tensor.axes]) if tensor.strides else None
    address = (tensor.data or 0) + tensor.offset
    return Lent(capsule, dtype, tuple(tensor.shape[: tensor.axes]), strides, address, tensor.device)


# ---------------------------------------------------------------- lending
_API = ctypes.pythonapi
#: What is lent, by the numbers that the capsules carry.
_lent: dict[int, Any] = {}
_numbers = itertools.count(1)


@ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
def _give_back(managed) -> None:
    _lent.pop(managed.contents.context, None)


@functools.cache
def _of_dying_capsules(name: str, result: type) -> Callable:
    # By address: a reference to what is being deallocated would revive it.
    return ctypes.PYFUNCTYPE(result, ctypes.c_void_p, ctypes.c_char_p)((name, _API))


@ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
def _forget(capsule) -> None:
    """A capsule that nobody took over still has its first name."""
    if _of_dying_capsules("PyCapsule_IsValid", ctypes.c_int)(capsule, _NAME):
        managed = _of_dying_capsules("PyCapsule_GetPointer", ctypes.c_void_p)(capsule, _NAME)
        _lent.pop(_Managed.from_address(managed).context, None)


@atexit.register
def _leave() -> None:
    """What is lent when Python ends stays where it is: it may be given back when no Python runs any more."""
    # JAX calls what was not empty when it took the memory over; this does nothing, without Python.
    nothing = ctypes.cast(_API.Py_IsInitialized, ctypes.c_void_p)
    # Another thread's capsules may come and go meanwhile.
    for managed, *_ in list(_lent.values()):
        managed.deleter = nothing
    for one in (_lent, _give_back, _forget):
        _API.Py_IncRef(ctypes.py_object(one))


class Offered:
    """Memory that a library's ``from_dlpack`` may take over, written on the legacy default stream."""

    def __init__(self, memory: Any, of: tuple, place: tuple[int, int], wait: Callable[[int, int], None]):
        """``of`` is (dtype, shape, address), ``place`` (device type, device); ``wait(stream, other)``."""
        self.memory, self.of, self.place, self.wait = memory, of, place, wait

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.place

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> Any:
        """The capsule; a stream is made to wait for what the memory is being filled with."""
        if stream not in (None, NO_WAITING, LEGACY_DEFAULT):
            self.wait(stream, LEGACY_DEFAULT)
        dtype, shape, address = self.of
        number, lengths = next(_numbers), (ctypes.c_int64 * len(shape))(*shape)
        tensor = _Tensor(address, *self.place, len(shape), *_CODES[dtype], 1, lengths, None, 0)
        managed = _Managed(tensor, number, ctypes.cast(_give_back, ctypes.c_void_p))
        _lent[number] = managed, lengths, self.memory
        new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        forget = ctypes.cast(_forget, ctypes.c_void_p)
        return new(("PyCapsule_New", _API))(ctypes.addressof(managed), _NAME, forget)
