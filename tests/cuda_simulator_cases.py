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
from kernels.backends import numba_cuda
from kernels.half import is_half
from kernels.verify.inputs import possible_outputs

ELEMENTWISE_FORMS = ("value", "derivative", "backward", "backward_from_output", "value_and_derivative")
ROW_FORMS = ("value", "backward", "backward_from_output")

#: What the kernels compute; the accurate class differs from the fast one in float32 only.
CLASSES = ((np.float32, "fast"), (np.float32, "accurate"), (np.float64, "fast"), (np.float16, "fast"))
try:
    from ml_dtypes import bfloat16, finfo
except ImportError:
    from numpy import finfo
else:
    CLASSES += ((bfloat16, "fast"),)
#: The loops are the same for all functions: these go through every length, offset and way of dealing rows, where a
#: row of 70 is a block's and one of 400 is longer than it holds; the others through a few numbers, for their formulas.
LOOPED = ("leaky_relu", "softmax", "glu")
ON_DEVICE = (np.float16, np.float32, np.float64)
LENGTHS = (0, 1, 7, 8, 9, 35)
PAIR_SHAPES = ((0, 4), (3, 0), (1, 2), (3, 30), (2, 34), (3, 48))
ROW_SHAPES = ((0, 5), (3, 0), (1, 1), (5, 33), (3, 70), (2, 400))
#: What else is special about a row: a projection's, and a logarithm's.
LONG_ROWS = {"sparsemax": (2, 400), "log_softmax": (2, 130)}
#: Special values that a kernel gets: drawn, but for those that all get.
DRAWN = 9

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
            yield f"{record.name} {form} {np.dtype(dtype)} {accuracy}", record, form, dtype, accuracy


def choices() -> Iterator[numba_cuda.Choice]:
    """Every kernel of the backend: ``kernels()``, each of its variants."""
    for _, record, form, dtype, accuracy in kernels():
        for variant in numba_cuda.variants_of(record):
            yield numba_cuda.Choice(record.name, form, np.dtype(dtype).name, accuracy, variant)


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
    limits = finfo(dtype)
    tiny = np.array([0.0, np.inf, limits.smallest_subnormal, limits.tiny, limits.max], dtype)
    thresholds = np.array((*THRESHOLDS, *KINKS), dtype)
    ends = np.concatenate([tiny, thresholds, np.nextafter(thresholds, dtype(0))])
    return np.concatenate([ends, -ends, np.array([np.nan], dtype)])


def values_of(key: str, dtype: type) -> np.ndarray:
    """A few special values, others for other kernels: two groups of every dtype and one more."""
    limits = finfo(dtype)
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, limits.smallest_subnormal, -limits.tiny, limits.max], dtype)
    random = np.random.default_rng(zlib.crc32(key.encode()))
    return np.concatenate([ends, random.choice(special_values(dtype), DRAWN, replace=False)])


def inputs(key: str, form: str, dtype: type, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """The arrays of a call, always the same for a key."""
    random = np.random.default_rng(zlib.crc32(f"{key} {shape}".encode()))
    x = (random.standard_normal(shape) * 4).astype(dtype)
    if form == "backward_from_output":
        x = random.random(shape).astype(dtype)
    if not form.startswith("backward"):
        return (x,)
    return random.standard_normal(x.shape).astype(dtype), x


def cases() -> Iterator[Case]:
    """Every case."""
    for key, record, form, dtype, accuracy in kernels():
        choice = (record, form, dtype, accuracy)
        build = {"elementwise": elementwise_cases, "row": row_cases, "gated": pair_cases}[record.kind]
        for name, arrays, parameters, layout in build(key, *choice):
            yield Case(key, f"{key} {name}", *choice, arrays, parameters, layout)


def elementwise_cases(key: str, record: Activation, form: str, dtype: type, accuracy: str) -> Iterator[tuple]:
    """Name, arrays, parameters and layout of the cases of an elementwise kernel."""
    # As the input rules prepare them: rounded to the array's dtype, whatever the kernel computes in.
    example = tuple(float(dtype(p)) for p in record.example_parameters)
    x = values_of(key, dtype)
    if form == "backward_from_output":
        x = np.resize(possible_outputs(record, x), x.size)
    arrays = (np.roll(x, 5), x) if form.startswith("backward") else (x,)
    yield "values", arrays, example, None
    if any(p.broadcasts for p in record.parameters):
        yield "array parameter", arrays, (np.linspace(-1, 1, x.size).astype(dtype),), None
    if record.name not in LOOPED:
        return
    yield "negative parameter", inputs(key, form, dtype, (9,)), tuple(float(dtype(-1.7 * p)) for p in example), None
    for n in LENGTHS:
        yield f"length {n}", inputs(key, form, dtype, (n,)), example, None
    if dtype in ON_DEVICE and accuracy == "fast":
        for before, after in OFFSETS:
            yield f"offset {before} {after}", inputs(key, form, dtype, (35,)), example, (before, after)
        if form != "value_and_derivative":
            yield "in place", inputs(key, form, dtype, (35,)), example, "in place"


def row_cases(key: str, record: Activation, form: str, dtype: type, accuracy: str) -> Iterator[tuple]:
    """Name, arrays, parameters and layout of the cases of a row kernel."""
    plain = dtype in (np.float32, np.float64) and accuracy == "fast"
    shapes = ROW_SHAPES if plain and record.name in LOOPED else ((2, 33),)
    if dtype is np.float32 and plain and record.name in LONG_ROWS:
        shapes += (LONG_ROWS[record.name],)
    for shape in shapes:
        yield f"shape {shape}", inputs(key, form, dtype, shape), (), None
    if not plain:
        return
    arrays = inputs(key, form, dtype, (6, 33))
    x = arrays[-1]
    x[0, 5], x[1, 6], x[2, 7], x[3] = np.nan, np.inf, -np.inf, -np.inf
    x[4, :2], x[5, :3] = (200, -800), (0.0, -0.0, np.finfo(dtype).max)
    yield "special", arrays, (), None
    if record.name in LOOPED:
        for shape in ((2, 33), (2, 70), (2, 400)):
            yield f"in place {shape}", inputs(key, form, dtype, shape), (), "in place"


def pair_cases(key: str, record: Activation, form: str, dtype: type, accuracy: str) -> Iterator[tuple]:
    """Name, arrays, parameters and layout of the cases of a gated pair."""
    for shape in PAIR_SHAPES if record.name in LOOPED else ((2, 32),):
        g, x = inputs(key, "backward", dtype, shape)
        g = g[:, : shape[1] // 2].copy()
        yield f"shape {shape}", (g, x) if form == "backward" else (x,), (), None
    b = values_of(key, dtype)
    x = np.stack([np.concatenate([a, b]) for a in (np.ones_like(b), b[::-1])])
    yield "values", (np.ones((2, b.size), dtype), x) if form == "backward" else (x,), (), None


def run(case: Case) -> tuple[np.ndarray, ...]:
    """The kernel's results in the simulator."""
    if case.layout is None:
        kernel = numba_cuda.bind(case.record, case.form, case.dtype, case.accuracy)
        results = kernel(*case.arrays, *case.parameters)
        return results if case.outputs == 2 else (results,)
    kernel = numba_cuda.OnDevice(case.record, case.form, case.accuracy)
    before, after = (0, 0) if case.layout == "in place" else case.layout
    arrays = [on_device(array, before) for array in case.arrays]
    outs = [on_device(np.empty_like(case.arrays[0]), after) for _ in range(case.outputs)]
    if case.layout == "in place":
        outs = [arrays[0]]
    out = outs[0] if case.outputs == 1 else tuple(outs)
    returned = kernel(arrays, case.parameters, out=out)
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
    limits = finfo(dtype)
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
