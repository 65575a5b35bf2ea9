"""What ``python -m kernels.report --device cuda`` writes, measured in the simulator by a clock that stands still."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from test_report import header, measurement, write

pytest.importorskip("numba")
pytest.importorskip("matplotlib")

from kernels.backends import cuda_ptx
from kernels.backends.numba_cuda import Choice
from kernels.report import gpu, plan, rows
from kernels.report.findings import Findings

SET_UP = """
import sys, types
sys.setswitchinterval(1e-5)
import numpy as np
from pathlib import Path
from kernels import measure as data
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
        assert len({dtype for _, dtype in data._pools}) <= 1, data._pools
        call()
        return np.linspace(1e-6, 2e-6, samples)

device.WARM_UP = device.HOST_CALLS = 1
device.HOST_SIZE = 40
# No multiple of the CPU's rows of 100.
device.COLUMNS, device.LONG = (4, 64), 128
plan.SCOPES["tiny"] = plan.Scope("tiny", (1, 128), 0.0, 0.0)

# What a library lacks that is there is asked of NumPy.
cupy, special = types.ModuleType("cupy"), types.ModuleType("cupyx.scipy")
cupy.__spec__ = types.SimpleNamespace(name="cupy")
cupy.__getattr__ = lambda name: getattr(np, name)
cupy.asnumpy, cupy.cuda = np.asarray, types.SimpleNamespace(is_available=lambda: True)
special.special = types.SimpleNamespace(expit=lambda x, out: np.divide(1, 1 + np.exp(-x), out=out))
sys.modules |= {"cupy": cupy, "cupyx": types.ModuleType("cupyx"), "cupyx.scipy": special}
"""
RUN = """
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
assert {(row["n"], row["columns"]) for row in softmax} == {(1, None), (128, 4), (128, 64)}
assert {row["status"] for row in measured} == {"ok"}, measured
assert {row["kind"] for row in found} == {"run", "ceiling", "measurement", "launch", "transfer", "end"}
assert all(row["share_of_ceiling"] == row["gb_per_s"] / row["ceiling_gb_per_s"] for row in measured)
assert len(list(device.lines(found))) == len(measured) + 3 + 2
assert not data._pools
"""
BROKEN = """
def compiled(case, inputs):
    def call():
        raise RuntimeError("the compiler <broke>")
    yield device.Contestant("torch.compile", call, tuple)

def too_large(case, inputs):
    raise MemoryError("no room on the device")
    yield

def without_softmax(case, *rest):
    if case.activation == "softmax":
        raise RuntimeError("no such kernel")
    return prepared(case, *rest)

def without_softmax_s_call(record, gpu):
    if record.name == "softmax":
        raise RuntimeError("no such call")
    return launched(record, gpu)

def without_memory(case, inputs):
    if case.n == 1:
        raise MemoryError("no room on the host")
    return expected(case, inputs)

device.PEERS |= {"torch": compiled, "triton": too_large}
prepared, device.ours = device.ours, without_softmax
launched, device._launch_row = device._launch_row, without_softmax_s_call
expected, device._expected = device._expected, without_memory
path = device.measure("tiny", ("relu", "softmax"), Path(FOLDER), Clock())
found, problems = rows.read(path)
assert not problems and rows.is_finished(found)
measured = [row for row in rows.of_kind(found, "measurement") if row["dtype"] == "float32" and row["form"] == "value"]
assert {(row["activation"], row["backend"], row["status"], row["reason"]) for row in measured if row["n"] == 128} == {
    ("relu", "cuda", "ok", None),
    ("relu", "cupy", "ok", None),
    ("softmax", "cuda", "failed", "RuntimeError: no such kernel"),
    *((name, "torch.compile", "failed", "RuntimeError: the compiler <broke>") for name in ("relu", "softmax")),
    *((name, "triton", "failed", "MemoryError: no room on the device") for name in ("relu", "softmax")),
}
assert {(row["backend"], row["reason"]) for row in measured if row["n"] == 1} == {
    ("cuda", "MemoryError: no room on the host"),
}
assert [row["activation"] for row in rows.of_kind(found, "launch")] == ["relu"]
assert len(list(device.lines(found))) == len(rows.of_kind(found, "measurement")) + 1 + 2
"""


def in_simulator(run_python, program: str, folder: Path) -> None:
    run_python(SET_UP + program.replace("FOLDER", repr(str(folder))), NUMBA_ENABLE_CUDASIM="1")


def test_a_broken_contestant_does_not_end_a_run_on_a_gpu(run_python, tmp_path):
    in_simulator(run_python, BROKEN, tmp_path / "results")
    from kernels.report.__main__ import DONE, main

    write(tmp_path / "results" / "quick-20240101T000000.jsonl", [header(), measurement()])
    assert main(["--render-only", "--output", str(tmp_path)]) == DONE


@pytest.mark.parametrize(
    ("function", "use"),
    [
        ("cuMemsetD8Async", lambda gpu: gpu.overwrite_cache()),
        ("cuMemcpyDtoDAsync", lambda gpu: gpu.copy(gpu.flushed, gpu.flushed)),
    ],
)
def test_what_the_driver_refuses_is_no_time(function, use, monkeypatch):
    """A copy that was refused would take no time, and be a ceiling that nothing reaches."""
    from kernels import device_arrays
    from kernels.report import device

    error, asked = SimpleNamespace(name="CUDA_ERROR_ILLEGAL_ADDRESS"), device.Gpu.__new__(device.Gpu)
    asked.flushed = SimpleNamespace(__cuda_array_interface__={"data": (16, False)}, nbytes=8)
    monkeypatch.setattr(device_arrays, "driver", lambda: SimpleNamespace(**{function: lambda *_: (error,)}))
    with pytest.raises(RuntimeError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        use(asked)


def test_rows_of_a_device_are_on_the_page(run_python, tmp_path):
    in_simulator(run_python, RUN, tmp_path / "results")
    from kernels.report.__main__ import DONE, main

    cpu = [
        measurement(name, n=n, backend=b)
        for name in ("swish", "softmax")
        for n in (1, 128)
        for b in ("numpy", "fastest")
    ]
    write(tmp_path / "results" / "quick-20240101T000000.jsonl", [header(), *cpu])
    choices = [Choice("relu", "value", "float32"), Choice("softmax", "backward", "float64", variant="warp")]
    resources = [dict.fromkeys(rows.RESOURCES, 0) | {"registers": n} for n in (20, 72)]
    compiled = [cuda_ptx.row(choice, "sm_90", found) for choice, found in zip(choices, resources, strict=True)]
    write(tmp_path / rows.PTX_FILE, compiled)
    assert main(["--render-only", "--output", str(tmp_path)]) == DONE
    html = (tmp_path / "index.html").read_text()
    assert "none is faster than kernels.fastest on A &lt;processor&gt;" in html
    assert "None spills." in html
    assert "at most 72 registers (softmax, backward, float64, warp, sm_90)" in html
    assert html.count("<svg") == len(list((tmp_path / "charts").glob("*.svg")))


def device(*found: dict) -> gpu.Device:
    return gpu.Device([header(plan="cuda-quick", machine="A GPU"), *found])


def on_gpu(n: int, seconds: float) -> dict:
    times = {"seconds_q1": seconds, "seconds_median": seconds, "seconds_q3": seconds}
    return measurement(n=n, cold=True) | times | {"backend": "cuda", "share_of_ceiling": 0.9}


def test_from_which_size_on_a_gpu_pays():
    """NumPy takes 1 us an element, ours 0.1: the kernel 2 us, its launch 5, and both transfers 500."""
    found = device(
        *(on_gpu(n, 2e-6) for n in (10, 100, 10_000)),
        {"kind": "launch", "activation": "relu", "backend": "cuda", "n": 1000, "seconds": 5e-6},
        *({"kind": "transfer", "bytes": 4 * n, "to_device": 2e-4, "to_host": 3e-4} for n in (10, 100, 10_000)),
    )
    cpu = [measurement(n=n, backend=b) for n in (10, 100, 10_000) for b in ("numpy", "fastest")]
    findings = Findings([header(), *cpu])
    (cell,) = [cell for cell in findings.sweep if cell.n == 100]
    assert found.kernel("relu", "value", 100) == 2e-6
    assert found.call(cell) == 5e-6
    assert found.with_transfers(cell) == pytest.approx(505e-6)
    assert "are on the GPU, from 100 on; for arrays that go there and back, from 10⁴ on" in gpu.verdict(findings, found)
    measured = Findings([header(), *cpu, measurement(n=100) | {"backend": "cuda"}])
    (cell,) = [cell for cell in measured.sweep if cell.n == 100]
    assert found.with_transfers(cell) == cell.seconds("cuda")


def test_a_gpu_alone_asks_for_a_cpu():
    assert "no CPU was timed" in gpu.verdict(Findings([header()]), device(on_gpu(10, 2e-6)))


def test_spills_are_named():
    spilled = cuda_ptx.row(Choice("relu", "value", "float32"), "sm_90", dict.fromkeys(rows.RESOURCES, 8))
    assert rows.check(spilled) is None
    assert "relu, float32, sm_90: 8 bytes stored" in gpu.compiled([spilled])


def test_what_is_missing_names_its_command():
    html = gpu.section(Findings([header()]), gpu.Gpu(), {})
    assert "no &lt;GPU&gt;" in html
    assert "--device cuda" in html
    assert "make ptx" in html


def test_every_target_has_its_rows():
    """95 % of the copy from 2^26 on, the peers' sizes from 2^10 to 2^30, softmax of 1024 to 65,536 columns."""
    from kernels.report import device

    full = device.cases(plan.SCOPES["full"], ())
    for dtype in ("float32", "bfloat16"):
        sizes = {case.n for case, _ in full if case.activation == "relu" and case.dtype == dtype}
        assert {1 << 10, 1 << 26, 1 << 30} <= sizes
        columns = {columns for case, columns in full if case.activation == "softmax" and case.dtype == dtype}
        assert {1024, 65_536} <= columns


@pytest.mark.parametrize("scope", plan.SCOPES.values(), ids=lambda scope: scope.name)
def test_a_gpu_has_the_sizes_that_it_is_compared_at(scope):
    from kernels.report import device

    sizes: dict[tuple, set[int]] = {}
    for case, columns in device.cases(scope, ()):
        if case.dtype == "float32" and columns is None:
            sizes.setdefault((case.activation, case.form), set()).add(case.n)
    assert all(found >= set(scope.sizes) for found in sizes.values())
    assert {"relu", "softmax"} <= {name for name, _ in sizes}


def test_rows_of_all_lengths_are_shown():
    """In a table of their own, none in another's place."""
    softmax = on_gpu(4096, 2e-6) | {"activation": "softmax"}
    lengths = [softmax | {"columns": n, "share_of_ceiling": share} for n, share in ((1024, 0.97), (4096, 0.53))]
    found = device(on_gpu(10, 2e-6), *lengths)
    assert found.kernel("softmax", "value", 4096) is None
    by_size, by_length = gpu.shares(found).split("<details>")[1:]
    assert "softmax" not in by_size
    assert all(text in by_length for text in ("softmax", "2¹⁰", "97%", "2¹²", "53%"))


def test_the_host_s_clock_is_told():
    clocks = {"jax": "host", "torch": "device"}
    peers = [on_gpu(10, 4e-6) | {"backend": name, "clock": clock} for name, clock in clocks.items()]
    html = gpu.shares(device(on_gpu(10, 2e-6), *peers))
    assert "jax takes, at 10<small>by the host's clock" in html
    assert "torch takes, at 10</th>" in html


@pytest.mark.parametrize("given", ["--dtype float64", "--backends numpy", "--peers all", "--render-only"])
def test_what_has_no_place_beside_a_device_is_refused(given, capsys):
    from kernels.report.__main__ import USAGE, main

    assert main(["--device", "cuda", *given.split()]) == USAGE
    assert f"leave out {given.split()[0]};" in capsys.readouterr().err


def test_an_interrupted_run_on_a_gpu_ends_without_a_traceback(monkeypatch, capsys):
    from kernels.report import __main__ as command

    def interrupted(given):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure_device", interrupted)
    assert command.main(["--device", "cuda"]) == command.INTERRUPTED
    assert "starts over" in capsys.readouterr().err


def test_without_a_gpu_the_command_says_so(capsys):
    from kernels.backends import numba_cuda
    from kernels.report.__main__ import USAGE, main

    if numba_cuda.reason() is None:
        pytest.skip("there is a GPU")
    assert main(["--device", "cuda"]) == USAGE
    assert "'cuda' is not available" in capsys.readouterr().err
