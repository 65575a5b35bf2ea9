"""How a text of formulas is looked up: the names a form needs, and an error that names what is missing.

A text is a module of functions called by convention: ``relu``, ``relu_derivative``, ``relu_derivative_from_output``,
``prelu_parameter_derivative``; for rows ``softmax``, ``softmax_backward_from_output``, ``softmax_jacobian``.
Gated pairs have none but those of their gate.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from kernels.activations import Activation

#: form -> name endings of the formulas that make it
ELEMENTWISE = {
    "value": ("",),
    "derivative": ("_derivative",),
    "backward": ("_derivative",),
    "backward_from_output": ("_derivative_from_output",),
    "value_and_derivative": ("", "_derivative"),
    "parameter_derivative": ("_parameter_derivative",),
}
ROW = {
    "value": ("",),
    "backward": ("", "_backward_from_output"),
    "backward_from_output": ("_backward_from_output",),
    "jacobian": ("_jacobian",),
}

#: Of the gate, for gated pairs.
GATED = {"value": ("",), "backward": ("", "_derivative")}


def names(record: Activation, form: str) -> tuple[str, ...]:
    """The names of the formulas that make ``form``."""
    endings = {"elementwise": ELEMENTWISE, "row": ROW, "gated": GATED}[record.kind].get(form)
    if endings is None:
        raise LookupError(f"{record.name} has no form {form!r}")
    return tuple((record.gate or record.name) + ending for ending in endings)


def formulas(record: Activation, form: str) -> tuple[str, str | None]:
    """(first, second) loops of a form: value_and_derivative and the row functions take two."""
    if record.gate:
        return record.name if form == "value" else f"{record.name}_backward", None
    if record.normaliser == "threshold":
        return record.name, f"{record.name}_{'backward' if form == 'backward' else 'gradient'}_rows"
    if not record.elementwise:
        through = record.through if form == "backward" else None
        gradient = "gradient_through" if through else "gradient"
        return through or record.name, f"{record.name}_{gradient}_rows"
    first, *rest = names(record, form)
    return first, rest[0] if rest else None


def find(module: ModuleType, name: str) -> Callable:
    """The function ``name`` of a text; LookupError names what is missing and where."""
    function = getattr(module, name, None)
    if function is None:
        raise LookupError(f"{Path(module.__file__).name} lacks `{name}`")
    return function
