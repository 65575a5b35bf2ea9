"""What is verified, and on what: the inputs of the checks, and one call of a form on them."""

from __future__ import annotations

import functools

import numpy as np

from kernels.activations import RECORDS, Activation
from kernels.backends import BACKENDS, get

DTYPES = (np.float32, np.float64)
UNSIGNED = {np.float16: np.uint16, np.float32: np.uint32, np.float64: np.uint64}

#: Where the formulas change their mind: clamps, underflow, roots, saturation; and where hardswish is worst.
LANDMARKS = (
    0.0, 0.5, 1.0, 2.0**-13, 2.0**-28, 1.2784645427610738, 1.3722639328577366, 3.0, 9.01, 16.6, 17.33, 18.0, 19.1,
    36.7, 40.0, 65.0, 87.34, 88.73, 103.28, 103.97, 104.0, 109.0, 126.0, 130.0, 354.9, 372.5, 708.4, 709.8, 745.13,
    746.0, 1000.0,
)  # fmt: skip
#: And where their derivatives jump.
KINKS = sorted({abs(kink.at) for record in RECORDS for kink in record.kinks} - set(LANDMARKS))


@functools.cache
def sample(dtype: type, count: int, seed: int = 0) -> np.ndarray:
    """Normal and wide values, random bit patterns, neighbours of landmarks, subnormals and special values."""
    rng = np.random.default_rng(seed)
    unsigned = UNSIGNED[dtype]
    anything = quiet(rng.integers(0, np.iinfo(unsigned).max, count, dtype=unsigned, endpoint=True).view(dtype))
    near = np.array([s * x for x in (*LANDMARKS, *KINKS) for s in (1, -1)], dtype)
    info = np.finfo(dtype)
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, info.max, info.min, info.tiny, -info.tiny, info.smallest_subnormal]
    edges += [info.tiny / 2, -info.tiny / 2, info.tiny / 3, -info.tiny / 3]
    parts = [
        rng.standard_normal(count),
        rng.standard_normal(count) * 30,
        -np.abs(rng.standard_normal(count // 2)) * (90 if dtype is np.float32 else 700),
        anything,
        near,
        np.nextafter(near, np.inf),
        np.nextafter(near, -np.inf),
        edges,
    ]
    with np.errstate(over="ignore"):
        return np.concatenate([np.asarray(part).astype(dtype) for part in parts])


@functools.cache
def patterns(count: int) -> np.ndarray:
    """``count`` float32 bit patterns, evenly spread over all of them, both signs."""
    stride = 2**32 // count | 1
    return quiet((np.arange(count, dtype=np.uint64) * stride).astype(np.uint32).view(np.float32))


def quiet(values: np.ndarray) -> np.ndarray:
    """The values with every NaN a quiet one: signalling NaN raise a warning in any NumPy operation, a cast included."""
    return np.where(np.isnan(values), values.dtype.type(np.nan), values)


def parameters(record: Activation, dtype: type) -> tuple[float, ...]:
    """The example parameters, rounded as every backend rounds them."""
    return tuple(float(dtype(p)) for p in record.example_parameters)


def possible_outputs(record: Activation, y: np.ndarray) -> np.ndarray:
    """Those of ``y`` that the function can give."""
    low, high = (y.dtype.type(end) for end in record.range)
    with np.errstate(invalid="ignore"):  # bfloat16 compares NaN with a warning
        return y[(y >= low) & (y <= high)]


def outputs(record: Activation, x: np.ndarray) -> np.ndarray:
    """Outputs y to feed backward_from_output: those that the function can have."""
    y = get(record.name, "numpy")(x, *record.example_parameters)
    return y[np.isfinite(y)]


def evaluate(
    record: Activation,
    form: str,
    backend: str,
    accuracy: str,
    x: np.ndarray,
    g: np.ndarray,
    params: tuple | None = None,
) -> np.ndarray:
    """One form on x (and g), with the example parameters unless others are given."""
    function = get(record.name, backend, accuracy=accuracy)
    params = record.example_parameters if params is None else params
    if form == "value":
        return function(x, *params)
    if form.startswith("backward"):
        return getattr(function, form)(g, x, *params)
    return getattr(function, form)(x, *params)


def reference_backend() -> str:
    """The compiled backend that the others are held to, or NumPy where nothing is compiled."""
    return next((name for name in ("cython", "numba") if BACKENDS[name].reason() is None), "numpy")
