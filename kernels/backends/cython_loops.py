"""The Cython backend: the loops of one instruction-set level, through the compiled dispatcher's block pipeline."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import numpy as np

from kernels import crossover, memory, threads  # noqa: F401  (the latter two set the dispatcher's limits)
from kernels.activations import ROW_BLOCKS, Activation, lookup
from kernels.backends import jacobians
from kernels.backends.texts import formulas
from kernels.constants import DTYPES, HALF_TYPES, inside
from kernels.half import SURE, format_behind, is_half, margin, through_float32
from kernels.native import native
from kernels.native.built import level_states, missing, usable_levels
from kernels.native.levels import Level, levels_here

#: From this many elements on, the Cython backend uses all threads; the dispatcher has a measured table.
THREADS_FROM = 32_768


def reason() -> str | None:
    if native("dispatch") is None:
        return missing("dispatch")
    if variants():
        return None
    states = level_states()
    return "; ".join(f"{name}: {why}" for name, why in states.items()) or "no level for this processor family"


def variants() -> tuple[str, ...]:
    """The levels that are built and run here, best first."""
    return usable_levels()


@functools.cache
def addresses(level: str | None) -> dict[tuple[str, str], int]:
    """(formula or step, format) -> address, at a level (None: the best)."""
    return native(_level(level).module).addresses()


def _level(level: str | None) -> Level:
    name = level or variants()[0]
    if name not in variants():
        raise ValueError(f"level {name!r} can't be used here: {level_states().get(name, 'no such level')}")
    return next(one for one in levels_here() if one.name == name)


def loop_addresses(record: Activation, form: str, compute: str, level: str | None) -> tuple[int, int, int, int]:
    """Addresses of a form's two loops in a format at a level, and of those that stream; 0 for none.

    The second loop of a backward form is the first one times grad_output.
    """
    table = addresses(level)
    first, second = formulas(record, form)
    if form.startswith("backward") and record.elementwise:
        second = f"{first}_product"
    loops = (first, second, f"{first}_streamed", f"{second}_streamed")
    return tuple(table.get((loop, compute), 0) for loop in loops)


@functools.cache
def _dispatch():
    """The dispatcher, told from which size on it streams."""
    found = native("dispatch")
    found.set_stream_from(crossover.table().stream_from)
    return found


def loops_in(dtype: str, accuracy: str) -> str:
    """The format of the loops: half types go through float32, and wider where that leaves the rounding open."""
    return "float32" if dtype in HALF_TYPES else inside(dtype, accuracy)


def make_plan(
    record: Activation, form: str, accuracy: str, segments: dict[str, list], level: str | None = None
) -> object:
    """A dispatcher's plan, its load and store steps of a level.

    ``segments``: the arrays' dtype -> [(start, *loop addresses, threads)], 0 threads for all. Projections have float64
    inside and need whole rows: they have no table for half types, which ``planned`` takes through float32.
    """
    step = addresses(level)
    first, second = formulas(record, form)
    projects = record.normaliser == "threshold"
    has_parts = record.kind == "row" and not projects
    tables = {}
    for dtype in DTYPES:
        if projects and dtype in HALF_TYPES:
            tables[dtype] = None
            continue
        compute = loops_in(dtype, "fast" if projects else accuracy)
        each = (step.get((f"{first}_each", compute), 0), step.get((f"{second}_each", compute), 0))
        tables[dtype] = {
            "segments": segments[dtype],
            "each": each,
            "compute_size": 4 if compute == "float32" else 8,
            **_conversions(step, dtype, compute),
            "multiply": step["multiply", compute],
            **{name: step[name, "bytes"] for name in ("stream", "gather", "scatter")},
            "checked": _checked(step, record, form, dtype),
            "direct": _direct(step, record, form, dtype),
            "look_up": _look_up(step, record, form, dtype, _level(level)),
            "parts": [step[name, compute] for name in row_parts(first, second)] if has_parts else [],
        }
    kind = form if record.elementwise else f"{record.kind} {form}"
    if projects and form == "backward":
        kind = "row backward_from_output"  # one loop from x and the gradient
    return _dispatch().Plan(kind, tables)


def row_parts(first: str, second: str) -> list[str]:
    """The loops of rows in blocks, of a row function and of its gradient, in the order of the dispatcher's RowParts."""
    name, _, gradient = second.removesuffix("_rows").partition("_gradient")
    *before, products = ROW_BLOCKS
    return [*(f"{first}_{part}" for part in before), f"{name}_{products}", f"{name}_gradient{gradient}_in_place"]


def _conversions(step: dict, dtype: str, compute: str) -> dict[str, int]:
    """The steps between an array's dtype and what it is computed in."""
    if dtype in HALF_TYPES:
        return {name: step[name, dtype] for name in ("load", "save", "round")}
    if compute == "wide":
        return {"load": step["widen", "float32"], "save": step["narrow", "float64"], "round": 0}
    return {"load": 0, "save": 0, "round": 0}


def _checked(step: dict, record: Activation, form: str, dtype: str) -> dict | None:
    """What computes a half type's results again where float32 leaves open how they are rounded; None: it never does."""
    if dtype not in HALF_TYPES or not record.elementwise or form.startswith("backward"):
        return None
    names = [name for name in formulas(record, form) if name]
    margins = [margin(record, name, dtype) for name in names]
    if all(one is SURE for one in margins):
        return None

    behind = format_behind(form)

    def both(values: list) -> list:
        return [values[0], values[-1]]

    return {
        "save_tested": both([step[one.step, dtype] if one.step else 0 for one in margins]),
        "wide": both([step[name, behind] for name in names]),
        "wide_each": both([step.get((f"{name}_each", behind), 0) for name in names]),
        "tests": both(margins),
    }


def _direct(step: dict, record: Activation, form: str, dtype: str) -> tuple[int, int]:
    """The loops from a half type's codes to codes; 0 where not all there are."""
    if dtype not in HALF_TYPES or not record.elementwise:
        return 0, 0
    names = [name for name in formulas(record, form) if name]
    if form.startswith("backward"):
        names = [f"{names[0]}_product"]
    loops = [step.get((name, dtype), 0) for name in names]
    return (0, 0) if 0 in loops else (loops[0], loops[-1])


def _look_up(step: dict, record: Activation, form: str, dtype: str, level: Level) -> tuple[int, int, int, int]:
    """The loops that look a half type's results or factors up; 0 where computing them costs no more."""
    if dtype not in HALF_TYPES or not record.elementwise or form == "backward_from_output":
        return 0, 0, 0, 0
    flops = _flops(record, form)
    if form == "backward":
        loop = step["look_up_product", dtype] if flops > level.look_up_factor_flops else 0
        return loop, loop, 0, 0
    if all(_direct(step, record, form, dtype)) and flops <= level.look_up_flops:
        return 0, 0, 0, 0
    names = ("look_up", "look_up_second", "look_up_streamed", "look_up_second_streamed")
    return tuple(step[name, "codes"] for name in names)


def _flops(record: Activation, form: str) -> int:
    """Operations on an element, of the dearer one of two results."""
    return max(record.flops) if form == "value_and_derivative" else record.flops[form != "value"]


def level_segments(record: Activation, form: str, accuracy: str, level: str | None) -> dict[str, list]:
    """One level for every size, one thread below THREADS_FROM."""
    rows = {}
    for dtype in DTYPES:
        loops = loop_addresses(record, form, loops_in(dtype, accuracy), level)
        rows[dtype] = [(0, *loops, 1), (THREADS_FROM, *loops, 0)]
    return rows


@functools.cache
def plan(record_name: str, form: str, accuracy: str, level: str | None) -> object:
    record = lookup(record_name)
    return make_plan(record, form, accuracy, level_segments(record, form, accuracy, level), level)


def bind(record: Activation, form: str, dtype: type, accuracy: str, variant: str | None = None) -> Callable:
    if form == "jacobian":
        return jacobians.bind(record, lambda one, dtype: bind(one, "value", dtype, accuracy, variant), accuracy)
    return planned(plan(record.name, form, accuracy, variant), record, form, dtype)


def planned(plan_: object, record: Activation, form: str, dtype: type) -> Callable:
    """A plan as a kernel for prepared arrays."""
    count = 2 if form.startswith("backward") else 1
    nothing = np.empty(0)

    def kernel(*args, out=None):
        inputs, params = args[:count], args[count:]
        if out is None:
            out = np.empty(record.result_shape(form, inputs[-1].shape), inputs[-1].dtype)
            out = (out, np.empty_like(out)) if form == "value_and_derivative" else out
        plan_.call(inputs, out if isinstance(out, tuple) else (out,), *values_of(params))
        return out

    def values_of(params: tuple) -> tuple[np.ndarray, bool]:
        each = bool(params) and isinstance(params[0], np.ndarray)
        return (params[0] if each else np.array(params, np.float64) if params else nothing), each

    kernel.strided = lambda inputs, outs, params: plan_.call_strided(inputs, outs, *values_of(params))
    return through_float32(kernel) if is_half(dtype) and record.normaliser == "threshold" else kernel


def wrap(general, record: Activation, form: str, accuracy: str, variant: str | None):
    """The form with the direct C path in front of it."""
    if form in ("jacobian", "backward_parameters"):
        return general
    return fast_form(general, record, form, plan(record.name, form, accuracy, variant))


def fast_form(general, record: Activation, form: str, plan_: object):
    """The direct C path, with ``general`` for every call that C leaves to Python."""
    general.new_like = native("dispatch").new_like
    from_output = form == "backward_from_output"
    parameters = tuple(
        (sys.intern(p.name), p.default, from_output and p.nonnegative_from_output) for p in record.parameters
    )
    return native("dispatch").FastForm(plan_, general, parameters)
