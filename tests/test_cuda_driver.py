"""Everything down to the driver, which is a stand-in that runs no kernel: numba-cuda, NVIDIA's bindings and linker.

They compile, link, load and launch as with a GPU; what is told to the driver is read, what it computes is not.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from test_cuda_ptx import missing

pytestmark = pytest.mark.ptx

SOURCE = Path(__file__).with_name("stand_in_driver.c")


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    """The folder of a libcuda.so.1."""
    if missing():
        pytest.skip(missing())
    compiler = shutil.which("cc") or pytest.skip("no C compiler: install gcc")
    folder = tmp_path_factory.mktemp("driver")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(folder / "libcuda.so.1"), str(SOURCE)], check=True)
    return folder


@pytest.fixture
def run_on_stand_in(driver, run_python):
    def run(code: str) -> None:
        # The packages that the driver's bindings belong to warn of each other.
        quiet = "import warnings; warnings.simplefilter('ignore')\n"
        run_python(quiet + code, timeout=300, LD_LIBRARY_PATH=str(driver), NUMBA_ENABLE_CUDASIM="0")

    return run


CALLS = """
import ctypes
import numpy as np
import kernels
from kernels import device_arrays
from kernels.backends import numba_cuda
assert numba_cuda.reason() is None
from numba import cuda
library = ctypes.CDLL("libcuda.so.1")
launched = (ctypes.c_uint64 * 7).in_dll(library, "launched")
address = lambda array: array.__cuda_array_interface__["data"][0]
x = np.linspace(-1, 1, 100_003, dtype=np.float32)
on = cuda.to_device(x)
assert on.copy_to_host().tobytes() == x.tobytes()
relu = kernels.get("relu", "cuda")
for _ in range(2):
    y = relu(on)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    # 12,500 times eight elements, in blocks of 256 threads; eleven arguments.
    assert list(launched)[1:] == [49, 256, 0, 80, address(on), address(on)], list(launched)
assert relu(on, out=y) is y
assert relu.backward(y, on).shape == x.shape
assert list(launched)[5:] == [address(y), address(on)]
assert kernels.get("softmax", "cuda")(x[:-3].reshape(-1, 50)).shape == (2000, 50)
ctypes.c_int.in_dll(library, "launch_result").value = 719
try:
    relu(on)
except RuntimeError as error:
    assert "CUDA_ERROR_LAUNCH_FAILED" in str(error)
else:
    raise AssertionError("a launch that failed was not told")
assert device_arrays.driver_version() == (13, 0)
device_arrays.wait(7, 8, 0)
device_arrays.keep_until_done([device_arrays.View(None, None, "float32", (3,), 16, 0, lent=object())], 7)
device_arrays.let_go(0)
assert len(device_arrays.in_use) == 1
device_arrays.in_use.clear()
"""

REPORT = """
import sys
from pathlib import Path
from kernels.report import __main__ as command, device, plan, rows
device.WARM_UP, device.SAMPLES, device.HOST_CALLS, device.FLUSHED = 1, 2, 2, 4096
device.COLUMNS, device.LONG = (1024, 65_536), 1 << 17
plan.SCOPES["quick"] = plan.Scope("quick", (1000, 1 << 17), 0.0, 0.0)
device.SIZES["quick"] = (1 << 17,)
# Where no kernel runs, results are compared with nothing.
device.COMPARED = 0
chosen = ["--quick", "--activations", "relu,softmax", "--output", FOLDER]
assert command.main(["--device", "cuda", *chosen]) == command.DONE
(path,) = (Path(FOLDER) / "results").glob("cuda-*.jsonl")
found, problems = rows.read(path)
assert not problems
measured = [row for row in rows.of_kind(found, "measurement") if row["backend"] == "cuda"]
assert {row["seconds_median"] for row in measured} == {0.0005}
assert {(row["n"], row["columns"]) for row in measured if row["activation"] == "softmax"} == {
    (1000, None), (1 << 17, 1024), (1 << 17, 65_536)
}
assert rows.header(found)["machine"] == "a stand-in"
"""


def test_calls_reach_the_driver(run_on_stand_in):
    """Compiled, linked and loaded once; launched on the caller's arrays; copied there and back; told what failed."""
    run_on_stand_in(CALLS)


def test_a_report_of_a_device_runs_through(run_on_stand_in, tmp_path):
    """``python -m kernels.report --device cuda`` with all that it asks of the driver, by the stand-in's clock."""
    pytest.importorskip("matplotlib")
    run_on_stand_in(REPORT.replace("FOLDER", repr(str(tmp_path))))
