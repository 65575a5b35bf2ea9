"""What ``python -m kernels.report --device cuda`` writes, measured in the simulator by a clock that stands still."""

from __future__ import annotations

import pytest

pytest.importorskip("numba")

RUN = """
import sys
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
plan.SCOPES["tiny"] = plan.Scope("tiny", (1, 40), 0.0, 0.0)
path = device.measure("tiny", ("swish", "softmax"), Path(FOLDER), Clock())
found, problems = rows.read(path)
assert not problems and rows.newest(path.parent) is None
measured = rows.of_kind(found, "measurement")
assert {(row["activation"], row["form"]) for row in measured} == {
    (name, form) for name in ("swish", "softmax") for form in lookup(name).forms if form in device.FORMS
}
assert {row["status"] for row in measured} == {"ok"}, measured
assert {row["kind"] for row in found} == {"run", "ceiling", "measurement", "launch", "transfer", "end"}
assert all(row["share_of_ceiling"] == row["gb_per_s"] / row["ceiling_gb_per_s"] for row in measured)
assert len(list(device.lines(found))) == len(measured) + 2 + 2
"""


def test_rows_of_a_device(run_python, tmp_path):
    run_python(RUN.replace("FOLDER", repr(str(tmp_path))), NUMBA_ENABLE_CUDASIM="1")


def test_without_a_gpu_the_command_says_so(capsys):
    from kernels.backends import numba_cuda
    from kernels.report.__main__ import USAGE, main

    if numba_cuda.reason() is None:
        pytest.skip("there is a GPU")
    assert main(["--device", "cuda"]) == USAGE
    assert "'cuda' is not available" in capsys.readouterr().err
