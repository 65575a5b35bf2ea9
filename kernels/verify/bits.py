"""Equality to the bit over all float32 inputs: every level and compiled backend against the best level."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kernels.activations import Activation
from kernels.backends import BACKENDS, numba_cuda
from kernels.verify.checks import contestants
from kernels.verify.findings import bits_differ
from kernels.verify.inputs import reference_backend
from kernels.verify.sweeps import BLOCK, NOTHING, Entry, Sweep, Worst

#: A formula that is allowed more than one rounding computes an exponential or the like, whose every step can differ.
ONE_ROUNDING = 0.5


def compared(wanted: Sequence[str] = ()) -> list[str]:
    """The backends and levels that are held to the reference backend, or those of ``wanted``.

    CUDA is one of them on a GPU; in the simulator, which would take years over all inputs, where it is wanted.
    """
    names = [name for name in contestants(wanted) if BACKENDS[name.partition(":")[0]].compiled]
    years = "cuda" in names and "cuda" not in wanted and numba_cuda.is_simulated()
    return [name for name in names if name != reference_backend() and not (years and name == "cuda")]


def has_exponential(record: Activation, key: str) -> bool:
    return record.ulp[key].float32 > ONE_ROUNDING


@dataclass(frozen=True)
class Equality(Sweep):
    """Entries of one form; what is found is how many inputs give other bits than the reference backend, and one."""

    check = "bits"

    @property
    def name(self) -> str:
        return f"{self.entries[0].name}, bits"

    @staticmethod
    def join(one: Worst, other: Worst) -> Worst:
        return replace(max(one, other, key=lambda worst: worst.error), error=max(one.error, 0.0) + other.error)

    def prepare(self) -> Callable[[int], list[Worst]]:
        calls = [one.call(BLOCK) for one in self.entries]
        reference = replace(self.entries[0], backend=reference_backend()).call(BLOCK)

        def block(k: int) -> list[Worst]:
            x = self.inputs(k)
            expected = reference(x)
            return [_differing(x, call(x), expected) for call in calls]

        return block


def _differing(x: np.ndarray, got: np.ndarray, expected: np.ndarray) -> Worst:
    # Nearly all blocks are equal to the byte, which one pass tells; only NaN may differ there.
    equal = np.array_equal(got.view(np.uint32), expected.view(np.uint32))
    different = np.flatnonzero(bits_differ(got, expected)) if not equal else np.empty(0, np.intp)
    if not different.size:
        return replace(NOTHING, error=0.0)
    i = different[0]
    return Worst(float(different.size), float(x[i]), float(got[i]), float(expected[i]))


def equalities(entries: Sequence[Entry]) -> Iterator[Equality]:
    """One for each form with an exponential in it."""
    # backward of 1 is the derivative's bits, which the check of composed forms holds.
    entries = [one for one in entries if one.gradient != 1.0]
    for name in dict.fromkeys(one.name for one in entries):
        mine = tuple(one for one in entries if one.name == name)
        if has_exponential(mine[0].record, mine[0].key):
            yield Equality(mine)
