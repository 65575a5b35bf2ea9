"""Arrays of other libraries in host memory: how they are read, and how a result becomes one of the same kind.

A form is called again with what the arrays hold, mostly NumPy's arrays in the same memory, and what comes of it is
wrapped. Nothing is imported for them: an array that is given brings its library along.
"""

from __future__ import annotations

import abc
import functools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels import device_arrays
from kernels.activations import Parameter
from kernels.arguments import (
    OUT,
    as_array,
    as_parameter,
    check_halves,
    checked_axis,
    fitted_gradient,
    is_accepted,
    parameter_shape,
)
from kernels.half import named

if TYPE_CHECKING:  # it calls
    from kernels.front import Form


class Kind:
    """What NumPy can read; a result is NumPy's."""

    def takes(self, cls: type) -> bool:
        """Whether a type of the library is an array of this kind."""
        return True

    def read(self, array: Any, name: str) -> Any:
        """What a form takes in its place; TypeError names what can't be read."""
        return as_array(array, name)

    def lend(self, out: Any) -> Any:
        """What a form writes into in its place; TypeError where there is no such thing."""
        raise TypeError(f"out must be {OUT}, given {type(out).__name__}")

    def wrap(self, result: Any, x: Any) -> Any:
        """A result as what x is."""
        return result

    def call(self, form: Form, inputs: Sequence, params: Sequence, keywords: dict) -> Any:
        """A form of inputs of which the last is of this kind."""
        x, out = inputs[-1], keywords.get("out")
        arrays = map(read, inputs, form.input_names)
        values = map(read, params, form.parameter_names)
        if out is None:
            result = form.public(*arrays, *values, **keywords)
            return tuple(self.wrap(one, x) for one in result) if type(result) is tuple else self.wrap(result, x)
        several = isinstance(out, (tuple, list))
        # Of the type that it has: what is wrong with it is told by that.
        lent = (tuple if isinstance(out, tuple) else list)(map(lend, out)) if several else lend(out)
        result = form.public(*arrays, *values, **(keywords | {"out": lent}))
        for one in out if several else (out,):
            written(one)
        if several:
            return tuple(out)
        # Slopes that were drawn come beside y.
        return (out, self.wrap(result[1], x)) if type(result) is tuple else out


class Torch(Kind):
    """PyTorch's tensors, whose memory NumPy's arrays share."""

    @functools.cached_property
    def torch(self) -> Any:
        return sys.modules["torch"]

    @functools.cached_property
    def bfloat16(self) -> Any:
        return self.torch.bfloat16

    def takes(self, cls: type) -> bool:
        return issubclass(cls, self.torch.Tensor)

    def read(self, array: Any, name: str) -> np.ndarray:
        if array.requires_grad:
            raise TypeError(f"{name}: {device_arrays.REQUIRES_GRAD}")
        if self._is_transformed(array):
            raise TypeError(
                f"{name} belongs to torch.func or to forward-mode AD, which can't follow these functions: call them "
                "outside, or in a torch.autograd.Function with backward as its rule"
            )
        # PyTorch knows no such dtype of NumPy's.
        is_bfloat16 = array.dtype is self.bfloat16
        try:
            numbers = array.view(self.torch.int16).numpy() if is_bfloat16 else array.numpy()
        except (TypeError, RuntimeError):
            # It says why.
            return as_array(array, name)
        return numbers.view(_bfloat16(name)) if is_bfloat16 else numbers

    def lend(self, out: Any) -> np.ndarray:
        lent = self.read(out, "out")
        if not lent.flags.c_contiguous and any(map(_is_expanded, lent.strides, lent.shape)):
            # An expanded tensor is what a broadcast array is to NumPy.
            lent.flags.writeable = False
        return lent

    def wrap(self, result: Any, x: Any) -> Any:
        array = np.asarray(result)
        if array.dtype.kind == "f":
            return self.torch.from_numpy(array)
        return self.torch.from_numpy(array.view(np.int16)).view(self.bfloat16)

    def _is_transformed(self, array: Any) -> bool:
        """Whether the numbers are not, or not all, in the tensor itself."""
        is_wrapped, is_functional, forward = self._transforms
        # Asking for a tangent takes long, and outside of a level there is none.
        return (
            is_wrapped(array)
            or is_functional(array)
            or (forward._current_level >= 0 and forward.unpack_dual(array).tangent is not None)
        )

    @functools.cached_property
    def _transforms(self) -> tuple:
        torch = self.torch
        return torch._C._functorch.is_functorch_wrapped_tensor, torch._is_functional_tensor, torch.autograd.forward_ad


def _is_expanded(step: int, length: int) -> bool:
    return step == 0 and length > 1


def _bfloat16(name: str) -> np.dtype:
    try:
        return named("bfloat16")
    except ImportError:
        raise TypeError(f"{name} is bfloat16, which NumPy has by ml_dtypes: pip install ml_dtypes") from None


class JAX(Kind):
    """JAX's arrays, which NumPy reads where they are, and its tracers."""

    def takes(self, cls: type) -> bool:
        return issubclass(cls, sys.modules["jax"].Array) or _is_tracer(cls)

    def read(self, array: Any, name: str) -> np.ndarray:
        if _is_tracer(type(array)):
            raise TypeError(
                f"{name} is traced by JAX, which can't follow these functions: call them outside of jit, vmap and "
                "grad, or by jax.pure_callback, with backward as the rule of a jax.custom_vjp"
            )
        return as_array(array, name)

    def lend(self, out: Any) -> Any:
        raise TypeError("out is an array of JAX, which is immutable: give a NumPy array, or take the result")

    def wrap(self, result: Any, x: Any) -> Any:
        jax = sys.modules["jax"]
        if not x.committed:
            # Nor is the result: it goes wherever it is used with others.
            with jax.default_device(next(iter(x.devices()))):
                return jax.device_put(result)
        # What is spread over several devices is spread as x, if it has x's shape.
        as_x = np.shape(result) == x.shape or len(x.sharding.device_set) == 1
        return jax.device_put(result, x.sharding if as_x else None)


def _is_tracer(cls: type) -> bool:
    return any(base.__name__ == "Tracer" for base in cls.__mro__)


class Labelled(Kind, abc.ABC):
    """Arrays with names for their places: with another's names, numbers would meet the wrong ones."""

    def call(self, form: Form, inputs: Sequence, params: Sequence, keywords: dict) -> Any:
        x = inputs[-1]
        for value, name in zip((*inputs[:-1], *params), (*form.input_names[:-1], *form.parameter_names), strict=True):
            if kind_of(value) is not self or value is x or (value.size == 1 and name in form.parameter_names):
                continue
            if not self.agree(value, x, _axes_of(value, x, name)):
                raise ValueError(
                    f"{name} has other labels than {form.input_names[-1]}: align the two, or give {name} without "
                    "labels, as a NumPy array"
                )
        return super().call(form, inputs, params, keywords)

    @abc.abstractmethod
    def agree(self, value: Any, x: Any, axes: Sequence[int]) -> bool:
        """Whether labels are those of x's axes, where both have them and are of the same length: glu halves one."""


def _axes_of(value: Any, x: Any, name: str) -> range:
    """x's axes along which an argument lies: the last ones, but for a weight with one axis, which is x's second."""
    if name != "grad_output" and value.ndim == 1 and x.ndim > 1:
        return range(1, 2)
    return range(max(x.ndim - value.ndim, 0), x.ndim)


class Pandas(Labelled):
    """Series, DataFrames and Indexes."""

    def takes(self, cls: type) -> bool:
        pandas = sys.modules["pandas"]
        return issubclass(cls, (pandas.Series, pandas.DataFrame, pandas.Index))

    def agree(self, value: Any, x: Any, axes: Sequence[int]) -> bool:
        # An Index has none.
        labels, others = getattr(value, "axes", ()), getattr(x, "axes", ())
        both = [(one, others[axis]) for one, axis in zip(labels, axes, strict=False)] if others else []
        return all(a.equals(b) for a, b in both if len(a) == len(b))

    def read(self, array: Any, name: str) -> np.ndarray:
        dtypes = list(array.dtypes) if array.ndim == 2 else [array.dtype]
        own = [one for one in dtypes if not isinstance(one, np.dtype)]
        found = [_of_numpy(one) for one in dtypes]
        # To NumPy, None is float64.
        if any(one is None for one in found) or not (own or len(set(found)) > 1):
            return as_array(array, name)
        # NumPy makes objects of booleans beside other numbers, and of what is missing in dtypes of pandas' own.
        missing = {"na_value": np.nan} if own else {}
        return as_array(array.to_numpy(np.result_type(*found), **missing), name)

    def wrap(self, result: Any, x: Any) -> Any:
        if np.shape(result) != x.shape:
            return result
        # The result is nobody else's, so that it need not be copied.
        if not hasattr(x, "axes"):
            return sys.modules["pandas"].Index(result, name=x.name, copy=False)
        # As pandas documents for its subclasses.
        return x._constructor(result, *x.axes, copy=False).__finalize__(x)


def _of_numpy(dtype: Any) -> np.dtype | None:
    """The dtype of NumPy's in which pandas' numbers are read: integers that may be missing as what they compute in."""
    if isinstance(dtype, np.dtype):
        return dtype if is_accepted(dtype) else None
    kind = getattr(dtype, "kind", "O")
    if kind in "biu":
        return np.dtype(np.float64)
    return np.dtype(f"f{dtype.itemsize}") if kind == "f" else None


class Xarray(Labelled):
    """DataArrays and Variables, around an array of any kind."""

    def takes(self, cls: type) -> bool:
        return issubclass(cls, (sys.modules["xarray"].DataArray, sys.modules["xarray"].Variable))

    def agree(self, value: Any, x: Any, axes: Sequence[int]) -> bool:
        # A Variable has no coordinates.
        labels, others = getattr(value, "xindexes", {}), getattr(x, "xindexes", {})
        both = [d for d in value.dims if d in labels and d in others and value.sizes[d] == x.sizes[d]]
        same = all(type(labels[d]) is type(others[d]) and labels[d].equals(others[d]) for d in both)
        return same and value.dims == tuple(x.dims[axis] for axis in axes)

    def read(self, array: Any, name: str) -> Any:
        return array.data

    def wrap(self, result: Any, x: Any) -> Any:
        if np.shape(result) != x.shape:
            return result
        # How x is packed in a file says nothing of the result.
        return x.copy(deep=False, data=result).drop_encoding()


class Dask(Kind):
    """Dask's arrays: the form of each block, when it is computed. Rows and pairs have one block along their axis."""

    def takes(self, cls: type) -> bool:
        array = sys.modules.get("dask.array")
        return array is not None and issubclass(cls, array.Array)

    def lend(self, out: Any) -> Any:
        raise TypeError("out is a Dask array, which has no memory to write into: give a NumPy array")

    def call(self, form: Form, inputs: Sequence, params: Sequence, keywords: dict) -> Any:
        if keywords.get("out") is not None:
            raise TypeError("x is a Dask array, whose result is computed later: out can't take it")
        if keywords.get("training"):
            raise TypeError(
                "training would draw anew whenever a Dask array is computed: draw the slopes beforehand, slope = "
                f"dask.array.random.uniform(lower, upper, x.shape), and give {form.record.drawn}(x, slope)"
            )
        if form.record.elementwise:
            return self._of_blocks(form, inputs[:-1], inputs[-1], params)
        x, axis = inputs[-1], keywords.get("axis", -1)
        # A number is a row of one.
        rows = x if x.ndim else x.reshape(1)
        along = checked_axis(axis, rows.ndim)
        _refuse_unknown(rows.shape[along : along + 1], form.input_names[-1])
        if form.record.gate:
            check_halves(rows.shape[along], axis)
        rows = rows.rechunk({along: -1})
        if form.form == "jacobian":
            return self._of_blocks(form, (), sys.modules["dask.array"].moveaxis(rows, along, -1), ())
        result = self._of_blocks(form, inputs[:-1], rows, (), axis=along)
        return result if x.ndim else result.reshape(())

    def _of_blocks(self, form: Form, gradients: Sequence, x: Any, params: Sequence, **options: int) -> Any:
        """The form of blocks, which hold all of an axis that is in ``options``."""
        da, function, record, axis = sys.modules["dask.array"], form.public, form.record, options.get("axis", -1)
        shape, chunks, new_axis = x.shape, x.chunks, None
        if record.gate:
            shape = record.result_shape("value", shape, axis)
            chunks = (*chunks[:axis], (shape[axis],), *chunks[axis + 1 :])
        gradients = [self._gradient(g, shape, chunks, form.input_names[-1]) for g in gradients]
        values = [self._parameter(*each, x) for each in zip(params, record.parameters, strict=True)]
        arguments = (*gradients, x, *values)
        # Of blocks without elements: what is wrong with a call is said at once, and what is right tells the dtype.
        meta = function(*(getattr(one, "_meta", one) for one in arguments), **options)
        if form.form == "backward_parameters":
            # Its sums go through x in one order.
            total = sys.modules["dask"].delayed(function, pure=True)(*gradients, x, *params)
            return da.from_delayed(total, np.shape(params[0]), meta.dtype)
        if form.form == "value_and_derivative":
            function, meta, chunks, new_axis = functools.partial(_stacked, function), np.stack(meta), ((2,), *chunks), 0
        elif form.form == "jacobian":
            chunks, new_axis = (*chunks, chunks[-1]), x.ndim
        elif form.form == "backward":
            chunks = x.chunks
        result = da.map_blocks(function, *arguments, chunks=chunks, new_axis=new_axis, meta=meta, **options)
        return tuple(result) if form.form == "value_and_derivative" else result

    def _gradient(self, gradient: Any, shape: tuple, chunks: tuple, of: str) -> Any:
        """In the blocks of what it is the gradient of, which is named; a number stays one."""
        gradient = self._opened(gradient, "grad_output")
        if kind_of(gradient) is not self:
            array = as_array(gradient, "grad_output")
            if array.ndim == 0:
                return gradient
            gradient = sys.modules["dask.array"].asarray(array)
        _refuse_unknown(gradient.shape, "grad_output")
        _refuse_unknown(shape, of)
        fitted_gradient(np.broadcast_to(0, gradient.shape), shape, of)
        return sys.modules["dask.array"].broadcast_to(gradient, shape).rechunk(chunks)

    def _opened(self, value: Any, name: str) -> Any:
        """An argument as blocks, around which a DataArray may be, or as less foreign."""
        return value if kind_of(value) in (self, None) else self._opened(read(value, name), name)

    def _parameter(self, value: Any, parameter: Parameter, x: Any) -> Any:
        """A number, or an array in blocks as x."""
        value = self._opened(value, parameter.name)
        if kind_of(value) is not self:
            array = as_parameter(value, parameter) if parameter.broadcasts else None
            if array is None or array.size == 1:
                return value
            value = sys.modules["dask.array"].asarray(array)
        elif not parameter.broadcasts or value.size == 1:
            raise TypeError(f"{parameter.name} must be a number, given a Dask array: compute it first")
        _refuse_unknown(value.shape, parameter.name)
        along = x.shape[1:2] if value.ndim == 1 < x.ndim else x.shape
        _refuse_unknown([n for n, w in zip(along, value.shape, strict=False) if w != 1], "x")
        shape = parameter_shape(value.shape, parameter, x.shape)
        return value.reshape(shape).rechunk(tuple(1 if n == 1 else c for n, c in zip(shape, x.chunks, strict=True)))


def _stacked(form: Form, x: Any, *params: Any) -> Any:
    """Both results of a pass in one array, as a block is one."""
    return np.stack(form(x, *params))


def _refuse_unknown(shape: Sequence, name: str) -> None:
    if any(n != n for n in shape):
        raise ValueError(f"{name} is a Dask array with chunks of unknown size: call its compute_chunk_sizes()")


# ---------------------------------------------------------------- telling them apart
#: Arguments that are taken as they are.
_NO_ARRAYS = ("axis", "training", "rng")

_ANY, _JAX = Kind(), JAX()
_KINDS = {
    "torch": Torch(),
    "jax": _JAX,
    "jaxlib": _JAX,
    "pandas": Pandas(),
    "xarray": Xarray(),
    "dask": Dask(),
}


@functools.lru_cache(maxsize=256)
def kind_of_type(cls: type) -> Kind | None:
    """The kind that arrays of a type are of in host memory; None for NumPy's arrays, scalars, lists and the rest."""
    for base in cls.__mro__:
        kind = _KINDS.get(base.__module__.partition(".")[0])
        if kind is not None and kind.takes(cls):
            return kind
    return None if device_arrays.kind_of_type(cls) is None else _ANY


def kind_of(value: Any) -> Kind | None:
    return kind_of_type(type(value))


def any_foreign(args: Sequence, keywords: dict) -> bool:
    """Whether an argument is an array of another library, on a GPU or not."""
    # A generator would take as long as the rest.
    for value in args:
        if kind_of_type(type(value)) is not None:
            return True
    if not keywords:
        return False
    for name, value in keywords.items():
        if kind_of_type(type(value)) is not None and name not in _NO_ARRAYS:
            return True
    out = keywords.get("out")
    return isinstance(out, (tuple, list)) and any(map(kind_of, out))


def read(value: Any, name: str) -> Any:
    """What a form takes in place of an argument: what is foreign, as less foreign."""
    kind = kind_of_type(type(value))
    return value if kind is None else kind.read(value, name)


def lend(out: Any) -> Any:
    """What a form writes into in place of an output."""
    kind = kind_of_type(type(out))
    return out if kind is None else kind.lend(out)


def written(out: Any) -> None:
    """Tell an output's library that it has changed, as in GPU memory."""
    kind = device_arrays.kind_of_type(type(out))
    if kind is not None:
        kind.written(out)


def call(form: Form, inputs: Sequence, params: Sequence, keywords: dict) -> Any:
    """A form of arrays of which any may be another library's: the kind of x, the last input, comes back."""
    return (kind_of_type(type(inputs[-1])) or _ANY).call(form, inputs, params, keywords)
