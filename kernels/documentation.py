"""Docstrings of the public functions, drawn from the records."""

from __future__ import annotations

from kernels.activations import BOUND_OF, Activation

_SUMMARY = {
    "value": "y = {formula}",
    "derivative": "dy/dx = {derivative_formula}",
    "backward": "grad_output * dy/dx, with dy/dx = {derivative_formula}",
    "backward_from_output": "grad_output * dy/dx from the output y = f(x), with dy/dx = {derivative_formula}",
    "value_and_derivative": "y = {formula} and dy/dx = {derivative_formula}, in one pass",
    "backward_parameters": "Gradient of {learnable}: the sum of grad_output * dy/d{learnable}",
    "jacobian": "The matrix dy_i/dx_j of every row, of shape (..., n, n)",
}
#: Of gated pairs.
_GATED_SUMMARY = {
    "value": "y = {formula}",
    "backward": "The gradient of both halves: grad_output times {derivative_formula}",
}

_ARRAYS = """
x (and grad_output, y): a scalar, a list or an array of any shape, stride and byte order. float16, bfloat16, float32 and
float64 keep their dtype; integers and booleans compute in float64. Arrays of PyTorch, CuPy, JAX, Numba's GPU, pandas,
xarray and Dask come back as their own kind, which is x's where they differ."""

_RESULT = "The result has x's shape; `out` takes it without an allocation and may be x itself."
_RESULTS = {
    "value_and_derivative": "The result is a pair, each of x's shape; `out` is a pair of arrays.",
    "backward_parameters": "The result has the parameter's shape; sums run in float64 and are rounded once.",
    "jacobian": "The result has x's shape with the row's axis last, and that axis once more.",
}

_ERRORS = """
TypeError: a dtype that is not accepted (longdouble, complex, object, string), an unknown keyword.
ValueError: a ragged list, an `out` of another shape or dtype or read-only, a grad_output that does not fit."""
_ODD = "ValueError: an odd length along the axis."


def docstring(record: Activation, form: str) -> str:
    """What a form computes, what it takes, how exact it is, and where it comes from."""
    summary = (_GATED_SUMMARY if record.gate else _SUMMARY)[form].format(
        formula=record.formula,
        derivative_formula=record.derivative_formula,
        learnable=record.learnable.name if record.learnable else "",
    )
    arrays = f"{_ARRAYS} {_result(record, form)}"
    parts = [
        summary,
        arrays,
        *_parameters(record),
        *_facts(record, form),
        _ERRORS,
        *([_ODD] if record.gate else []),
        f"\nSource: {record.reference}.",
    ]
    return "\n".join(parts)


def _result(record: Activation, form: str) -> str:
    if record.gate:
        return "The result is half as long as x along the axis." if form == "value" else "The result has x's shape."
    return _RESULTS.get(form, _RESULT)


def _parameters(record: Activation) -> list[str]:
    lines = [
        f"{p.name} (default {'none: required' if p.default is None else p.default}): {p.meaning}."
        for p in record.parameters
    ]
    if record.drawn:
        lines += [
            "training (default False, of the value alone): draw a slope for each x <= 0, from lower to upper, and give",
            f"(y, slope); the gradient is then {record.drawn}.backward(grad_output, x, slope).",
            "rng (default None): a seed or numpy.random.Generator to draw from.",
        ]
    if record.gate:
        lines.append("axis (default -1): the axis along which the two halves follow each other; its length is even.")
    elif not record.elementwise:
        lines.append("axis (default -1): the axis along which the rows lie.")
    return ["", *lines] if lines else []


def _facts(record: Activation, form: str) -> list[str]:
    facts = [f"\nRange of f: [{record.range[0]:g}, {record.range[1]:g}]."] if form == "value" else []
    bounds = record.ulp.get(form if record.gate else BOUND_OF.get(form, ""))
    if bounds:
        what = (
            "Largest error"
            if record.gate or form in ("value", "derivative")
            else "Largest error of the factor, before the product"
        )
        facts.append(
            f"{what}, in ULP, compiled backends: float32 {bounds.float32:g}, float64 {bounds.float64:g}, "
            f"float32 of the accurate class {bounds.accurate:g}."
        )
    if record.elementwise and form in ("backward", "backward_from_output"):
        facts.append(
            "float16 and bfloat16: the product in float32, rounded once: at most 0.51 ULP, "
            "except where float32 has the factor beside a root or subnormal."
        )
    if record.kinks and form != "value":
        facts.append("At a kink: " + "; ".join(f"f'({k.at:g}) = {k.derivative}" for k in record.kinks) + ".")
    if record.special and form in ("value", "derivative"):
        pairs = "; ".join(f"{s.x:g} -> {getattr(s, form):.9g}" for s in record.special)
        facts.append(f"Special values: {pairs}; NaN -> NaN.")
    return facts
