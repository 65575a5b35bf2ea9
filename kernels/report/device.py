"""``python -m kernels.report --device cuda``: the kernels on a GPU, in rows like all others, in a file of their own.

A sample is one launch between two CUDA events, after the second-level cache was overwritten: at least SAMPLES of them.
The ceiling is the device's own copy of as many bytes, measured in the same way in the same run. What a call costs the
host, and what it takes to bring arrays to the device and back, are rows of their own. PyTorch, torch.compile, kernels
written in Triton, CuPy and JAX are measured on the same data where they are installed and see the GPU. JAX computes on
streams that no event can be put on: its calls are timed by the host's clock, and their rows say so.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from kernels import device_arrays, machine
from kernels.activations import Activation
from kernels.backends import BACKENDS, Origin, described, get, numba_cuda
from kernels.half import is_half, named
from kernels.measure import FORMS, Case, make_inputs, release_data, row_shape
from kernels.report import rows
from kernels.report.plan import SCOPES, Scope, chosen_records
from kernels.report.rows import DEVICE_PLAN, Results, Row

SAMPLES, WARM_UP = 50, 3
#: Bytes that are written between samples: several times the second-level cache, and long enough for the host to queue
#: the launch meanwhile.
FLUSHED = 1 << 28
#: Results of this many elements are compared with the bits of ``kernels.fastest``.
COMPARED = 10**6
#: Calls in a row of which the host's time is taken, and the elements of each.
HOST_CALLS, HOST_SIZE = 1000, 1000
#: Elements, by scope: powers of two, which all libraries take by 16 bytes.
SIZES = {
    "quick": (1 << 16, 1 << 26),
    "default": tuple(1 << k for k in (10, 14, 18, 22, 26, 28)),
    "full": tuple(1 << k for k in range(10, 31, 2)),
}
#: Lengths of the rows of softmax and its like in arrays of LONG elements.
COLUMNS, LONG = (1024, 4096, 16_384, 65_536), 1 << 26


class Gpu:
    """What is asked of the GPU: memory, and how long something takes there."""

    def __init__(self):
        from numba import cuda

        self.cuda = cuda
        self.flushed = cuda.device_array(FLUSHED, np.uint8)

    def facts(self) -> dict:
        device = self.cuda.get_current_device()
        name = device.name.decode() if isinstance(device.name, bytes) else device.name
        return {"gpu": name, "compute_capability": list(device.compute_capability), "l2": device.L2_CACHE_SIZE}

    def to_device(self, array: np.ndarray):
        """Half types as their bits: Numba has no bfloat16."""
        return self.cuda.to_device(array.view(np.uint16) if is_half(array.dtype) else array)

    def to_host(self, array) -> np.ndarray:
        return array.copy_to_host()

    def synchronize(self) -> None:
        self.cuda.synchronize()

    def overwrite_cache(self) -> None:
        device_arrays.told(device_arrays.driver().cuMemsetD8Async, _address(self.flushed), 0, FLUSHED, 0)

    def copy(self, target, source) -> None:
        device_arrays.told(
            device_arrays.driver().cuMemcpyDtoDAsync, _address(target), _address(source), source.nbytes, 0
        )

    def seconds(self, call: Callable[[], object], samples: int = SAMPLES) -> np.ndarray:
        """Seconds of each call on the device, from events on the default stream."""
        pairs = [(self.cuda.event(), self.cuda.event()) for _ in range(samples)]
        for start, stop in pairs:
            self.overwrite_cache()
            start.record()
            call()
            stop.record()
        self.synchronize()
        return np.array([self.cuda.event_elapsed_time(*pair) for pair in pairs]) * 1e-3

    def host_seconds(self, call: Callable[[], object], samples: int = SAMPLES) -> np.ndarray:
        """Seconds of each call, which waits for its result, by the host's clock."""
        found = []
        for _ in range(samples):
            self.overwrite_cache()
            self.synchronize()
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
        return np.array(found)


def _address(array) -> int:
    return array.__cuda_array_interface__["data"][0]


# ---------------------------------------------------------------- contestants
@dataclass(frozen=True)
class Contestant:
    """A call on arrays of the device; ``result`` is its output as NumPy's."""

    backend: str
    call: Callable[[], object]
    result: Callable[[], tuple[np.ndarray, ...]]
    #: "device" or "host".
    clock: str = "device"


def ours(case: Case, inputs: Sequence[np.ndarray], gpu: Gpu) -> Contestant:
    """The bare launch, prepared, into memory that is there."""
    arrays = [gpu.to_device(x) for x in inputs]
    shape = case.record.result_shape(case.form, inputs[-1].shape)
    dtype = named(case.dtype)
    outs = [gpu.to_device(np.empty(shape, dtype)) for _ in range(1 + (case.form == "value_and_derivative"))]
    views, targets = ([device_arrays.view_of_numba(a, case.dtype) for a in some] for some in (arrays, outs))
    params = [float(dtype.type(p)) for p in case.record.example_parameters]
    form = numba_cuda.OnDevice(case.record, case.form, case.accuracy)
    prepared = form.run(views, params, targets, 0, -1)
    sources, places = [v.address for v in views], [v.address for v in targets]
    launch = functools.partial(prepared.launch, sources, places, 0, [*views, *targets])
    return Contestant("cuda", launch, lambda: tuple(gpu.to_host(out).view(dtype) for out in outs))


def torches(case: Case, inputs: Sequence[np.ndarray]) -> Iterator[Contestant]:
    """PyTorch's own call, and the same through torch.compile, where there is a PyTorch that sees the GPU."""
    module, dtype = BACKENDS["torch"].module, named(case.dtype).type
    if module.reason() is not None or module.absent(case.record, case.form, dtype):
        return
    import torch

    if not torch.cuda.is_available():
        return
    # Weights are made on the default device.
    with torch.device("cuda"):
        own = module.own(case.record, case.form, dtype, case.record.example_parameters, into=False)
    arrays = [module.to_own(x).cuda() for x in inputs]
    for name, function in (("torch", own), ("torch.compile", torch.compile(own, dynamic=False))):
        call = functools.partial(function, *arrays)
        yield Contestant(name, call, lambda call=call: (call().cpu().numpy(),))


def tritons(case: Case, inputs: Sequence[np.ndarray]) -> Iterator[Contestant]:
    """A kernel written in Triton, where there are Triton and a PyTorch that sees the GPU."""
    module, dtype = BACKENDS["triton"].module, named(case.dtype).type
    if module.reason() is not None or module.absent(case.record, case.form, dtype):
        return
    own = module.own(case.record, case.form, dtype, case.record.example_parameters, into=False)
    call = functools.partial(own, *map(module.to_own, inputs))
    yield Contestant("triton", call, lambda: (module.to_numpy(call()),))


def cupys(case: Case, inputs: Sequence[np.ndarray]) -> Iterator[Contestant]:
    """CuPy's own function, into memory that is there, where it has one."""
    if importlib.util.find_spec("cupy") is None or case.form != "value" or case.dtype == "bfloat16":
        return
    import cupy

    if not cupy.cuda.is_available():
        return
    from cupyx.scipy import special

    functions = {
        "relu": functools.partial(cupy.maximum, 0),
        "tanh": cupy.tanh,
        "exponential": cupy.exp,
        "sigmoid": special.expit,
    }
    if case.activation in functions:
        x = cupy.asarray(inputs[0])
        out = cupy.empty_like(x)
        call = functools.partial(functions[case.activation], x, out=out)
        yield Contestant("cupy", call, lambda: (cupy.asnumpy(out),))


def jaxes(case: Case, inputs: Sequence[np.ndarray]) -> Iterator[Contestant]:
    """JAX's compiled function, where there is a JAX that sees the GPU."""
    module, dtype = BACKENDS["jax"].module, named(case.dtype).type
    if module.reason() is not None or module.absent(case.record, case.form, dtype):
        return
    jax = module.library()
    if jax.default_backend() != "gpu":
        return
    own = module.own(case.record, case.form, dtype, case.record.example_parameters, into=False)
    arrays = [jax.device_put(x, jax.devices("gpu")[0]) for x in inputs]
    call = functools.partial(own, *arrays)
    yield Contestant("jax", call, lambda: tuple(map(np.asarray, jax.tree.leaves(call()))), "host")


PEERS = {"torch": torches, "triton": tritons, "cupy": cupys, "jax": jaxes}


def contestants(case: Case, inputs: Sequence[np.ndarray], gpu: Gpu) -> Iterator[Contestant]:
    """Ours and its peers; the call of one that could not be prepared raises what happened."""
    makers = {name: functools.partial(peer, case, inputs) for name, peer in PEERS.items()}
    for name, make in {"cuda": lambda: [ours(case, inputs, gpu)], **makers}.items():
        try:
            yield from make()
        except Exception as error:
            # Its traceback would keep the arrays of who failed on the device.
            yield Contestant(name, functools.partial(_raise, error.with_traceback(None)), tuple)


def _raise(error: Exception) -> None:
    raise error


# ---------------------------------------------------------------- a run
def sizes(scope: Scope, dtype: str = "float32") -> list[int]:
    """Elements: in float32 those of the CPU's sweep, too, which the page puts beside them."""
    return sorted({*SIZES.get(scope.name, scope.sizes), *(scope.sizes if dtype == "float32" else ())})


def cases(scope: Scope, activations: Sequence[str]) -> list[tuple[Case, int | None]]:
    """Every form, out of a cold cache, into memory that is there, with its row length where that is a question.

    float16 and float64 too where everything is asked for.
    """
    dtypes = ("float32", "bfloat16", "float16", "float64") if scope.everything else ("float32", "bfloat16")
    return [
        (Case(record.name, form, "cuda", dtype, n, cold=True), columns)
        for dtype in dtypes
        for record in chosen_records(scope, activations)
        for form in FORMS
        if form in record.forms
        for n in sizes(scope, dtype)
        for columns in (COLUMNS if record.kind == "row" and n == LONG else (None,))
    ]


def measure(scope_name: str, activations: Sequence[str], folder: Path, gpu: Gpu) -> Path:
    """Measure, row by row; the file."""
    # JAX, which starts with the first case, would take three quarters of the GPU's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    todo, began = cases(SCOPES[scope_name], activations), datetime.now(UTC)
    results = Results(folder / f"{DEVICE_PLAN}{scope_name}-{began:%Y%m%dT%H%M%S}.jsonl")
    facts = machine.facts() | gpu.facts()
    results.append(_header(scope_name, len(todo), began, facts))
    about = {"machine": facts["gpu"], "commit": facts["commit"], "load": machine.load(), "busy_elsewhere": None}
    start = time.perf_counter()
    for row in _timed(todo, gpu):
        results.append(row | about if row["kind"] == "measurement" else row)
    for row in _beside(SCOPES[scope_name], activations, gpu):
        results.append(row)
    results.append({"kind": "end", "seconds": round(time.perf_counter() - start, 1)})
    return results.path


def _header(scope: str, count: int, began: datetime, facts: dict) -> Row:
    return {
        "kind": "run",
        "format": rows.FORMAT,
        "plan": f"{DEVICE_PLAN}{scope}",
        "fingerprint": None,
        "cases": count,
        "started": began.isoformat(timespec="seconds"),
        "facts": facts,
        "machine": facts["gpu"],
        "commit": facts["commit"],
        "backends": described(),
        "left_out": {},
    }


def _ceiling(size: int, gpu: Gpu) -> float:
    """GB/s of the device's copy: as many bytes read and written together."""
    source = gpu.to_device(np.zeros(max(size // 2, 1), np.uint8))
    target = gpu.to_device(np.zeros(max(size // 2, 1), np.uint8))
    return size / float(np.median(gpu.seconds(lambda: gpu.copy(target, source)))) * 1e-9


def _timed(todo: Sequence[tuple[Case, int | None]], gpu: Gpu) -> Iterator[Row]:
    """The rows of all cases, and the ceilings before them; a case that ends before it is timed is one of ours."""
    ceilings: dict[int, float] = {}
    for _, group in itertools.groupby(todo, key=lambda one: one[0].dtype):
        for case, columns in group:
            try:
                if case.bytes not in ceilings:
                    speed = ceilings[case.bytes] = _ceiling(case.bytes, gpu)
                    about = {"bytes": case.bytes, "threads": None}
                    yield {"kind": "ceiling", **about, "gb_per_s": speed, "ways": {"device copy": speed}}
                yield from _rows(case, columns, gpu, ceilings[case.bytes])
            except Exception as error:
                yield _about(case, columns, "cuda") | _failed(error)
        # The data of a dtype can be gigabytes: all its cases share them, and the next one's have no use for them.
        release_data()


def _rows(case: Case, columns: int | None, gpu: Gpu, ceiling: float) -> Iterator[Row]:
    inputs = make_inputs(case, (case.n // columns, columns) if columns else None)
    expected = _expected(case, inputs)
    with contextlib.ExitStack() as stack:
        for peer in ("torch", "jax"):
            if BACKENDS[peer].reason() is None:
                stack.enter_context(BACKENDS[peer].module.running())
        for one in contestants(case, inputs, gpu):
            about = _about(case, columns, one.backend) | {"clock": one.clock}
            try:
                times = _times(one, gpu)
                equal = about["peer"] or expected is None or all(map(_same_bits, one.result(), expected))
            except Exception as error:  # One broken contestant must not end the run; its row says what happened.
                yield about | _failed(error)
                continue
            speed = case.bytes / times["seconds_median"] * 1e-9
            shares = {"gb_per_s": speed, "ceiling_gb_per_s": ceiling, "share_of_ceiling": speed / ceiling}
            reason = None if equal else "its bits are not those of kernels.fastest"
            yield about | times | shares | {"status": "ok" if equal else "wrong", "reason": reason}


def _about(case: Case, columns: int | None, backend: str) -> Row:
    about = {"level": None, "peer": backend != "cuda", "columns": columns}
    return {"kind": "measurement", **asdict(case), "backend": backend, **dict.fromkeys(rows.MEASURED), **about}


def _failed(error: Exception) -> Row:
    return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}


def _times(one: Contestant, gpu: Gpu) -> Row:
    for _ in range(WARM_UP):
        one.call()
    seconds = (gpu.seconds if one.clock == "device" else gpu.host_seconds)(one.call)
    q1, median, q3 = map(float, np.quantile(seconds, (0.25, 0.5, 0.75)))
    return {"seconds_q1": q1, "seconds_median": median, "seconds_q3": q3, "samples": SAMPLES, "loops": 1}


def _expected(case: Case, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, ...] | None:
    if case.n > COMPARED:
        return None
    result = Origin(case.activation, "fastest", "fast").form(case.form)(*inputs, *case.record.example_parameters)
    return result if isinstance(result, tuple) else (result,)


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Any NaN being equal to any NaN."""
    return bool(((a.view(f"u{a.itemsize}") == b.view(f"u{b.itemsize}")) | (np.isnan(a) & np.isnan(b))).all())


def _beside(scope: Scope, activations: Sequence[str], gpu: Gpu) -> Iterator[Row]:
    """What calls cost the host, and transfers; what fails is told and left out."""
    calls = {record.name: functools.partial(_launch_row, record) for record in chosen_records(scope, activations)}
    transfers = {f"transfers of {n:,} numbers": functools.partial(_transfer_row, n) for n in sizes(scope)}
    for what, make in {**calls, **transfers}.items():
        try:
            yield make(gpu)
        except Exception as error:
            print(f"left out: {what}: {error}", file=sys.stderr)


def _launch_row(record: Activation, gpu: Gpu) -> Row:
    """The host's time of a public call, which does not wait for its result."""
    x = gpu.to_device(np.ones(row_shape(record, HOST_SIZE), np.float32))
    function, params = get(record.name, "cuda"), record.example_parameters
    out = gpu.to_device(np.ones(record.result_shape("value", x.shape), np.float32))
    function(x, *params, out=out)
    gpu.synchronize()
    start = time.perf_counter()
    for _ in range(HOST_CALLS):
        function(x, *params, out=out)
    seconds = (time.perf_counter() - start) / HOST_CALLS
    gpu.synchronize()
    return {"kind": "launch", "activation": record.name, "backend": "cuda", "n": HOST_SIZE, "seconds": seconds}


def _transfer_row(n: int, gpu: Gpu) -> Row:
    """Seconds to bring n float32 to the device and back."""
    array = np.ones(n, np.float32)
    gpu.to_host(gpu.to_device(array))
    start = time.perf_counter()
    on_device = gpu.to_device(array)
    gpu.synchronize()
    between = time.perf_counter()
    gpu.to_host(on_device)
    return {
        "kind": "transfer",
        "bytes": array.nbytes,
        "to_device": between - start,
        "to_host": time.perf_counter() - between,
    }


def lines(found: Sequence[Row]) -> Iterator[str]:
    """The rows in words."""
    for row in rows.of_kind(found, "measurement"):
        shape = f"{row['n']:,}" + (f" in rows of {row['columns']:,}" if row["columns"] else "")
        what = f"{row['activation']} {row['form']} {row['dtype']} {shape}: {row['backend']}"
        if row["status"] == "failed":
            yield f"{what} failed: {row['reason']}"
            continue
        times = f"{_us(row['seconds_median'])}, {row['gb_per_s']:.0f} GB/s, {row['share_of_ceiling']:.0%} of the copy"
        yield f"{what} {times}" + ("" if row["status"] == "ok" else f", {row['status']}: {row['reason']}")
    for row in rows.of_kind(found, "launch"):
        yield f"{row['activation']}: {_us(row['seconds'])} of the host a call"
    for row in rows.of_kind(found, "transfer"):
        yield f"{row['bytes']:,} bytes: {_us(row['to_device'])} to the device, {_us(row['to_host'])} back"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us"
