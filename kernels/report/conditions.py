"""The machine before a run: what will make its times longer, or scatter, in plain words."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass

from kernels import machine, measure
from kernels.report.rows import Row

#: How long other processes are watched.
WATCHED_S = 0.5
#: Busy cores, on average, that are nothing to speak of.
FEW = 0.1
#: (file, what it holds where the clock may rise above its base)
TURBO = (
    ("/sys/devices/system/cpu/intel_pstate/no_turbo", "0"),
    ("/sys/devices/system/cpu/cpufreq/boost", "1"),
)
SIBLINGS = "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list"


@dataclass(frozen=True)
class Condition:
    """One thing that was looked at."""

    name: str
    value: str
    #: Whether times can be trusted as they are.
    fine: bool
    words: str


def check() -> list[Row]:
    """Everything that the system tells, as parts of a row."""
    found = (_others(), _governor(), _turbo(), _virtual(), _siblings())
    return [asdict(one) for one in found if one is not None]


def _others() -> Condition | None:
    """What other processes do."""
    elsewhere = measure.Elsewhere()
    time.sleep(WATCHED_S)
    busy = elsewhere.cores()
    if busy is None:
        return None
    cores = os.cpu_count() or 1
    fine = busy <= FEW
    words = "nothing else works on this machine" if fine else "times are longer and scatter: close what else runs"
    return Condition("other processes", f"{busy:.1f} of {cores} cores busy", fine, words)


def _governor() -> Condition | None:
    governor = machine.governor()
    if governor is None:
        return None
    fine = governor == "performance"
    words = "the clock does not wait for load" if fine else "the clock rises only under load: short runs are slower"
    return Condition("frequency governor", governor, fine, words)


def _turbo() -> Condition | None:
    for path, on in TURBO:
        value = machine.line(path)
        if value is not None:
            turbo = value == on
            words = "the clock depends on heat and on what neighbours do" if turbo else "the clock is steady"
            return Condition("turbo", "on" if turbo else "off", not turbo, words)
    return None


def _virtual() -> Condition | None:
    """Guests are told so by a flag of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            flags = next((line.split() for line in lines if line.startswith("flags")), [])
    except OSError:
        return None
    if not flags:
        return None
    guest = "hypervisor" in flags
    words = "other guests take cores and caches unseen" if guest else "no other guests"
    return Condition("virtual machine", "yes" if guest else "no", not guest, words)


def _siblings() -> Condition | None:
    value = machine.line(SIBLINGS)
    if value is None:
        return None
    shared = any(mark in value for mark in ",-")
    words = "two threads share a core: both run slower than one alone" if shared else "every thread has its core"
    return Condition("threads of a core", value if shared else "one", not shared, words)


def in_words(found: list[Row]) -> list[str]:
    """What to mind, a line each."""
    return [f"Mind: {one['name']}: {one['value']}; {one['words']}." for one in found if not one["fine"]]
