"""float16 and bfloat16: results of half types are the exact ones, rounded once, whatever their place in an array."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import kernels
from kernels.activations import BOUND_OF, RECORDS
from kernels.half import HALVES, SHOWN, STEPPED, rounded
from kernels.ulp import ulp_errors, ulp_of
from kernels.verify.findings import bits_differ
from kernels.verify.halves import check_half, expected, numbers
from kernels.verify.inputs import evaluate, possible_outputs

ELEMENTWISE = [record for record in RECORDS if record.elementwise]
PRODUCTS = [
    (record.name, form)
    for record in ELEMENTWISE
    for form in record.forms
    if form in ("backward", "backward_from_output")
]
ROWS_AND_PAIRS = [record for record in RECORDS if not record.elementwise]
#: Of grad_output; the last is near where bfloat16 ends, and infinite in float16.
SCALES = (1.0, 2.0**-20, 2.0**14, 2.0**-130, 2.0**120)


@pytest.fixture(params=list(HALVES))
def half(request) -> np.dtype:
    if request.param == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype(request.param)


@pytest.fixture(params=ELEMENTWISE, ids=lambda record: record.name)
def function(request):
    return request.param


def compiled() -> list[str]:
    """The contestants whose loops are compiled at build time; Numba's are held to their bits by test_bits."""
    if kernels.BACKENDS["cython"].reason() is not None:
        return []
    return ["fastest", *(f"cython:{level}" for level in kernels.BACKENDS["cython"].variants())]


def assert_bits(got: np.ndarray, right: np.ndarray, case: object) -> None:
    wrong = np.flatnonzero(bits_differ(got, right))
    assert not wrong.size, f"{case}: {wrong.size} differ, first {got[wrong[0]]}, expected {right[wrong[0]]}"


def is_hard(record, form: str, x: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Where results are subnormal, or float64 ends at a tie."""
    wide = x.astype(np.float64)
    result = evaluate(record, form, "numpy", "fast", wide, wide)
    tie = rounded(result * (1 - 2.0**-50), right.dtype) != rounded(result * (1 + 2.0**-50), right.dtype)
    return tie | (np.abs(right.astype(np.float64)) < HALVES[right.dtype.name].smallest)


# ---------------------------------------------------------------- rounded right
@pytest.mark.parametrize("form", ["value", "derivative"])
def test_every_number_is_rounded_right(function, form, half):
    for backend in compiled():
        for accuracy in ("fast", "accurate") if backend == "fastest" else ("fast",):
            finding = check_half(function, form, backend, half, accuracy)
            assert finding.ok, finding


@pytest.mark.parametrize("dtype", HALVES)
def test_what_all_numbers_show_has_no_parameters(dtype):
    free = {formula for record in ELEMENTWISE if not record.parameters for formula in record.scalar_formulas}
    assert {*SHOWN[dtype], *STEPPED[dtype]} <= free


@pytest.mark.parametrize("form", ["value", "derivative"])
def test_numpy_errs_at_ties_and_below_the_normal_numbers_at_most(function, form, half):
    """Its texts are not made for what shows far behind float64's last place that a result is no tie."""
    x = numbers(half)
    got = evaluate(function, form, "numpy", "fast", x, x)
    right = expected(function.name, BOUND_OF[form], half)
    different = bits_differ(got, right) & (got != right)
    assert is_hard(function, form, x[different], right[different]).all()
    step = got.view(np.int16).astype(int) - right.view(np.int16)
    assert (np.abs(step[different]) <= 1).all()


@pytest.mark.parametrize("form", ["value", "derivative"])
def test_python_rounds_once(function, form, half):
    x = numbers(half)[5::131]
    got = evaluate(function, form, "python", "fast", x, x)
    right = expected(function.name, BOUND_OF[form], half)[5::131]
    different = bits_differ(got, right) & (got != right)
    assert is_hard(function, form, x[different], right[different]).all()


def factors(scale: float, half: np.dtype) -> np.ndarray:
    """A gradient for each number: random ones, a power of two or infinity among them."""
    g = rounded(np.random.default_rng(1).standard_normal(numbers(half).size) * scale, half)
    g[::61] = rounded(np.float64(scale), half)
    g[::97] = rounded(np.float64(np.inf), half)
    return g


def example_parameters(record, half) -> tuple[float, ...]:
    return tuple(float(rounded(np.float64(p), half)) for p in record.example_parameters)


@pytest.mark.parametrize(("name", "form"), PRODUCTS)
def test_products_are_those_of_float32_rounded_once(name, form, half):
    """Infinities, subnormal numbers and what float32 can't hold included."""
    function = kernels.ACTIVATIONS[name]
    x, params = numbers(half), example_parameters(function, half)
    for scale in SCALES:
        g = factors(scale, half)
        single = evaluate(function, form, "fastest", "fast", x.astype(np.float32), g.astype(np.float32), params)
        right = rounded(single.astype(np.float64), half)
        for backend in compiled():
            assert_bits(evaluate(function, form, backend, "fast", x, g, params), right, (backend, scale))


@pytest.mark.parametrize(("name", "form"), PRODUCTS)
def test_products_are_near_the_exact_ones(name, form, half):
    """0.51 ULP and, times grad_output, what float32's derivative is off beside a root and where it is subnormal."""
    function = kernels.ACTIVATIONS[name]
    x, params = numbers(half), example_parameters(function, half)
    if form == "backward_from_output":
        x = possible_outputs(function, x)
    ones = np.ones(x.size)
    factor = evaluate(function, form, "fastest", "fast", x.astype(np.float64), ones, params)
    bounds = function.ulp[form.replace("backward", "derivative")]
    off = max(bounds.absolute * 2.0**-23, bounds.float32 * 2.0**-149)
    for scale in SCALES:
        g = factors(scale, half)[: x.size]
        wide = g.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            exact = wide * factor
            # float32 overflows before float64 does.
            held = np.isfinite(exact) & (np.abs(factor) < float(np.finfo(np.float32).max))
            allowed = 0.51 + np.abs(wide) * off / ulp_of(exact, half.type)
        errors = ulp_errors(evaluate(function, form, "fastest", "fast", x, g, params), exact, half.type)
        assert not np.flatnonzero(held & (errors > allowed)).size, (scale, errors[held].max())
        assert half.name == "bfloat16" or (errors[held] <= 1.1).all()


def test_a_parameter_is_rounded_once(half):
    tie = 1 + 2.0 ** -HALVES[half.name].bits
    above = tie * (1 + 2.0**-40)
    one = np.ones(3, half)
    for backend in ("numpy", "fastest"):
        leaky = kernels.get("leaky_relu", backend)
        assert leaky(-one, tie).tolist() == [-1] * 3
        assert (leaky(-one, above) < leaky(-one, tie)).all()
        assert (leaky(-one[:0].reshape(1, 0), above).shape) == (1, 0)
        assert (leaky((-one).reshape(3, 1)[::-1], above) < -1).all()


def test_rounded_rounds_to_nearest_even(half):
    x = numbers(half)
    finite = np.sort(np.unique(x[np.isfinite(x.astype(np.float32))].astype(np.float64)))
    middle = (finite[1:] + finite[:-1]) / 2
    assert_bits(rounded(finite, half), finite.astype(half), "numbers")
    for beside, neighbour in ((np.nextafter(middle, np.inf), finite[1:]), (np.nextafter(middle, -np.inf), finite[:-1])):
        np.testing.assert_array_equal(rounded(beside, half).astype(np.float64), neighbour)
    assert not (rounded(middle, half).view(np.uint16) & 1).any()


# ---------------------------------------------------------------- whatever the way
@pytest.mark.parametrize("name", ["sigmoid", "relu", "gelu", "hardsigmoid", "hardswish", "prelu"])
def test_lengths_offsets_and_threads(name, half):
    record = kernels.ACTIVATIONS[name]
    x = np.random.default_rng(0).permutation(numbers(half))
    before = kernels.get_num_threads()
    try:
        for form in ("value", "derivative", "backward", "value_and_derivative"):
            whole = [np.ravel(one) for one in outputs(evaluate(record, form, "fastest", "fast", x, x[::-1].copy()))]
            g = x[::-1].copy()
            for n, offset in itertools.product((*range(1, 68), 1023, 1025), (0, 1, 7)):
                part = slice(offset, offset + n)
                for got, right in zip(
                    outputs(evaluate(record, form, "fastest", "fast", x[part], g[part])), whole, strict=True
                ):
                    assert_bits(got, right[part], (form, n, offset))
            for threads in (1, 2):
                kernels.set_num_threads(threads)
                for got, right in zip(outputs(evaluate(record, form, "fastest", "fast", x, g)), whole, strict=True):
                    assert_bits(got, right, (form, threads))
    finally:
        kernels.set_num_threads(before)


def outputs(result) -> tuple[np.ndarray, ...]:
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("name", ["sigmoid", "relu", "gelu", "mish"])
def test_in_place(name, half):
    function = kernels.get(name)
    x = numbers(half)
    right, product = function(x), function.backward(x[::-1].copy(), x)
    into, g, y = x.copy(), x[::-1].copy(), x.copy()
    assert function(into, out=into) is into
    assert_bits(into, right, "x")
    assert_bits(function.backward(g, y, out=g), product, "grad_output")
    g = x[::-1].copy()
    assert_bits(function.backward(g, y, out=y), product, "x of backward")


def test_one_weight_an_element(half):
    x = numbers(half)
    weight = np.random.default_rng(2).permutation(x)
    for form in ("value", "backward"):
        function = kernels.get("prelu") if form == "value" else kernels.get("prelu").backward
        with np.errstate(invalid="ignore", over="ignore"):
            factor = np.where(x > 0, 1.0, weight.astype(np.float64))
            right = rounded(x.astype(np.float64) * (factor if form == "value" else factor * 1.0), half)
        right = np.where(np.isnan(x), x, right).astype(half)
        got = function(x, weight) if form == "value" else function(np.where(np.isnan(x), x, x), x, weight)
        assert_bits(got, right, form)


@pytest.mark.parametrize("record", ROWS_AND_PAIRS, ids=lambda record: record.name)
def test_rows_and_pairs_are_those_of_float32_rounded_once(record, half, assert_same):
    """Short and long ones, which go through blocks in other ways; infinities among them."""
    function = kernels.get(record.name)
    x = (np.random.default_rng(0).standard_normal((7, 2502)) * 3).astype(half)
    x[3, ::5] = -np.inf
    for n in (2, 6, 130, 2502):
        narrow = np.ascontiguousarray(x[:, :n])
        single, y = narrow.astype(np.float32), function(narrow)
        assert_same(y, function(single).astype(half), f"value of {n}")
        for form, of in (("backward", narrow), ("backward_from_output", y)):
            if form not in record.forms:
                continue
            gradient = getattr(function, form)
            g = np.ascontiguousarray(x[::-1, : y.shape[1]])
            right = gradient(g.astype(np.float32), of.astype(np.float32)).astype(half)
            assert_same(gradient(g, of), right, f"{form} of {n}")
            out = of.copy() if record.gate else g
            assert_same(gradient(g, out if record.gate else of, out=out), right, f"{form} of {n} in place")


@pytest.mark.parametrize("record", ROWS_AND_PAIRS, ids=lambda record: record.name)
def test_rows_and_pairs_along_another_axis_and_in_threads(record, half, assert_same):
    function = kernels.get(record.name)
    x = (np.random.default_rng(1).standard_normal((400, 700)) * 3).astype(half)
    expected = function(np.ascontiguousarray(x.T)).T
    assert_same(function(x, axis=0), np.ascontiguousarray(expected))
    before = kernels.get_num_threads()
    try:
        for threads in (1, 2):
            kernels.set_num_threads(threads)
            assert_same(function(x), function(x.astype(np.float32)).astype(half), f"{threads} threads")
    finally:
        kernels.set_num_threads(before)
