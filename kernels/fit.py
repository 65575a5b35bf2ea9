"""Fit the polynomials of the vector math: ``python -m kernels.fit`` prints ``coefficients.py``.

e^r = 1 + r + r^2 q(r) on |r| <= ln(2)/2, with q a polynomial whose coefficients are rounded to the target format. The
coefficients are rounded one at a time, lowest first, and those that remain are fitted anew each time, so that they
absorb the rounding of those before. Each fit is a weighted least-squares fit on Chebyshev nodes in 200-bit
arithmetic, which comes within a few per cent of the minimax error. The weight makes it the error relative to e^r.
"""

from __future__ import annotations

import mpmath
import numpy as np

NODES = 120

#: format -> (numpy type, number of coefficients of q, bits of ln 2's high part)
FORMATS = {"float32": (np.float32, 5, 15), "float64": (np.float64, 10, 40), "wide": (np.float64, 6, 53)}


def quotient(r: mpmath.mpf) -> mpmath.mpf:
    """(e^r - 1 - r) / r^2, without cancellation."""
    if abs(r) > mpmath.mpf("0.01"):
        return (mpmath.expm1(r) - r) / r**2
    return mpmath.fsum(r**k / mpmath.factorial(k + 2) for k in range(30))


def fit(degree: int, fixed: list[mpmath.mpf], half_width: mpmath.mpf) -> list[mpmath.mpf]:
    """The coefficients of q from len(fixed) to degree, those in ``fixed`` given."""
    nodes = [half_width * mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * NODES)) for i in range(NODES)]
    free = range(len(fixed), degree + 1)
    rows = mpmath.matrix(NODES, len(free))
    targets = mpmath.matrix(NODES, 1)
    for i, r in enumerate(nodes):
        weight = r**2 / mpmath.exp(r)
        known = mpmath.fsum(c * r**k for k, c in enumerate(fixed))
        targets[i] = weight * (quotient(r) - known)
        for j, k in enumerate(free):
            rows[i, j] = weight * r**k
    return list(mpmath.lu_solve(rows, targets))


def rounded(value: mpmath.mpf, dtype: type) -> float:
    """The value rounded once to dtype, as a Python float."""
    bits = 24 if dtype is np.float32 else 53
    with mpmath.workprec(bits):
        return float(+value)


def exp_coefficients(dtype: type, count: int) -> list[float]:
    """Rounded coefficients of q, lowest first."""
    half_width = mpmath.log(2) / 2 * mpmath.mpf("1.0005")
    fixed: list[float] = []
    for _ in range(count):
        head = fit(count - 1, [mpmath.mpf(c) for c in fixed], half_width)[0]
        fixed.append(rounded(head, dtype))
    return fixed


def relative_error(coefficients: list[float]) -> float:
    """Largest relative error of 1 + r + r^2 q(r) against e^r, on a fine grid."""
    half_width = mpmath.log(2) / 2
    grid = [half_width * mpmath.mpf(i) / 1000 for i in range(-1000, 1001)]
    return float(max(abs((1 + r + r**2 * mpmath.polyval(coefficients[::-1], r)) / mpmath.exp(r) - 1) for r in grid))


def split_ln2(dtype: type, bits: int) -> tuple[float, float]:
    """ln 2 as high + low: the high part has few bits, so that n * high is exact."""
    with mpmath.workprec(bits):
        high = +mpmath.log(2)
    return float(high), rounded(mpmath.log(2) - high, dtype)


def main() -> None:
    mpmath.mp.prec = 200
    print('"""Coefficients of the vector math, written by ``python -m kernels.fit``."""\n')
    for name, (dtype, count, bits) in FORMATS.items():
        coefficients = exp_coefficients(dtype, count)
        high, low = split_ln2(dtype, bits)
        error = mpmath.log(relative_error(coefficients), 2)
        print(f"#: e^r = 1 + r + r^2 q(r): relative error 2^{float(error):.1f} before rounding")
        print(f"{name.upper()} = {{")
        print(f'    "log2e": {rounded(1 / mpmath.log(2), dtype)!r},')
        print(f'    "ln2_high": {high!r},')
        print(f'    "ln2_low": {low!r},')
        print('    "exp": (')
        for c in coefficients:
            print(f"        {c!r},")
        print("    ),\n}\n")


if __name__ == "__main__":
    main()
