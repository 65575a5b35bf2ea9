"""The vector math by itself: its error against mpmath, and the same bits from both texts."""

import ctypes
import itertools
from fractions import Fraction

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
    "log1p_positive": (mpmath.log1p, 0.0, 1e19, 1.5),
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
    from kernels.backends import cpu_loops

    x = arguments(name, 20_000)
    ours = run(cpu_loops.elementwise(name, compute, 0).address, x, compute)
    for level in cython_loops.variants():
        theirs = run(cython_loops.addresses(level)[f"vecmath_{name}", compute], x, compute)
        assert not bits_differ(ours, theirs).any(), level


def triples(count):
    """Factors and addends of float32: special values, any bits, and sums beside a tie by less than float64 can tell."""
    rng = np.random.default_rng(0)
    edges = [0.0, 1.0, 1.5, 1 + 2**-23, 1 - 2**-24, 2**-24, 2**-149, 2**-126, 2**127, np.inf, np.nan]
    special = np.array(list(itertools.product(edges + [-edge for edge in edges], repeat=3)), np.float32).T
    any_bits = rng.integers(0, 2**32, (3, count), np.uint32).view(np.float32)
    sign = rng.choice([-1.0, 1.0], count)
    # 3 times an odd number of 24 bits is a tie; the addend is far below, or 0.
    odd = sign * (rng.integers(2**23, 2**24, count) | 1)
    exponent = rng.integers(-140, 100, count)
    far_below = rng.choice([-1.0, 0.0, 1.0], count) * np.exp2(exponent - rng.integers(0, 100, count))
    by_product = np.array([np.ldexp(odd, exponent), np.full(count, 3.0), far_below]).astype(np.float32)
    # (1 + 2^-23) (1 - 2^-23) is nearly 1; the addend is subnormal too.
    addend = np.ldexp(rng.uniform(1.0, 2.0, count), rng.integers(-149, 90, count)).astype(np.float32)
    unit = sign * np.spacing(addend) * (1 + 2**-23) * 2**30
    by_addend = np.array([unit, np.full(count, (1 - 2**-23) * 2**-31), addend]).astype(np.float32)
    return np.concatenate([special, any_bits, by_product, by_addend], axis=1)


def fma32(level, x, y, z):
    out = z.copy()
    kernel = KERNEL(cython_loops.addresses(level)["vecmath_fma", "float32"])
    kernel(x.ctypes.data, out.ctypes.data, out.size, y.ctypes.data)
    return out


def nearest(exact, guess):
    """The float32 nearest to a fraction: guess or a neighbour; of two equally near, the even one."""
    candidates = [guess, np.nextafter(guess, np.float32(np.inf)), np.nextafter(guess, np.float32(-np.inf))]
    finite = [candidate for candidate in candidates if np.isfinite(candidate)]
    return min(finite, key=lambda one: (abs(Fraction(float(one)) - exact), int(one.view(np.uint32)) & 1))


@pytest.mark.skipif(cython_loops.reason() is not None, reason=str(cython_loops.reason()))
def test_float32_fma_is_rounded_once():
    x, y, z = triples(3000)
    for level in cython_loops.variants():
        got = fma32(level, x, y, z)
        for row in np.flatnonzero(np.isfinite(got)):
            a, b, c = (Fraction(float(values[row])) for values in (x, y, z))
            assert got[row] == nearest(a * b + c, got[row]), (level, x[row], y[row], z[row])


@pytest.mark.skipif(cython_loops.reason() is not None, reason=str(cython_loops.reason()))
def test_same_float32_fma_at_every_level():
    x, y, z = triples(1_000_000)
    best = fma32(None, x, y, z)
    for level in cython_loops.variants():
        assert not bits_differ(best, fma32(level, x, y, z)).any(), level
