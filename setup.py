"""Build script: the Cython loops once per instruction-set level, the dispatcher, and a record of what was left out.

Nothing here may make an install fail: what can't be compiled is left out, with the reason in native/build_report.json.
"""

import itertools
import json
import platform
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, ExecError, LinkError

ROOT = Path(__file__).parent.resolve()
sys.path.insert(0, str(ROOT))

from kernels.activations import RECORDS, lookup  # noqa: E402
from kernels.constants import (  # noqa: E402
    CODES,
    FORMATS,
    HALF_TYPES,
    HALF_WORD,
    LANES,
    ROW_BATCH,
    STREAMED,
    VECTOR_MATH,
    constants,
)
from kernels.half import rounds_right, step_up, text_of_half  # noqa: E402
from kernels.native.levels import levels_here  # noqa: E402

NATIVE = Path("kernels/native")
REPORT = NATIVE / "build_report.json"
#: Cython finds the texts that it includes by itself.
HEADERS = sorted(str(NATIVE / path.name) for path in (ROOT / NATIVE).glob("*.h"))
#: Explicit fma only, and nothing in the way of vectorisation: no errno, no traps, no loop turned into a call of memcpy,
#: no short loop over the lanes peeled before it is vectorised, no path split by a condition (halves would repeat what
#: they share). None of these changes a result's bits.
LOOP_FLAGS = [
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-thread-jumps",
    "-fno-tree-loop-distribute-patterns",
    "--param=max-completely-peel-times=8",
    "-Werror=double-promotion",
]


def named_constants() -> list[tuple[str, dict[str, float]]]:
    """(name, format -> value), the tuples spread out; a value that one format lacks is 0."""
    tables = {name: constants(name) for name in FORMATS}
    rows = []
    for name, value in tables["float64"].items():
        if isinstance(value, tuple):
            terms = itertools.zip_longest(*(t[name] for t in tables.values()), fillvalue=0.0)
            rows += [(f"{name}_{i}", dict(zip(tables, term, strict=True))) for i, term in enumerate(terms)]
        else:
            rows.append((name, {f: t[name] for f, t in tables.items()}))
    return rows


def render(level) -> str:
    """Write the loops of one level and return the file's name."""
    target = NATIVE / f"{level.module}.pyx"
    write(
        target,
        "loops.pyx.in",
        level=level.name,
        lookup=lookup,
        constants=named_constants(),
        vector_math=VECTOR_MATH,
        streamed=STREAMED,
        half_types=HALF_TYPES,
        rounds_right=rounds_right,
        step_up=step_up,
        text_of_half=text_of_half,
        word=HALF_WORD,
        half_steps=("save_near", "save_tested", "round", "look_up_product"),
    )
    return str(target)


def write(target: Path, template: str, **names) -> None:
    """Render a template, and leave a file alone that has this text already."""
    from Cython import Tempita

    dtypes = (("float32", "float"), ("float64", "double"), ("wide", "wide"))
    text = Tempita.sub((ROOT / NATIVE / template).read_text(), records=RECORDS, lanes=LANES, dtypes=dtypes, **names)
    if not (ROOT / target).exists() or (ROOT / target).read_text() != text:
        (ROOT / target).write_text(text)


def extensions() -> list[Extension]:
    import numpy

    halves = [LANES >> k for k in range(1, LANES.bit_length())]
    write(NATIVE / "row_loops.pxi", "row_loops.pxi.in", halves=halves, row_batch=ROW_BATCH, short_row=128)
    sizes = {"LANES": LANES, "STREAMED": STREAMED, "ROW_BATCH": ROW_BATCH, "CODES": CODES}
    shared = [(f"KERNELS_{name}", str(size)) for name, size in sizes.items()]
    depends = [*HEADERS, "kernels/constants.py"]
    loops = [
        Extension(
            f"kernels.native.{level.module}",
            [render(level)],
            extra_compile_args=[*LOOP_FLAGS, *level.flags],
            # Left to itself, GCC stops inlining a long formula with many loops, and those are scalar then.
            define_macros=[("CYTHON_INLINE", "inline __attribute__((always_inline))"), *shared],
            include_dirs=[str(NATIVE)],
            depends=depends,
            optional=True,
        )
        for level in levels_here()
    ]
    cpu = Extension("kernels.native.cpu", [str(NATIVE / "cpu.pyx")], optional=True)
    dispatch = Extension(
        "kernels.native.dispatch",
        [str(NATIVE / "dispatch.pyx")],
        include_dirs=[numpy.get_include(), str(NATIVE)],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), *shared],
        extra_compile_args=["-O2", "-pthread"],
        extra_link_args=["-pthread"],
        depends=depends,
        optional=True,
    )
    textbook = Extension(
        "kernels.native.textbook", [str(NATIVE / "textbook.pyx")], extra_compile_args=["-O3"], optional=True
    )
    return [cpu, dispatch, textbook, *loops]


class BuildWhatCompiles(build_ext):
    """Build each extension that compiles, and write down why the others are left out."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or True
        self.reasons = {}

    def run(self):
        super().run()
        text = json.dumps({"left_out": self.reasons, "machine": platform.machine()}, indent=1)
        target = REPORT if self.inplace else Path(self.build_lib) / REPORT
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n")

    def build_extension(self, ext):
        try:
            if ext.name.endswith((".dispatch", ".textbook")):
                self.add_openmp(ext)
            reason = self.obstacle() or self.flags_obstacle(ext.extra_compile_args)
            if reason is None:
                super().build_extension(ext)
        except Exception as error:  # whatever a compiler can do wrong, the install goes on without this extension
            reason = f"compiling it failed: {str(error)[:300]}"
        if reason:
            self.reasons[ext.name] = reason

    def add_openmp(self, ext):
        if self.compiles("#include <omp.h>", ["-fopenmp"], link=True):
            ext.extra_compile_args.append("-fopenmp")
            ext.extra_link_args.append("-fopenmp")
        else:
            self.reasons["openmp"] = (
                "the compiler has no OpenMP (-fopenmp): limits set by threadpoolctl are not seen, "
                "and textbook loops are serial"
            )

    def obstacle(self):
        """What keeps every extension from compiling, or None."""
        if not self.compiles("", []):
            return (
                f"no working C compiler ({' '.join(self.compiler.compiler[:1])}): install one (Debian: apt install gcc)"
            )
        if not self.compiles("#include <Python.h>", []):
            return "Python.h is missing: install Python's headers (Debian: apt install python3-dev)"
        return None

    def flags_obstacle(self, flags):
        """The flags that the compiler lacks, or None."""
        lacking = [flag for flag in flags if not self.compiles("", [flag])]
        return f"the compiler does not take {' '.join(lacking)}: use a newer one" if lacking else None

    def compiles(self, code, flags, link=False):
        """Whether a small program with this code and these flags compiles (and links)."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(f"{code}\nint main(void) {{ return 0; }}\n")
            include = [sysconfig.get_path("include")]
            try:
                objects = self.compiler.compile([str(source)], folder, include_dirs=include, extra_postargs=flags)
                if link:
                    self.compiler.link_executable(objects, "probe", folder, extra_postargs=flags)
            except (CompileError, LinkError, ExecError):
                return False
        return True


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildWhatCompiles})
