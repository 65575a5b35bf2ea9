"""What ``python -m kernels.report --device cuda`` writes, measured in the simulator by a clock that stands still."""

from __future__ import annotations

import pytest

pytest.importorskip("numba")

RUN = """
import sys, types
sys.setswitchinterval(1e-5)
import numpy as np
from pathlib import Path
from kernels.activations import lookup
from kernels.report import device, plan, rows

class Clock(device.Gpu):
    def __init__(self):
        from numba import cuda
        self.cuda = cuda
    def facts(self):
        return {"gpu": "none", "compute_capability": [0, 0], "l2": 0}
    def copy(self, target, source):
        target.copy_to_device(source)
    def seconds(self, call, samples=device.SAMPLES):
        assert samples >= 50
        call()
        return np.linspace(1e-6, 2e-6, samples)

device.WARM_UP = device.HOST_CALLS = 1
device.HOST_SIZE = 40
device.COLUMNS, device.LONG = (4, 40), 40
plan.SCOPES["tiny"] = plan.Scope("tiny", (1, 40), 0.0, 0.0)

# What a library lacks that is there is asked of NumPy.
cupy, special = types.ModuleType("cupy"), types.ModuleType("cupyx.scipy")
cupy.__spec__ = types.SimpleNamespace(name="cupy")
cupy.__getattr__ = lambda name: getattr(np, name)
cupy.asnumpy, cupy.cuda = np.asarray, types.SimpleNamespace(is_available=lambda: True)
special.special = types.SimpleNamespace(expit=lambda x, out: np.divide(1, 1 + np.exp(-x), out=out))
sys.modules |= {"cupy": cupy, "cupyx": types.ModuleType("cupyx"), "cupyx.scipy": special}

path = device.measure("tiny", ("relu", "swish", "softmax"), Path(FOLDER), Clock())
found, problems = rows.read(path)
assert not problems and rows.newest(path.parent) is None
measured = rows.of_kind(found, "measurement")
assert {(row["activation"], row["form"]) for row in measured} == {
    (name, form) for name in ("relu", "swish", "softmax") for form in lookup(name).forms if form in device.FORMS
}
assert {(row["activation"], row["dtype"]) for row in measured if row["peer"]} == {("relu", "float32")}
assert {row["dtype"] for row in measured} == {"float32", "bfloat16"}
softmax = [row for row in measured if row["activation"] == "softmax"]
assert {(row["n"], row["columns"]) for row in softmax} == {(1, None), (40, 4), (40, 40)}
assert {row["status"] for row in measured} == {"ok"}, measured
assert {row["kind"] for row in found} == {"run", "ceiling", "measurement", "launch", "transfer", "end"}
assert all(row["share_of_ceiling"] == row["gb_per_s"] / row["ceiling_gb_per_s"] for row in measured)
assert len(list(device.lines(found))) == len(measured) + 3 + 2
"""


def test_rows_of_a_device(run_python, tmp_path):
    run_python(RUN.replace("FOLDER", repr(str(tmp_path))), NUMBA_ENABLE_CUDASIM="1")


def test_every_target_has_its_rows():
    """95 % of the copy from 2^26 on, the peers' sizes from 2^10 to 2^30, softmax of 1024 to 65,536 columns."""
    from kernels.report import device, plan

    full = device.cases(plan.SCOPES["full"], ())
    for dtype in ("float32", "bfloat16"):
        sizes = {case.n for case, _ in full if case.activation == "relu" and case.dtype == dtype}
        assert {1 << 10, 1 << 26, 1 << 30} <= sizes
        columns = {columns for case, columns in full if case.activation == "softmax" and case.dtype == dtype}
        assert {1024, 65_536} <= columns


def test_without_a_gpu_the_command_says_so(capsys):
    from kernels.backends import numba_cuda
    from kernels.report.__main__ import USAGE, main

    if numba_cuda.reason() is None:
        pytest.skip("there is a GPU")
    assert main(["--device", "cuda"]) == USAGE
    assert "'cuda' is not available" in capsys.readouterr().err
