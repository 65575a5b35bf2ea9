"""Arrays in GPU memory, of whichever library: where they lie, on which stream, and new ones of the same kind.

Nothing is imported for them: an array that is given brings its library along.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels import dlpack
from kernels.constants import DTYPES, HALF_TYPES

#: What the CUDA array interface calls them; it has no name for bfloat16.
_NAMES = {"<f2": "float16", "<f4": "float32", "<f8": "float64"}


#: New arrays' addresses are multiples of it.
ALIGNED = 16

#: On the host, too.
REQUIRES_GRAD = "a tensor requires grad, and autograd can't follow these functions: give tensor.detach()"


@dataclass(slots=True, frozen=True)
class View:
    """An array as a kernel needs it."""

    array: Any
    kind: Kind
    #: One of DTYPES.
    dtype: str
    shape: tuple[int, ...]
    address: int
    #: Its GPU's number.
    device: int
    #: In elements; None where it is C-contiguous.
    strides: tuple[int, ...] | None = None
    #: The stream that its contents are written on, where the array says so.
    stream: int | None = None
    writeable: bool = True
    #: What must live for as long as the memory is used.
    lent: Any = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * itemsize(self.dtype)


@functools.cache
def itemsize(dtype: str) -> int:
    # NumPy need not know bfloat16, of which PyTorch and JAX have arrays.
    return 2 if dtype in HALF_TYPES else np.dtype(dtype).itemsize


class Kind:
    """What has ``__cuda_array_interface__``; new arrays are Numba's."""

    def is_on_device(self, array: Any) -> bool:
        return True

    def seen(self, array: Any) -> tuple[tuple, int] | None:
        """(its view but for the address, hashable, with how that is aligned; the address); None where it takes long."""
        return None

    def view(self, array: Any) -> View:
        typestr = _interface(array)["typestr"]
        return self.view_as(array, accepted(_NAMES.get(typestr) or np.dtype(typestr).name))

    def view_as(self, array: Any, dtype: str) -> View:
        interface = _interface(array)
        shape, (address, read_only) = tuple(interface["shape"]), interface["data"]
        stream, strides = interface.get("stream"), interface.get("strides")
        if strides is not None:
            strides = _strides(shape, tuple(step // itemsize(dtype) for step in strides))
        return View(array, self, dtype, shape, address, device_of(address), strides, stream, not read_only)

    def new(self, like: View, shape: tuple[int, ...]) -> Callable[[Any], Any]:
        """What makes a new array of one that has such a view: on the same GPU, of the same shape with its strides."""
        return lambda array: _new_of_numba(like, shape, np.dtype(like.dtype))

    def new_view(self, like: View, shape: tuple[int, ...]) -> View:
        """That of a new array."""
        return self.view(self.new(like, shape)(like.array))

    def result(self, like: View, new: View) -> Any:
        """What the caller gets of a new array, on whose way everything is that will be written."""
        return new.array

    def stream(self, device: int) -> int | None:
        """The caller's current stream, where the library has one."""
        return None

    def written(self, array: Any) -> None:
        """Tell the library that an array's contents change, where it keeps account of that."""


class Torch(Kind):
    """PyTorch's tensors."""

    def is_on_device(self, array: Any) -> bool:
        # Among PyTorch's types are others than tensors.
        return getattr(array, "is_cuda", False)

    def view(self, array: Any) -> View:
        if array.requires_grad:
            raise TypeError(REQUIRES_GRAD)
        name = accepted(_torch_names().get(array.dtype, str(array.dtype)))
        strides = None if array.is_contiguous() else array.stride()
        shape = tuple(array.shape)
        return View(array, self, name, shape, array.data_ptr(), array.get_device(), strides)

    def seen(self, array: Any) -> tuple[tuple, int]:
        address, strides = array.data_ptr(), None if array.is_contiguous() else array.stride()
        about = array.dtype, array.shape, strides, array.get_device(), address % ALIGNED, array.requires_grad
        return about, address

    def address(self, array: Any) -> int:
        return array.data_ptr()

    def new(self, like: View, shape: tuple[int, ...]) -> Callable[[Any], Any]:
        return sys.modules["torch"].empty_like if shape == like.shape else lambda array: array.new_empty(shape)

    @functools.cached_property
    def stream(self) -> Callable[[int], int]:
        """As compiled code of PyTorch asks for it, where that is there, for it takes half."""
        torch = sys.modules["torch"]
        raw = getattr(torch._C, "_cuda_getCurrentRawStream", None)
        return raw or (lambda device: torch.cuda.current_stream(device).cuda_stream)

    def written(self, array: Any) -> None:
        # Autograd may have kept the tensor.
        sys.modules["torch"].autograd.graph.increment_version(array)


@functools.cache
def _torch_names() -> dict:
    torch = sys.modules["torch"]
    return {getattr(torch, name): name for name in DTYPES}


class CuPy(Kind):
    """CuPy's arrays."""

    def view(self, array: Any) -> View:
        name, flags = accepted(array.dtype.name), array.flags
        strides = None if flags.c_contiguous else tuple(step // array.itemsize for step in array.strides)
        return View(array, self, name, array.shape, array.data.ptr, array.device.id, strides)

    def seen(self, array: Any) -> tuple[tuple, int]:
        address, strides = array.data.ptr, None if array.flags.c_contiguous else array.strides
        return (array.dtype.char, array.shape, strides, array.device.id, address % ALIGNED), address

    def address(self, array: Any) -> int:
        return array.data.ptr

    def new(self, like: View, shape: tuple[int, ...]) -> Callable[[Any], Any]:
        cupy, other = sys.modules["cupy"], None if shape == like.shape else shape

        def make(array: Any) -> Any:
            with cupy.cuda.Device(like.device):
                return cupy.empty_like(array, shape=other)

        return make

    def stream(self, device: int) -> int:
        return sys.modules["cupy"].cuda.get_current_stream(device).ptr


class DLPack(Kind):
    """What libraries of the Python array API lend by ``__dlpack__``: JAX's arrays.

    They have no current stream that others could see, so that all is done on the legacy default stream: it waits for
    what an input is being filled with, and the library's own stream waits for the result.
    """

    #: Device types whose arrays are taken.
    devices = (dlpack.CUDA, dlpack.CUDA_MANAGED)
    lending_stream: int | None = dlpack.LEGACY_DEFAULT

    def is_on_device(self, array: Any) -> bool:
        # JAX's tracers have their arrays' methods by name only.
        if not hasattr(array, "__dlpack_device__"):
            return False
        try:
            return array.__dlpack_device__()[0] in self.devices
        except BufferError:
            # It lies on several devices, or on one that the protocol has no number for.
            return False

    def view(self, array: Any) -> View:
        lent = dlpack.borrow(array, self.lending_stream)
        dtype, strides = accepted(lent.dtype or str(array.dtype)), lent.strides and _strides(lent.shape, lent.strides)
        return View(array, self, dtype, lent.shape, lent.address, lent.device, strides, 0, False, lent.capsule)

    def new_view(self, like: View, shape: tuple[int, ...]) -> View:
        stored = np.uint16 if like.dtype in HALF_TYPES else like.dtype
        return view_of_numba(_new_of_numba(like, shape, np.dtype(stored)), like.dtype)

    def result(self, like: View, new: View) -> Any:
        place = like.array.__dlpack_device__()[0], like.device
        waiting = functools.partial(wait, device=like.device)
        offered = dlpack.Offered(new.array, (new.dtype, new.shape, new.address), place, waiting)
        return like.array.__array_namespace__().from_dlpack(offered)

    def stream(self, device: int) -> int:
        return 0


def _new_of_numba(like: View, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    from numba import cuda

    if like.strides is not None:
        raise ValueError(f"expected a C-contiguous device array, given strides of {like.strides} elements")
    with made_current(like.device):
        return cuda.device_array(shape, dtype)


def _strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if is_contiguous(shape, strides) else strides


_GENERAL, _DLPACK = Kind(), DLPack()
_KINDS = {"torch": Torch(), "cupy": CuPy()}


# ---------------------------------------------------------------- telling them apart
@functools.lru_cache(maxsize=256)
def kind_of_type(cls: type) -> Kind | None:
    """The kind that arrays of a type are of, those in GPU memory; None for other types."""
    for base in cls.__mro__:
        kind = _KINDS.get(base.__module__.partition(".")[0])
        if kind is not None:
            return kind
    if (
        hasattr(cls, "__dlpack__")
        and hasattr(cls, "__array_namespace__")
        and not issubclass(cls, np.ndarray | np.generic)
    ):
        return _DLPACK
    simulated = cls.__name__ == "FakeCUDAArray"
    return _GENERAL if simulated or hasattr(cls, "__cuda_array_interface__") else None


def kind_of(value: Any) -> Kind | None:
    """The kind of an array in GPU memory; None for everything else."""
    kind = kind_of_type(type(value))
    return kind if kind and kind.is_on_device(value) else None


def any_on_device(values: Iterable[Any]) -> bool:
    """Whether one of the values is an array in GPU memory."""
    # A generator would take as long as the rest.
    for value in values:  # noqa: SIM110
        if kind_of(value) is not None:
            return True
    return False


def view(value: Any, name: str) -> View:
    """An array in GPU memory; TypeError says that ``name`` is none, or has a dtype that is not accepted."""
    kind = kind_of(value)
    if kind is None:
        raise TypeError(
            f"{name} must be in GPU memory as the other arrays are, given {type(value).__name__} on the host: copy one "
            "to the other, for nothing is copied unasked"
        )
    try:
        return kind.view(value)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None


def view_of_numba(array: Any, dtype: str) -> View:
    """Numba's array of a dtype's numbers, or of their bit patterns."""
    return _GENERAL.view_as(array, dtype)


def accepted(dtype: str) -> str:
    if dtype not in DTYPES:
        raise TypeError(f"the dtype is {dtype}; accepted in GPU memory are {', '.join(DTYPES)}")
    return dtype


def _interface(array: Any) -> dict:
    # The simulator's arrays are NumPy's, in a wrapper.
    return getattr(array, "__cuda_array_interface__", None) or array.__array_interface__


@functools.cache
def driver():
    """The CUDA driver, as NVIDIA's bindings have it."""
    from cuda.bindings import driver

    return driver


def driver_version() -> tuple[int, int]:
    """(major, minor) of the newest CUDA that the driver knows."""
    major, rest = divmod(told(driver().cuDriverGetVersion), 1000)
    return major, rest // 10


@contextlib.contextmanager
def made_current(device: int) -> Iterator[None]:
    """The GPU as the current one."""
    from numba import cuda

    with cuda.gpus[device]:
        yield


def is_current(driver, device: int) -> bool:
    error, now = driver.cuCtxGetDevice()
    return not error and int(now) == device


def _on(device: int) -> contextlib.AbstractContextManager:
    """The GPU as the current one, which it mostly is."""
    return contextlib.nullcontext() if is_current(driver(), device) else made_current(device)


def told(call: Callable[..., tuple], *arguments: Any) -> Any:
    """What a function of the driver returns; RuntimeError says that it failed."""
    error, *found = call(*arguments)
    if error:
        raise RuntimeError(f"the GPU's driver failed in {call.__name__}: {error.name}")
    return found[0] if found else None


def _recorded(stream: int) -> Any:
    """An event on a stream of the current GPU."""
    cuda = driver()
    event = told(cuda.cuEventCreate, cuda.CUevent_flags.CU_EVENT_DISABLE_TIMING)
    told(cuda.cuEventRecord, event, stream)
    return event


def wait(stream: int, other: int, device: int) -> None:
    """Let a stream wait for what is on its way on another, and the host for nothing."""
    cuda = driver()
    with _on(device):
        event = _recorded(other)
        told(cuda.cuStreamWaitEvent, stream, event, 0)
        told(cuda.cuEventDestroy, event)


#: (event, what is lent): in use until the event has come.
in_use: list[tuple[Any, list]] = []
_in_use_lock = threading.Lock()


def keep_until_done(views: Iterable[View], stream: int) -> None:
    """Keep borrowed memory from its library until the kernel that was launched last has read it.

    The library sees its own streams only, and would use the memory of an array that is gone for something new.
    """
    lent = [one for one in views if one.lent is not None]
    if lent:
        with _on(lent[0].device), _in_use_lock:
            in_use.append((_recorded(stream), lent))


def let_go(device: int) -> None:
    """Give borrowed memory back that was read; ``device`` is the GPU in use. To be asked while ``in_use``."""
    cuda = driver()
    with _on(device), _in_use_lock:
        for one in in_use[:]:
            # An event that failed never comes.
            if cuda.cuEventQuery(one[0])[0] != cuda.CUresult.CUDA_ERROR_NOT_READY:
                in_use.remove(one)
                told(cuda.cuEventDestroy, one[0])


def device_of(address: int) -> int:
    """The GPU whose memory an address is in; the current one for the address of nothing."""
    from numba import config

    if config.ENABLE_CUDASIM:
        return 0
    cuda = driver()
    attribute = cuda.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    error, device = cuda.cuPointerGetAttribute(attribute, address) if address else cuda.cuCtxGetDevice()
    if error:
        raise ValueError(f"address {address:#x} is not in the memory of a GPU ({error.name})")
    return int(device)


# ---------------------------------------------------------------- how they lie
def is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements follow each other in C order; strides in elements."""
    expected = 1
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length > 1 and stride != expected:
            return False
        expected *= length
    return True


def is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements fill their memory without gaps, in whichever order of the axes."""
    axes = sorted(zip(strides, shape, strict=True))
    return is_contiguous(tuple(n for _, n in reversed(axes)), tuple(s for s, _ in reversed(axes)))


def share_memory(a: View, b: View) -> bool:
    """Whether two dense arrays have memory in common."""
    return a.address < b.address + b.nbytes and b.address < a.address + a.nbytes


def overlap(a: View, b: View) -> bool:
    """Whether they share memory without being the same elements."""
    return share_memory(a, b) and (a.address, a.nbytes) != (b.address, b.nbytes)
