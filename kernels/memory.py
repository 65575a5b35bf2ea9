"""The memory of large outputs: kept when their arrays are collected, and used again for the next ones.

A new page of memory costs the system several times what an activation function costs the processor: it is faulted in
and cleared. So ``kernels.fastest`` and ``kernels.accurate`` keep the memory of outputs of 256 KB and more once nobody
holds the arrays (or views of them) any longer, at most ``get_limit()`` bytes of it, and give it to later outputs. That
is for calls without ``out`` on arrays of a floating dtype. The outputs are ordinary arrays that own their
data (NumPy's allocator hook, NEP 49); memory that is held shows up in the process's size until ``release()`` is called
or a limit makes it go. ``set_limit(0)`` turns all of it off, and so does an allocator of the caller's own.

>>> from kernels import memory
>>> memory.set_limit(2**28)
>>> memory.get_limit()
268435456
"""

from __future__ import annotations

import contextlib
import operator
import os

from kernels.native import native

#: The limit at the start: this share of the memory that there is, but not more than MOST bytes.
SHARE, MOST = 1 / 8, 1 << 30
#: Where a container's limit stands.
CGROUP = "/sys/fs/cgroup/memory.max"


def set_limit(nbytes: int) -> None:
    """Hold at most ``nbytes`` bytes of collected outputs, 0 for none; what is more is given back to the system at once.

    TypeError for what is not a whole number, ValueError for one below 0. Without the compiled part nothing is held.
    """
    try:
        limit = operator.index(nbytes)
    except TypeError:
        raise TypeError(f"the limit must be a whole number of bytes, given {nbytes!r}") from None
    if not 0 <= limit < 2**63:
        raise ValueError(f"the limit must be from 0 to 2^63 - 1 bytes, given {nbytes}")
    if native("dispatch"):
        native("dispatch").set_output_limit(limit)


def get_limit() -> int:
    """The most bytes of collected outputs that are held: 0 where nothing ever is."""
    return native("dispatch").output_memory_state()[1] if native("dispatch") else 0


def held() -> int:
    """The bytes of collected outputs that are held now."""
    return native("dispatch").output_memory_state()[0] if native("dispatch") else 0


def release() -> None:
    """Give the memory of all collected outputs back to the system."""
    if native("dispatch"):
        native("dispatch").release_outputs()


def _default_limit() -> int:
    try:
        there_is = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return MOST
    with contextlib.suppress(OSError, ValueError), open(CGROUP, encoding="utf-8") as file:
        there_is = min(there_is, int(file.read()))
    return max(0, min(int(there_is * SHARE), MOST))


set_limit(_default_limit())
