"""The Numba CUDA backend: the scalar formulas of ``numba_formulas`` on an NVIDIA GPU.

``bind`` gives a kernel for prepared data. It copies NumPy arrays to the device and back, and uses device arrays
(anything with ``__cuda_array_interface__``) where they are, on their own stream, without waiting for the result. The
public functions, ``kernels.get("relu", "cuda")``, take host arrays only so far.
Numba is imported when something is first asked for; what runs on the device stands in ``cuda_primitives``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace

import numpy as np

from kernels.activations import Activation, lookup
from kernels.backends import cython_loops, jacobians, texts
from kernels.backends.numba_formulas import TYPES
from kernels.constants import LANES, inside
from kernels.half import format_behind, is_half, through_float32

INSTALL = 'pip install "activation-kernels[cuda13]" (or [cuda12] for a driver of CUDA 12)'

#: Threads a block of the elementwise loop, and blocks for each multiprocessor: all the threads that it can hold.
THREADS = 256
BLOCKS_PER_MULTIPROCESSOR = 8

#: The simulator starts a Python thread for each of the device's.
SIMULATED_THREADS, SIMULATED_BLOCKS = 2, 2

#: Row kernels stride over the rows beyond this.
MOST_BLOCKS = 1 << 16


# ---------------------------------------------------------------- availability
@functools.cache
def _cuda() -> ModuleType:
    """``numba.cuda``, which must be NVIDIA's: Numba's own target ends at CUDA 12.4."""
    if importlib.util.find_spec("_numba_cuda_redirector"):
        # Its .pth file is not read in directories that are not site directories (pip install --target).
        import _numba_cuda_redirector  # noqa: F401
    from numba import cuda

    return cuda


def _simulated() -> bool:
    from numba import config

    return bool(config.ENABLE_CUDASIM)


@functools.cache
def reason() -> str | None:
    """None where kernels can run, else what is missing and how to get it."""
    if importlib.util.find_spec("numba") is None:
        return f"Numba is not installed: {INSTALL}"
    try:
        if _simulated():
            return None
        if importlib.util.find_spec("numba_cuda") is None:
            return f"numba-cuda is not installed: {INSTALL}"
        return _reason_of_target(_cuda())
    except Exception as error:  # A broken driver or toolkit shows in many ways, none of which may stop the caller.
        return f"numba-cuda does not work here ({type(error).__name__}: {error}): {INSTALL}"


def _reason_of_target(cuda: ModuleType) -> str | None:
    if getattr(cuda, "implementation", None) != "NVIDIA":
        return f"numba.cuda is Numba's deprecated built-in target, not numba-cuda: {INSTALL}"
    if cuda.is_available():
        return None
    error = cuda.cuda_error()
    if error is not None:
        return f"no usable NVIDIA driver or GPU, install the driver ({' '.join(str(error).split())})"
    return f"the CUDA compiler (NVVM) is not installed: {INSTALL}"


def variants() -> tuple[str, ...]:
    """This backend has one variant only."""
    return ()


# ---------------------------------------------------------------- kernels
def _inside(dtype: type, accuracy: str) -> tuple[str, type]:
    """The format in which arrays of ``dtype`` are computed, and its type."""
    compute = "float64" if is_half(dtype) else inside(np.dtype(dtype).name, accuracy)
    return compute, TYPES[compute]


def _stored(dtype: type) -> type:
    """What lies in memory: of half types, which Numba lacks, the bit patterns."""
    return np.uint16 if is_half(dtype) else dtype


def _formula(record: Activation, form: str, compute: str) -> Callable:
    """The scalar formula of an elementwise form, called with x, p and q whatever it takes."""
    from kernels.backends import cuda_primitives as device

    # The last: of value_and_derivative, the derivative.
    name = texts.names(record, form)[-1]
    function = device.formulas(record.format_of(name, compute))[name]
    spread = (
        lambda x, p, q: function(x),
        lambda x, p, q: function(x, p),
        lambda x, p, q: function(x, p, q),
    )[len(record.parameters)]
    return device.device(spread)


def _apply(record: Activation, form: str, dtype: type, accuracy: str, parameter_array: bool) -> Callable:
    """The body of the elementwise loop: converts, computes, rounds once."""
    from kernels.backends import cuda_primitives as device

    compute, real = _inside(dtype, accuracy)
    load, save, parameter = real, dtype, real
    if is_half(dtype):
        compute = format_behind(form)
        load, save = device.halves(np.dtype(dtype).name)
        parameter = load if parameter_array else real
    function = _formula(record, form, compute)
    value = _formula(record, "value", compute)
    multiply = device.primitives(real)["rounded_multiply"]

    def one(x, second, p, q):
        return (save(function(load(x), parameter(p), real(q))),)

    def product(g, x, p, q):
        return (save(multiply(load(g), function(load(x), parameter(p), real(q)))),)

    def both(x, second, p, q):
        return save(value(load(x), parameter(p), real(q))), save(function(load(x), parameter(p), real(q)))

    bodies = {"backward": product, "backward_from_output": product, "value_and_derivative": both}
    return device.device(bodies.get(form, one))


def _gated(record: Activation, form: str, dtype: type, accuracy: str) -> Callable:
    """What a pair's two numbers give."""
    from kernels.backends import cuda_primitives as device

    compute, real = _inside(dtype, accuracy)
    gate = lookup(record.gate)
    value, slope = (_formula(gate, one, compute) for one in ("value", "derivative"))
    multiply = device.primitives(real)["rounded_multiply"]

    # The parameter is no constant: NVVM would fold it, and what is left may lose how it rounds.
    def one(g, a, b, p):
        return (dtype(multiply(real(a), value(real(b), real(p), real(p)))),)

    def both(g, a, b, p):
        first = multiply(real(g), value(real(b), real(p), real(p)))
        return dtype(first), dtype(multiply(multiply(real(g), real(a)), slope(real(b), real(p), real(p))))

    return device.device(both if form == "backward" else one)


@functools.cache
def _text(name: str, form: str, dtype: type, accuracy: str, parameter_array: bool) -> tuple[Callable, tuple]:
    """A kernel's function and the Numba types of its arguments."""
    from numba import types

    from kernels.backends import cuda_primitives as device

    record = lookup(name)
    memory = device.Memory(_stored(dtype))
    address, count, scalar = types.int64, types.int64, types.float32 if dtype is np.float32 else types.float64
    if record.gate:
        loop = device.pair_loop(_gated(record, form, dtype, accuracy), memory, form == "backward")
        return loop, (address, address, address, scalar, count, count)
    if not record.elementwise:
        compute = record.format_of(name, _inside(dtype, accuracy)[0])
        if record.normaliser == "threshold":
            loop = device.projection_loop(name, compute, memory, form)
        else:
            loop = device.row_loop(*cython_loops.formulas(record, form), compute, memory, form)
        return loop, (address, address, address, count, count)
    apply = _apply(record, form, dtype, accuracy, parameter_array)
    loop = device.elementwise_loop(apply, memory, form == "value_and_derivative", parameter_array)
    p = address if parameter_array else scalar
    return loop, (address, address, p, scalar, address, address, count, count, count)


@functools.cache
def _compiled(name: str, form: str, dtype: type, accuracy: str, parameter_array: bool):
    """A kernel that can be launched, compiled for the current device."""
    loop, arguments = _text(name, form, dtype, accuracy, parameter_array)
    if _simulated():
        return _cuda().jit(loop)
    # Without link-time optimisation the PTX that the tests read is the code that runs.
    return _cuda().jit(_signature(arguments), fastmath=False, opt=True, lto=False)(loop)


def _signature(arguments: tuple):
    from numba import types

    return types.void(*arguments)


@contextlib.contextmanager
def _pretended_device(cc: tuple[int, int]) -> Iterator[None]:
    """Device functions are compiled for the current device, even when PTX for another one is asked for."""
    from numba.cuda import dispatcher

    current = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=cc)
    try:
        yield
    finally:
        dispatcher.get_current_device = current


def compile_ptx(
    record: Activation,
    form: str,
    dtype: type,
    accuracy: str = "fast",
    cc: tuple[int, int] = (9, 0),
    parameter_array: bool = False,
) -> str:
    """The PTX of a kernel; needs numba-cuda and NVVM, but neither a driver nor a GPU."""
    cuda = _cuda()
    with _pretended_device(cc):
        loop, arguments = _text(record.name, form, dtype, accuracy, parameter_array)
        return cuda.compile_ptx(loop, _signature(arguments), cc=cc, fastmath=False, opt=True)[0]


# ---------------------------------------------------------------- arrays
class _View:
    """A device array as a kernel needs it: shape, address, stream."""

    def __init__(self, array, dtype: type):
        interface = _interface(array)
        self.array = array
        self.shape = tuple(interface["shape"])
        self.address = interface["data"][0]
        self.stream = interface.get("stream")
        if np.dtype(interface["typestr"]) != dtype:
            raise TypeError(f"expected a device array of {np.dtype(dtype)}, given {np.dtype(interface['typestr'])}")
        if not _contiguous(self.shape, interface.get("strides"), np.dtype(dtype).itemsize):
            raise ValueError(f"expected a C-contiguous device array, given strides {interface['strides']}")

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def argument(self):
        """What the kernel gets: the simulator has no addresses."""
        return self.array.reshape(-1) if _simulated() else self.address


def _interface(array) -> dict:
    if _simulated():
        return array.__array_interface__
    return array.__cuda_array_interface__


def _contiguous(shape: tuple[int, ...], strides: tuple[int, ...] | None, itemsize: int) -> bool:
    if strides is None or 0 in shape:
        return True
    expected = itemsize
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length > 1 and stride != expected:
            return False
        expected *= length
    return True


def _on_host(array) -> bool:
    return isinstance(array, np.ndarray)


def _is_array(value) -> bool:
    """An array with axes; NumPy scalars and 0-d arrays are parameters like any number."""
    return bool(getattr(value, "shape", ()))


def _stream(views: list[_View]):
    """The stream of the arrays. Where they have several, the first waits for what the others hold at this moment."""
    cuda = _cuda()
    pointers = list(dict.fromkeys(view.stream for view in views if view.stream is not None))
    if not pointers:
        return cuda.default_stream() if not _simulated() else 0
    streams = [cuda.external_stream(pointer) for pointer in pointers]
    for other in streams[1:]:
        event = cuda.event(timing=False)
        event.record(other)
        event.wait(streams[0])
    return streams[0]


# ---------------------------------------------------------------- launching
def _groups(views: list[_View], n: int, itemsize: int) -> tuple[int, int]:
    """Where 16-byte accesses may start, and how many groups follow: none unless all arrays are misaligned alike."""
    from kernels.backends.cuda_primitives import GROUP, VECTOR_BYTES

    offsets = {view.address % VECTOR_BYTES for view in views}
    if len(offsets) != 1:
        return 0, 0
    start = -offsets.pop() % VECTOR_BYTES // itemsize
    return (start, (n - start) // GROUP) if n > start else (0, 0)


@functools.cache
def _multiprocessors(device_id: int) -> int:
    return _cuda().gpus[device_id].MULTIPROCESSOR_COUNT


def _grid(n: int, groups: int) -> tuple[int, int]:
    """Blocks and threads of the elementwise loop."""
    if _simulated():
        return SIMULATED_BLOCKS, SIMULATED_THREADS
    most = _multiprocessors(_cuda().get_current_device().id) * BLOCKS_PER_MULTIPROCESSOR
    work = max(groups, n - 4 * groups)
    return max(1, min(most, -(-work // THREADS))), THREADS


def _expect(view: _View, shape: tuple[int, ...]) -> None:
    if view.shape != shape:
        raise ValueError(f"expected device arrays of shape {shape}, given {view.shape}")


class _Kernel:
    """A kernel for one activation, form, dtype and accuracy; compiled at its first launch."""

    def __init__(self, record: Activation, form: str, dtype: type, accuracy: str):
        self.record, self.form, self.accuracy = record, form, accuracy
        self.dtype, self.stored = dtype, _stored(dtype)
        self.real = np.float64 if is_half(dtype) else dtype
        self.inputs = 2 if form in ("backward", "backward_from_output") else 1
        self.outputs = 2 if form == "value_and_derivative" else 1

    def __call__(self, *arguments, out=None):
        inputs, parameters = arguments[: self.inputs], arguments[self.inputs :]
        if len(arguments) != self.inputs + len(self.record.parameters):
            names = ", ".join(p.name for p in self.record.parameters) or "none"
            raise TypeError(f"{self.record.name} {self.form} takes {self.inputs} arrays and the parameters: {names}")
        outs = (out,) if self.outputs == 1 else tuple(out or (None, None))
        call = self._from_host if _on_host(inputs[0]) else self._on_device
        results = call(inputs, parameters, outs)
        return results[0] if self.outputs == 1 else results

    def _from_host(self, inputs: tuple, parameters: tuple, outs: tuple) -> tuple:
        cuda = _cuda()
        shape = self.record.result_shape(self.form, inputs[-1].shape)
        outs = tuple(np.empty(shape, self.dtype) if out is None else out for out in outs)
        inputs = tuple(cuda.to_device(array.view(self.stored)) for array in inputs)
        parameters = tuple(
            cuda.to_device(p.view(self.stored)) if _is_array(p) and _on_host(p) else p for p in parameters
        )
        results = self._on_device(inputs, parameters, (None,) * len(outs))
        for result, out in zip(results, outs, strict=True):
            if out.size:
                result.copy_to_host(out.view(self.stored))
        return outs

    def _on_device(self, inputs: tuple, parameters: tuple, outs: tuple) -> tuple:
        views = [_View(array, self.stored) for array in inputs]
        arrays = {k: _View(p, self.stored) for k, p in enumerate(parameters) if _is_array(p)}
        given = [_View(out, self.stored) for out in outs if out is not None]
        shape = self.record.result_shape(self.form, views[-1].shape)
        for view in (*arrays.values(), *given):
            _expect(view, shape)
        for view in views[:-1]:
            _expect(view, self.record.result_shape("value", views[-1].shape))
        stream = _stream([*views, *arrays.values(), *given])
        new = functools.partial(_cuda().device_array, shape, self.stored, stream=stream)
        outs = tuple(new() if out is None else out for out in outs)
        if math.prod(shape):
            launch = self._launch_elements if self.record.elementwise else self._launch_rows
            launch(views, parameters, arrays, [_View(out, self.stored) for out in outs], stream)
        return outs

    def _launch_elements(self, inputs: list, parameters: tuple, arrays: dict, outs: list, stream) -> None:
        if set(arrays) - {0}:
            raise TypeError(f"{self.record.name}: only the first parameter may be an array")
        n = inputs[0].size
        start, groups = _groups([*inputs, *arrays.values(), *outs], n, self.stored().itemsize)
        values = [arrays[k].argument if k in arrays else self.real(v) for k, v in enumerate(parameters)]
        p, q = [*values, self.real(0), self.real(0)][:2]
        kernel = _compiled(self.record.name, self.form, self.dtype, self.accuracy, bool(arrays))
        addresses = inputs[0].argument, inputs[-1].argument
        targets = outs[0].argument, outs[-1].argument
        blocks, threads = _grid(n, groups)
        kernel[blocks, threads, stream](*addresses, p, q, *targets, start, groups, n)

    def _launch_rows(self, inputs: list, parameters: tuple, arrays: dict, outs: list, stream) -> None:
        from kernels.backends.cuda_primitives import ROW_SHARED_BYTES

        rows, n = inputs[-1].shape
        kernel = _compiled(self.record.name, self.form, self.dtype, self.accuracy, False)
        addresses = inputs[0].argument, inputs[-1].argument, outs[0].argument
        if self.record.gate:
            p = self.dtype((*self.record.gate_parameters, 0)[0])
            kernel[(*_grid(rows * (n // 2), 0), stream)](*addresses, p, rows, n // 2)
            return
        blocks = min(rows, SIMULATED_BLOCKS if _simulated() else MOST_BLOCKS)
        kernel[blocks, LANES, stream, ROW_SHARED_BYTES](*addresses, rows, n)


def bind(record: Activation, form: str, dtype: type, accuracy: str, variant: None = None) -> Callable:
    """A form's kernel on prepared data: ``kernel(x, *params, out=None)``, the gradient first if it has one."""
    if form == "jacobian":
        return jacobians.bind(record, lambda one, _: bind(one, "value", _inside(dtype, accuracy)[1], "fast"), accuracy)
    if is_half(dtype) and not record.elementwise:
        return through_float32(_Kernel(record, form, np.float32, "fast"))
    return _Kernel(record, form, dtype, accuracy)
