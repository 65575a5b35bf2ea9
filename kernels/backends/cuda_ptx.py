"""What the CUDA compilers make of the kernels, without a GPU: the architectures, and what ptxas says of the PTX."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

#: Those that every kernel is compiled for: A100's, and H100's and H200's.
ARCHITECTURES = ("sm_80", "sm_90")

INSTALL = "make ptx installs it (or pip install --group ptx)"

_RESOURCES = {
    "registers": r"Used (\d+) registers",
    "stack": r"(\d+) bytes stack frame",
    "spill_stores": r"(\d+) bytes spill stores",
    "spill_loads": r"(\d+) bytes spill loads",
}


def capability(architecture: str) -> tuple[int, int]:
    """("sm_90") -> (9, 0)"""
    number = int(architecture.removeprefix("sm_"))
    return number // 10, number % 10


@functools.cache
def ptxas() -> str | None:
    """NVIDIA's assembler, from the package nvidia-cuda-nvcc or from a toolkit; None where there is none."""
    spec = importlib.util.find_spec("nvidia")
    packages = [Path(place) for place in spec.submodule_search_locations] if spec else []
    found = next((str(p) for place in packages for p in sorted(place.glob("*/bin/ptxas"))), None)
    return found or shutil.which("ptxas")


def row(choice: NamedTuple, architecture: str, found: dict[str, int]) -> dict[str, str | int]:
    """A kernel and its ``resources``, as the report reads them."""
    return {"kind": "kernel", **choice._asdict(), "architecture": architecture, **found}


def resources(ptx: str, architecture: str) -> dict[str, int]:
    """Registers of a thread, and bytes of stack, of spill stores and of spill loads.

    RuntimeError says what ptxas objected to.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        command = [ptxas(), "-v", "-arch", architecture, "-o", os.devnull, str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ptxas refused the kernel: {done.stderr.strip()}")
    return {name: int(re.search(pattern, done.stderr).group(1)) for name, pattern in _RESOURCES.items()}
