"""The one Python place between a caller and a backend's kernel: what is accepted, what comes back.

A ``Form`` is one form (value, derivative, backward, ...) of one activation from one backend. It takes whatever the
input rules allow, checks everything before anything is written, and hands contiguous, aligned, native arrays of a
floating dtype to the backend's kernel: the whole array where it is such an array; other layouts to the kernel's own
``strided``, where it has that; else blocks gathered, cast and scattered by ``numpy.nditer``.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kernels import device_arrays
from kernels.activations import Activation, Parameter
from kernels.half import is_half, rounded

#: Elements of a block for arrays that need a cast or a gather.
BLOCK = 8192
#: Parameter gradients add up blocks of this many products, each by NumPy's pairwise sum, then the blocks' sums.
SUM_BLOCK = 4096

#: What takes arrays in GPU memory, and the forms that do not.
DEVICE_BACKENDS = ("fastest", "cuda")
HOST_FORMS = ("jacobian", "backward_parameters")

ACCEPTED = "scalars, lists and arrays of float16, bfloat16, float32, float64, integers or booleans"

#: form -> names of its array arguments
INPUTS = {
    "backward": ("grad_output", "x"),
    "backward_from_output": ("grad_output", "y"),
    "backward_parameters": ("grad_output", "x"),
}


# ---------------------------------------------------------------- what is accepted
def as_array(value: Any, name: str) -> np.ndarray:
    """``value`` as an array of an accepted dtype; TypeError or ValueError say what was given and what is accepted."""
    refuse_mask(value, name)
    try:
        array = np.asarray(value)
        if array.dtype == object and array is not value and all(type(number) is int for number in array.flat):
            array = array.astype(np.float64)  # integers beyond 64 bits
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} is not a rectangular array of numbers ({error}); accepted are {ACCEPTED}") from None
    if not is_accepted(array.dtype):
        raise TypeError(f"{name} has dtype {array.dtype}; accepted are {ACCEPTED}")
    return array


def refuse_mask(value: Any, name: str) -> None:
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; give {name}.filled(value) or {name}.data")


def is_accepted(dtype: np.dtype) -> bool:
    """Whether arrays of this dtype are computed."""
    return dtype.kind in "biu" or dtype.char in "efd" or dtype.name == "bfloat16"


def floating(dtype: np.dtype) -> np.dtype:
    """The dtype of the result: floating dtypes stay (in native order), integers and booleans give float64."""
    return np.dtype(np.float64) if dtype.kind in "biu" else dtype.newbyteorder("=")


def compute_dtype(dtype: np.dtype) -> type:
    """What a kernel is asked for: one for each floating dtype."""
    return dtype.type


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise unless ``out`` can take a result of this shape and dtype."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, given {type(out).__name__}")
    refuse_mask(out, "out")
    if out.shape != shape:
        raise ValueError(f"out has the wrong shape: expected {shape}, given {out.shape}")
    if not is_accepted(out.dtype) or out.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"out has the wrong dtype: expected {dtype}, given {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only: give a writeable array")


def common_dtype(arrays: Sequence[np.ndarray], given: Sequence[Any]) -> np.dtype:
    """The result's dtype; Python scalars are weak, as everywhere in NumPy."""
    if len(arrays) == 1:
        return floating(arrays[0].dtype)
    kept = [a.dtype for a, v in zip(arrays, given, strict=True) if type(v) not in (int, float, bool)]
    dtypes = [floating(d) for d in kept] or [np.dtype(np.float64)]
    return dtypes[0] if all(d == dtypes[0] for d in dtypes) else np.result_type(*dtypes)


def as_parameter(value: Any, parameter: Parameter) -> np.ndarray:
    """A parameter as given, or TypeError with its type."""
    try:
        return as_array(value, parameter.name)
    except TypeError as error:
        raise TypeError(f"{parameter.name} must be a real number, given {type(value).__name__}: {error}") from None


def scalar_parameter(value: Any, parameter: Parameter, dtype: np.dtype) -> float:
    """A parameter's value, rounded to the array's dtype."""
    array = as_parameter(value, parameter)
    if array.size != 1:
        raise TypeError(f"{parameter.name} must be a real number, given an array of shape {array.shape}")
    return float(rounded(array.reshape(()), dtype))


def number(record: Activation, form: str, parameter: Parameter, value: Any, dtype: np.dtype) -> float:
    """A parameter's value for a form, rounded to the array's dtype; TypeError and ValueError say what is accepted."""
    found = scalar_parameter(value, parameter, dtype)
    if form == "backward_from_output" and parameter.nonnegative_from_output and not found >= 0:
        raise ValueError(
            f"{record.name}.backward_from_output needs {parameter.name} >= 0, given {found}: below 0 the output does "
            "not tell the input's sign; use backward"
        )
    return found


def array_parameter(value: np.ndarray, parameter: Parameter, x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A parameter array laid out against x: 1-d per channel (axis 1), or as many axes as x."""
    weight = rounded(value, dtype)
    if weight.ndim == 1 and x.ndim > 1 and weight.size == x.shape[1]:
        return weight.reshape((1, -1) + (1,) * (x.ndim - 2))
    if weight.ndim == x.ndim and all(w in (1, n) for w, n in zip(weight.shape, x.shape, strict=True)):
        return weight
    raise ValueError(
        f"{parameter.name} has shape {weight.shape}, which does not fit x of shape {x.shape}: accepted are a scalar, "
        "one value a channel (axis 1), or as many axes as x, each of length 1 or x's"
    )


# ---------------------------------------------------------------- running a kernel over any array
def quiet() -> np.errstate:
    """Infinities and NaN in the data are the data's business, not a warning's."""
    return np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore")


def is_plain(array: np.ndarray, dtype: type) -> bool:
    """Whether a kernel can take the array's memory as it is."""
    flags = array.flags
    return array.dtype == dtype and array.dtype.isnative and flags.c_contiguous and flags.aligned


def share_memory(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have an element's memory in common; what is too hard to tell counts as yes."""
    try:
        return np.shares_memory(a, b, max_work=10_000)
    except np.exceptions.TooHardError:
        return True


def clash(out: np.ndarray, source: np.ndarray) -> bool:
    """Whether they share memory without being the very same elements."""
    same = (
        out.__array_interface__["data"][0] == source.__array_interface__["data"][0]
        and out.shape == source.shape
        and out.strides == source.strides
    )
    return not same and np.may_share_memory(out, source)


def apart(array: np.ndarray, outs: Sequence[np.ndarray]) -> np.ndarray:
    """The array, or a copy where an output lies in its memory."""
    return array.copy() if any(np.may_share_memory(array, out) for out in outs) else array


def run_elementwise(kernel: Callable, inputs: Sequence, outs: Sequence, params: Sequence, compute: type) -> None:
    """``kernel`` over all elements of ``inputs`` into ``outs``; a parameter is a float or an array that fits x."""
    # A kernel reads a parameter array again for its second output.
    params = [apart(p, outs) if isinstance(p, np.ndarray) else p for p in params]
    arrays = [p for p in params if isinstance(p, np.ndarray)]
    if not arrays and all(a.flags.f_contiguous for a in (*inputs, *outs)):
        inputs, outs = [a.T for a in inputs], [out.T for out in outs]
    plain = not arrays and all(is_plain(a, compute) for a in (*inputs, *outs))
    if plain and not any(clash(out, source) for out in outs for source in inputs):
        flat = [out.reshape(-1) for out in outs]
        kernel(*(a.reshape(-1) for a in inputs), *params, out=flat[0] if len(flat) == 1 else tuple(flat))
        return
    strided = getattr(kernel, "strided", None)
    if strided and not any(clash(out, source) for out in outs for source in inputs):
        spread = tuple(np.broadcast_to(p, inputs[-1].shape) if isinstance(p, np.ndarray) else p for p in params)
        if strided(tuple(inputs), tuple(outs), spread):
            return
    operands = [*inputs, *(np.broadcast_to(a, inputs[-1].shape) for a in arrays), *outs]
    readers = len(operands) - len(outs)
    flags = [["readonly", "contig", "aligned", "nbo", "overlap_assume_elementwise"]] * readers
    flags += [["writeonly", "contig", "aligned", "nbo", "overlap_assume_elementwise"]] * len(outs)
    blocks = np.nditer(
        operands,
        flags=["external_loop", "buffered", "zerosize_ok", "copy_if_overlap"],
        op_flags=flags,
        op_dtypes=[compute] * len(operands),
        casting="unsafe",
        buffersize=BLOCK,
    )
    with blocks:
        for block in blocks:
            run_block(kernel, block, len(inputs), len(outs), params)


def run_block(kernel: Callable, block: tuple, inputs: int, outs: int, params: Sequence) -> None:
    """One block of nditer: inputs, parameter arrays, outputs."""
    arrays = iter(block[inputs : len(block) - outs])
    values = [next(arrays) if isinstance(p, np.ndarray) else p for p in params]
    results = block[len(block) - outs :]
    kernel(*block[:inputs], *values, out=results[0] if outs == 1 else results)


def new_like(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A new array of this dtype, laid out in memory like x."""
    return np.empty_like(x, dtype, subok=False)


# ---------------------------------------------------------------- the callables
class Form:
    """One form of one activation from one backend."""

    def __init__(self, record: Activation, form: str, kernel_for: Callable[[str, type], Callable], origin: tuple):
        """``kernel_for(form, dtype)`` is the backend's kernel; ``origin`` are the arguments of ``kernels.get``."""
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
        known = {*self.input_names, *(parameter.name for parameter in record.parameters)}
        accepted = self.__signature__.parameters.values()
        self.keywords = {one.name: one.default for one in accepted if one.name not in known}
        names = [parameter.name for parameter in record.parameters]
        #: What may be given by name, by how many parameters are given by place.
        self.nameable = [{*names[k:], *self.keywords} for k in range(len(names) + 1)]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if device_arrays.any_on_device(args) or (kwargs and device_arrays.any_on_device(kwargs.values())):
            if not kwargs and len(args) == self.enough:
                return self.device_form(args, self.defaults)
            inputs, params, keywords = self._bind(args, kwargs)
            return self.device_form(inputs, params, **keywords)
        inputs, params, keywords = self._bind(args, kwargs)
        arrays = [as_array(value, name) for name, value in zip(self.input_names, inputs, strict=True)]
        if len(arrays) == 2:
            arrays[0] = self._fit_gradient(arrays[0], arrays[1])
        dtype = common_dtype(arrays, inputs)
        result = self._compute(arrays, dtype, params, keywords)
        return self._in_kind(result, inputs[-1], keywords)

    @functools.cached_property
    def device_form(self) -> Callable:
        """The form for arrays in GPU memory, or TypeError."""
        backend, accuracy = self.origin[1:]
        if self.form in HOST_FORMS:
            raise TypeError(f"{self.__qualname__} takes no arrays in GPU memory: copy them to the host")
        if backend not in DEVICE_BACKENDS:
            raise TypeError(
                f"the backend {backend!r} takes no arrays in GPU memory: those that do are {', '.join(DEVICE_BACKENDS)}"
            )
        from kernels.backends import numba_cuda

        return numba_cuda.OnDevice(self.record, self.form, accuracy)

    def _compute(self, arrays: list[np.ndarray], dtype: np.dtype, params: tuple, keywords: dict) -> Any:
        values = self._parameters(params, arrays[-1], dtype)
        pair = self.form == "value_and_derivative"
        outs = self._outputs(keywords["out"], arrays[-1], dtype, 2 if pair else 1)
        compute = compute_dtype(dtype)
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
        try:
            return np.broadcast_to(gradient, x.shape)
        except ValueError:
            raise ValueError(
                f"grad_output of shape {gradient.shape} does not fit {self.input_names[1]} of shape {x.shape}"
            ) from None

    def _bind(self, args: tuple, kwargs: dict) -> tuple[tuple, tuple, dict]:
        """(array arguments, parameters, keyword-only arguments)."""
        count = len(self.input_names)
        given = len(args) - count
        if 0 <= given <= len(self.defaults) and (not kwargs or kwargs.keys() <= self.nameable[given]):
            # inspect takes microseconds.
            params, keywords = args[count:], self.keywords
            if given < len(self.defaults):
                rest = zip(self.record.parameters[given:], self.defaults[given:], strict=True)
                params += tuple(kwargs.get(parameter.name, default) for parameter, default in rest)
            if kwargs:
                keywords = {name: kwargs.get(name, default) for name, default in keywords.items()}
            if not any(param is None for param in params[given:]):
                return args[:count], params, keywords
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
        if self.origin[1].startswith("python") and not isinstance(given, (np.ndarray, np.generic)):
            return result.tolist()
        return result[()] if isinstance(result, np.ndarray) and result.ndim == 0 else result

    def __reduce__(self) -> tuple:
        return restore, (*self.origin, self.form)

    def __repr__(self) -> str:
        _, backend, accuracy = self.origin
        return f"<activation {self.__qualname__}{self.__signature__} from {backend}, {accuracy}>"


class RowForm(Form):
    """A form of a function of whole rows: ``axis`` says along which axis they lie."""

    def _compute(self, arrays: list[np.ndarray], dtype: np.dtype, params: tuple, keywords: dict) -> np.ndarray:
        x = np.atleast_1d(arrays[-1])
        axis = checked_axis(keywords["axis"], x.ndim)
        compute = compute_dtype(dtype)
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
        if x.shape[axis] % 2:
            raise ValueError(f"x must have two halves along axis {keywords['axis']}, given length {x.shape[axis]}")
        half, shape = (self.record.result_shape(form, x.shape, axis) for form in ("value", self.form))
        fitted = [Form._fit_gradient(self, g, np.broadcast_to(0, half)) for g in arrays[:-1]]
        out = np.empty(shape, dtype) if keywords["out"] is None else keywords["out"]
        check_out(out, shape, dtype)
        if x.size:
            self._run([*fitted, x], out, axis, compute_dtype(dtype))
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


def checked_axis(axis: Any, ndim: int) -> int:
    """The axis counted from the front; TypeError or AxisError name what was given."""
    try:
        number = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis must be a whole number, given {axis!r}") from None
    if not -ndim <= number < ndim:
        raise np.exceptions.AxisError(f"axis {number} is out of bounds for an array of {ndim} axes")
    return number % ndim


class ParameterForm(Form):
    """The gradient of a learnable parameter: sum of grad_output * df/dparameter, computed in float64, rounded once."""

    def _compute(self, arrays: list[np.ndarray], dtype: np.dtype, params: tuple, keywords: dict) -> Any:
        gradient, x = arrays
        (value,) = self._parameters(params, x, dtype)
        kernel = self.kernel_for("parameter_derivative", np.float64)
        with quiet():
            if isinstance(value, np.ndarray):
                return self._per_weight(kernel, gradient, x, value, np.shape(params[0])).astype(dtype)
            total = sum_of_products(kernel, gradient.reshape(-1), x.reshape(-1), value)
            return np.asarray(total).astype(dtype).reshape(np.shape(params[0]))

    def _per_weight(
        self, kernel: Callable, g: np.ndarray, x: np.ndarray, weight: np.ndarray, shape: tuple
    ) -> np.ndarray:
        products = np.empty(x.shape, np.float64)
        run_elementwise(kernel, [x], [products], [weight], np.float64)
        np.multiply(products, g, out=products)
        axes = tuple(i for i, (w, n) in enumerate(zip(weight.shape, x.shape, strict=True)) if w == 1 and n != 1)
        return np.add.reduce(products, axis=axes, keepdims=True).reshape(shape)


def sum_of_products(kernel: Callable, gradient: np.ndarray, x: np.ndarray, value: float) -> float:
    """sum(gradient * df/dparameter) in float64, in an order that depends on the length alone."""
    sums = []
    for start in range(0, x.size, SUM_BLOCK):
        block = x[start : start + SUM_BLOCK].astype(np.float64)
        derivative = kernel(block, value, out=np.empty_like(block))
        derivative *= gradient[start : start + SUM_BLOCK]
        sums.append(np.add.reduce(derivative))
    return float(np.add.reduce(np.array(sums)))


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
        restore(self.record.drawn, *self.origin[1:], "value")(x, slope, out=out)
        return out, slope


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


def restore(name: str, backend: str, accuracy: str, form: str) -> Any:
    """Unpickle: the very object that ``kernels.get`` gives."""
    from kernels.backends import get

    function = get(name, backend, accuracy=accuracy)
    return function if form == "value" else getattr(function, form)
