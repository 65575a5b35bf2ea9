"""Build script: the Cython loops once per instruction-set level, the dispatcher, and a record of what was left out.

Nothing here may make an install fail: what can't be compiled is left out, with the reason in native/build_report.json.
"""

import json
import platform
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
sys.path.insert(0, str(ROOT))

from kernels.activations import RECORDS  # noqa: E402
from kernels.constants import LANES, constants  # noqa: E402
from kernels.native.levels import levels_here  # noqa: E402

NATIVE = Path("kernels/native")
REPORT = NATIVE / "build_report.json"
#: Explicit fma only, and no errno or traps in the way of vectorisation: none of these changes a result's bits.
LOOP_FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Werror=double-promotion"]


def named_constants() -> list[tuple[str, float, float]]:
    """(name, float32 value, float64 value), the tuples spread out; a value that one format lacks is 0."""
    rows = []
    single, double = constants(False), constants(True)
    for name, value in double.items():
        if isinstance(value, tuple):
            short = single[name] + (0.0,) * (len(value) - len(single[name]))
            rows += [(f"{name}_{i}", a, b) for i, (a, b) in enumerate(zip(short, value, strict=True))]
        else:
            rows.append((name, single[name], value))
    return rows


def render(level) -> str:
    """Write the loops of one level and return the file's name."""
    from Cython import Tempita

    template = (ROOT / NATIVE / "loops.pyx.in").read_text()
    text = Tempita.sub(
        template,
        level=level.name,
        records=RECORDS,
        constants=named_constants(),
        lanes=LANES,
        dtypes=(("float32", "float"), ("float64", "double")),
    )
    target = NATIVE / f"{level.module}.pyx"
    if not (ROOT / target).exists() or (ROOT / target).read_text() != text:
        (ROOT / target).write_text(text)
    return str(target)


def extensions() -> list[Extension]:
    import numpy

    loops = [
        Extension(f"kernels.native.{level.module}", [render(level)], extra_compile_args=[*LOOP_FLAGS, *level.flags])
        for level in levels_here()
    ]
    cpu = Extension("kernels.native.cpu", [str(NATIVE / "cpu.pyx")])
    dispatch = Extension(
        "kernels.native.dispatch",
        [str(NATIVE / "dispatch.pyx")],
        include_dirs=[numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=["-O2"],
    )
    return [cpu, dispatch, *loops]


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
        reason = self.lacks("#include <Python.h>", [])
        if ext.name.endswith(".dispatch"):
            openmp = self.lacks("#include <omp.h>", ["-fopenmp"], link=True)
            if openmp:
                self.reasons["openmp"] = f"no threads in the Cython backend: {openmp}"
            else:
                ext.extra_compile_args.append("-fopenmp")
                ext.extra_link_args.append("-fopenmp")
        reason = reason or self.lacks("", ext.extra_compile_args)
        if reason is None:
            try:
                super().build_extension(ext)
                return
            except Exception as error:  # whatever a compiler can do wrong, the install goes on without this extension
                reason = f"compiling failed: {error}"
        self.reasons[ext.name] = reason

    def lacks(self, code, flags, link=False):
        """Why a small program with this code and these flags does not compile, or None."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(f"{code}\nint main(void) {{ return 0; }}\n")
            include = [sysconfig.get_path("include")]
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, include_dirs=include, extra_postargs=list(flags)
                )
                if link:
                    self.compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=list(flags))
            except Exception as error:  # distutils raises a family of its own; the text is what counts
                return f"{' '.join(flags) or code or 'a C compiler'} did not compile ({error})"
        return None


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildWhatCompiles})
