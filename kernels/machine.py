"""Facts about this machine: what every measured row carries and ``kernels.info()`` shows."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any


@functools.cache
def cpu_model() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache
def caches() -> dict[str, int]:
    """Cache sizes of the first processor in bytes, as far as the system tells them: {"L1d": 32768, ...}."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level, size = ((folder / name).read_text().strip() for name in ("type", "level", "size"))
            factor = {"K": 1 << 10, "M": 1 << 20}.get(size[-1:], 1)
            nbytes = int(size.rstrip("KM")) * factor
        except (OSError, ValueError):  # virtual machines leave some of these files out
            continue
        if kind != "Instruction":
            found[f"L{level}{'d' if kind == 'Data' else ''}"] = nbytes
    return found


def governor() -> str | None:
    """The frequency governor of the first processor, where it is readable."""
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return None


def commit() -> str | None:
    """The commit of the checkout, with a + where it has changes; None outside a checkout."""
    here = Path(__file__).resolve().parents[1]
    if not (here / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, of those installed."""
    names = (
        "activation-kernels",
        "numpy",
        "numba",
        "llvmlite",
        "cython",
        "numba-cuda",
        "torch",
        "jax",
        "jaxlib",
        "keras",
        "onnxruntime",
        "numexpr",
        "tensorflow",
    )
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def load() -> float | None:
    """The one-minute load average, where the system tells it."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def facts() -> dict[str, Any]:
    """What a measurement depends on, flat enough for a row of results."""
    from kernels.backends.cython_loops import variants

    levels = variants()
    return {
        "cpu": cpu_model(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "caches": caches(),
        "governor": governor(),
        "level": levels[0] if levels else None,
        "versions": versions(),
        "commit": commit(),
    }
