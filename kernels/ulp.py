"""Errors in units in the last place (ULP) against references of a wider format, for whole arrays."""

from __future__ import annotations

import numpy as np

#: The exponent field of a float64: what is left of a number is the power of two below it.
EXPONENT = np.int64(0x7FF0000000000000)

#: Around a root the error is counted in ulp(1).
ROOT_RADIUS = 1.0


def limits(dtype: type) -> np.finfo:
    """The dtype's ``finfo``, which NumPy has not for bfloat16."""
    if np.dtype(dtype).name != "bfloat16":
        return np.finfo(dtype)
    import ml_dtypes

    return ml_dtypes.finfo(dtype)


def ulp_of(reference: np.ndarray, dtype: type) -> np.ndarray:
    """The unit in the last place of ``dtype`` at each float64 value: of the subnormals below, of the largest above."""
    info = limits(dtype)
    power = (np.ascontiguousarray(reference, np.float64).view(np.int64) & EXPONENT).view(np.float64)
    np.clip(power, float(info.tiny), 2.0 ** (info.maxexp - 1), out=power)
    power *= float(info.eps)
    return power


def ulp_errors(got: np.ndarray, reference: np.ndarray, dtype: type) -> np.ndarray:
    """Errors in ULP; NaN is right only for NaN; an infinity that should not be one counts as the next power of two."""
    with np.errstate(invalid="ignore", over="ignore"):
        errors = got.astype(reference.dtype) - reference
        np.abs(errors, out=errors)
        errors /= ulp_of(_towards_zero(reference), dtype)
    odd = np.flatnonzero(~np.isfinite(errors))
    if odd.size:
        errors[odd] = np.where(_agree(got[odd], reference[odd], dtype), 0.0, _overflow(got[odd], reference[odd], dtype))
    return errors


def _towards_zero(reference: np.ndarray) -> np.ndarray:
    """As float64 that are no larger: a power of two that is not reached has a unit twice too large."""
    if reference.dtype == np.float64:
        return reference
    near = reference.astype(np.float64)
    over = np.abs(near) > np.abs(reference)
    near[over] = np.nextafter(near[over], 0)
    return near


def near_roots(x: np.ndarray, roots: tuple[float, ...]) -> np.ndarray:
    """Where x is so near to a root of the derivative that a relative error says nothing."""
    with np.errstate(invalid="ignore"):
        return np.any([np.abs(x - root) < ROOT_RADIUS for root in roots] or [np.zeros(x.shape, bool)], axis=0)


def _overflow(got: np.ndarray, reference: np.ndarray, dtype: type) -> np.ndarray:
    """Errors of results that are infinite where a number should be, else infinity."""
    largest = reference.dtype.type(limits(dtype).max)
    unit = ulp_of(_towards_zero(reference), dtype)
    with np.errstate(invalid="ignore"):
        errors = (largest - np.abs(reference)) / unit + ulp_of(np.float64(largest), dtype) / unit
        overflows = np.isinf(got) & np.isfinite(reference) & ((got > 0) == (reference > 0))
    return np.where(overflows, errors, np.inf)


def _agree(got: np.ndarray, reference: np.ndarray, dtype: type) -> np.ndarray:
    """Whether results that are infinite or not a number are what the references round to."""
    info = limits(dtype)
    real = reference.dtype.type
    limit = real(info.max) * (1 + real(info.eps) / 4)
    with np.errstate(invalid="ignore"):  # bfloat16 compares NaN with a warning
        overflow = np.isinf(got) & (np.abs(reference) >= limit) & ((got > 0) == (reference > 0))
    return overflow | (np.isnan(got) & np.isnan(reference))
