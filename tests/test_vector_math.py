"""The vector math by itself: its error against mpmath, and the same bits from both texts."""

import ctypes

import mpmath
import numpy as np
import pytest

from kernels.backends import cython_loops, numba_cpu
from kernels.constants import FORMATS, VECTOR_MATH
from kernels.oracle import ulp_error
from kernels.verify.findings import bits_differ

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_void_p)
#: function -> (exact function, smallest and largest argument, bound in ULP)
FUNCTIONS = {
    "exp_nonpositive": (mpmath.exp, -80.0, 0.0, 1.0),
    "expm1_nonpositive": (mpmath.expm1, -80.0, 0.0, 1.0),
    "log1p": (mpmath.log1p, 0.0, 1.0, 1.5),
}


def arguments(name, count):
    """Values over the whole interval and, in logarithmic steps, near 0; exact in float32."""
    _, low, high, _ = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    tiny = 10.0 ** rng.uniform(-30, 0, count) * (high + low)
    edges = [low, high, low / 2, high / 2, 0.0, 0.414, 0.4142, 0.4143, -0.3465, -0.3466, -1.0397]
    x = np.concatenate([rng.uniform(low, high, count), tiny, edges])
    return x[(x >= low) & (x <= high)].astype(np.float32)


def run(address, x, compute):
    dtype = np.float32 if compute == "float32" else np.float64
    x = x.astype(dtype)
    out = np.empty_like(x)
    KERNEL(address)(x.ctypes.data, out.ctypes.data, x.size, None)
    return out


def test_every_function_is_tested():
    assert set(FUNCTIONS) == set(VECTOR_MATH)


@pytest.mark.parametrize("compute", FORMATS)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.skipif(cython_loops.reason() is not None, reason=str(cython_loops.reason()))
def test_error_in_ulp(name, compute):
    exact, _, _, bound = FUNCTIONS[name]
    x = arguments(name, 2000)
    got = run(cython_loops.addresses(None)[f"vecmath_{name}", compute], x, compute)
    dtype = np.float64 if compute == "float64" else np.float32
    with mpmath.workprec(200):
        errors = [ulp_error(value, exact(mpmath.mpf(float(a))), dtype) for value, a in zip(got, x, strict=True)]
    # "wide" is not rounded yet: what it adds to half an ULP of float32.
    assert max(errors) <= (0.01 if compute == "wide" else bound)


@pytest.mark.parametrize("compute", FORMATS)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.skipif(cython_loops.reason() or numba_cpu.reason(), reason="needs the Cython and the Numba backend")
def test_same_bits_from_both_texts(name, compute):
    x = arguments(name, 20_000)
    ours = run(numba_cpu.elementwise(name, compute, 0).address, x, compute)
    for level in cython_loops.variants():
        theirs = run(cython_loops.addresses(level)[f"vecmath_{name}", compute], x, compute)
        assert not bits_differ(ours, theirs).any(), level
