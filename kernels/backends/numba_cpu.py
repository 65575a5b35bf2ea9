"""The Numba CPU backend: serial kernels compiled one by one, one parallel driver over their addresses.

A kernel is a ``cfunc`` of the same C signature as the Cython loops (x, out, n, params). The driver,
``@njit(parallel=True)``, deals blocks of the arrays to threads and calls the kernels by address, so that it compiles
once for every activation, and a new activation costs one small serial compilation a formula.

Numba is imported when something is first asked for; the kernels stand in ``cpu_loops`` and ``cpu_rows``, the drivers in
``cpu_drivers``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator

import numpy as np

from kernels import threads
from kernels.activations import Activation
from kernels.backends import jacobians, texts
from kernels.constants import CODES, inside
from kernels.half import format_behind, is_half, through_float32

#: From this many elements on, the parallel driver runs.
THREADS_FROM = 131_072
#: From this many elements on, calls of a half type look their results up.
LOOK_UP_FROM = 4096
_INSTALL = 'pip install "activation-kernels[numba]"'

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


def addresses(record: Activation, form: str, compute: str, each: bool = False) -> tuple[int, int]:
    """Addresses of a form's two kernels in a format, 0 for none; ``each``: of those with a parameter an element."""
    from kernels.backends import cpu_loops, cpu_rows

    if record.gate:
        return cpu_loops.gated(record.name, form, compute).address, 0
    first, second = texts.formulas(record, form)
    if not record.elementwise:
        format_ = record.format_of(record.name, compute)
        return cpu_rows.row(first, format_).address, cpu_rows.row(second, format_).address
    kernels = [
        cpu_loops.elementwise(name, record.format_of(name, compute), len(record.parameters), each).address
        if name
        else 0
        for name in (first, second)
    ]
    return kernels[0], kernels[1]


def bind(record: Activation, form: str, dtype: type, accuracy: str, variant: str | None = None) -> Callable:
    if form == "jacobian":
        return jacobians.bind(record, lambda one, inside: bind(one, "value", inside, accuracy), accuracy)
    if is_half(dtype) and not record.elementwise:
        return through_float32(bind(record, form, np.float32, "fast"))
    compute = format_behind(form) if is_half(dtype) else inside(np.dtype(dtype).name, accuracy)
    if record.elementwise:
        return (_bind_halves if is_half(dtype) else _bind_elementwise)(record, form, dtype, compute)
    if record.gate:
        return _bind_gated(record, form, dtype, compute)
    return _bind_rows(record, form, compute)


def _bind_elementwise(record: Activation, form: str, dtype: type, compute: str) -> Callable:
    from kernels.backends.cpu_drivers import block_driver
    from kernels.backends.numba_formulas import TYPES

    real, nothing = TYPES[compute], np.empty(0, dtype)
    inputs, two = 2 if form.startswith("backward") else 1, form == "value_and_derivative"
    driver = functools.partial(block_driver, dtype, real)
    plain = addresses(record, form, compute)

    def kernel(*args, out=None):
        x, params = args[inputs - 1], args[inputs:]
        g = args[0] if inputs == 2 else nothing
        out = _outputs(form, x) if out is None else out
        each = bool(params) and isinstance(params[0], np.ndarray)
        values = np.asarray(params[0] if each else params, real)
        pair = addresses(record, form, compute, each=True) if each else plain
        _run(driver, x.size, (*pair, x, g, *(out if two else (out, nothing)), values, each))
        return out

    return kernel


def _outputs(form: str, x: np.ndarray) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    return (np.empty_like(x), np.empty_like(x)) if form == "value_and_derivative" else np.empty_like(x)


def _bind_halves(record: Activation, form: str, dtype: type, compute: str) -> Callable:
    """An elementwise kernel of a half type: on bit patterns, by steps that load and save them."""
    from kernels.backends.cpu_drivers import half_driver, look_up_driver
    from kernels.backends.cpu_loops import conversions
    from kernels.backends.numba_formulas import TYPES

    real, nothing = TYPES[compute], np.empty(0, np.uint16)
    inputs, two = 2 if form.startswith("backward") else 1, form == "value_and_derivative"
    driver = functools.partial(half_driver, real)
    steps = tuple(step.address for step in conversions(np.dtype(dtype).name, real))
    plain = addresses(record, form, compute)

    def kernel(*args, out=None):
        x, params = args[inputs - 1], args[inputs:]
        out = _outputs(form, x) if out is None else out
        codes = x.view(np.uint16)
        results = [one.view(np.uint16) for one in (out if two else (out, nothing))]
        each = bool(params) and isinstance(params[0], np.ndarray)
        values = params[0].view(np.uint16) if each else np.asarray(params, real)
        found = known.results(values.tobytes(), x.size) if x.size >= LOOK_UP_FROM and inputs == 1 and not each else None
        if found is not None:
            _run(look_up_driver, x.size, (*found, codes, *results))
            return out
        g = args[0].view(np.uint16) if inputs == 2 else nothing
        pair = addresses(record, form, compute, each=True) if each else plain
        _run(driver, x.size, (*steps, *pair, codes, g, *results, values, each))
        return out

    def every_result(params: bytes) -> tuple[np.ndarray, np.ndarray]:
        """The bit patterns of all results for parameters in float64, of the second output, too, or none."""
        codes = np.arange(CODES, dtype=np.uint16)
        first, second = np.empty_like(codes), np.empty_like(codes) if two else nothing
        values = np.array(np.frombuffer(params))
        _run(driver, CODES, (*steps, *plain, codes, nothing, first, second, values, False))
        return first, second

    known = _Known(every_result)
    return kernel


class _Known:
    """All results of a half type for the parameters used last, once as many elements as it has numbers went through."""

    def __init__(self, compute: Callable[[bytes], tuple[np.ndarray, np.ndarray]]):
        self.compute = compute
        #: Parameters, elements that went through with them, and results; replaced as a whole, for threads share it.
        self.state: tuple[bytes, int, tuple | None] = (b"", 0, None)

    def results(self, params: bytes, n: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The results, or None until they pay, with n more elements."""
        known, elements, found = self.state
        if params != known:
            elements, found = 0, None
        if found is None and elements + n >= CODES:
            found = self.compute(params)
        self.state = params, elements + n, found
        return found


def _bind_rows(record: Activation, form: str, compute: str) -> Callable:
    from kernels.backends.cpu_drivers import row_driver
    from kernels.backends.cpu_rows import row
    from kernels.backends.numba_formulas import TYPES

    compute = record.format_of(record.name, compute)
    value, gradient = texts.formulas(record, form)
    projects = record.normaliser == "threshold" and form == "backward"
    first = 0 if form == "backward_from_output" or projects else row(value, compute).address
    second = 0 if form == "value" else row(gradient, compute).address
    driver = functools.partial(row_driver, TYPES[compute])

    def kernel(*args, out=None):
        x = args[-1]
        out = np.empty_like(x) if out is None else out
        _run(driver, x.size, (first, second, x, args[0], out))
        return out

    return kernel


def _bind_gated(record: Activation, form: str, dtype: type, compute: str) -> Callable:
    from kernels.backends.cpu_drivers import pair_driver
    from kernels.backends.numba_formulas import TYPES

    address, _ = addresses(record, form, compute)
    driver = functools.partial(pair_driver, TYPES[compute])

    def kernel(*args, out=None):
        x = args[-1]
        out = np.empty(record.result_shape(form, x.shape), dtype) if out is None else out
        _run(driver, x.size, (address, x, args[0], out))
        return out

    return kernel
