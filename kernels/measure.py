"""The one place that takes a time: what is timed, on which data, how often, and against which ceiling.

``prepare`` makes a case ready (data, output memory, compilation), ``sample`` times the contestants of a group in
turns, and ``ulp`` checks their results afterwards. Nothing here draws, and nothing that draws measures.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import math
import os
import sys
import time
import timeit
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from kernels import memory, threads
from kernels.activations import Activation, lookup
from kernels.backends import available, contestant, cython_loops
from kernels.half import is_half, named
from kernels.machine import caches
from kernels.native import native
from kernels.truth import Truth, truth
from kernels.ulp import ulp_of

#: The forms that one call on prepared arrays computes; gradients of parameters and Jacobians are not timed.
FORMS = ("value", "derivative", "backward", "backward_from_output", "value_and_derivative")
#: "negative": the tail in which exponentials underflow; "digits": what a trained network feeds its activations.
DATA = ("normal", "negative", "digits")
#: Entries of a row for functions of rows.
ROW = 100
#: The loop count is chosen so that a sample takes this long, where the budget allows.
SAMPLE_NS = 10_000_000
#: A contestant is sampled until its relative interquartile range is this small, or the budget is used.
STABLE = 0.02
FEWEST, STABLE_FROM, MOST = 3, 7, 60
#: The memory of a call is looked at for arrays up to this size: what it allocates an element is the same beyond.
LOOKED_INTO = 10_000
#: Bytes that a call of a copy loop moves, the least: some milliseconds.
COPIED = 1 << 28
#: Bytes of two arrays that lie in no cache.
LEAST_MEMORY, MOST_MEMORY = 1 << 27, 1 << 29
#: Bytes of inputs and outputs of a sample whose outputs are kept.
KEPT = 1 << 29
#: Results of so many elements are checked against the float64 formulas; for float64, against the oracle.
CHECKED, CHECKED_BY_ORACLE = 100_000, 200


@dataclass(frozen=True)
class Case:
    """One thing to time."""

    activation: str
    form: str
    #: As ``kernels.get`` takes it, "cython:x86-64-v3" too.
    backend: str
    dtype: str
    n: int
    accuracy: str = "fast"
    data: str = "normal"
    #: True: a new output each call, dropped at once; False: ``out=``.
    allocate: bool = False
    #: True: the caches are evicted before each call.
    cold: bool = False
    #: None: all threads.
    threads: int | None = None
    #: True, with a new output each call: all of them are held until the sample ends, so that none is new memory twice.
    keep: bool = False

    @property
    def group(self) -> str:
        """What is compared with each other: everything but the backend, the data and what becomes of the output."""
        return replace(self, backend="", data="normal", allocate=False, keep=False).id

    @property
    def id(self) -> str:
        form = "" if self.form == "value" else self.form
        extras = (
            self.backend,
            "" if self.data == "normal" else self.data,
            "" if self.accuracy == "fast" else self.accuracy,
            "allocate" if self.allocate else "",
            "cold" if self.cold else "",
            "" if self.threads is None else f"threads{self.threads}",
            "keep" if self.keep else "",
        )
        return "-".join(filter(None, (self.activation, form, self.dtype, str(self.n), *extras)))

    @property
    def record(self) -> Activation:
        return lookup(self.activation)

    @property
    def bytes(self) -> int:
        """Bytes read once plus bytes written once by a call."""
        return self.n * self.record.bytes_per_element(self.form, named(self.dtype).itemsize)


@dataclass(frozen=True)
class Timing:
    """Seconds a call: quartiles over the samples, each the mean over ``loops`` calls."""

    q1: float
    median: float
    q3: float
    samples: int
    loops: int
    #: Seconds a call, round by round, none left out.
    rounds: tuple[float, ...] = ()
    #: Why there were no more: "stable", or the "budget" was used.
    stopped: str = "budget"


class Timed:
    """A statement to be timed; names in it are given as keywords. ``threads``: None for all."""

    #: Calls a sample; None: as many as the clock needs.
    loops: int | None = None
    #: The most calls a sample.
    most_loops: int | None = None

    def __init__(self, statement: str, threads_: int | None = None, **names: Any):
        self.threads = threads_
        # Names become locals of the timed function, so that looking them up costs nothing.
        setup = "; ".join(f"{name} = given[{name!r}]" for name in names)
        self.timer = timeit.Timer(statement, setup, time.perf_counter_ns, {"given": names})

    def running(self) -> contextlib.AbstractContextManager:
        """What it runs in."""
        return limited_threads(self.threads)

    def run(self, loops: int) -> int:
        """Nanoseconds of ``loops`` calls."""
        with self.running():
            return self.timer.timeit(loops)


class Prepared(Timed):
    """A case made ready: compiled, warmed up, its data in memory."""

    def __init__(self, case: Case, function: Callable, inputs: tuple, params: tuple, out: Any):
        self.case, self.inputs, self.params = case, inputs, params
        self.loops = 1 if case.cold else None
        arguments = {f"a{k}": value for k, value in enumerate(inputs + _omitted(function, case, params))}
        self._function, self._out = functools.partial(function, *arguments.values()), out
        given = ", ".join(arguments)
        self.kept: list[Any] = []
        if case.keep:
            self.most_loops = max(KEPT // case.bytes, 1)
            super().__init__(f"keep(f({given}))", case.threads, f=function, keep=self.kept.append, **arguments)
        elif out is None:
            super().__init__(f"f({given})", case.threads, f=function, **arguments)
        else:
            super().__init__(f"f({given}, out=out)", case.threads, f=function, out=out, **arguments)
        start = time.perf_counter()
        self.call()
        #: Of the call that compiles; less the time of a call, it is the compilation.
        self.first_seconds = time.perf_counter() - start

    def call(self) -> Any:
        """Run the kernel once."""
        with self.running():
            return self._function() if self._out is None else self._function(out=self._out)

    def run(self, loops: int) -> int:
        if self.case.cold:
            evict_caches()
        try:
            return super().run(loops)
        finally:
            if self.kept:
                self.kept.clear()
                memory.release()

    def result(self) -> tuple[np.ndarray, ...]:
        """What one more call gives, as arrays."""
        result = self.call()
        pair = self.case.form == "value_and_derivative"
        return tuple(self.to_numpy(one) for one in (result if pair else (result,)))

    def to_numpy(self, result: Any) -> np.ndarray:
        return np.asarray(result)


class PreparedPeer(Prepared):
    """A library's own call on its own arrays: what it takes to make them, or to bring results back, is not timed."""

    def __init__(self, case: Case, module: ModuleType, inputs: tuple, params: tuple, out: Any):
        self.module, self.threads = module, case.threads
        dtype = named(case.dtype).type
        with self.running():
            _refuse_threads(case, module)
            start = time.perf_counter()
            function = module.own(case.record, case.form, dtype, params, into=out is not None)
            binding = time.perf_counter() - start
            own = tuple(map(module.to_own, inputs))
            super().__init__(case, function, own, (), None if out is None else module.to_own(out))
        self.inputs, self.params = inputs, params
        self.first_seconds += binding

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with super().running(), self.module.running():
            yield

    def to_numpy(self, result: Any) -> np.ndarray:
        return self.module.to_numpy(result)


def _refuse_threads(case: Case, module: ModuleType) -> None:
    started, wanted = module.fixed_threads(), threads.get_num_threads()
    if started not in (None, wanted):
        raise RuntimeError(
            f"{case.backend} started with {started} threads and can't change to {wanted}: set them before it is used"
        )


def _omitted(function: Callable, case: Case, params: tuple) -> tuple:
    """No parameters where a public function has these as its defaults: bare kernels, without a signature, have none."""
    defaults = tuple(p.default for p in case.record.parameters)
    public = hasattr(function, "__signature__")
    return () if public and defaults == case.record.example_parameters else params


# ---------------------------------------------------------------- data
def prepare(case: Case) -> Prepared:
    """The case with its data, compiled and called once; BackendUnavailable or ImportError say what is missing."""
    dtype = named(case.dtype).type
    inputs = make_inputs(case)
    params = example_parameters(case)
    out = None if case.allocate else make_outputs(case)
    backend, _ = available(case.backend)
    if backend.peer:
        return PreparedPeer(case, backend.module, inputs, params, out)
    start = time.perf_counter()
    function = contestant(case.record, case.form, dtype, case.backend, case.accuracy)
    binding = time.perf_counter() - start
    if backend.name == "python":
        inputs, out = tuple(x.tolist() for x in inputs), None
    prepared = Prepared(case, function, inputs, params, out)
    prepared.first_seconds += binding
    return prepared


def example_parameters(case: Case) -> tuple[float, ...]:
    """As they are rounded to the arrays' dtype."""
    return tuple(float(named(case.dtype).type(p)) for p in case.record.example_parameters)


def make_inputs(case: Case, shape: tuple[int, ...] | None = None) -> tuple[np.ndarray, ...]:
    """x, or (grad_output, x), or (grad_output, y); x is of ``shape``, by default as ``row_shape`` has it."""
    x = _shaped(case.data, case, "x", shape)
    if not case.form.startswith("backward"):
        return (x,)
    g = _shaped("gradient", case, "value", shape)
    if case.form == "backward":
        return g, x
    params = case.record.example_parameters
    return g, contestant(case.record, "value", x.dtype.type, "numpy")(x, *params)


def make_outputs(case: Case) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Output memory, shared by all contestants: the same pages and the same alignment for each."""
    first = _shaped("out", case, case.form)
    if case.form != "value_and_derivative":
        return first
    return first, _shaped("out2", case, case.form)


def _shaped(pool: str, case: Case, form: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Numbers of a pool in the shape of x, or of a form's result."""
    shape = case.record.result_shape(form, shape or row_shape(case.record, case.n))
    return _pool(pool, case.dtype, math.prod(shape)).reshape(shape)


def row_shape(record: Activation, n: int) -> tuple[int, ...]:
    """n numbers as they are timed: for functions of rows, in rows."""
    if record.elementwise:
        return (n,)
    row = min(n, ROW) if record.kind == "row" else max(min(n, ROW) // 2 * 2, 2)
    return (max(n // row, 1), row)


_pools: dict[tuple[str, str], np.ndarray] = {}


def _pool(name: str, dtype: str, n: int) -> np.ndarray:
    """The first n numbers of a data set; smaller arrays are views of the largest made so far."""
    held = _pools.get((name, dtype))
    if held is None or held.size < n:
        held = _pools[name, dtype] = _generate(name, named(dtype), n)
    return held[:n]


def _generate(name: str, dtype: np.dtype, n: int) -> np.ndarray:
    if name.startswith("out"):
        return np.full(n, np.nan, dtype)
    if name == "digits":
        from kernels.digits import pre_activations

        return pre_activations(n, dtype)
    seed = 1 if name == "gradient" else 0
    numbers = np.random.default_rng(seed).standard_normal(n, np.float32 if is_half(dtype) else dtype)
    if name == "negative":
        np.abs(numbers, out=numbers)
        np.multiply(numbers, -40, out=numbers)
    return numbers.astype(dtype, copy=False)


def release_data() -> None:
    """Forget the data made so far, which can be gigabytes."""
    _pools.clear()


def memory_needed(case: Case) -> int:
    """Bytes of data and temporaries, roughly: a pure Python number is an object and a pointer, twice."""
    if available(case.backend)[0].name == "python":
        return case.bytes + 128 * case.n
    # NumPy's texts make up to five temporaries, two of them in float64 for the accurate class.
    return 4 * case.bytes


def memory_free() -> int | None:
    """Bytes that can be used without swapping, where the system tells it."""
    try:
        with open("/proc/meminfo") as lines:
            found = dict(line.split(":", 1) for line in lines)
        return int(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


# ---------------------------------------------------------------- taking times
@contextlib.contextmanager
def limited_threads(count: int | None) -> Iterator[None]:
    if count is None:
        yield
        return
    before = threads.get_num_threads()
    threads.set_num_threads(count)
    try:
        yield
    finally:
        threads.set_num_threads(before)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@functools.cache
def _evictor() -> np.ndarray:
    return np.zeros(2 * max([*caches().values(), 1 << 25]), np.uint8)


def evict_caches() -> None:
    """Fill every cache with something else."""
    buffer = _evictor()
    np.add(buffer, 1, out=buffer)


def settle(most: int = 30) -> None:
    """Wait until no thread of this process works: worker threads spin for a while after a call."""
    for _ in range(most):
        before = time.process_time_ns()
        time.sleep(0.001)
        if time.process_time_ns() - before < 300_000:
            return


class Elsewhere:
    """How many cores other processes, and other guests of the same machine, use from now on."""

    def __init__(self):
        self.start = self._now()

    def cores(self) -> float | None:
        """Cores busy elsewhere on average; None where the system does not tell."""
        if self.start is None:
            return None
        machine, process, wall = (b - a for a, b in zip(self.start, self._now(), strict=True))
        return round(max(machine - process, 0.0) / max(wall, 1e-9), 3)

    def _now(self) -> tuple[float, float, float] | None:
        try:
            with open("/proc/stat") as lines:
                user, nice, system, _idle, _wait, irq, softirq, steal = map(int, next(lines).split()[1:9])
        except (OSError, ValueError):
            return None
        machine = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        return machine, time.process_time(), time.perf_counter()


class _Sampler:
    """The samples of one contestant."""

    def __init__(self, timed: Timed, target_ns: float):
        self.timed = timed
        self.seconds: list[float] = []
        self.loops = timed.loops or self._calibrate(target_ns)

    def _calibrate(self, target_ns: float) -> int:
        loops, most = 1, self.timed.most_loops or sys.maxsize
        while (taken := self._nanoseconds(loops, target_ns)) < target_ns / 2 and loops < most:
            loops = min(10 * loops, max(loops + 1, math.ceil(loops * target_ns / taken)), most)
        return loops

    def _nanoseconds(self, loops: int, target_ns: float) -> int:
        """Of so many calls; what ends the calibration is seen twice, for one call may have waited for its core."""
        taken = max(self.timed.run(loops), 1)
        ends_it = target_ns / 2 <= taken < 10 * target_ns
        return min(taken, max(self.timed.run(loops), 1)) if ends_it else taken

    def take(self) -> None:
        settle()
        if self.loops > 1:
            # Cores that were idle run slower at first, and virtual ones may share one core for milliseconds.
            self.timed.run(1 + self.loops // 4)
        self.seconds.append(self.timed.run(self.loops) / self.loops * 1e-9)

    def is_stable(self) -> bool:
        if len(self.seconds) < STABLE_FROM:
            return False
        q1, median, q3 = np.quantile(self.seconds, (0.25, 0.5, 0.75))
        return bool(q3 - q1 <= STABLE * median)

    def timing(self) -> Timing:
        q1, median, q3 = map(float, np.quantile(self.seconds, (0.25, 0.5, 0.75)))
        stopped = "stable" if self.is_stable() else "budget"
        return Timing(q1, median, q3, len(self.seconds), self.loops, tuple(self.seconds), stopped)


def sample(contestants: Sequence[Timed], budget_s: float, rng: np.random.Generator) -> list[Timing]:
    """Time the contestants in turns, each round in random order, until they are stable or the budget is used."""
    target_ns = min(SAMPLE_NS, budget_s * 1e9 / max(len(contestants), 1) / (2 * FEWEST))
    with _no_collection():
        deadline = time.perf_counter() + budget_s
        samplers = [_Sampler(timed, target_ns) for timed in contestants]
        unfinished = samplers
        while unfinished:
            for k in rng.permutation(len(unfinished)):
                unfinished[k].take()
            late = time.perf_counter() > deadline
            enough = [s.is_stable() or len(s.seconds) >= (FEWEST if late else MOST) for s in unfinished]
            unfinished = [s for s, done in zip(unfinished, enough, strict=True) if not done]
    return [sampler.timing() for sampler in samplers]


def sample_rounds(contestants: Sequence[Timed], rounds: int, target_ns: int, rng: np.random.Generator) -> list[Timing]:
    """Time the contestants in turns, each round in random order, for so many rounds of samples of ``target_ns``."""
    with _no_collection():
        samplers = [_Sampler(timed, target_ns) for timed in contestants]
        for _ in range(rounds):
            for k in rng.permutation(len(samplers)):
                samplers[k].take()
    return [sampler.timing() for sampler in samplers]


def ratio(timing: Timing, over: Timing) -> list[float]:
    """Quartiles of the ratio of two contestants' times, round by round, so that what slows both cancels out."""
    pairs = zip(timing.rounds, over.rounds, strict=False)  # one of the two may have been stable earlier
    return np.quantile([a / b for a, b in pairs], (0.25, 0.5, 0.75)).tolist()


# ---------------------------------------------------------------- the ceiling
def copy_ceiling(nbytes: int, threads_: int | None, budget_s: float = 0.1) -> dict[str, float]:
    """GB/s, read plus written, of each way to copy nbytes/2 bytes; the ceiling is the largest."""
    n = max(nbytes // 8, 1)
    x, y = _pool("normal", "float32", n), _pool("out", "float32", n)
    ways = {
        "numpy.copyto": Timed("f(y, x)", f=np.copyto, x=x, y=y),
        "memcpy": Timed("y[:] = x", x=memoryview(x), y=memoryview(y)),
        **_own_copies(x, y, threads_ or threads.get_num_threads()),
    }
    timings = sample(list(ways.values()), budget_s, np.random.default_rng(0))
    return {way: 8 * n / timing.median * 1e-9 for way, timing in zip(ways, timings, strict=True)}


def _own_copies(x: np.ndarray, y: np.ndarray, workers: int) -> dict[str, Timed]:
    """Plain and streaming copies by the dispatcher's threads: no kernel and no block pipeline in them."""
    if cython_loops.reason() is not None:
        return {}
    names = {"f": native("dispatch").copy, "x": x, "y": y, "workers": workers}
    streams = {"memcpy": 0, "streaming stores": cython_loops.addresses(None)["stream", "bytes"]}
    return {f"{way} in threads": Timed("f(x, y, s, workers)", s=stream, **names) for way, stream in streams.items()}


@dataclass(frozen=True)
class Roof:
    """A place of the memory hierarchy: the sizes of input and output together that it holds, and one well inside."""

    name: str
    first: int
    last: int | None
    bytes: int


def roofs(threads_: int) -> list[Roof]:
    """The caches that the system tells of, of which each thread has its own but the last, and the memory behind."""
    found, first = [], 0
    known = caches()
    for name, size in known.items():
        last = size if name == "L3" else size * threads_
        if last > first:
            found.append(Roof(name, first, last, max(last // 2, 2 * first)))
            first = last
    return [*found, Roof("memory", first, None, min(max(4 * first, LEAST_MEMORY), MOST_MEMORY))]


def roof_speeds(roof: Roof, threads_: int, budget_s: float = 0.15) -> dict[str, float]:
    """GB/s, read plus written, of our own copy loops within a cache: many copies a call, so that calls cost nothing.

    Empty without the compiled part."""
    if cython_loops.reason() is not None:
        return {}
    n = roof.bytes // 8
    repeats = max(COPIED // (8 * n), 2)
    addresses = cython_loops.addresses(None)
    ways = {"memcpy": (0, 1), "vector loop": (addresses["identity", "float32"], 4)}
    ways["streaming stores"] = (addresses["stream", "bytes"], 1)
    names = {"f": native("dispatch").copy, "x": _pool("normal", "float32", n), "y": _pool("out", "float32", n)}
    timed = [Timed(f"f(x, y, loop, {threads_}, {unit}, {repeats})", loop=loop, **names) for loop, unit in ways.values()]
    timings = sample(timed, budget_s, np.random.default_rng(0))
    return {way: 8 * n * repeats / timing.median * 1e-9 for way, timing in zip(ways, timings, strict=True)}


# ---------------------------------------------------------------- checking results
def ulp(prepared: Prepared) -> float:
    """The largest error in units in the last place, over evenly spread elements; infinite if it is not a number."""
    case = prepared.case
    dtype = named(case.dtype)
    # The same for every contestant.
    alike = Case(case.activation, case.form, "", case.dtype, case.n, data=case.data)
    worst = 0.0
    for right, result in zip(_truths(alike), prepared.result(), strict=True):
        got = result[_chosen(case)].astype(dtype).astype(np.float64)
        worst = max(worst, _largest(right.error(got), right.scale, dtype))
    return worst


@functools.lru_cache(maxsize=4)
def _truths(case: Case) -> list[Truth]:
    """What each result of a form should be, of the elements that are checked."""
    dtype = named(case.dtype).type
    inputs = [x[_chosen(case)].astype(np.float64) for x in make_inputs(case)]
    params = example_parameters(case)
    forms = ("value", "derivative") if case.form == "value_and_derivative" else (case.form,)
    return [truth(case.record, form, inputs, params, dtype) for form in forms]


def _chosen(case: Case) -> np.ndarray:
    """Evenly spread elements (rows, for functions of rows), the first and the last among them."""
    most = CHECKED_BY_ORACLE if case.dtype == "float64" else CHECKED
    count, *row = row_shape(case.record, case.n)
    return np.linspace(0, count - 1, min(count, max(most // math.prod(row), 1))).astype(np.intp)


def peak_memory(prepared: Prepared) -> int | None:
    """Bytes that Python and NumPy allocate in a call at its peak, new output included.

    None where the arrays are too large to look, and for libraries that have memory of their own."""
    if prepared.case.n > LOOKED_INTO or isinstance(prepared, PreparedPeer):
        return None
    tracemalloc.start()
    try:
        result = prepared.call()
        del result
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _largest(error: np.ndarray, scale: np.ndarray, dtype: np.dtype) -> float:
    errors = np.abs(error) / ulp_of(scale, dtype.type)
    largest = float(errors.max(initial=0.0))
    return largest if math.isfinite(largest) else math.inf
