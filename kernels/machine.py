"""Facts about this machine: what every measured row carries and ``kernels.info()`` shows.

``kernels.fastest`` asks it for the size of the caches: what is slow to import is imported where it is needed.
"""

from __future__ import annotations

import functools
import os
import platform
from typing import Any

#: Instruction and data caches of up to four levels.
MOST_CACHES = 8


@functools.cache
def cpu_model() -> str:
    """The processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def line(path: str) -> str | None:
    """What a system file of one line says; None where it can't be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


@functools.cache
def caches() -> dict[str, int]:
    """Cache sizes of the first processor in bytes, as far as the system tells them: {"L1d": 32768, ...}."""
    found = {}
    for index in range(MOST_CACHES):
        folder = f"/sys/devices/system/cpu/cpu0/cache/index{index}"
        kind, level, size = (line(f"{folder}/{name}") for name in ("type", "level", "size"))
        if kind == "Instruction" or not (kind and level and size):  # virtual machines leave some of these files out
            continue
        factor = {"K": 1 << 10, "M": 1 << 20}.get(size[-1:], 1)
        found[f"L{level}{'d' if kind == 'Data' else ''}"] = int(size.rstrip("KM")) * factor
    return found


def governor() -> str | None:
    """The frequency governor of the first processor, where it is readable."""
    return line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def commit() -> str | None:
    """The commit of the checkout, with a + where it has changes; None outside a checkout."""
    import subprocess

    here = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if not os.path.exists(os.path.join(here, ".git")):
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
    from importlib import metadata

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
    from kernels.native.built import usable_levels

    levels = usable_levels()
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
