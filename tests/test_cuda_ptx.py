"""What the CUDA compiler makes of every kernel, read from its PTX: no GPU and no driver, only numba-cuda and NVVM.

The simulator proves the kernels' logic; this proves that the compiled code is the formula and nothing else: as many
fused multiply-adds as the text has, nothing contracted, approximated or flushed, no local memory, 16-byte accesses.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import textwrap
import types
from pathlib import Path

import cuda_simulator_cases as simulator
import numpy as np
import pytest

from kernels.activations import Activation
from kernels.backends import numba_cuda
from kernels.constants import inside

pytestmark = pytest.mark.ptx

INSTALL = 'pip install "activation-kernels[cuda13]" (numba-cuda, nvidia-nvvm, nvidia-cuda-nvrtc)'
KERNELS = {kernel[0]: kernel[1:] for kernel in simulator.kernels()}


@functools.cache
def missing() -> str | None:
    """What is needed to compile to PTX and is not here."""
    if importlib.util.find_spec("numba_cuda") is None:
        return f"numba-cuda is not installed: {INSTALL}"
    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
        return "NUMBA_ENABLE_CUDASIM=1 replaces the compiler by the simulator"
    numba_cuda._cuda()
    from numba.cuda.cudadrv import nvvm

    return None if nvvm.is_available() else f"NVVM is not installed: {INSTALL}"


@pytest.fixture(autouse=True)
def compiler():
    if missing():
        pytest.skip(missing())


# ---------------------------------------------------------------- how often a formula says fma
class Symbol:
    """A value of a formula; equal expressions are one object, as they are one instruction after compilation."""

    #: NumPy scalars leave their operators to this class.
    __array_ufunc__ = None

    def __init__(self, table: dict, operation: str, operands: tuple):
        self.table, self.operation, self.operands = table, operation, operands

    def make(self, operation: str, *operands) -> Symbol:
        key = (operation, *(id(o) if isinstance(o, Symbol) else repr(o) for o in operands))
        return self.table.setdefault(key, Symbol(self.table, operation, operands))

    def reachable(self, found: set) -> set:
        if self not in found:
            found.add(self)
            for operand in self.operands:
                if isinstance(operand, Symbol):
                    operand.reachable(found)
        return found


def _operator(name: str, swapped: bool = False):
    return lambda a, *b: a.make(name, *b, a) if swapped else a.make(name, a, *b)


for _name in ("add", "sub", "mul", "truediv"):
    setattr(Symbol, f"__{_name}__", _operator(_name))
    setattr(Symbol, f"__r{_name}__", _operator(_name, swapped=True))
for _name in ("neg", "abs", "lt", "le", "gt", "ge", "eq"):
    setattr(Symbol, f"__{_name}__", _operator(_name))
Symbol.__hash__ = object.__hash__


class _Selects(ast.NodeTransformer):
    """``a if c else b`` as ``select(c, a, b)``, which evaluates both sides as the compiled code may."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        call = ast.Call(ast.Name("select", ast.Load()), [node.test, node.body, node.orelse], [])
        return ast.copy_location(call, node)


def _with_selects(function: types.FunctionType) -> types.FunctionType:
    tree = _Selects().visit(ast.parse(textwrap.dedent(inspect.getsource(function))))
    exec(compile(ast.fix_missing_locations(tree), function.__name__, "exec"), function.__globals__)
    return function.__globals__[function.__name__]


def _primitive(name: str):
    def apply(*operands):
        symbol = next((o for o in operands if isinstance(o, Symbol)), None)
        assert symbol is not None, f"{name} of constants only"
        return symbol.make(name, *operands)

    return apply


@functools.cache
def traced_formulas(compute: str) -> dict:
    from kernels.backends import cuda_primitives, numba_formulas

    names = [
        name for name in cuda_primitives.primitives(numba_formulas.TYPES[compute]) if not name.startswith("rounded_")
    ]
    return numba_formulas.bind(compute, {name: _primitive(name) for name in (*names, "select")}, _with_selects)


def formula_names(record: Activation, form: str) -> tuple[str, ...]:
    """The formulas that a kernel computes for each element."""
    if not record.elementwise:
        return record.scalar_formulas
    derivative = f"{record.name}_derivative"
    return {
        "value": (record.name,),
        "value_and_derivative": (record.name, derivative),
        "backward_from_output": (f"{derivative}_from_output",),
        "parameter_derivative": (f"{record.name}_parameter_derivative",),
    }.get(form, (derivative,))


def fma_of(record: Activation, form: str, compute: str) -> int:
    """Distinct fused multiply-adds that the results of a form depend on."""
    table: dict = {}
    arguments = [Symbol(table, f"argument {k}", ()) for k in range(1 + len(record.parameters))]
    found: set = set()
    for name in formula_names(record, form):
        result = traced_formulas(record.format_of(name, compute))[name](*arguments)
        if isinstance(result, Symbol):
            result.reachable(found)
    return sum(symbol.operation == "fma" for symbol in found)


# ---------------------------------------------------------------- what the PTX says
@functools.cache
def ptx_of(key: str, parameter_array: bool = False) -> str:
    return numba_cuda.compile_ptx(*KERNELS[key], parameter_array=parameter_array)


def count(instruction: str, ptx: str) -> int:
    """How often an instruction (a regular expression) stands in the code."""
    return len(re.findall(rf"^\s+(?:@!?%p\d+ )?{instruction}\s", ptx, re.MULTILINE))


def assert_nothing_contracted(ptx: str) -> None:
    """Every sum and product says how it rounds: without ``.rn``, ptxas may contract what NVVM left apart."""
    loose = re.findall(r"^\s+(?:@!?%p\d+ )?((?:add|sub|mul|mad)\.f\d+\s.*)$", ptx, re.MULTILINE)
    assert not loose, loose[:3]


def assert_fma_count(ptx: str, expected: int) -> None:
    assert count(r"fma\.rn\.f\d+", ptx) == expected


def element_bodies(form: str, dtype: type, ptx: str) -> int:
    """How many copies of the formula the elementwise loop has: four a group, one a single element, times unrolling."""
    outputs = 2 if form == "value_and_derivative" else 1
    # A result made of bits, as of copy_sign, is stored as an integer.
    number, lanes = f"[fbu]{8 * dtype().itemsize}", 16 // dtype().itemsize
    groups = count(rf"st\.global\.v{lanes}\.{number}", ptx)
    singles = count(rf"st\.global\.{number}", ptx)
    assert groups, "no 16-byte stores"
    assert count(rf"ld\.global\.v{lanes}\.{number}", ptx), "no 16-byte loads"
    return (groups * lanes + singles) // outputs


@pytest.mark.parametrize("key", KERNELS)
def test_compiled_code_is_the_formula(key):
    ptx = ptx_of(key)
    assert_nothing_contracted(ptx)
    for word in (".ftz", "approx", ".local", "call", "__nv_", "trap"):
        assert word not in ptx, word
    assert not re.search(r"\bdiv\.(?!rn\.f|[us]\d)", ptx), "a division that is not IEEE's"
    record, form, dtype, accuracy = KERNELS[key]
    compute = inside(np.dtype(dtype).name, accuracy)
    if record.elementwise:
        assert_fma_count(ptx, fma_of(record, form, compute) * element_bodies(form, dtype, ptx))
        if compute == "float32":
            assert ".f64" not in ptx, "double arithmetic in the fast class of float32"


@pytest.mark.parametrize("key", [key for key, (record, *_) in KERNELS.items() if record.normaliser == "reciprocal"])
def test_row_kernels_have_the_fma_of_their_formulas(key):
    """Terms and values as often as unrolling decides, a value less often than a term; and float64's reciprocal."""
    record, form, dtype, accuracy = KERNELS[key]
    found = count(r"fma\.rn\.f\d+", ptx_of(key))
    if form == "backward_from_output":
        assert found == 0
        return
    compute = record.format_of(record.name, inside(np.dtype(dtype).name, accuracy))
    term, value = (
        traced_fma(compute, f"{record.name}_{part}", arguments) for part, arguments in (("term", 2), ("value", 3))
    )
    reciprocal = traced_fma("float64", "rounding_of_reciprocal", 3) if compute == "float64" else 0
    pairs = [
        (terms, values)
        for terms in range(2, found)
        for values in range(1, terms)
        if terms * term + values * value + reciprocal == found
    ]
    assert pairs, (found, term, value, reciprocal)


def traced_fma(compute: str, formula: str, arguments: int) -> int:
    """How many fma a formula has."""
    table: dict = {}
    symbols = [Symbol(table, f"argument {k}", ()) for k in range(arguments)]
    reached = traced_formulas(compute)[formula](*symbols).reachable(set())
    return sum(symbol.operation == "fma" for symbol in reached)


@pytest.mark.parametrize("key", [key for key in KERNELS if key.startswith("prelu")])
def test_array_parameters_compile(key):
    ptx = ptx_of(key, parameter_array=True)
    assert_nothing_contracted(ptx)
    assert_fma_count(ptx, 0)


@functools.cache
def ptxas() -> str | None:
    """NVIDIA's assembler, from the toolkit or from the package nvidia-cuda-nvcc."""
    found = shutil.which("ptxas")
    spec = importlib.util.find_spec("nvidia")
    packages = [Path(place) for place in spec.submodule_search_locations] if spec else []
    return found or next((str(p) for place in packages for p in sorted(place.glob("*/bin/ptxas"))), None)


@pytest.mark.parametrize("key", KERNELS)
def test_no_spills(key, tmp_path):
    if ptxas() is None:
        pytest.skip("ptxas is not installed: pip install nvidia-cuda-nvcc")
    source = tmp_path / "kernel.ptx"
    source.write_text(ptx_of(key))
    command = [ptxas(), "-v", "-arch", "sm_90", "-o", os.devnull, str(source)]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in report


def test_contraction_would_be_noticed():
    """A plain x * y + z, as NVVM compiles it by default, fails both assertions above."""
    cuda = numba_cuda._cuda()
    from numba import types as nb

    def contracted(x, y, z, out):
        out[0] = x[0] * y[0] + z[0]

    def loose(x, y, out):
        out[0] = x[0] * y[0]

    array = nb.float32[::1]
    ptx = cuda.compile_ptx(contracted, nb.void(array, array, array, array), cc=(9, 0))[0]
    with pytest.raises(AssertionError):
        assert_fma_count(ptx, 0)
    ptx = cuda.compile_ptx(loose, nb.void(array, array, array), cc=(9, 0))[0]
    with pytest.raises(AssertionError):
        assert_nothing_contracted(ptx)
