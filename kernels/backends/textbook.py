"""Which functions have a textbook loop: the loop that a newcomer writes, to show what own vector math brings."""

from __future__ import annotations

from kernels.activations import MEASURED, Activation


def absent(record: Activation, form: str) -> str | None:
    """None, or why there is no textbook loop for a form."""
    if form == "value" and record in MEASURED:
        return None
    return f"textbook loops are there for values of {', '.join(one.name for one in MEASURED)}, to compare with"
