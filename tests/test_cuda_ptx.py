"""What the CUDA compiler makes of every kernel, read from its PTX: no GPU and no driver, only numba-cuda and NVVM.

The simulator proves the kernels' logic; this proves that the compiled code is the formula and nothing else: as many
fused multiply-adds as the text has, nothing contracted, approximated or flushed, no local memory, 16-byte accesses.
KERNELS_PTX says how much: "all" (``make ptx``) compiles every kernel for every architecture; a number, that many of
them, drawn by the day and printed; by default a few.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import itertools
import json
import os
import random
import re
import textwrap
import types
from datetime import UTC, datetime

import cuda_simulator_cases as simulator
import pytest

from kernels.activations import lookup
from kernels.backends import cuda_ptx, numba_cuda, texts
from kernels.backends.numba_cuda import Choice
from kernels.device_arrays import itemsize

pytestmark = pytest.mark.ptx


FMA = r"fma\.rn\.f\d+"
#: Kernels of a run that is not asked for more.
FEW = 6


def drawn() -> list[tuple[Choice, str]]:
    """The (kernel, architecture) pairs of this run: all, or a sample that a day's runs share."""
    everything = list(itertools.product(simulator.choices(), cuda_ptx.ARCHITECTURES))
    wanted = os.environ.get("KERNELS_PTX", str(FEW))
    if wanted == "all":
        return everything
    return random.Random(f"{datetime.now(UTC):%Y-%m-%d}").sample(everything, int(wanted))


DRAWN = {f"{'-'.join(choice)} {architecture}": (choice, architecture) for choice, architecture in drawn()}


@functools.cache
def missing() -> str | None:
    """What is needed to compile to PTX and is not here."""
    if importlib.util.find_spec("numba_cuda") is None:
        return f"numba-cuda is not installed: {cuda_ptx.INSTALL}"
    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
        return "NUMBA_ENABLE_CUDASIM=1 replaces the compiler by the simulator"
    numba_cuda._cuda()
    from numba.cuda.cudadrv import nvvm

    return None if nvvm.is_available() else f"NVVM is not installed: {cuda_ptx.INSTALL}"


def give_up(reason: str) -> None:
    """What was asked for has to be done; by default it is done where it can be."""
    (pytest.fail if "KERNELS_PTX" in os.environ else pytest.skip)(reason)


@pytest.fixture(autouse=True)
def compiler():
    if missing():
        give_up(missing())


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


def traced_fma(formulas: list[tuple[str, str]], arguments: int, of_first: bool | None = None) -> int:
    """Distinct fused multiply-adds that the results of (format, formula) of the same arguments depend on.

    ``of_first``: only those that depend on the first argument, or only those that do not.
    """
    table: dict = {}
    symbols = [Symbol(table, f"argument {k}", ()) for k in range(arguments)]
    found: set = set()
    for format_, name in formulas:
        result = traced_formulas(format_)[name](*symbols)
        for part in result if isinstance(result, tuple) else (result,):
            if isinstance(part, Symbol):
                part.reachable(found)
    return sum(
        symbol.operation == "fma" and of_first in (None, symbols[0] in symbol.reachable(set())) for symbol in found
    )


def fma_of_elements(choice: Choice, bodies: int) -> tuple[int, int]:
    """(least, most) of ``bodies`` copies of an elementwise function's formula, or a pair's.

    They are as many but for what depends on parameters alone, which is computed once or more often, and where there are
    two formulas, which share some or not, and parts of a copy may stand twice, behind a branch.
    """
    record = lookup(choice.record.gate or choice.name)
    formulas = [(record.format_of(name, choice.compute), name) for name in texts.names(choice.record, choice.form)]
    arguments = 1 + len(record.parameters)
    each, once = (traced_fma(formulas, arguments, of_first=first) for first in (True, False))
    separate = sum(traced_fma([one], arguments) for one in formulas)
    least = bodies * each + once
    return least, bodies * (each + once) if len(formulas) == 1 else (bodies + 1) * separate


# ---------------------------------------------------------------- what the PTX says
@functools.cache
def ptx_of(key: str) -> str:
    choice, architecture = DRAWN[key]
    return numba_cuda.compile_ptx(choice, cuda_ptx.capability(architecture))


def count(instruction: str, ptx: str) -> int:
    """How often an instruction (a regular expression) stands in the code."""
    return len(re.findall(rf"^\s+(?:@!?%p\d+ )?{instruction}\s", ptx, re.MULTILINE))


def assert_nothing_contracted(ptx: str) -> None:
    """Every sum and product says how it rounds: without ``.rn``, ptxas may contract what NVVM left apart."""
    loose = re.findall(r"^\s+(?:@!?%p\d+ )?((?:add|sub|mul|mad)\.f\d+\s.*)$", ptx, re.MULTILINE)
    assert not loose, loose[:3]


def element_bodies(choice: Choice, ptx: str) -> int:
    """How many copies of the formula the loop has: those of groups and of a single element, times unrolling."""
    size = itemsize(choice.dtype)
    # A result made of bits, as of copy_sign, is stored as an integer; of half types in pairs.
    vector = r"v4\.u32" if size == 2 else rf"v{16 // size}\.[fbu]{8 * size}"
    groups, singles = count(rf"st\.global\.{vector}", ptx), count(rf"st\.global\.[fbu]{8 * size}", ptx)
    assert groups, "no 16-byte stores"
    assert count(rf"ld\.global\.{vector}", ptx), "no 16-byte loads"
    outputs = 2 if choice.form == "value_and_derivative" or (choice.record.gate and choice.form == "backward") else 1
    return (groups * 16 // size + singles) // outputs


@pytest.mark.parametrize("key", DRAWN)
def test_compiled_code_is_the_formula(key):
    choice, architecture = DRAWN[key]
    ptx = ptx_of(key)
    assert f".target {architecture}" in ptx
    assert_nothing_contracted(ptx)
    for word in (".ftz", "approx", ".local", "call", "__nv_", "trap"):
        assert word not in ptx, word
    assert not re.search(r"\bdiv\.(?!rn\.f|[us]\d)", ptx), "a division that is not IEEE's"
    if choice.record.kind != "row":
        least, most = fma_of_elements(choice, element_bodies(choice, ptx))
        assert least <= count(FMA, ptx) <= most
        if choice.compute == "float32":
            assert ".f64" not in ptx, "double arithmetic in the fast class of float32"
    elif choice.record.normaliser == "threshold":
        assert count(FMA, ptx) == 0
    else:
        assert_fma_of_rows(choice, ptx)
        assert count(r"shfl\.sync\.down\.b32", ptx), "no shuffles"


def assert_fma_of_rows(choice: Choice, ptx: str) -> None:
    """What each element has as often as it is computed, what depends on the largest entry alone as often or less."""
    record, form = choice.record, choice.form
    name, gradient = texts.formulas(record, form)
    compute = record.format_of(record.name, choice.compute)
    stores = count(rf"st\.global\.[fbu]{8 * itemsize(choice.dtype)}", ptx)
    left = count(FMA, ptx)
    if form != "value":
        left -= stores * traced_fma([(compute, gradient.removesuffix("_rows"))], 3)
    if form == "backward_from_output":
        assert left == 0
        return
    subtracted = lookup(name).normaliser == "logarithm"
    if subtracted:
        left -= traced_fma([("float64", "log1p_positive")], 1)
    elif compute == "float64":
        left -= traced_fma([("float64", "rounding_of_reciprocal")], 3)
    value = traced_fma([(compute, f"{name}_value")], 3)
    each, once = (traced_fma([(compute, f"{name}_parts")], 2, of_first=first) for first in (True, False))
    each += traced_fma([(compute, "row_term")], 2)
    rounding = 0 if subtracted and compute == "float32" else traced_fma([(compute, "rounding_of_term")], 3)
    powers = count(r"shl\.b(?:32|64)\s+%\w+, %\w+, (?:23|52);", ptx)
    assert any(
        terms * each + sums * rounding + hoisted * once + values * value == left
        for terms in range(1, powers + 1)
        for sums in range(1, terms + 1)
        for hoisted in range(1, powers + 1)
        for values in ([stores] if form == "value" else range(1, powers + 1))
    ), (left, each, rounding, once, value, powers, stores)


def rows_path() -> str | None:
    return os.environ.get("KERNELS_PTX_ROWS")


@pytest.mark.parametrize("key", DRAWN)
def test_no_spills(key):
    if cuda_ptx.ptxas() is None:
        give_up(f"ptxas is not installed: {cuda_ptx.INSTALL}")
    choice, architecture = DRAWN[key]
    found = cuda_ptx.resources(ptx_of(key), architecture)
    if rows_path():
        with open(rows_path(), "a") as rows:
            rows.write(json.dumps(cuda_ptx.row(choice, architecture, found)) + "\n")
    assert (found["stack"], found["spill_stores"], found["spill_loads"]) == (0, 0, 0)


def test_contraction_would_be_noticed():
    """A plain x * y + z, as NVVM compiles it by default, is one or the other."""
    cuda = numba_cuda._cuda()
    from numba import types as nb

    def contracted(x, y, z, out):
        out[0] = x[0] * y[0] + z[0]

    def loose(x, y, out):
        out[0] = x[0] * y[0]

    array = nb.float32[::1]
    ptx = cuda.compile_ptx(contracted, nb.void(array, array, array, array), cc=(9, 0))[0]
    assert count(FMA, ptx) == 1
    ptx = cuda.compile_ptx(loose, nb.void(array, array, array), cc=(9, 0))[0]
    with pytest.raises(AssertionError):
        assert_nothing_contracted(ptx)
