"""The Triton peer without a GPU: what its kernels compute, what they compile to, and where it takes part."""

from __future__ import annotations

import importlib.util

import pytest
from test_race import TINY

from kernels.backends import PEERS
from kernels.backends.peers import triton_jit
from kernels.report import plan

needs_triton = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("torch", "triton"))),
    reason="Triton and PyTorch are not installed: pip install torch triton",
)

#: Triton's interpreter has no libdevice: NumPy's functions stand in for three of its.
INTERPRETED = """
import numpy as np, torch
import triton.language as tl
from triton.language.extra import libdevice
from triton.runtime.interpreter import TensorHandle

def twin(function):
    def called(x):
        return tl.core.tensor(TensorHandle(function(x.handle.data), x.handle.dtype), x.type)
    return called

for name in ("expm1", "log1p", "tanh"):
    setattr(libdevice, name, twin(getattr(np, name)))

import kernels
from kernels.activations import lookup
from kernels.backends import PEERS, numpy_vector
from kernels.backends.peers import triton_jit
assert PEERS["triton"].reason() is None
random = np.random.default_rng(0)

def exact(record, form, arrays):
    wide = [np.asarray(x.double() if isinstance(x, torch.Tensor) else x, np.float64) for x in arrays]
    return numpy_vector.bind(record, form, np.float64, "fast")(*wide, *record.example_parameters)
"""

VALUES = """
# The interpreter cuts bfloat16 off, where a GPU rounds.
tolerances = {torch.float16: 1e-3, torch.bfloat16: 1e-2, torch.float32: 1e-5}
for form, names in triton_jit.FUNCTIONS.items():
    for record in map(lookup, names):
        own = triton_jit.own(record, form, None, record.example_parameters, False)
        for dtype, tolerance in tolerances.items():
            for shape in ((1, 1), (2, 512), (3, 1000)):
                x, g = (torch.from_numpy(random.standard_normal(shape) * 2).to(dtype) for _ in range(2))
                y = torch.from_numpy(exact(record, "value", (x,))).to(dtype)
                arrays = {"value": (x,), "backward": (g, x), "backward_from_output": (g, y)}[form]
                expected, out = exact(record, form, arrays), torch.empty_like(x)
                for got in (own(*arrays), own(*arrays, out=out)):
                    assert got.dtype == dtype and got.shape == shape
                    what = f"{record.name} {form} {dtype} {shape}"
                    np.testing.assert_allclose(got.double(), expected, rtol=tolerance, atol=tolerance, err_msg=what)
                assert got is out
"""

PUBLIC = """
x, g = random.standard_normal((2, 4, 50)).astype(np.float32)
for name, times in (("swish", 0.3), ("elu", 2.0), ("leaky_relu", 2.0), ("softplus", 0.3)):
    record = lookup(name)
    beta = times * record.example_parameters[0]
    for form, arrays in (("value", (x,)), ("backward", (g, x))):
        function = kernels.get(name, "triton")
        got = (function if form == "value" else function.backward)(*arrays, beta)
        wide = [a.astype(np.float64) for a in arrays]
        expected = numpy_vector.bind(record, form, np.float64, "fast")(*wide, beta)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
softmax = kernels.get("softmax", "triton")
np.testing.assert_allclose(softmax(x), exact(softmax.record, "value", (x,)), rtol=1e-5)
try:
    triton_jit.own(lookup("softmax"), "value", None, (), False)(torch.zeros(1, 65_537))
except ValueError as error:
    assert "at most 65,536 long, given 65,537" in str(error)
else:
    raise AssertionError("a row that no program holds was taken")
"""

ROWS = """
from kernels.measure import Case, make_inputs
from kernels.report import device
for name, dtype in (("relu", "float32"), ("gelu_tanh", "bfloat16"), ("softmax", "float16"), ("sigmoid", "float64")):
    case = Case(name, "value", "cuda", dtype, 300, cold=True)
    inputs = make_inputs(case)
    found = list(device.tritons(case, inputs))
    assert [one.backend for one in found] == ([] if dtype == "float64" else ["triton"])
    for one in found:
        one.call()
        (result,) = one.result()
        assert result.dtype.name == dtype
        np.testing.assert_allclose(result.astype(float), exact(case.record, "value", inputs), rtol=1e-2, atol=1e-2)
assert not list(device.tritons(Case("relu6", "value", "cuda", "float32", 300, cold=True), inputs))
"""


@needs_triton
@pytest.mark.parametrize("part", [VALUES, PUBLIC, ROWS], ids=["values", "public", "rows"])
def test_the_interpreter_finds_the_records_functions(part, run_python):
    """Every function, form and dtype, blocks and rows that are full and not; by ``kernels.get``; and in a report."""
    pytest.importorskip("ml_dtypes")
    run_python(INTERPRETED + part, timeout=300, TRITON_INTERPRET="1")


COMPILED = """
import re
from types import SimpleNamespace
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver, jit
from kernels.activations import lookup
from kernels.backends.peers import triton_jit

driver.set_active(SimpleNamespace(
    get_current_target=lambda: GPUTarget("cuda", 90, 32),
    get_current_device=lambda: 0,
    get_current_stream=lambda device: 0,
))
compiled, run = [], jit.JITFunction.run

def only_compiled(self, *arguments, grid, warmup, **options):
    compiled.append((grid, run(self, *arguments, grid=grid, warmup=True, **options)))

jit.JITFunction.run = only_compiled
x = torch.zeros(8, 4096, dtype=torch.bfloat16)
for form, names in triton_jit.FUNCTIONS.items():
    for record in map(lookup, names):
        arrays = [x] * (1 if form == "value" else 2)
        triton_jit.own(record, form, None, record.example_parameters, False)(*arrays)
        grid, kernel = compiled.pop()
        assert (grid, kernel.metadata.num_warps) == (((8,), 8) if record.kind == "row" else ((32,), 4)), record.name
        found = re.findall(r"(?:ld|st)\\.global\\S*", kernel.asm["ptx"])
        assert set(found) == {"ld.global.v4.b32", "st.global.v4.b32"}, (record.name, form, found)
        assert kernel.asm["cubin"] and ".local" not in kernel.asm["ptx"]
"""


@needs_triton
def test_kernels_compile_for_a_gpu(run_python, tmp_path):
    """To machine code, with 16-byte accesses, and launched by as many programs as there are blocks or rows."""
    # Its next release contracts nothing by default, and this one says so.
    run_python(COMPILED, timeout=300, TRITON_CACHE_DIR=str(tmp_path), TRITON_DEFAULT_FP_FUSION="1")


def test_without_a_gpu_it_says_so(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: module)
    monkeypatch.setattr(triton_jit, "_has_gpu", lambda: False)
    assert "no GPU here" in PEERS["triton"].reason()
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: module if module == "triton" else None)
    assert "PyTorch, whose tensors Triton takes, is not installed" in PEERS["triton"].reason()


def test_it_is_no_contestant_of_the_cpu(monkeypatch):
    monkeypatch.setattr(triton_jit, "reason", lambda: None)
    others = [name for name in PEERS if name != "triton" and PEERS[name].reason() is None]
    if others:
        made = plan.make_race(TINY, ["all"])
        assert "triton" not in {case.backend for case in made.cases}
        assert "--device cuda measures it" in made.left_out["triton"]
