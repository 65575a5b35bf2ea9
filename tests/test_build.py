"""A build leaves out what can't be compiled, records why, and never fails."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kernels
from kernels.native.levels import levels_here

ROOT = Path(kernels.__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="an installed package, not a checkout")


@pytest.fixture
def build(tmp_path):
    """Build a copy of the checkout in place, as an editable install does, with ``compiler`` as CC."""

    def run(compiler: str) -> tuple[dict, set[str]]:
        pytest.importorskip("Cython", reason="building needs Cython: pip install cython")
        ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "loops_*.pyx", "build_report.json")
        shutil.copytree(ROOT / "kernels", tmp_path / "kernels", ignore=ignored)
        shutil.copy(ROOT / "setup.py", tmp_path)
        subprocess.run(
            [sys.executable, "setup.py", "build_ext", "--inplace"],
            cwd=tmp_path, env=os.environ | {"CC": compiler}, capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        report = json.loads((tmp_path / "kernels/native/build_report.json").read_text())
        return report["left_out"], {path.name.split(".")[0] for path in tmp_path.glob("kernels/native/*.so")}

    return run


def test_without_a_compiler_everything_is_left_out_with_the_reason(build):
    left_out, built = build("/bin/false")
    assert not built
    modules = {"cpu", "dispatch", *(level.module for level in levels_here())}
    assert {f"kernels.native.{module}" for module in modules} <= set(left_out)
    assert all("C compiler" in left_out[f"kernels.native.{module}"] for module in modules)


@pytest.mark.skipif(not any(level.flags for level in levels_here()), reason="no level here needs a flag")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) here")
def test_a_flag_that_the_compiler_lacks_leaves_out_that_level_alone(build, tmp_path):
    old = tmp_path / "old_compiler"
    old.write_text('#!/bin/sh\ncase "$*" in *-march=*) exit 1;; esac\nexec cc "$@"\n')
    old.chmod(0o755)
    left_out, built = build(str(old))
    flagged = [level for level in levels_here() if level.flags]
    assert {"cpu", "dispatch"} <= built
    for level in flagged:
        assert level.module not in built
        assert level.flags[0] in left_out[f"kernels.native.{level.module}"]
