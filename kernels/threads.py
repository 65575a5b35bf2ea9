"""How many threads a call may use.

The dispatcher also heeds a lower limit that is set through OpenMP later on, by ``threadpoolctl`` for example.
"""

from __future__ import annotations

import operator
import os

from kernels.native import native

#: What a C int holds.
MOST = 2**31 - 1


def _default() -> int:
    """OMP_NUM_THREADS where it is a number, else the processors that this process may run on."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit() and int(asked) > 0:
        return min(int(asked), MOST)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_allowed = _default()
_forked = False


def _apply() -> None:
    """Tell the dispatcher. A forked child stays serial: its siblings keep the other cores busy."""
    if native("dispatch"):
        native("dispatch").set_num_threads(get_num_threads())


def set_num_threads(n: int) -> None:
    """Use at most ``n`` threads a call, in every CPU backend that has threads; ValueError if n < 1."""
    global _allowed
    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"the number of threads must be a whole number, given {n!r}") from None
    if not 1 <= count <= MOST:
        raise ValueError(f"the number of threads must be at least 1 and below 2^31, given {n}")
    _allowed = count
    _apply()


def get_num_threads() -> int:
    """The most threads that a call uses: 1 in a forked child, whatever was set."""
    return 1 if _forked else _allowed


def _after_fork() -> None:
    global _forked
    _forked = True
    _apply()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
_apply()
