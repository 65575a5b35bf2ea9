"""The CUDA kernels, run by Numba's CUDA simulator, give the bits of the CPU kernels: no GPU, no numba-cuda needed."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import subprocess
import sys
from pathlib import Path

import cuda_simulator_cases as simulator
import numpy as np
import pytest

from kernels import backends
from kernels.verify.inputs import reference_backend

pytest.importorskip("numba")

CASES: dict[str, list[simulator.Case]] = {}
for _case in simulator.cases():
    CASES.setdefault(_case.kernel, []).append(_case)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> dict[str, np.ndarray]:
    """What the simulator gives for every case, computed once."""
    path = tmp_path_factory.mktemp("cuda") / "results.npz"
    root = str(Path(__file__).resolve().parent.parent)
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": search}
    command = [sys.executable, "-W", "error::RuntimeWarning", simulator.__file__, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(path) as results:
        return dict(results)


def assert_same_bits(given: np.ndarray, expected: np.ndarray, name: str) -> None:
    """Equal to the bit, any NaN being equal to any NaN."""
    assert (given.dtype, given.shape) == (expected.dtype, expected.shape), name
    integer = f"u{given.dtype.itemsize}"
    differ = (given.view(integer) != expected.view(integer)) & ~(np.isnan(given) & np.isnan(expected))
    where = np.argwhere(differ)
    pairs = list(zip(given[differ], expected[differ], strict=True))
    assert not pairs, f"{name}: first of {len(pairs)} at {where[0]}, given and expected {pairs[0]}"


@pytest.mark.parametrize("kernel", CASES)
def test_bits_equal_the_cpu(kernel, simulated):
    for case in CASES[kernel]:
        reference = backends.bind(case.record, case.form, case.dtype, reference_backend(), case.accuracy)
        expected = reference(*case.arrays, *case.parameters)
        for number, array in enumerate(expected if case.outputs == 2 else (expected,)):
            name = f"{case.name} output {number}"
            assert_same_bits(simulated[name].view(array.dtype), array, name)


PUBLIC = """
import numpy as np, kernels
from kernels.activations import RECORDS
from kernels.front import INPUTS
x = np.float32([[1, -2, 3, 4], [0.5, -0.0, -7, 2]])
for record in RECORDS:
    cuda, other = kernels.get(record.name, "cuda"), kernels.get(record.name)
    for form in record.forms:
        g = x[::-1, : record.result_shape("value", x.shape)[1]]
        arrays = (g, x)[2 - len(INPUTS.get(form, ("x",))) :]
        arguments = *arrays, *record.example_parameters
        pair = [f(*arguments) if form == "value" else getattr(f, form)(*arguments) for f in (cuda, other)]
        np.testing.assert_allclose(*pair, rtol=1e-6, err_msg=f"{record.name} {form}")
relu = kernels.get("relu", "cuda")
assert (relu(5), relu(-3), relu([1, -2, 3]).tolist(), relu.derivative(0.0)) == (5, 0, [1, 0, 3], 0)
"""


def test_public_functions_run_under_the_simulator(run_python):
    """Every form, through the input rules; the bits are held above."""
    run_python(PUBLIC, NUMBA_ENABLE_CUDASIM="1")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_simulated_fma_rounds_once(dtype, simulated):
    """The simulator's twin of fma against the C library's."""
    library = ctypes.util.find_library("m")
    if library is None:
        pytest.skip("no C mathematics library to compare with")
    function = getattr(ctypes.CDLL(library), "fmaf" if dtype is np.float32 else "fma")
    number = ctypes.c_float if dtype is np.float32 else ctypes.c_double
    function.restype, function.argtypes = number, [number] * 3
    triples = zip(*simulator.fma_operands(dtype), strict=True)
    expected = np.array([function(*map(float, triple)) for triple in triples], dtype)
    assert_same_bits(simulated[f"fma {np.dtype(dtype)}"], expected, "fma")
