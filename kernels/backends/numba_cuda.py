"""The Numba CUDA backend: the scalar formulas of ``numba_formulas`` on an NVIDIA GPU.

``bind`` gives a kernel for prepared NumPy arrays, which it copies to the device and back. ``OnDevice`` is one for
arrays in GPU memory (``device_arrays``), which it uses where they are, on the caller's stream, without waiting for the
result: what ``kernels.get("relu", "cuda")`` and ``kernels.fastest.relu`` do with such arrays.
Numba is imported when something is first asked for; what runs on the device stands in ``cuda_loops`` and ``cuda_rows``,
launching in ``cuda_launch``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np

from kernels import device_arrays
from kernels.activations import Activation, lookup
from kernels.arguments import INPUTS, check_halves, checked_axis, number
from kernels.backends import jacobians, texts
from kernels.backends.numba_formulas import TYPES
from kernels.backends.unavailable import BackendUnavailable
from kernels.constants import HALF_TYPES, LANES, inside
from kernels.device_arrays import View
from kernels.half import format_behind, is_half

INSTALL = 'pip install "activation-kernels[cuda13]" (or [cuda12] for a driver of CUDA 12)'

#: What drivers and linkers say of code whose compiler is newer than they are.
TOO_NEW = ("UNSUPPORTED_PTX_VERSION", "Unsupported .version", "INVALID_IMAGE")

#: Calls of a form that are kept prepared.
MOST_READY = 1024


# ---------------------------------------------------------------- availability
@functools.cache
def _cuda() -> ModuleType:
    """``numba.cuda``, which must be NVIDIA's: Numba's own target ends at CUDA 12.4."""
    if importlib.util.find_spec("_numba_cuda_redirector"):
        # Its .pth file is not read in directories that are not site directories (pip install --target).
        import _numba_cuda_redirector  # noqa: F401
    from numba import cuda

    return cuda


def is_simulated() -> bool:
    """Whether Numba's CUDA simulator stands in for a GPU (NUMBA_ENABLE_CUDASIM=1)."""
    from numba import config

    return bool(config.ENABLE_CUDASIM)


@functools.cache
def reason() -> str | None:
    """None where kernels can run, else what is missing and how to get it."""
    if importlib.util.find_spec("numba") is None:
        return f"Numba is not installed: {INSTALL}"
    try:
        if is_simulated():
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
class Choice(NamedTuple):
    """Which kernel: all that its code depends on."""

    name: str
    form: str
    #: One of DTYPES.
    dtype: str
    accuracy: str = "fast"
    #: Of VARIANTS of its kind.
    variant: str = "plain"

    @property
    def record(self) -> Activation:
        return lookup(self.name)

    @property
    def is_half(self) -> bool:
        return self.dtype in HALF_TYPES

    @property
    def compute(self) -> str:
        """The format that it computes in; half types as the CPU does."""
        if not self.is_half:
            return inside(self.dtype, self.accuracy)
        return format_behind(self.form) if self.record.elementwise else "float32"

    @property
    def real(self) -> type:
        return TYPES[self.compute]

    @property
    def scalar(self) -> type:
        """The type of scalar parameters."""
        return np.float32 if self.dtype == "float32" else self.real

    @property
    def layout(self) -> str:
        """The types of the kernel's arguments, as ``struct`` writes them; P is an address."""
        if self.record.kind == "row":
            return "PPPqq"
        scalar = "f" if self.scalar is np.float32 else "d"
        return f"PP{'P' if self.variant == 'array' else scalar}{scalar}PPqqqqq"


def variants_of(record: Activation) -> tuple[str, ...]:
    """The kernels that a form has: of rows by length, of elementwise functions by what the parameter is."""
    if record.kind == "row":
        return ("warp", "long") if record.normaliser == "threshold" else ("warp", "block", "long")
    return ("plain", "array") if any(p.broadcasts for p in record.parameters) else ("plain",)


def _formula(choice: Choice, name: str) -> Callable:
    """A scalar formula, called with x, p and q whatever it takes."""
    from kernels.backends import cuda_primitives as device

    record = lookup(choice.record.gate or choice.name)
    function = device.formulas(record.format_of(name, choice.compute))[name]
    spread = (
        lambda x, p, q: function(x),
        lambda x, p, q: function(x, p),
        lambda x, p, q: function(x, p, q),
    )[len(record.parameters)]
    return device.device(spread)


def _elementwise(choice: Choice, memory) -> tuple[Callable, ...]:
    """A formula for each output: converts, computes, rounds once."""
    from kernels.backends import cuda_primitives as device

    load, save, real = memory.widen, memory.narrow, choice.real
    parameter = load if choice.variant == "array" else real
    multiply = device.primitives(real)["rounded_multiply"]
    is_product = choice.form.startswith("backward")

    def made_of(function: Callable) -> Callable:
        def single(x, second, p, q):
            return save(function(load(x), parameter(p), real(q)))

        def product(g, x, p, q):
            return save(multiply(load(g), function(load(x), parameter(p), real(q))))

        return device.device(product if is_product else single)

    return tuple(made_of(_formula(choice, name)) for name in texts.names(choice.record, choice.form))


def _gated(choice: Choice, memory) -> tuple[Callable, ...]:
    """A formula for each half of the result."""
    from kernels.backends import cuda_primitives as device

    load, save, real = memory.widen, memory.narrow, choice.real
    value, slope = (_formula(choice, name) for name in texts.names(choice.record, "backward"))
    multiply = device.primitives(real)["rounded_multiply"]

    # The parameter is no constant: NVVM would fold it, and what is left may lose how it rounds.
    def forward(g, a, b, p):
        return save(multiply(load(a), value(load(b), real(p), real(p))))

    def first(g, a, b, p):
        return save(multiply(load(g), value(load(b), real(p), real(p))))

    def second(g, a, b, p):
        return save(multiply(multiply(load(g), load(a)), slope(load(b), real(p), real(p))))

    return tuple(map(device.device, (first, second) if choice.form == "backward" else (forward,)))


@functools.cache
def _text(choice: Choice) -> Callable:
    """A kernel's function."""
    from kernels.backends import cuda_loops, cuda_rows
    from kernels.backends.cuda_primitives import Memory

    record, held = choice.record, choice.variant != "long"
    if record.kind == "row":
        compute = record.format_of(record.name, choice.compute)
        memory = Memory(choice.dtype, TYPES[compute])
        if record.normaliser == "threshold":
            return cuda_rows.projection_loop(record.name, compute, memory, choice.form, held)
        team = LANES if choice.variant == "warp" else cuda_rows.GEOMETRY.block
        return cuda_rows.row_loop(record, choice.form, compute, memory, team, held)
    memory = Memory(choice.dtype, choice.real)
    if record.gate:
        return cuda_loops.gated_loop(_gated(choice, memory), memory)
    return cuda_loops.elementwise_loop(_elementwise(choice, memory), memory, choice.variant == "array")


def _signature(layout: str):
    from numba import types

    letters = {"P": types.int64, "q": types.int64, "f": types.float32, "d": types.float64}
    return types.void(*(letters[letter] for letter in layout))


@functools.cache
def _launcher(choice: Choice, device: int):
    """A kernel that can be launched, compiled for a device."""
    from kernels.backends import cuda_launch

    why = reason()
    if why is not None:
        raise _unavailable(why)
    if is_simulated():
        return cuda_launch.simulated(_cuda().jit(_text(choice)), choice.layout)
    # Without link-time optimisation the PTX that the tests read is the code that runs.
    with _cuda().gpus[device], _old_driver_told():
        kernel = _cuda().jit(_signature(choice.layout), fastmath=False, opt=True, lto=False)(_text(choice))
        return cuda_launch.compiled(kernel, choice.layout)


def _unavailable(why: str) -> BackendUnavailable:
    return BackendUnavailable(f"backend 'cuda' is not available: {why}")


@contextlib.contextmanager
def _old_driver_told() -> Iterator[None]:
    """Says what to do where the driver does not take what the compiler made."""
    try:
        yield
    except Exception as error:
        if not any(words in str(error) for words in TOO_NEW):
            raise
        of = "{}.{}".format(*device_arrays.driver_version())
        raise _unavailable(
            f"the driver, of CUDA {of}, is older than the CUDA compiler installed here: update the driver, or take "
            f'the compiler of its version: pip install "cuda-toolkit=={of}.*" with {INSTALL}'
        ) from error


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


def compile_ptx(choice: Choice, cc: tuple[int, int] = (9, 0)) -> str:
    """The PTX of a kernel; needs numba-cuda and NVVM, but neither a driver nor a GPU."""
    cuda = _cuda()
    with _pretended_device(cc):
        return cuda.compile_ptx(_text(choice), _signature(choice.layout), cc=cc, fastmath=False, opt=True)[0]


# ---------------------------------------------------------------- launching
class Prepared(NamedTuple):
    """A launch but for the addresses: how to launch what, and the numbers beside the addresses."""

    launcher: Callable
    config: tuple[int, int, int]
    #: p and q; none for rows.
    parameters: tuple
    numbers: tuple

    def launch(self, inputs: Sequence[int], outs: Sequence[int], stream: int, arrays: Sequence[View]) -> None:
        """``inputs`` and ``outs`` are addresses."""
        targets = (outs[0], outs[-1]) if self.parameters else outs
        self.launcher(self.config, stream, (inputs[0], inputs[-1], *self.parameters, *targets, *self.numbers), arrays)


class _Form:
    """A form of an activation, launched on views of arrays in GPU memory that fit each other."""

    def __init__(self, record: Activation, form: str, accuracy: str):
        self.record, self.form, self.accuracy = record, form, accuracy
        self.prepare = {"elementwise": self._elements, "gated": self._pairs, "row": self._rows}[record.kind]

    def run(self, inputs: Sequence[View], parameters: Sequence, outs: Sequence[View], stream: int, axis: int):
        """Compute; of the parameters one may be a view. None, or what was prepared for it."""
        if not inputs[-1].size:
            return None
        prepared = self.prepare(inputs, parameters, outs, axis)
        arrays = [*inputs, *outs, *(p for p in parameters if isinstance(p, View))]
        prepared.launch([one.address for one in inputs], [one.address for one in outs], stream, arrays)
        return prepared

    def _launcher(self, x: View, variant: str = "plain"):
        accuracy = self.accuracy if x.dtype == "float32" else "fast"
        return _launcher(Choice(self.record.name, self.form, x.dtype, accuracy, variant), x.device)

    def _elements(self, inputs, parameters, outs, axis: int) -> Prepared:
        from kernels.backends import cuda_launch

        x = inputs[-1]
        values = [p.address if isinstance(p, View) else p for p in parameters]
        weight = next((p for p in parameters if isinstance(p, View)), None)
        start, groups = cuda_launch.groups([*inputs, *outs], x.size)
        return Prepared(
            self._launcher(x, "plain" if weight is None else "array"),
            cuda_launch.grid(x.device, groups, x.size, x.dtype),
            (*values, 0.0, 0.0)[:2],
            (start, groups, x.size, *((0, 0) if weight is None else _spread(weight, x))),
        )

    def _pairs(self, inputs, parameters, outs, axis: int) -> Prepared:
        from kernels.backends import cuda_launch

        x = inputs[-1]
        half, n = math.prod(x.shape[axis:]) // 2, x.size // 2
        p = (*self.record.gate_parameters, 0.0)[0]
        groups = cuda_launch.groups_of_pairs([*inputs, *outs], n, half)
        grid = cuda_launch.grid(x.device, groups, n, x.dtype)
        return Prepared(self._launcher(x), grid, (p, p), (0, groups, n, half, 0))

    def _rows(self, inputs, parameters, outs, axis: int) -> Prepared:
        from kernels.backends import cuda_rows

        x = inputs[-1]
        n = x.shape[-1]
        rows = x.size // n
        compute = Choice(self.record.name, self.form, x.dtype, self.accuracy).compute
        size = TYPES[self.record.format_of(self.record.name, compute)]().itemsize
        dealt = cuda_rows.deal(self.record, self.form, rows, n, size)
        config = dealt.blocks, dealt.threads, dealt.shared
        return Prepared(self._launcher(x, dealt.variant), config, (), (rows, n))


def _spread(weight: View, x: View) -> tuple[int, int]:
    """(elements in a row that each of its numbers is for, how many numbers there are)."""
    if weight.size == 1:
        return x.size, 1
    if weight.shape == x.shape:
        return 1, x.size
    return math.prod(x.shape[2:]), weight.size


# ---------------------------------------------------------------- arrays in GPU memory
class _Ready(NamedTuple):
    """What was prepared for arrays of a kind: of those that it was prepared for, other views differ in addresses."""

    kind: device_arrays.Kind
    prepared: Prepared
    #: Without its array, which would live as long as this.
    x: View
    #: Makes an output of x.
    new: Callable
    #: Bytes of the inputs, and of the output.
    sizes: tuple[int, ...]
    size: int


class OnDevice(_Form):
    """A form for arrays in GPU memory: checks them, makes the output, launches on the caller's stream."""

    def __init__(self, record: Activation, form: str, accuracy: str):
        super().__init__(record, form, accuracy)
        self.names = INPUTS.get(form, ("x",))
        self.pair = form == "value_and_derivative"
        #: Calls that were prepared, by their keys.
        self.ready: dict[tuple, _Ready] = {}

    def __call__(self, inputs: Sequence, parameters: Sequence, out=None, axis: int = -1):
        key, sources, target = self._seen(inputs, parameters, out, axis)
        ready = self.ready.get(key)
        if ready is not None:
            return self._again(ready, inputs[-1], sources, out, target)
        views = [device_arrays.view(*each) for each in zip(inputs, self.names, strict=True)]
        x = views[-1]
        axis = self._axis(axis, x)
        self._check_inputs(views, axis)
        values = [self._parameter(*each, x) for each in zip(self.record.parameters, parameters, strict=True)]
        weights = [value for value in values if isinstance(value, View)]
        shape = self.record.result_shape(self.form, x.shape, axis)
        if out is None:
            targets = [x.kind.new_view(x, shape) for _ in range(1 + self.pair)]
        else:
            targets = [device_arrays.view(one, "out") for one in self._given(out)]
            self._check_outputs(targets, shape, [*weights, *views])
            for target in targets:
                target.kind.written(target.array)
        stream = _stream([*targets, *weights, *views])
        prepared = self.run(views, values, targets, stream, axis)
        # The simulator has to know how much memory is behind each address.
        if prepared is not None and key is not None and not is_simulated():
            if len(self.ready) >= MOST_READY:
                self.ready.clear()
            like = dataclasses.replace(x, array=None, lent=None)
            sizes = tuple(one.nbytes for one in views)
            self.ready[key] = _Ready(x.kind, prepared, like, x.kind.new(like, shape), sizes, targets[0].nbytes)
        if not is_simulated():
            device_arrays.keep_until_done([*views, *weights], stream)
            if device_arrays.in_use:
                device_arrays.let_go(x.device)
        outs = tuple(x.kind.result(x, new) if out is None else new.array for new in targets)
        return outs if self.pair else outs[0]

    def _seen(self, inputs: Sequence, parameters: Sequence, out, axis: int) -> tuple[tuple | None, Sequence, int]:
        """(all that a call depends on but the addresses, those of the inputs, that of out).

        The first is None where it is not told at a glance.
        """
        x = inputs[-1]
        # Whether it is in GPU memory need not be asked: what was prepared is for arrays that are.
        kind = device_arrays.kind_of_type(type(x))
        found = kind and kind.seen(x)
        if found is None or (out is not None and (self.pair or type(out) is not type(x))):
            return _UNSEEN
        key, source = found
        about, target = (None, 0) if out is None else kind.seen(out)
        keys, sources = (key, about, axis), (source,)
        if len(inputs) == 2:
            if type(inputs[0]) is not type(x):
                return _UNSEEN
            key, source = kind.seen(inputs[0])
            keys, sources = (*keys, key), (source, *sources)
        for value in parameters:
            if type(value) not in (float, int):
                return _UNSEEN
            # As text, for -0.0 and 0.0 are equal, and NaN is not.
            keys += (value if value > 0 or value < 0 else repr(value),)
        return keys, sources, target

    def _again(self, ready: _Ready, x, sources: Sequence[int], out, target: int):
        """The same with other arrays of the same kind, shape, dtype, strides, alignment and GPU."""
        kind, like = ready.kind, ready.x
        if out is not None:
            self._check_place(target, sources, ready)
            kind.written(out)
            outs, targets = (out,), (target,)
        else:
            outs = (ready.new(x), ready.new(x)) if self.pair else (ready.new(x),)
            targets = [kind.address(one) for one in outs]
        ready.prepared.launch(sources, targets, kind.stream(like.device), (like,))
        if device_arrays.in_use:
            device_arrays.let_go(like.device)
        return outs if self.pair else outs[0]

    def _axis(self, axis: int, x: View) -> int:
        if self.record.elementwise:
            return -1
        axis = checked_axis(axis, len(x.shape))
        if self.record.gate:
            check_halves(x.shape[axis], axis)
        elif axis != len(x.shape) - 1:
            raise ValueError(
                f"in GPU memory rows lie along the last axis, given axis {axis} of {len(x.shape)}: move it there "
                "(movedim, moveaxis) and make the array contiguous"
            )
        return axis

    def _check_inputs(self, views: Sequence[View], axis: int) -> None:
        x = views[-1]
        if x.strides is not None and not (self.record.elementwise and device_arrays.is_dense(x.shape, x.strides)):
            raise ValueError(
                f"x is not contiguous (shape {x.shape}, strides of {x.strides} elements): copy it (contiguous(), "
                "ascontiguousarray), for nothing is copied unasked"
            )
        if len(views) == 2:
            _check(views[0], self.names[0], self.record.result_shape("value", x.shape, axis), x)

    def _parameter(self, parameter, value, x: View):
        if device_arrays.kind_of(value) is None:
            # What is as it should be already is not worth the microseconds of the rules.
            if type(value) is float and x.dtype == "float64" and not parameter.nonnegative_from_output:
                return value
            return number(self.record, self.form, parameter, value, x.dtype)
        if not parameter.broadcasts:
            raise TypeError(f"{parameter.name} must be a number: to read it from the GPU would mean to wait for it")
        weight = device_arrays.view(value, parameter.name)
        if (weight.dtype, weight.device, weight.strides, x.strides) != (x.dtype, x.device, None, None):
            raise ValueError(f"{parameter.name} must be of x's dtype and on its GPU, and both contiguous")
        fits = weight.size == 1 or weight.shape == x.shape
        if not fits and not (len(weight.shape) == 1 and len(x.shape) > 1 and weight.size == x.shape[1]):
            raise ValueError(
                f"{parameter.name} has shape {weight.shape}, which does not fit x of shape {x.shape}: accepted are a "
                "scalar, one value a channel (axis 1), or x's shape"
            )
        return weight

    def _check_place(self, target: int, sources: Sequence[int], ready: _Ready) -> None:
        for source, size in zip(sources, ready.sizes, strict=True):
            # As ``overlap``.
            apart = source >= target + ready.size or target >= source + size
            if not apart and (source != target or size != ready.size):
                raise ValueError(_OVERLAP)

    def _given(self, out) -> tuple:
        outs = tuple(out) if self.pair and isinstance(out, (tuple, list)) else (out,)
        if len(outs) != 1 + self.pair:
            raise TypeError(f"out must be a pair of arrays, given {type(out).__name__}")
        return outs

    def _check_outputs(self, targets: Sequence[View], shape: tuple[int, ...], views: Sequence[View]) -> None:
        for target in targets:
            _check(target, "out", shape, views[-1])
            if not target.writeable:
                raise ValueError("out is read-only: give a writeable array")
            # Threads are at different elements at a time, so that only the very same elements may be shared.
            if any(device_arrays.overlap(target, one) for one in views):
                raise ValueError(_OVERLAP)
        if self.pair and device_arrays.share_memory(*targets):
            raise ValueError("the two outputs share memory: give two separate arrays")


#: What is seen of a call that has to be looked at.
_UNSEEN = None, (), 0
_OVERLAP = "out shares memory with an input without being that input: give an array of its own"


def _check(one: View, name: str, shape: tuple[int, ...], x: View) -> None:
    if one.shape != shape:
        raise ValueError(f"{name} has the wrong shape: expected {shape}, given {one.shape}")
    if one.dtype != x.dtype:
        raise TypeError(f"{name} has the wrong dtype: expected {x.dtype}, as x has, given {one.dtype}")
    if one.device != x.device:
        raise ValueError(f"{name} is on GPU {one.device}, and x on GPU {x.device}: copy one to the other")
    if one.strides != x.strides:
        raise ValueError(f"{name} and x lie differently: strides of {one.strides} and {x.strides} elements (None: C)")


def _stream(views: Sequence[View]) -> int:
    """The caller's stream on the GPU of x, the last, which then waits for what the others' streams hold at present."""
    x = views[-1]
    stream = x.kind.stream(x.device)
    streams = [one for view in views for one in (view.stream, view.kind.stream(view.device))]
    others = dict.fromkeys(one for one in streams if one is not None)
    if stream is None:
        stream = next(iter(others), 0)
    for other in others:
        if other != stream:
            device_arrays.wait(stream, other, x.device)
    return stream


# ---------------------------------------------------------------- arrays of the host
class _FromHost(_Form):
    """A form for prepared NumPy arrays, which are copied to the current GPU, and the results back."""

    def __init__(self, record: Activation, form: str, dtype: type, accuracy: str):
        super().__init__(record, form, accuracy)
        self.dtype = np.dtype(dtype)
        self.stored = np.dtype(np.uint16) if is_half(dtype) else self.dtype
        self.inputs = 2 if form in ("backward", "backward_from_output") else 1

    def __call__(self, *arguments, out=None):
        inputs, parameters = arguments[: self.inputs], arguments[self.inputs :]
        shape = self.record.result_shape(self.form, inputs[-1].shape)
        pair = self.form == "value_and_derivative"
        outs = (out or (None, None)) if pair else (out,)
        outs = [np.empty(shape, self.dtype) if one is None else one for one in outs]
        try:
            self._compute(inputs, parameters, outs)
        except Exception as error:
            if "OUT_OF_MEMORY" not in str(error):
                raise
            needed = sum(array.nbytes for array in (*inputs, *outs))
            raise MemoryError(f"the GPU has not enough memory for {needed:,} bytes of inputs and outputs") from error
        return tuple(outs) if pair else outs[0]

    def _compute(self, inputs: Sequence[np.ndarray], parameters: Sequence, outs: Sequence[np.ndarray]) -> None:
        views = [self._copied(array) for array in inputs]
        values = [self._copied(p) if getattr(p, "shape", ()) else p for p in parameters]
        results = [self._view(_cuda().device_array(out.shape, self.stored)) for out in outs]
        self.run(views, values, results, 0, -1)
        for result, out in zip(results, outs, strict=True):
            if out.size:
                result.array.copy_to_host(out.view(self.stored))

    def _copied(self, array: np.ndarray) -> View:
        return self._view(_cuda().to_device(array.view(self.stored)))

    def _view(self, array) -> View:
        return device_arrays.view_of_numba(array, self.dtype.name)


def bind(record: Activation, form: str, dtype: type, accuracy: str, variant: None = None) -> Callable:
    """A form's kernel on prepared data: ``kernel(x, *params, out=None)``, the gradient first if it has one."""
    if form == "jacobian":
        real = np.float64 if accuracy == "accurate" else dtype
        return jacobians.bind(record, lambda one, _: bind(one, "value", real, "fast"), accuracy)
    return _FromHost(record, form, dtype, accuracy)
