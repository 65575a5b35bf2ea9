"""The instruction-set levels for which the Cython loops are compiled; one row a level, best last.

Imports nothing heavy: the build script reads it too.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One instruction-set level, named as the psABI writes it."""

    name: str
    machines: tuple[str, ...]
    flags: tuple[str, ...]
    #: Operations from 16 bits to 16 bits that cost what looking a result up does.
    look_up_flops: int = 12
    #: Operations of a derivative that cost what looking it up does, to be multiplied by grad_output.
    look_up_factor_flops: int = 21

    @property
    def module(self) -> str:
        """Name of the extension module that holds this level's loops."""
        return "loops_" + self.name.replace("-", "_")


LEVELS = (
    # Without instructions for fma and for float16.
    Level("x86-64-v2", ("x86_64", "amd64"), ("-march=x86-64-v2",), look_up_flops=2, look_up_factor_flops=2),
    Level("x86-64-v3", ("x86_64", "amd64"), ("-march=x86-64-v3",), look_up_factor_flops=13),
    Level("x86-64-v4", ("x86_64", "amd64"), ("-march=x86-64-v4", "-mprefer-vector-width=512")),
    Level("aarch64", ("aarch64", "arm64"), ()),
)


def levels_here() -> tuple[Level, ...]:
    """The levels of this processor family, whether this processor can run them or not."""
    machine = platform.machine().lower()
    return tuple(level for level in LEVELS if machine in level.machines)
