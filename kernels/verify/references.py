"""What sweeps are held to: the NumPy text in a wider format, which shares nothing with the compiled formulas.

float32 is judged in float64, float64 in the longdouble of the platform where that has 64 bits or more. A text is a
judge only where it is itself held to the arbitrary-precision oracle: ``error`` says how far it is off.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from kernels import oracle
from kernels.activations import Activation, lookup
from kernels.backends import numpy_vector, texts
from kernels.ulp import near_roots, ulp_of
from kernels.verify.checks import exact_values
from kernels.verify.inputs import parameters

WIDER = {np.float32: np.float64, np.float64: np.longdouble}
#: Bits of the significand with which a format judges float64.
ENOUGH_BITS = 63
#: A judge of float64 is off by no more than this, in ULP.
TOLERANCE = 0.01


def text(record: Activation, key: str, dtype: type) -> Callable[[np.ndarray], np.ndarray]:
    """The NumPy text of a formula, with parameters as ``dtype`` rounds them, to be called in a wider format."""
    name = record.name if key == "value" else f"{record.name}_{key}"
    function, params = texts.find(numpy_vector, name), parameters(record, dtype)
    return lambda x: function(x, *params)


@functools.cache
def error(name: str, key: str, dtype: type) -> float:
    """The largest error of the wider text, in ULP of ``dtype`` (near a root: of 1), over the oracle's sample."""
    record = lookup(name)
    x, exact = exact_values(name, key, dtype, 60)
    with np.errstate(all="ignore"):
        got = text(record, key, dtype)(x.astype(WIDER[dtype]))
    # What the format can't hold is infinite in it, whatever the wider text says.
    finite = np.array([abs(one) <= np.finfo(dtype).max for one in exact], bool) & np.isfinite(got)
    near = near_roots(x, record.derivative_roots)
    worst = 0.0
    for i in np.flatnonzero(finite):
        unit = np.finfo(dtype).eps if near[i] else ulp_of(np.array([float(exact[i])]), dtype)[0]
        worst = max(worst, float(abs(number(got[i]) - exact[i]) / float(unit)))
    return worst


def number(x: np.floating) -> oracle.mpmath.mpf:
    """A float of any format as an exact mpf: its significand's nearest double, and what that leaves."""
    significand, exponent = np.frexp(x)
    near = float(significand)
    return oracle.mp.ldexp(oracle.mp.mpf(near) + float(significand - type(x)(near)), int(exponent))


def judges_float64(name: str, key: str) -> bool:
    """Whether longdouble is good enough, here and for this formula; else mpmath judges alone, and fewer inputs."""
    return np.finfo(np.longdouble).nmant >= ENOUGH_BITS and error(name, key, np.float64) <= TOLERANCE
