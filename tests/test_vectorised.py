"""The loops of each instruction-set level hold packed instructions: a scalar libm call would be the toy version."""

import re
import shutil
import subprocess

import pytest

from kernels.activations import RECORDS
from kernels.constants import FORMATS, HALF_TYPES
from kernels.half import rounds_right
from kernels.native import native
from kernels.native.built import level_states
from kernels.native.levels import levels_here

#: The register class that a vectorised loop of the level uses.
REGISTER = {"x86-64-v2": "xmm", "x86-64-v3": "ymm", "x86-64-v4": "zmm", "aarch64": r"v\d+\.[24]"}
#: What scalar code has no use for; it moves and masks with packed instructions too.
ARITHMETIC = r"\bv?(add|sub|mul|div|min|max|cmp\w*|fn?m(add|sub)\w*)p[sd]\b"
#: What is left of a formula without arithmetic.
MOVES = r"\bv?(mov([au]p[sd]|dq[au]\d*)|cvtph2ps)\b"


def built_levels():
    return [level for level in levels_here() if native("cpu") and level_states().get(level.name) is None]


def variants(record, formula, dtype):
    """The loops of a formula: by itself, times grad_output, both streamed, with a parameter an element."""
    loops = [formula, f"{formula}_product"] if formula in record.factors and dtype != "wide" else [formula]
    yield from loops
    if dtype != "wide":
        yield from (f"{loop}_streamed" for loop in loops)
    if any(parameter.broadcasts for parameter in record.parameters):
        yield f"{formula}_each"


def loops_of(level):
    """(loop, its number format) for every loop that is to be packed."""
    return [
        (f"{loop}_{dtype}", dtype)
        for record in RECORDS
        if record.elementwise
        for formula in record.scalar_formulas
        for dtype in FORMATS
        if record.format_of(formula, dtype) == dtype
        for loop in variants(record, formula, dtype)
    ] + [
        (f"{loop}_{dtype}", dtype)
        for record in RECORDS
        if record.gate
        for loop in (record.name, f"{record.name}_backward")
        for dtype in FORMATS
    ]


def half_loops():
    """The loops from a half type's codes to codes."""
    single = [
        f"{formula}_{half}"
        for record in RECORDS
        if record.elementwise
        for formula in record.scalar_formulas
        for half in HALF_TYPES
        if rounds_right(record, formula, half)
    ]
    products = [f"{formula}_product_{half}" for record in RECORDS for formula in record.factors for half in HALF_TYPES]
    return single + products


@pytest.fixture(scope="module")
def disassembly():
    """symbol -> its instructions, for a level's module."""
    if shutil.which("objdump") is None:
        pytest.skip("objdump is not installed (Debian: apt install binutils)")
    cache = {}

    def read(level):
        if level.name not in cache:
            listing = subprocess.run(
                ["objdump", "-d", "--no-show-raw-insn", native(level.module).__file__],
                capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            blocks = re.split(r"\n\n", listing)
            found = [(re.search(r"<(.+?)>:", block), block) for block in blocks]
            cache[level.name] = {match.group(1): block for match, block in found if match}
        return cache[level.name]

    return read


def body(symbols, level, loop):
    """The instructions of one loop, with what the compiler split off from it."""
    ending = f"{level.module}_{loop}"
    split = re.compile(r"\.(part|isra|constprop|cold)\.?\d*$")
    parts = [text for name, text in symbols.items() if split.sub("", name).endswith(ending)]
    assert parts, f"no symbol ends with {ending}"
    # A loop that equals another one's is a jump to it.
    parts += [symbols[name] for part in parts for name in re.findall(r"jmp\s+\w+ <(\w+)>", part)]
    return "\n".join(parts)


@pytest.mark.parametrize("level", built_levels(), ids=lambda level: level.name)
def test_every_loop_is_packed(level, disassembly):
    symbols = disassembly(level)
    bodies = {loop: body(symbols, level, loop) for loop, _ in loops_of(level)}
    # Without an fma instruction float64 calls libm's.
    assert not [loop for loop, text in bodies.items() if not (is_packed(text, level) or calls_fma(text, level))]


@pytest.mark.parametrize("level", built_levels(), ids=lambda level: level.name)
def test_half_loops_are_packed(level, disassembly):
    symbols = disassembly(level)
    bodies = {loop: body(symbols, level, loop) for loop in half_loops()}
    assert "relu_float16" in bodies
    assert not [loop for loop, text in bodies.items() if not is_packed(text, level)]


def is_packed(text, level):
    """Has packed arithmetic; a loop that only copies has packed moves, and no arithmetic at all."""
    if level.name == "aarch64":
        return bool(re.search(rf"{REGISTER['aarch64']}|\bq\d+", text))
    if re.search(rf"{ARITHMETIC}.*{REGISTER[level.name]}", text):
        return True
    copies = re.search(rf"{MOVES}.*{REGISTER[level.name]}", text)
    return bool(copies) and not re.search(ARITHMETIC.replace("p[sd]", "[ps][sd]"), text)


def calls_fma(text, level):
    return level.name == "x86-64-v2" and re.search(r"<fma@plt>", text)


@pytest.mark.parametrize("level", built_levels(), ids=lambda level: level.name)
def test_streamed_loops_store_past_the_caches(level, disassembly):
    if level.name == "aarch64":
        pytest.skip("stream.h has no such stores for aarch64")
    symbols = disassembly(level)
    streamed = [loop for loop, _ in loops_of(level) if "_streamed_" in loop]
    assert streamed
    assert not [loop for loop in streamed if not re.search(r"\bv?movnt\w+\b", body(symbols, level, loop))]


@pytest.mark.parametrize("level", built_levels(), ids=lambda level: level.name)
def test_no_loop_calls_libm(level, disassembly):
    """Only the level without an fma instruction may call libm's fma, for float64."""
    allowed = {"fma"} if level.name == "x86-64-v2" else set()
    calls = [
        re.findall(r"call\w*\s+\w+ <(\w+)@plt>", body(disassembly(level), level, f"{formula}_{dtype}"))
        for record in RECORDS
        for formula in (record.scalar_formulas if record.elementwise else ())
        for dtype in FORMATS
        if record.format_of(formula, dtype) == dtype
    ]
    assert set().union(*calls) <= allowed


@pytest.mark.parametrize("level", built_levels(), ids=lambda level: level.name)
def test_float32_loops_touch_no_double(level, disassembly):
    """float32 of the fast class never widens; without an fma instruction the emulation does, on purpose."""
    if level.name == "x86-64-v2":
        pytest.skip("x86-64-v2 has no fma instruction: float32 fma is emulated in float64")
    single = [loop for loop, dtype in loops_of(level) if dtype == "float32"]
    symbols = disassembly(level)
    assert not [loop for loop in single if re.search(r"cvtps2pd|cvtss2sd|\bfcvtl\b", body(symbols, level, loop))]


def test_numba_kernels_are_packed_and_single_precision():
    from kernels.backends import numba_cpu

    if numba_cpu.reason():
        pytest.skip(numba_cpu.reason())
    from kernels.backends import cpu_loops

    for record in RECORDS:
        for formula in record.scalar_formulas if record.elementwise else ():
            listing = cpu_loops.elementwise(formula, "float32", len(record.parameters)).inspect_llvm()
            assert re.search(r"<\d+ x float>", listing), f"{formula} is not vectorised"
            assert not re.search(r"\bdouble\b", listing), f"{formula} computes in double"
