"""Fit the polynomials of the vector math: ``python -m kernels.fit`` prints ``coefficients.py``.

- e^r = 1 + r + r^2 q(r) on |r| <= ln(2)/2;
- log(1 + f) = 2 atanh(s) = 2 s + s z p(z) with z = s^2 and s = f / (2 + f), for 1 + f from 1/sqrt(2) to sqrt(2);
- log(1 + x) = x - x^2 l(x) for x from 0 to 1, in float32 alone: there it takes less than p's division and selects;
- a erfc(a / sqrt(2)) / 2 = e^(-a^2/2) w (1/2 + t(w - middle)) with w = a / (a + scale), for a from 0 to an end where
  that is 0: w takes a half-line to an interval on which one polynomial is enough;
- a - tanh(a) = a^3 (1/3 + z h(z)) with z = a^2, for a from 0 to 1;
- e^2r = 1 + r (2 + r u(r)) on |r| <= ln(2)/4, shorter than q in float32: of tanh's 1 - 2 / (1 + e^2a) little is e^2a's;
- tanh(a) = a + a z / d(z) with z = a^2, up to z = tanh_far. d is nearly a line, for its nearest pole is at -20.2 (where
  tan(y) = y, z = -y^2), and that of tanh(a) / a at -2.5.

The coefficients of q, p, l, t, h, u and d are rounded to the target format, one at a time, lowest first, and those that
remain are fitted anew each time, so that they absorb the rounding of those before. Each fit is a weighted least-squares
fit on Chebyshev nodes in 200-bit arithmetic, which comes within a few per cent of the minimax error. The weight makes
it the error relative to e^r, to 2 s, to log(1 + x), to 1/2 + t, to 1/3 + z h, to e^2r or to tanh(a).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np

NODES = 120

#: The tail again, as a Chebyshev series on the whole half-line: an independent approximation, for the NumPy text.
SERIES_SCALE, SERIES_TERMS = 4.0, 26


@dataclass(frozen=True)
class Format:
    """A format's type, the numbers of coefficients (q, p, l, t, h, u, d), bits of ln 2's high part, where t is fitted.

    tanh changes its formula at z = ``tanh_far``: rounding errors of d(z) are small up to there, those of
    1 - 2 / (1 + e^2a) beyond.
    """

    dtype: type
    counts: tuple[int, int, int, int, int, int, int]
    ln2_bits: int
    tail_scale: float
    tail_middle: float
    tail_end: float
    tanh_far: float


FORMATS = {
    "float32": Format(np.float32, (5, 3, 10, 11, 7, 5, 4), 15, 2.3125, 0.0, 16.0, 1.0),
    "float64": Format(np.float64, (10, 7, 0, 24, 15, 10, 7), 40, 3.0, 0.25, 40.0, 0.5),
    "wide": Format(np.float64, (6, 4, 0, 13, 9, 6, 5), 53, 4.0, 0.25, 16.0, 0.5),
}


@dataclass(frozen=True)
class Target:
    """What a polynomial stands for on [low, high], and the weight of its error there."""

    function: Callable[[mpmath.mpf], mpmath.mpf]
    weight: Callable[[mpmath.mpf], mpmath.mpf]
    low: mpmath.mpf
    high: mpmath.mpf


def exp_quotient(r: mpmath.mpf) -> mpmath.mpf:
    """(e^r - 1 - r) / r^2, without cancellation."""
    if abs(r) > mpmath.mpf("0.01"):
        return (mpmath.expm1(r) - r) / r**2
    return mpmath.fsum(r**k / mpmath.factorial(k + 2) for k in range(30))


def log1p_quotient(z: mpmath.mpf) -> mpmath.mpf:
    """(2 atanh(s) - 2 s) / s^3 at s = sqrt(z), without cancellation."""
    return mpmath.fsum(2 * z**k / (2 * k + 3) for k in range(60))


def log1p_rest(x: mpmath.mpf) -> mpmath.mpf:
    return (x - mpmath.log1p(x)) / x**2


def tail_rest(w: mpmath.mpf, scale: float) -> mpmath.mpf:
    """erfc(a / sqrt(2)) e^(a^2/2) (a + scale) / 2 - 1/2 at w = a / (a + scale)."""
    a = scale * w / (1 - w)
    return (mpmath.erfc(a / mpmath.sqrt(2)) * mpmath.exp(a**2 / 2) * (a + scale) - 1) / 2


def shrink_tail(z: mpmath.mpf) -> mpmath.mpf:
    """t of tanh(a) = a / (1 + z / (3 + z t)), its continued fraction at z = a^2 <= 1: nothing cancels."""
    tail = mpmath.mpf(0)
    for odd in range(99, 5, -2):
        tail = z / (odd + tail)
    return 1 / (5 + tail)


def shrink_quotient(z: mpmath.mpf) -> mpmath.mpf:
    """(a - tanh(a)) / a^3 at a = sqrt(z)."""
    return 1 / (3 + z * (1 + shrink_tail(z)))


def shrink_rest(z: mpmath.mpf) -> mpmath.mpf:
    """(shrink_quotient - 1/3) / z."""
    return -shrink_quotient(z) * (1 + shrink_tail(z)) / 3


def tanh_divisor(z: mpmath.mpf) -> mpmath.mpf:
    """z / (tanh(a) / a - 1) at a = sqrt(z)."""
    if z == 0:
        return mpmath.mpf(-3)
    a = mpmath.sqrt(z)
    return z / (mpmath.tanh(a) / a - 1)


def tanh_weight(z: mpmath.mpf) -> mpmath.mpf:
    """The relative error of tanh(a) by an error of d(z)."""
    d = tanh_divisor(z)
    return z / (d * (d + z))


def targets(form: Format) -> dict[str, Target]:
    """Name -> what to fit; the intervals are a little wider than the reductions leave them."""
    half = mpmath.log(2) / 2 * mpmath.mpf("1.0005")
    largest = (mpmath.tanh(half / 2)) ** 2
    scale, middle, end = map(mpmath.mpf, (form.tail_scale, form.tail_middle, form.tail_end))
    tail = functools.cache(lambda v: tail_rest(v + middle, scale))
    return {
        "exp": Target(exp_quotient, lambda r: r**2 / mpmath.exp(r), -half, half),
        "log1p": Target(log1p_quotient, lambda z: z / 2, mpmath.mpf(0), largest),
        "log1p_rest": Target(log1p_rest, lambda x: x**2 / mpmath.log1p(x), mpmath.mpf("1e-9"), mpmath.mpf(1)),
        "tail": Target(tail, lambda v: 1 / (tail(v) + 0.5), -middle, end / (end + scale) - middle),
        "shrink": Target(shrink_rest, lambda z: z / shrink_quotient(z), mpmath.mpf(0), mpmath.mpf(1)),
        "exp_twice": Target(lambda r: 4 * exp_quotient(2 * r), lambda r: r**2 / mpmath.exp(2 * r), -half / 2, half / 2),
        "tanh": Target(tanh_divisor, tanh_weight, mpmath.mpf(0), mpmath.mpf(form.tanh_far)),
    }


def fit(target: Target, degree: int, fixed: list[mpmath.mpf]) -> list[mpmath.mpf]:
    """The coefficients from len(fixed) to degree, those in ``fixed`` given."""
    middle, half_width = (target.low + target.high) / 2, (target.high - target.low) / 2
    nodes = [middle + half_width * mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * NODES)) for i in range(NODES)]
    free = range(len(fixed), degree + 1)
    rows = mpmath.matrix(NODES, len(free))
    values = mpmath.matrix(NODES, 1)
    for i, x in enumerate(nodes):
        weight = target.weight(x)
        known = mpmath.fsum(c * x**k for k, c in enumerate(fixed))
        values[i] = weight * (target.function(x) - known)
        for j, k in enumerate(free):
            rows[i, j] = weight * x**k
    return list(mpmath.lu_solve(rows, values))


def rounded(value: mpmath.mpf, dtype: type) -> float:
    """The value rounded once to dtype, as a Python float."""
    bits = 24 if dtype is np.float32 else 53
    with mpmath.workprec(bits):
        return float(+value)


def coefficients(target: Target, dtype: type, count: int) -> list[float]:
    """Rounded coefficients, lowest first."""
    fixed: list[float] = []
    for _ in range(count):
        head = fit(target, count - 1, [mpmath.mpf(c) for c in fixed])[0]
        fixed.append(rounded(head, dtype))
    return fixed


def weighted_error(target: Target, found: list[float]) -> float:
    """Largest weighted error of the polynomial on a fine grid."""
    grid = [target.low + (target.high - target.low) * mpmath.mpf(i) / 2000 for i in range(2001)]
    errors = (target.weight(x) * (target.function(x) - mpmath.polyval(found[::-1], x)) for x in grid)
    return float(max(abs(error) for error in errors))


def split_ln2(dtype: type, bits: int) -> tuple[float, float]:
    """ln 2 as high + low: the high part has few bits, so that n * high is exact."""
    with mpmath.workprec(bits):
        high = +mpmath.log(2)
    return float(high), rounded(mpmath.log(2) - high, dtype)


def series(count: int) -> list[float]:
    """Chebyshev coefficients of tail_rest + 1/2 in q = 2 w - 1, for the NumPy text."""
    nodes = [mpmath.pi * (2 * j + 1) / (2 * NODES) for j in range(NODES)]
    values = [tail_rest((1 + mpmath.cos(theta)) / 2, mpmath.mpf(SERIES_SCALE)) + 0.5 for theta in nodes]
    sums = [
        mpmath.fsum(v * mpmath.cos(k * theta) for v, theta in zip(values, nodes, strict=True)) for k in range(count)
    ]
    return [rounded(s * (2 if k else 1) / NODES, np.float64) for k, s in enumerate(sums)]


def main() -> None:
    mpmath.mp.prec = 200
    print('"""Coefficients of the vector math, written by ``python -m kernels.fit``."""\n')
    for name, form in FORMATS.items():
        dtype = form.dtype
        high, low = split_ln2(dtype, form.ln2_bits)
        print(f"{name.upper()} = {{")
        print(f'    "log2e": {rounded(1 / mpmath.log(2), dtype)!r},')
        print(f'    "ln2": {rounded(mpmath.log(2), dtype)!r},')
        print(f'    "ln2_high": {high!r},')
        print(f'    "ln2_low": {low!r},')
        print(f'    "tail_scale": {form.tail_scale!r},')
        print(f'    "tail_middle": {form.tail_middle!r},')
        print(f'    "tail_end": {form.tail_end!r},')
        print(f'    "tanh_far": {form.tanh_far!r},')
        for (key, target), count in zip(targets(form).items(), form.counts, strict=True):
            if not count:
                continue
            found = coefficients(target, dtype, count)
            error = mpmath.log(weighted_error(target, found), 2)
            print(f"    # relative error 2^{float(error):.1f} before rounding")
            print(f'    "{key}": (')
            for c in found:
                print(f"        {c!r},")
            print("    ),")
        print("}\n")
    print(f"SERIES_SCALE = {SERIES_SCALE!r}")
    print("SERIES = (", *(f"    {c!r}," for c in series(SERIES_TERMS)), ")", sep="\n")


if __name__ == "__main__":
    main()
