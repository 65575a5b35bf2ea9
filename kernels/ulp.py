"""Errors in units in the last place (ULP) against float64 references, for whole arrays."""

from __future__ import annotations

import numpy as np

#: The exponent field of a float64: what is left of a number is the power of two below it.
EXPONENT = np.int64(0x7FF0000000000000)

#: Around a root the error is counted in ulp(1).
ROOT_RADIUS = 1.0


def ulp_of(reference: np.ndarray, dtype: type) -> np.ndarray:
    """The unit in the last place of ``dtype`` at each float64 value: of the subnormals below, of the largest above."""
    info = np.finfo(dtype)
    power = (np.ascontiguousarray(reference, np.float64).view(np.int64) & EXPONENT).view(np.float64)
    np.clip(power, float(info.tiny), 2.0 ** (info.maxexp - 1), out=power)
    power *= float(info.eps)
    return power


def ulp_errors(got: np.ndarray, reference: np.ndarray, dtype: type) -> np.ndarray:
    """Errors in ULP; NaN is right only for NaN, infinity only where the reference rounds to it."""
    with np.errstate(invalid="ignore", over="ignore"):
        errors = got.astype(np.float64) - reference
        np.abs(errors, out=errors)
        errors /= ulp_of(reference, dtype)
    odd = np.flatnonzero(~np.isfinite(errors))
    if odd.size:
        errors[odd] = np.where(_agree(got[odd], reference[odd], dtype), 0.0, np.inf)
    return errors


def near_roots(x: np.ndarray, roots: tuple[float, ...]) -> np.ndarray:
    """Where x is so near to a root of the derivative that a relative error says nothing."""
    with np.errstate(invalid="ignore"):
        return np.any([np.abs(x - root) < ROOT_RADIUS for root in roots] or [np.zeros(x.shape, bool)], axis=0)


def _agree(got: np.ndarray, reference: np.ndarray, dtype: type) -> np.ndarray:
    """Whether results that are infinite or not a number are what the references round to."""
    info = np.finfo(dtype)
    limit = float(info.max) * (1 + float(info.eps) / 4)
    overflow = np.isinf(got) & (np.abs(reference) >= limit) & ((got > 0) == (reference > 0))
    return overflow | (np.isnan(got) & np.isnan(reference))
