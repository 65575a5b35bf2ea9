"""Half types are held to be correctly rounded, for each of their 65,536 numbers."""

from __future__ import annotations

import functools

import numpy as np

from kernels.activations import BOUND_OF, Activation, lookup
from kernels.constants import CODES
from kernels.half import HALVES, rounded
from kernels.verify.findings import Finding, bits_differ, first_difference
from kernels.verify.inputs import evaluate, reference_backend

#: More than the error of float64 kernels, relative to the result; what is nearer to a tie is judged by mpmath.
NEAR = 2.0**-45


def numbers(dtype: np.dtype) -> np.ndarray:
    """All numbers of a half type, every NaN a quiet one."""
    codes = np.arange(CODES, dtype=np.uint16)
    codes[(codes & 0x7FFF) > np.array(np.inf, dtype).view(np.uint16)] |= 1 << (HALVES[dtype.name].bits - 2)
    return codes.view(dtype)


@functools.cache
def expected(name: str, key: str, dtype: np.dtype) -> np.ndarray:
    """A formula of every number, correctly rounded."""
    from kernels import oracle

    record = lookup(name)
    params = tuple(float(rounded(np.float64(p), dtype)) for p in record.example_parameters)
    x = numbers(dtype).astype(np.float64)
    form = next(form for form, bound in BOUND_OF.items() if bound == key)
    result = evaluate(record, form, reference_backend(), "fast", x, np.ones_like(x), params)
    right = rounded(result, dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        open_ = rounded(result * (1 - NEAR), dtype) != rounded(result * (1 + NEAR), dtype)
    exact = oracle.lookup(record, key)
    for i in np.flatnonzero(open_ & ~np.isnan(result)):
        right[i] = np.copysign(nearest(exact(float(x[i]), *params), dtype), result[i])
    return right


def nearest(exact, dtype: np.dtype) -> np.float64:
    """The number of a half type that is nearest to an mpf, the even one of two."""
    from kernels.oracle import mp

    half = HALVES[dtype.name]
    if abs(exact) >= half.limit:
        return np.float64(mp.sign(exact) * mp.inf)
    _, exponent = mp.frexp(exact)
    place = max(int(exponent), int(np.log2(half.smallest)) + 1) - half.bits
    # A quotient would be rounded to the precision of the context, a power of two is moved exactly.
    return np.float64(mp.ldexp(mp.nint(mp.ldexp(exact, -place)), place))


def check_half(record: Activation, form: str, backend: str, dtype: np.dtype, accuracy: str = "fast") -> Finding:
    """A formula of every number of a half type; any NaN is right for NaN."""
    x = numbers(dtype)
    got = evaluate(record, form, backend, accuracy, x, np.ones_like(x))
    right = expected(record.name, BOUND_OF[form], dtype)
    different = int(np.count_nonzero(bits_differ(got, right)))
    return Finding(
        "half", record.name, form, backend, dtype.name, accuracy, different, 0, first_difference(got, right, x)
    )
