"""What arguments are accepted, and as what: everything is checked here before anything is written."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernels.activations import Activation, Parameter
from kernels.half import rounded

#: form -> names of its array arguments
INPUTS = {
    "backward": ("grad_output", "x"),
    "backward_from_output": ("grad_output", "y"),
    "backward_parameters": ("grad_output", "x"),
}
ACCEPTED = "scalars, lists and arrays of float16, bfloat16, float32, float64, integers or booleans"
#: What out may be in host memory.
OUT = "a NumPy array or a tensor of PyTorch"


def as_array(value: Any, name: str) -> np.ndarray:
    """``value`` as an array of an accepted dtype; TypeError or ValueError say what was given and what is accepted."""
    refuse_mask(value, name)
    try:
        array = np.asarray(value)
        if array.dtype == object and array is not value and all(type(number) is int for number in array.flat):
            array = array.astype(np.float64)  # integers beyond 64 bits
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} is not a rectangular array of numbers ({error}); accepted are {ACCEPTED}") from None
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"{name} gives no NumPy array ({error}); accepted are {ACCEPTED}") from error
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


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise unless ``out`` can take a result of this shape and dtype."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be {OUT}, given {type(out).__name__}")
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
    """A parameter array laid out against x, rounded to a dtype."""
    return rounded(value, dtype).reshape(parameter_shape(value.shape, parameter, x.shape))


def parameter_shape(given: tuple[int, ...], parameter: Parameter, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a parameter array against x's: 1-d per channel (axis 1), or as many axes as x."""
    if len(given) == 1 and len(shape) > 1 and given[0] == shape[1]:
        return (1, given[0], *[1] * (len(shape) - 2))
    if len(given) == len(shape) and all(w in (1, n) for w, n in zip(given, shape, strict=True)):
        return given
    raise ValueError(
        f"{parameter.name} has shape {given}, which does not fit x of shape {shape}: accepted are a scalar, "
        "one value a channel (axis 1), or as many axes as x, each of length 1 or x's"
    )


def fitted_gradient(gradient: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """A gradient, broadcast to the shape of what it is the gradient of."""
    try:
        return np.broadcast_to(gradient, shape)
    except ValueError:
        raise ValueError(f"grad_output of shape {gradient.shape} does not fit {name} of shape {shape}") from None


def check_halves(length: int, axis: int) -> None:
    if length % 2:
        raise ValueError(f"x must have two halves along axis {axis}, given length {length}")


def checked_axis(axis: Any, ndim: int) -> int:
    """The axis counted from the front; TypeError or AxisError name what was given."""
    try:
        number = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis must be a whole number, given {axis!r}") from None
    if not -ndim <= number < ndim:
        raise np.exceptions.AxisError(f"axis {number} is out of bounds for an array of {ndim} axes")
    return number % ndim
