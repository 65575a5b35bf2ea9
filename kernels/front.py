"""The one Python place between a caller and a backend's kernel.

A ``Form`` is one form (value, derivative, backward, ...) of one activation from one backend. It takes whatever the
input rules allow (``arguments``), hands its kernel arrays that it can take (``layouts``), and gives results of the
caller's kind. Arrays of other libraries go elsewhere first: those in GPU memory (``device_arrays``) to a kernel there,
those of the host (``host_kinds``) back here, as NumPy's.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels import device_arrays, host_kinds
from kernels.activations import Activation
from kernels.arguments import (
    INPUTS,
    array_parameter,
    as_array,
    as_parameter,
    check_halves,
    check_out,
    checked_axis,
    common_dtype,
    fitted_gradient,
    number,
)
from kernels.half import is_half, rounded
from kernels.layouts import clash, is_plain, new_like, quiet, run_elementwise, share_memory, sum_of_products

if TYPE_CHECKING:  # it makes these forms
    from kernels.backends import Origin

#: They take no arrays in GPU memory.
HOST_FORMS = ("jacobian", "backward_parameters")


class Form:
    """One form of one activation from one backend."""

    def __init__(self, record: Activation, form: str, kernel_for: Callable[[str, type], Callable], origin: Origin):
        """``kernel_for(form, dtype)`` is the backend's kernel; ``origin`` what ``kernels.get`` was asked for."""
        self.record = record
        self.form = form
        self.kernel_for = kernel_for
        self.origin = origin
        self.new_like = new_like
        self.__name__ = record.name if form == "value" else form
        self.__qualname__ = record.name if form == "value" else f"{record.name}.{form}"
        self.__signature__ = signature(record, form)
        self.input_names = INPUTS.get(form, ("x",))
        #: Of the parameters, None where the caller must give it, and of the arguments behind them.
        self.defaults = tuple(parameter.default for parameter in record.parameters)
        #: Arguments that are enough: the arrays, where every parameter has a default.
        self.enough = len(self.input_names) if None not in self.defaults else None
        #: Arguments that are all arrays and parameters.
        self.most = len(self.input_names) + len(self.defaults)
        known = {*self.input_names, *(parameter.name for parameter in record.parameters)}
        accepted = self.__signature__.parameters.values()
        self.keywords = {one.name: one.default for one in accepted if one.name not in known}
        #: Those that say nothing of how to compute.
        self.array_keywords = self.keywords.keys() & {"axis", "out"}
        self.parameter_names = [parameter.name for parameter in record.parameters]
        #: What may be given by name, by how many parameters are given by place.
        self.nameable = [{*self.parameter_names[k:], *self.keywords} for k in range(len(self.defaults) + 1)]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if device_arrays.any_on_device(args) or (kwargs and device_arrays.any_on_device(kwargs.values())):
            # Most calls: handing on no keywords is the cheapest call.
            if not kwargs and len(args) == self.enough:
                return self.device_form(args, self.defaults)
            if kwargs.keys() <= self.array_keywords:
                if len(args) == self.enough:
                    return self.device_form(args, self.defaults, **kwargs)
                if len(args) == self.most:
                    count = len(self.input_names)
                    return self.device_form(args[:count], args[count:], **kwargs)
            return self._on_device(*self._bind(args, kwargs))
        if host_kinds.any_foreign(args, kwargs):
            if len(args) == self.enough and kwargs.keys() <= self.array_keywords:
                return host_kinds.call(self, args, self.defaults, kwargs)
            return host_kinds.call(self, *self._bind(args, kwargs))
        inputs, params, keywords = self._bind(args, kwargs)
        arrays = [as_array(value, name) for name, value in zip(self.input_names, inputs, strict=True)]
        if len(arrays) == 2:
            arrays[0] = self._fit_gradient(arrays[0], arrays[1])
        dtype = common_dtype(arrays, inputs)
        result = self._compute(arrays, dtype, params, keywords)
        return self._in_kind(result, inputs[-1], keywords)

    @functools.cached_property
    def public(self) -> Callable:
        """What users call: this, or what is in front of it."""
        return self.origin.form(self.form)

    @functools.cached_property
    def device_form(self) -> Callable:
        """The form for arrays in GPU memory, or TypeError."""
        if self.form in HOST_FORMS:
            raise TypeError(f"{self.__qualname__} takes no arrays in GPU memory: copy them to the host")
        # Python calls a method sooner than an object.
        return self.origin.on_device(self.form).__call__

    def _on_device(self, inputs: tuple, params: tuple, keywords: dict) -> Any:
        return self.device_form(inputs, params, **keywords)

    def _compute(self, arrays: list[np.ndarray], dtype: np.dtype, params: tuple, keywords: dict) -> Any:
        values = self._parameters(params, arrays[-1], dtype)
        pair = self.form == "value_and_derivative"
        outs = self._outputs(keywords["out"], arrays[-1], dtype, 2 if pair else 1)
        compute = dtype.type
        if arrays[-1].size:
            with quiet():
                run_elementwise(self.kernel_for(self.form, compute), arrays, outs, values, compute)
        return tuple(outs) if pair else outs[0]

    def _parameters(self, params: tuple, x: np.ndarray, dtype: np.dtype) -> list:
        values = []
        for parameter, value in zip(self.record.parameters, params, strict=True):
            array = as_parameter(value, parameter) if parameter.broadcasts else None
            if array is not None and array.size != 1:
                values.append(array_parameter(array, parameter, x, dtype))
                continue
            values.append(number(self.record, self.form, parameter, value, dtype))
        return values

    def _outputs(self, out: Any, x: np.ndarray, dtype: np.dtype, count: int) -> list[np.ndarray]:
        """The outputs that were given, checked, or new ones laid out in memory like x."""
        if out is None:
            return [self.new_like(x, dtype) for _ in range(count)]
        outs = [out] if count == 1 else out
        if not isinstance(outs, (tuple, list)) or len(outs) != count:
            raise TypeError(f"out must be a pair of arrays, given {type(out).__name__}")
        for one in outs:
            check_out(one, x.shape, dtype)
        if count == 2 and share_memory(*outs):
            raise ValueError("the two outputs share memory: give two separate arrays")
        return list(outs)

    def _fit_gradient(self, gradient: np.ndarray, x: np.ndarray) -> np.ndarray:
        return fitted_gradient(gradient, x.shape, self.input_names[1])

    def _bind(self, args: tuple, kwargs: dict) -> tuple[tuple, tuple, dict]:
        """(array arguments, parameters, keyword-only arguments)."""
        # inspect takes microseconds, so that it is left what few calls do, and to say what is wrong with a call.
        return self._bind_by_place(args, kwargs) or self._bind_by_signature(args, kwargs)

    def _bind_by_place(self, args: tuple, kwargs: dict) -> tuple[tuple, tuple, dict] | None:
        """The same where every array stands in its place, and nothing is missing or unknown."""
        count = len(self.input_names)
        given = len(args) - count
        if not (0 <= given <= len(self.defaults) and kwargs.keys() <= self.nameable[given]):
            return None
        rest = zip(self.record.parameters[given:], self.defaults[given:], strict=True)
        params = tuple(kwargs.get(parameter.name, default) for parameter, default in rest)
        if any(value is None for value in params):
            return None
        keywords = {name: kwargs.get(name, default) for name, default in self.keywords.items()}
        return args[:count], args[count:] + params, keywords

    def _bind_by_signature(self, args: tuple, kwargs: dict) -> tuple[tuple, tuple, dict]:
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(
                f"{self.__qualname__}: {error}; accepted is {self.__qualname__}{self.__signature__}"
            ) from None
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        inputs = tuple(arguments.pop(name) for name in self.input_names)
        params = tuple(arguments.pop(parameter.name) for parameter in self.record.parameters)
        return inputs, params, arguments

    def _in_kind(self, result: Any, given: Any, keywords: dict) -> Any:
        """The result as the caller's kind: NumPy scalars for scalars; Python's own for the python backend."""
        if keywords.get("out") is not None:
            return result
        if isinstance(result, tuple):
            return tuple(self._in_kind(one, given, keywords) for one in result)
        if self.origin.backend.startswith("python") and not isinstance(given, (np.ndarray, np.generic)):
            return result.tolist()
        return result[()] if isinstance(result, np.ndarray) and result.ndim == 0 else result

    def __reduce__(self) -> tuple:
        return self.origin.form, (self.form,)

    def __repr__(self) -> str:
        origin = self.origin
        return f"<activation {self.__qualname__}{self.__signature__} from {origin.backend}, {origin.accuracy}>"


class RowForm(Form):
    """A form of a function of whole rows: ``axis`` says along which axis they lie."""

    def _compute(self, arrays: list[np.ndarray], dtype: np.dtype, params: tuple, keywords: dict) -> np.ndarray:
        x = np.atleast_1d(arrays[-1])
        axis = checked_axis(keywords["axis"], x.ndim)
        compute = dtype.type
        rows = [self._rows(np.atleast_1d(a), axis, compute) for a in arrays]
        if self.form == "jacobian":
            return self._jacobian(rows[0], np.moveaxis(x, axis, -1).shape, dtype)
        out = self._outputs(keywords["out"], arrays[-1], dtype, 1)[0]
        if x.size == 0:
            return out
        moved = np.moveaxis(out.reshape(x.shape) if out.ndim == 0 else out, axis, -1)
        direct = is_plain(moved, compute) and not any(clash(moved.reshape(r.shape), r) for r in rows)
        target = moved.reshape(rows[0].shape) if direct else np.empty(rows[0].shape, compute)
        with quiet():
            self.kernel_for(self.form, compute)(*rows, out=target)
            if not direct:
                np.copyto(moved, target.reshape(moved.shape), casting="unsafe")
        return out

    def _rows(self, array: np.ndarray, axis: int, compute: type) -> np.ndarray:
        """The rows as a plain 2-d array, without a copy where the memory allows."""
        moved = np.moveaxis(array, axis, -1)
        count = moved.size // moved.shape[-1] if moved.shape[-1] else 0
        plain = np.require(moved, compute, ["C", "A"])
        return plain.reshape(count, moved.shape[-1])

    def _jacobian(self, rows: np.ndarray, shape: tuple, dtype: np.dtype) -> np.ndarray:
        compute = np.float32 if is_half(dtype) else dtype.type
        rows = rows.astype(compute, copy=False)
        result = np.empty((*shape, shape[-1]), compute)
        if result.size:
            with quiet():
                self.kernel_for("jacobian", compute)(rows, out=result.reshape(-1, shape[-1], shape[-1]))
        return result.astype(dtype, copy=False)


class GatedForm(Form):
    """A form of a pair: ``axis`` says along which axis its two halves follow each other."""

    def _compute(self, arrays: list[np.ndarray], dtype: np.dtype, params: tuple, keywords: dict) -> np.ndarray:
        x = np.atleast_1d(arrays[-1])
        axis = checked_axis(keywords["axis"], x.ndim)
        check_halves(x.shape[axis], keywords["axis"])
        half, shape = (self.record.result_shape(form, x.shape, axis) for form in ("value", self.form))
        fitted = [fitted_gradient(g, half, "x") for g in arrays[:-1]]
        out = np.empty(shape, dtype) if keywords["out"] is None else keywords["out"]
        check_out(out, shape, dtype)
        if x.size:
            self._run([*fitted, x], out, axis, dtype.type)
        return out

    def _run(self, inputs: list[np.ndarray], out: np.ndarray, axis: int, compute: type) -> None:
        rows, target = [self._rows(a, axis, compute) for a in inputs], self._rows(out, axis, compute)
        direct = is_plain(out, compute) and not any(clash(target, row) for row in rows)
        target = target if direct else np.empty_like(target)
        with quiet():
            self.kernel_for(self.form, compute)(*rows, out=target)
            if not direct:
                np.copyto(out, target.reshape(out.shape), casting="unsafe")

    def _fit_gradient(self, gradient: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Later, when the axis is known."""
        return gradient

    def _rows(self, array: np.ndarray, axis: int, compute: type) -> np.ndarray:
        """What lies along the axis and behind it as one row, without a copy where the memory allows."""
        plain = np.require(array, compute, ["C", "A"])
        return plain.reshape(math.prod(array.shape[:axis]), -1)


class ParameterForm(Form):
    """The gradient of a learnable parameter: sum of grad_output * df/dparameter, computed in float64, rounded once."""

    def _compute(self, arrays: list[np.ndarray], dtype: np.dtype, params: tuple, keywords: dict) -> Any:
        gradient, x = arrays
        (value,) = self._parameters(params, x, dtype)
        kernel = self.kernel_for("parameter_derivative", np.float64)
        with quiet():
            if isinstance(value, np.ndarray):
                total = self._per_weight(kernel, gradient, x, value)
            else:
                total = sum_of_products(kernel, gradient.reshape(-1), x.reshape(-1), value)
        return rounded(total, dtype).reshape(np.shape(params[0]))

    def _per_weight(self, kernel: Callable, g: np.ndarray, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        products = np.empty(x.shape, np.float64)
        run_elementwise(kernel, [x], [products], [weight], np.float64)
        np.multiply(products, g, out=products)
        axes = tuple(i for i, (w, n) in enumerate(zip(weight.shape, x.shape, strict=True)) if w == 1 and n != 1)
        return np.add.reduce(products, axis=axes, keepdims=True)


class DrawnForm(Form):
    """A value whose slope training draws: with ``training`` the result is (y, slope), as backward needs the slope."""

    def _compute(self, arrays: list[np.ndarray], dtype: np.dtype, params: tuple, keywords: dict) -> Any:
        training = keywords["training"]
        if not isinstance(training, (bool, np.bool_)):
            raise TypeError(f"training must be True or False, given {type(training).__name__}")
        if not training:
            return super()._compute(arrays, dtype, params, keywords)
        (x,) = arrays
        lower, upper = self._parameters(params, x, dtype)
        if not lower <= upper:
            raise ValueError(f"{self.record.name} draws between lower and upper, given lower={lower} > upper={upper}")
        drawn = np.random.default_rng(keywords["rng"]).uniform(lower, upper, x.shape)
        slope = rounded(np.where(x > 0, 1.0, drawn), dtype)
        (out,) = self._outputs(keywords["out"], x, dtype, 1)
        replace(self.origin, name=self.record.drawn).form("value")(x, slope, out=out)
        return out, slope

    def _on_device(self, inputs: tuple, params: tuple, keywords: dict) -> Any:
        if keywords["training"]:
            raise TypeError("training draws on the host, and x is in GPU memory: copy it to the host")
        return self.device_form(inputs, params, out=keywords["out"])


class Missing:
    """A form that a function does not have: calling it says which forms there are, or why a peer lacks it."""

    def __init__(self, record: Activation, form: str, why: str | None = None):
        self.record = record
        self.form = form
        self.why = why

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.why:
            raise TypeError(self.why)
        kind = {"row": "a function of whole rows", "gated": "a gated pair"}.get(self.record.kind, "elementwise")
        raise TypeError(
            f"{self.record.name} has no {self.form}: it is {kind}; it has {', '.join(self.record.forms[1:])}"
        )


def signature(record: Activation, form: str) -> inspect.Signature:
    """The call signature of a form: arrays, then parameters, then keyword-only axis and out."""
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    only = inspect.Parameter.KEYWORD_ONLY
    arguments = [inspect.Parameter(name, either) for name in INPUTS.get(form, ("x",))]
    for parameter in record.parameters:
        default = inspect.Parameter.empty if parameter.default is None else parameter.default
        arguments.append(inspect.Parameter(parameter.name, either, default=default))
    if record.drawn and form == "value":
        arguments += [
            inspect.Parameter("training", either, default=False),
            inspect.Parameter("rng", only, default=None),
        ]
    if not record.elementwise:
        arguments.append(inspect.Parameter("axis", only, default=-1))
    if form not in ("jacobian", "backward_parameters"):
        arguments.append(inspect.Parameter("out", only, default=None))
    return inspect.Signature(arguments)


def form_class(record: Activation, form: str) -> type[Form]:
    if record.kind != "elementwise":
        return GatedForm if record.gate else RowForm
    if form == "value" and record.drawn:
        return DrawnForm
    return ParameterForm if form == "backward_parameters" else Form
