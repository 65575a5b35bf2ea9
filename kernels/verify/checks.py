"""The checks that the command and the tests run:

- oracle: a sample of inputs against the arbitrary-precision formulas, in ULP, against the record's bound;
- dense: many float32 bit patterns against the float64 kernel (itself held to the oracle), in ULP;
- bits: compiled backends, levels and the dispatcher against one another, equal to the bit (any NaN equals any NaN);
- half: every number of float16 and bfloat16 against the correctly rounded result, equal to the bit;
- special: the record's special values in every form, in vector body and scalar tail, strided, without a warning;
- composed: forms that are made of others (backward, value_and_derivative, jacobian) against those.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from importlib import util

import numpy as np

from kernels.activations import BOUND_OF, RECORDS, Activation, lookup
from kernels.backends import OWN, find, get
from kernels.half import HALVES, named
from kernels.ulp import near_roots, ulp_errors, ulp_of
from kernels.verify.findings import Finding, bits_differ, bound_of, finding, first_difference
from kernels.verify.halves import check_half
from kernels.verify.inputs import DTYPES, evaluate, outputs, parameters, patterns, reference_backend, sample
from kernels.verify.rows import check_rows
from kernels.verify.special import check_special


# ---------------------------------------------------------------- oracle
@functools.cache
def exact_values(name: str, key: str, dtype: type, count: int) -> tuple[np.ndarray, tuple]:
    """(inputs, exact results) of one formula; the inputs of a from_output formula are outputs."""
    from kernels import oracle

    record = lookup(name)
    x = sample(dtype, count)
    if key == "derivative_from_output":
        x = outputs(record, x)
    formula = oracle.lookup(record, key)
    params = parameters(record, dtype)
    return x, tuple(formula(float(value), *params) for value in x)


def check_oracle(record: Activation, form: str, backend: str, dtype: type, accuracy: str, count: int = 60) -> Finding:
    """A formula against the arbitrary-precision one."""
    x, errors = oracle_errors(record, form, backend, dtype, accuracy, count)
    bound = bound_of(record.ulp[BOUND_OF[form]], backend, dtype, accuracy)
    return finding("oracle", record, form, backend, dtype, accuracy, errors, bound, x)


def oracle_errors(
    record: Activation, form: str, backend: str, dtype: type, accuracy: str, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, errors in ULP)."""
    from kernels.oracle import ulp_error

    key = BOUND_OF[form]
    bounds = record.ulp[key]
    x, exact = exact_values(record.name, key, dtype, count)
    got = apply_formula(record, form, backend, dtype, accuracy, x)
    errors = np.array([ulp_error(value, truth, dtype) for value, truth in zip(got, exact, strict=True)])
    if bounds.absolute:
        limit = bounds.absolute * np.finfo(dtype).eps
        small = [abs(float(value) - truth) <= limit for value, truth in zip(got, exact, strict=True)]
        errors[np.array(small, bool) & near_roots(x, record.derivative_roots)] = 0.0
    return x, errors


def apply_formula(record: Activation, form: str, backend: str, dtype: type, accuracy: str, x: np.ndarray) -> np.ndarray:
    """The formula of a form alone: with a gradient of one, a backward form is its derivative."""
    if form == "backward_parameters":
        function = get(record.name, backend, accuracy=accuracy).backward_parameters
        params = record.example_parameters
        return np.array([function(np.ones(1, dtype), x[i : i + 1], *params) for i in range(x.size)], dtype)
    return evaluate(record, form, backend, accuracy, x, np.ones_like(x))


# ---------------------------------------------------------------- dense
def check_dense(record: Activation, form: str, backend: str, accuracy: str, count: int = 1_000_003) -> Finding:
    """Many float32 bit patterns against the float64 kernel."""
    x, errors = dense_errors(record, form, backend, accuracy, count)
    bound = bound_of(record.ulp[BOUND_OF[form]], backend, np.float32, accuracy)
    return finding("dense", record, form, backend, np.float32, accuracy, errors, bound, x)


@functools.lru_cache(maxsize=4)
def wide_values(name: str, form: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, results of the float64 kernel) of one form."""
    record = lookup(name)
    x = patterns(count)
    if form == "backward_from_output":
        x = outputs(record, x)
    wide, params = x.astype(np.float64), parameters(record, np.float32)
    return x, evaluate(record, form, reference_backend(), "fast", wide, np.ones(x.size), params)


def dense_errors(
    record: Activation, form: str, backend: str, accuracy: str, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, errors in ULP)."""
    bounds = record.ulp[BOUND_OF[form]]
    x, reference = wide_values(record.name, form, count)
    got = evaluate(record, form, backend, accuracy, x, np.ones_like(x))
    errors = ulp_errors(got, reference, np.float32)
    if bounds.absolute:
        with np.errstate(invalid="ignore"):
            small = np.abs(got - reference) <= bounds.absolute * np.finfo(np.float32).eps
        errors[small & near_roots(x, record.derivative_roots)] = 0.0
    return x, errors


# ---------------------------------------------------------------- bits
def check_bits(record: Activation, form: str, backend: str, dtype: type, accuracy: str, count: int = 20_000) -> Finding:
    """A compiled backend against the reference backend, to the bit."""
    x, g = rows_or_elements(record, dtype, count)
    if form == "jacobian":
        x = x[:5, :67]  # the square of that comes out
    if form == "backward_from_output":
        x = evaluate(record, "value", reference_backend(), "fast", x, g)
    with np.errstate(all="raise"):
        a = evaluate(record, form, backend, accuracy, x, g)
    b = evaluate(record, form, reference_backend(), accuracy, x, g)
    pairs = list(zip(a, b, strict=True)) if isinstance(a, tuple) else [(np.atleast_1d(a), np.atleast_1d(b))]
    different = sum(int(np.count_nonzero(bits_differ(one, other))) for one, other in pairs)
    worst = next((w for one, other in pairs if (w := first_difference(one, other, x)) != "-"), "-")
    return Finding("bits", record.name, form, backend, np.dtype(dtype).name, accuracy, different, 0, worst)


def rows_or_elements(record: Activation, dtype: type, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(x, g): elements for elementwise functions, rows of an odd length for row functions."""
    rng = np.random.default_rng(1)
    if record.elementwise:
        x = sample(dtype, count)
        return x, rng.standard_normal(x.size).astype(dtype)
    spread = 0.1 if record.normaliser == "threshold" else 10
    x = rng.standard_normal((max(count // 1002, 7), 1002 if record.gate else 1001)) * spread
    x[0, 3], x[1, 5], x[2, :] = np.nan, np.inf, -np.inf
    x[3, ::2] = -np.inf
    return x.astype(dtype), rng.standard_normal(record.result_shape("value", x.shape)).astype(dtype)


# ---------------------------------------------------------------- forms made of other forms
def check_composed(
    record: Activation, form: str, backend: str, dtype: type, accuracy: str, count: int = 500
) -> Finding:
    """value_and_derivative is the two forms to the bit, backward the rounded product, the Jacobian made of y."""
    rng = np.random.default_rng(3)
    if record.gate:
        return _check_gated(record, form, backend, dtype, accuracy, rng)
    if form == "jacobian":
        return _check_jacobian(record, backend, dtype, accuracy, rng)
    x = sample(dtype, count)
    g = rng.standard_normal(x.size).astype(dtype)
    got = evaluate(record, form, backend, accuracy, x, g)
    derivative = evaluate(record, "derivative", backend, accuracy, x, g)
    bound = 0.0
    if form == "value_and_derivative":
        value = evaluate(record, "value", backend, accuracy, x, g)
        errors = (bits_differ(got[0], value) | bits_differ(got[1], derivative)).astype(float)
    elif accuracy == "fast" and find(backend)[0].name != "python":
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            errors = bits_differ(got, g * derivative).astype(float)
    else:
        # The factor is not rounded to float32 first: the exact product is the judge.
        wide = evaluate(record, "derivative", backend, accuracy, x.astype(np.float64), g, parameters(record, dtype))
        with np.errstate(invalid="ignore"):
            errors = ulp_errors(got, g.astype(np.float64) * wide, dtype)
        bound = 0.51 if dtype is np.float32 else 0.5
    return finding("composed", record, form, backend, dtype, accuracy, errors, bound, x)


def _check_gated(
    record: Activation, form: str, backend: str, dtype: type, accuracy: str, rng: np.random.Generator
) -> Finding:
    """The products of a pair are those of its gate by itself: to the bit, or rounded once."""
    b = sample(dtype, 500)
    a, g = rng.standard_normal((2, b.size)).astype(dtype)
    got = evaluate(record, form, backend, accuracy, np.concatenate([a, b]), g)
    exactly = accuracy == "fast" and find(backend)[0].name != "python"
    inside = dtype if exactly else np.float64
    a, g, given = a.astype(inside), g.astype(inside), b.astype(inside)
    gate = lookup(record.gate)
    f, slope = (evaluate(gate, one, backend, accuracy, given, given) for one in ("value", "derivative"))
    with np.errstate(all="ignore"):
        expected = a * f if form == "value" else np.concatenate([g * f, g * a * slope])
        errors = bits_differ(got, expected).astype(float) if exactly else ulp_errors(got, expected, dtype)
    return finding(
        "composed", record, form, backend, dtype, accuracy, errors, 0.0 if exactly else 0.51, np.resize(b, got.size)
    )


def _check_jacobian(record: Activation, backend: str, dtype: type, accuracy: str, rng: np.random.Generator) -> Finding:
    """Off the diagonal in ULP, on it in ulp of the entry's two terms, since 1 - y_i cancels."""
    from kernels import oracle

    x = rng.standard_normal((2, 23)).astype(dtype)
    got = evaluate(record, "jacobian", backend, accuracy, x, x)
    exact = np.array([oracle.lookup(record, "jacobian")(list(map(float, row))) for row in x], float)
    apart = np.abs(exact) + np.eye(23) * np.abs(exact).sum(axis=-1, keepdims=True)
    errors = np.abs(got - exact) / ulp_of(apart, dtype)
    # A product of two values, rounded twice.
    bound = 2 * bound_of(record.ulp["value"], backend, dtype, accuracy) + 1
    return finding("composed", record, "jacobian", backend, dtype, accuracy, errors.reshape(-1), bound, errors)


# ---------------------------------------------------------------- everything
def contestants(wanted: Sequence[str] = ()) -> list[str]:
    """Every backend and variant that runs here, or those of ``wanted``."""
    names = []
    for name, backend in OWN.items():
        if backend.reason() is None:
            names += [name, *(f"{name}:{variant}" for variant in backend.variants())]
    return [name for name in names if not wanted or name in wanted]


def cases(names: Sequence[str] = (), backends: Sequence[str] = (), forms: Sequence[str] = ()) -> Iterator[Callable]:
    """Every check as a function without arguments that gives a Finding."""
    chosen = [lookup(name) for name in names] or list(RECORDS)
    for record in chosen:
        for backend in contestants(backends):
            for form in record.forms:
                if not forms or form in forms:
                    yield from _cases_of(record, form, backend)


def findings(name: str, backends: Sequence[str] = (), forms: Sequence[str] = ()) -> list[Finding]:
    """What every check of one activation finds."""
    return [case() for case in cases([name], backends, forms)]


def _cases_of(record: Activation, form: str, backend: str) -> Iterator[Callable]:
    compiled = find(backend)[0].compiled
    for accuracy in ("fast", "accurate"):
        for dtype in DTYPES:
            if compiled:
                yield functools.partial(check_bits, record, form, backend, dtype, accuracy)
            if is_composed(record, form):
                yield functools.partial(check_composed, record, form, backend, dtype, accuracy)
            if not record.elementwise:
                if form != "jacobian":
                    yield functools.partial(check_rows, record, form, backend, dtype, accuracy)
                continue
            if form in BOUND_OF:
                yield functools.partial(check_oracle, record, form, backend, dtype, accuracy)
            yield functools.partial(check_special, record, form, backend, dtype, accuracy)
        if record.elementwise and form in ("value", "derivative", "backward_from_output") and dense_pays(backend):
            yield functools.partial(check_dense, record, form, backend, accuracy)
        if record.elementwise and form in ("value", "derivative") and rounds_halves(backend):
            for name in HALVES:
                if name != "bfloat16" or util.find_spec("ml_dtypes"):
                    yield functools.partial(check_half, record, form, backend, named(name), accuracy)


def is_composed(record: Activation, form: str) -> bool:
    """Whether a form is made of others; a row's gradient is held to the oracle."""
    if record.kind == "row":
        return form == "jacobian"
    return bool(record.gate) or form in ("backward", "value_and_derivative")


def dense_pays(backend: str) -> bool:
    """Millions of inputs: not for pure Python, and not for levels that the bits check holds to the same bits."""
    base, variant = find(backend)
    return base.name != "python" and variant is None


def rounds_halves(backend: str) -> bool:
    """Whether results of half types are rounded right at ties, too: not from NumPy's texts, the dispatcher's without
    compiled loops."""
    base = find(backend)[0]
    return base.compiled and (base.name != "fastest" or OWN["cython"].reason() is None)
