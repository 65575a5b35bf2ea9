"""Long arrays of half types look up their results, or their gradients' factors: the bits of computed ones, whatever the
way, in bounded memory."""

from __future__ import annotations

import concurrent.futures

import numpy as np
import pytest

import kernels
from kernels.activations import RECORDS
from kernels.constants import HALF_TYPES
from kernels.half import named
from kernels.native import native
from kernels.verify.halves import numbers

dispatch = native("dispatch")
pytestmark = pytest.mark.skipif(dispatch is None, reason="the compiled part is missing")
#: Elements of a call that computes.
SHORT = 2048
X = numbers(np.dtype(np.float16))
G = np.random.default_rng(0).permutation(X)
NAMES = [record.name for record in RECORDS if record.elementwise and not record.learnable]


def computed(function, x: np.ndarray, *params):
    """The results in pieces that are too short to be looked up."""
    pieces = [function(piece, *params) for piece in np.split(x, len(x) // SHORT)]
    if isinstance(pieces[0], tuple):
        return tuple(np.concatenate(one) for one in zip(*pieces, strict=True))
    return np.concatenate(pieces)


def form_of(name: str, form: str):
    function = kernels.get(name)
    return function if form == "value" else getattr(function, form)


def test_looked_up_is_computed(assert_same):
    """More functions than tables are kept, twice."""
    for name in NAMES * 2:
        params = kernels.ACTIVATIONS[name].example_parameters
        for form in ("value", "derivative", "value_and_derivative"):
            function = form_of(name, form)
            assert_same(function(X, *params), computed(function, X, *params), (name, form))
    assert dispatch.tables_held() == dispatch.MOST_TABLES_HELD


@pytest.mark.parametrize("dtype", HALF_TYPES)
def test_factors_looked_up_are_computed(dtype, assert_same):
    """Whole words and less, twice: the first call computes a table, where that pays."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    x = numbers(named(dtype))
    g = np.random.default_rng(0).permutation(x)
    for name in NAMES:
        params = kernels.ACTIVATIONS[name].example_parameters
        backward = kernels.get(name).backward
        pieces = zip(np.split(g, len(g) // SHORT), np.split(x, len(x) // SHORT), strict=True)
        right = np.concatenate([backward(*piece, *params) for piece in pieces])
        for n in (len(x), len(x) - 1, len(x) - 1):
            assert_same(backward(g[:n], x[:n], *params), right[:n], (name, n))


def test_only_dear_factors_are_held():
    """Other parameters drop a table, where there was one."""
    half = len(X) // 2
    for name, dropped in (("swish", 1), ("leaky_relu", 0)):
        backward = kernels.get(name, "cython").backward
        backward(G, X, 0.25)
        before = dispatch.tables_held()
        backward(G[:half], X[:half], 3.0)
        assert dispatch.tables_held() == before - dropped, name


def test_factors_in_any_layout_and_streamed(assert_same):
    backward = kernels.get("swish").backward
    pieces = zip(np.split(G, len(G) // SHORT), np.split(X, len(X) // SHORT), strict=True)
    right = np.concatenate([backward(*piece, 0.5) for piece in pieces])[SHORT:]
    g, x = G[SHORT:], X[SHORT:]
    spread = np.repeat(X, 2).reshape(-1, 2)[SHORT:, 0]
    before = dispatch.get_stream_from()
    backward(G, X, 0.5)
    for stream_from in (before, 0):
        dispatch.set_stream_from(stream_from)
        try:
            assert_same(backward(g, x, 0.5), right, stream_from)
            assert_same(backward(g, spread, 0.5), right, ("strided", stream_from))
            for k in range(2):
                inputs = [g.copy(), x.copy()]
                assert_same(backward(*inputs, 0.5, out=inputs[k]), right, ("in place", k, stream_from))
        finally:
            dispatch.set_stream_from(before)


def test_every_parameter_has_its_own_results(assert_same):
    elu = kernels.get("elu")
    for alpha in (1.0, 2.0, -0.0, 0.0, 2.0, float("nan"), 1.0):
        for _ in range(2):
            assert_same(elu(X, alpha), computed(elu, X, alpha), alpha)


def test_a_few_calls_pay_for_a_table():
    """Parameters that change with each call never make one."""
    elu = kernels.get("elu", "cython")
    half = X[: len(X) // 2]
    elu(X, 0.25)
    before = dispatch.tables_held()
    for alpha in (3.0, 4.0, 5.0):
        elu(half, alpha)
    assert dispatch.tables_held() == before - 1
    elu(half, 5.0)
    assert dispatch.tables_held() == before


@pytest.mark.parametrize("form", ["value", "value_and_derivative"])
def test_any_layout_and_streamed(form, assert_same):
    mish = form_of("mish", form)
    right = computed(mish, X[SHORT:])
    spread = np.repeat(X, 2).reshape(-1, 2)[SHORT:, 0]
    before = dispatch.get_stream_from()
    mish(X)
    for x, stream_from in ((X[SHORT:], before), (spread, before), (X[SHORT:], 0)):
        dispatch.set_stream_from(stream_from)
        try:
            out = (np.empty(x.shape, x.dtype), np.empty_like(X)[SHORT:])
            assert_same(mish(x), right, (x.strides, stream_from))
            assert_same(mish(x, out=out[1] if form == "value" else out), right, (x.strides, stream_from))
        finally:
            dispatch.set_stream_from(before)


@pytest.mark.parametrize("form", ["value", "value_and_derivative"])
def test_numba_looks_up(form, assert_same):
    pytest.importorskip("numba")
    elu = kernels.get("elu", "numba")
    elu = elu if form == "value" else elu.value_and_derivative
    for alpha in (0.0, -0.0, 2.0):
        right = outputs(computed(elu, X, alpha))
        for x in (np.tile(X, 2), X[: 2 * SHORT]):
            for got, one in zip(outputs(elu(x, alpha)), right, strict=True):
                assert_same(got, np.tile(one, 2)[: len(x)], (alpha, len(x)))


def outputs(result) -> tuple[np.ndarray, ...]:
    return result if isinstance(result, tuple) else (result,)


def test_threads_that_want_other_parameters(assert_same):
    elu = kernels.get("elu")
    alphas = [1.0, 2.0, 3.0, 4.0]
    right = [computed(elu, X, alpha) for alpha in alphas]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda k: elu(X, alphas[k % 4]), range(200)))
    for k, one in enumerate(got):
        assert_same(one, right[k % 4], alphas[k % 4])
