"""Small cases of every CUDA kernel, and the script that runs them in Numba's CUDA simulator.

``python cuda_simulator_cases.py results.npz`` with NUMBA_ENABLE_CUDASIM=1 writes what the kernels give; the test
computes the same cases with the CPU backend and compares bits. The simulator is chosen when Numba is imported, hence
the process of its own.
"""

from __future__ import annotations

import itertools
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kernels.activations import RECORDS, Activation
from kernels.half import is_half

ELEMENTWISE_FORMS = ("value", "derivative", "backward", "backward_from_output", "value_and_derivative")
ROW_FORMS = ("value", "backward", "backward_from_output")

#: What the kernels compute; the accurate class differs from the fast one in float32 only.
CLASSES = ((np.float32, "fast"), (np.float32, "accurate"), (np.float64, "fast"), (np.float16, "fast"))
try:
    from ml_dtypes import bfloat16
except ImportError:
    pass
else:
    CLASSES += ((bfloat16, "fast"),)
#: Of each half type's numbers every so many-th.
HALF_STEP = 1009

LENGTHS = (0, 1, 3, 4, 5, 31, 33)
PAIR_SHAPES = ((0, 4), (3, 0), (1, 2), (3, 30), (2, 34))
ROW_SHAPES = ((0, 5), (3, 0), (1, 1), (3, 31), (2, 33), (5, 67))

#: Where the arrays begin on the device, in elements: (inputs, outputs).
OFFSETS = ((0, 0), (1, 1), (3, 3), (1, 0), (0, 2))

#: Around zero, the roots, the ends of the exponentials in float32 and float64, and the linear part of tanh.
THRESHOLDS = (1e-9, 1.2e-4, 1.0, 1.2784645, 17.3, 18.0, 40.0, 87.4, 103.97, 130.0, 708.4, 745.2, 1000.0)
KINKS = sorted({abs(kink.at) for record in RECORDS for kink in record.kinks})


@dataclass(frozen=True)
class Case:
    """One call: the kernel's choice, its arrays and parameters, and how they lie on the device."""

    kernel: str
    name: str
    record: Activation
    form: str
    dtype: type
    accuracy: str
    arrays: tuple[np.ndarray, ...]
    parameters: tuple
    #: None: NumPy arrays; "in place": out is the first device array; else offsets of inputs and outputs.
    layout: object = None

    @property
    def outputs(self) -> int:
        return 2 if self.form == "value_and_derivative" else 1


def kernels() -> Iterator[tuple[str, Activation, str, type, str]]:
    """Key, record, form, dtype and accuracy of every kernel."""
    for record in RECORDS:
        for form, (dtype, accuracy) in itertools.product(forms(record), CLASSES):
            if is_half(dtype) and not record.elementwise:
                continue
            yield f"{record.name} {form} {np.dtype(dtype)} {accuracy}", record, form, dtype, accuracy


def forms(record: Activation) -> tuple[str, ...]:
    """The forms that have a kernel of their own."""
    if record.gate:
        return record.forms
    if not record.elementwise:
        return ROW_FORMS
    learned = ("parameter_derivative",) if record.learnable else ()
    return tuple(form for form in ELEMENTWISE_FORMS if form in record.forms) + learned


def special_values(dtype: type) -> np.ndarray:
    """Values where formulas go wrong: zeros, infinities, NaN, subnormals and both sides of each threshold."""
    limits = np.finfo(dtype)
    tiny = np.array([0.0, np.inf, limits.smallest_subnormal, limits.tiny, limits.max], dtype)
    thresholds = np.array((*THRESHOLDS, *KINKS), dtype)
    ends = np.concatenate([tiny, thresholds, np.nextafter(thresholds, dtype(0))])
    return np.concatenate([ends, -ends, np.array([np.nan], dtype)])


def inputs(key: str, form: str, dtype: type, shape: tuple[int, ...], special: bool) -> tuple[np.ndarray, ...]:
    """The arrays of a call, always the same for a key."""
    random = np.random.default_rng(zlib.crc32(f"{key} {shape}".encode()))
    x = (random.standard_normal(shape) * 4).astype(dtype)
    if special:
        x = np.concatenate([special_values(dtype), x])
    if form == "backward_from_output":
        x = np.tanh(x, dtype=dtype) if x.ndim == 1 else random.random(shape).astype(dtype)
    if not form.startswith("backward"):
        return (x,)
    return random.standard_normal(x.shape).astype(dtype), x


def cases() -> Iterator[Case]:
    """Every case."""
    for key, record, form, dtype, accuracy in kernels():
        choice = (record, form, dtype, accuracy)
        build = {"elementwise": elementwise_cases, "row": row_cases, "gated": pair_cases}[record.kind]
        for name, arrays, parameters, layout in build(key, *choice[:3]):
            yield Case(key, f"{key} {name}", *choice, arrays, parameters, layout)


def elementwise_cases(key: str, record: Activation, form: str, dtype: type) -> Iterator[tuple]:
    """Name, arrays, parameters and layout of the cases of an elementwise kernel."""
    if is_half(dtype):
        yield from half_cases(record, form, dtype)
        return
    # As the input rules prepare them: rounded to the array's dtype, whatever the kernel computes in.
    example = tuple(float(dtype(p)) for p in record.example_parameters)
    yield "special", inputs(key, form, dtype, (4,), True), example, None
    if example and form != "backward_from_output":
        yield "negative", inputs(key, form, dtype, (4,), True), tuple(float(dtype(-1.7 * p)) for p in example), None
    for n in LENGTHS:
        yield f"length {n}", inputs(key, form, dtype, (n,), False), example, None
    for before, after in OFFSETS:
        yield f"offset {before} {after}", inputs(key, form, dtype, (13,), False), example, (before, after)
    if form != "value_and_derivative":
        yield "in place", inputs(key, form, dtype, (13,), False), example, "in place"
    if any(p.broadcasts for p in record.parameters):
        arrays = inputs(key, form, dtype, (14,), False)
        weight = np.linspace(-1, 1, 14, dtype=dtype)
        yield "array parameter", arrays, (weight,), None


def half_cases(record: Activation, form: str, dtype: type) -> Iterator[tuple]:
    """Numbers of a half type from all over, and a parameter an element."""
    x = np.arange(7, 1 << 16, HALF_STEP, np.uint16).view(dtype)
    arrays = (np.roll(x, 5), x) if form.startswith("backward") else (x,)
    yield "numbers", arrays, tuple(float(dtype(p)) for p in record.example_parameters), None
    if any(p.broadcasts for p in record.parameters):
        yield "array parameter", arrays, (np.roll(x, 9),), None


def row_cases(key: str, record: Activation, form: str, dtype: type) -> Iterator[tuple]:
    """Name, arrays, parameters and layout of the cases of a row kernel."""
    for shape in ROW_SHAPES:
        yield f"shape {shape}", inputs(key, form, dtype, shape, False), (), None
    arrays = inputs(key, form, dtype, (6, 33), False)
    x = arrays[-1]
    x[0, 5], x[1, 6], x[2, 7], x[3] = np.nan, np.inf, -np.inf, -np.inf
    x[4, :2], x[5, :3] = (200, -800), (0.0, -0.0, np.finfo(dtype).max)
    yield "special", arrays, (), None
    yield "in place", inputs(key, form, dtype, (2, 33), False), (), "in place"


def pair_cases(key: str, record: Activation, form: str, dtype: type) -> Iterator[tuple]:
    """Name, arrays, parameters and layout of the cases of a gated pair."""
    for shape in PAIR_SHAPES:
        g, x = inputs(key, "backward", dtype, shape, False)
        g = g[:, : shape[1] // 2].copy()
        yield f"shape {shape}", (g, x) if form == "backward" else (x,), (), None
    b = special_values(dtype)
    x = np.stack([np.concatenate([a, b]) for a in (np.ones_like(b), b[::-1])])
    yield "special", (np.ones((2, b.size), dtype), x) if form == "backward" else (x,), (), None


def run(case: Case) -> tuple[np.ndarray, ...]:
    """The kernel's results in the simulator."""
    from kernels.backends import numba_cuda

    kernel = numba_cuda.bind(case.record, case.form, case.dtype, case.accuracy)
    if case.layout is None:
        results = kernel(*case.arrays, *case.parameters)
        return results if case.outputs == 2 else (results,)
    before, after = (0, 0) if case.layout == "in place" else case.layout
    arrays = [on_device(array, before) for array in case.arrays]
    outs = [on_device(np.empty_like(case.arrays[0]), after) for _ in range(case.outputs)]
    if case.layout == "in place":
        outs = [arrays[0]]
    out = outs[0] if case.outputs == 1 else tuple(outs)
    returned = kernel(*arrays, *case.parameters, out=out)
    assert returned is out or case.outputs == 2
    return tuple(array.copy_to_host() for array in outs)


def on_device(array: np.ndarray, offset: int):
    """A device copy that begins ``offset`` elements after an aligned address."""
    from numba import cuda

    if not offset:
        return cuda.to_device(array)
    return cuda.to_device(np.concatenate([np.zeros(offset, array.dtype), array]))[offset:]


def fma_operands(dtype: type) -> tuple[np.ndarray, ...]:
    """Triples that tell an fma that rounds twice from one that rounds once."""
    random = np.random.default_rng(1)
    a, b = random.standard_normal((2, 500)).astype(dtype)
    near = (-a * b * (1 + random.integers(-2, 3, 500) * np.finfo(dtype).eps)).astype(dtype)
    scaled = (near * np.exp2(random.integers(-60, 60, 500))).astype(dtype)
    limits = np.finfo(dtype)
    edge = np.array([0.0, -0.0, 1, np.inf, -np.inf, np.nan, limits.max, limits.tiny, limits.smallest_subnormal], dtype)
    triples = np.array(list(itertools.product(edge, edge, edge)), dtype).T
    small = [a * limits.tiny, b, scaled * limits.tiny]
    columns = ([a, b, near], [a, b, scaled], small, triples)
    return tuple(np.concatenate([column[k] for column in columns]).astype(dtype) for k in range(3))


def fma_results(dtype: type) -> np.ndarray:
    """What the simulator's fma makes of ``fma_operands``."""
    from kernels.backends import cuda_primitives

    fma = cuda_primitives.primitives(dtype)["fma"]
    with np.errstate(all="ignore"):
        return np.array([fma(*triple) for triple in zip(*fma_operands(dtype), strict=True)], dtype)


def main(path: str) -> None:
    # The simulator's launcher spins while its threads work, and would keep them waiting 5 ms at a time.
    sys.setswitchinterval(1e-5)
    results = {f"fma {np.dtype(dtype)}": fma_results(dtype) for dtype in (np.float32, np.float64)}
    for case in cases():
        for number, result in enumerate(run(case)):
            # A file of NumPy's knows no bfloat16.
            results[f"{case.name} output {number}"] = result.view(np.uint16) if is_half(case.dtype) else result
    np.savez(path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
