"""Cross-validation: ``python -m kernels.verify`` holds every backend to the others and to the mathematics.

Five checks, the same ones that the tests run:

- oracle: a sample of inputs against the arbitrary-precision formulas, in ULP, against the record's bound;
- dense: many float32 bit patterns against the float64 kernel (itself held to the oracle), in ULP;
- bits: compiled backends, levels and the dispatcher against one another, equal to the bit (any NaN equals any NaN);
- special: the record's special values, in vector body and scalar tail, strided;
- composed: forms that are made of others (backward, value_and_derivative, jacobian) against those.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernels.activations import BOUND_OF, RECORDS, Activation, Bounds, lookup
from kernels.backends import ACCURACIES, BACKENDS, OWN, PEERS, Backend, BackendUnavailable, available, find, get
from kernels.ulp import near_roots, ulp_errors, ulp_of

DTYPES = (np.float32, np.float64)
UNSIGNED = {np.float16: np.uint16, np.float32: np.uint32, np.float64: np.uint64}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of one form from one backend."""

    check: str
    activation: str
    form: str
    backend: str
    dtype: str
    accuracy: str
    #: ULP, or the number of elements that differ.
    error: float
    bound: float
    worst: str

    @property
    def ok(self) -> bool:
        return self.error <= self.bound

    def __str__(self) -> str:
        verdict = "ok" if self.ok else "MISS"
        return (
            f"{verdict} {self.check}: {self.activation}.{self.form} {self.dtype} {self.accuracy} from {self.backend}: "
            f"{self.error:.3g} of at most {self.bound:g}, worst at {self.worst}"
        )


# ---------------------------------------------------------------- inputs
#: Where the formulas change their mind: clamps, underflow, roots, saturation.
LANDMARKS = (
    0.0, 0.5, 1.0, 2.0**-13, 2.0**-28, 1.2784645427610738, 3.0, 9.01, 16.6, 17.33, 18.0, 19.1, 36.7, 40.0, 65.0,
    87.34, 88.73, 103.28, 103.97, 104.0, 109.0, 126.0, 130.0, 354.9, 372.5, 708.4, 709.8, 745.13, 746.0, 1000.0,
)  # fmt: skip


@functools.cache
def sample(dtype: type, count: int, seed: int = 0) -> np.ndarray:
    """Normal and wide values, random bit patterns, neighbours of landmarks, subnormals and special values."""
    rng = np.random.default_rng(seed)
    unsigned = UNSIGNED[dtype]
    anything = quiet(rng.integers(0, np.iinfo(unsigned).max, count, dtype=unsigned, endpoint=True).view(dtype))
    near = np.array([s * x for x in LANDMARKS for s in (1, -1)], dtype)
    info = np.finfo(dtype)
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, info.max, info.min, info.tiny, -info.tiny, info.smallest_subnormal]
    parts = [
        rng.standard_normal(count),
        rng.standard_normal(count) * 30,
        -np.abs(rng.standard_normal(count // 2)) * (90 if dtype is np.float32 else 700),
        anything,
        near,
        np.nextafter(near, np.inf),
        np.nextafter(near, -np.inf),
        edges,
    ]
    with np.errstate(over="ignore"):
        return np.concatenate([np.asarray(part).astype(dtype) for part in parts])


@functools.cache
def patterns(count: int) -> np.ndarray:
    """``count`` float32 bit patterns, evenly spread over all of them, both signs."""
    stride = 2**32 // count | 1
    return quiet((np.arange(count, dtype=np.uint64) * stride).astype(np.uint32).view(np.float32))


def quiet(values: np.ndarray) -> np.ndarray:
    """The values with every NaN a quiet one: signalling NaN raise a warning in any NumPy operation, a cast included."""
    return np.where(np.isnan(values), values.dtype.type(np.nan), values)


def parameters(record: Activation, dtype: type) -> tuple[float, ...]:
    """The example parameters, rounded as every backend rounds them."""
    return tuple(float(dtype(p)) for p in record.example_parameters)


def outputs(record: Activation, x: np.ndarray) -> np.ndarray:
    """Outputs y to feed backward_from_output: those that the function can have."""
    y = get(record.name, "numpy")(x, *record.example_parameters)
    return y[np.isfinite(y)]


def evaluate(
    record: Activation,
    form: str,
    backend: str,
    accuracy: str,
    x: np.ndarray,
    g: np.ndarray,
    params: tuple | None = None,
) -> np.ndarray:
    """One form on x (and g), with the example parameters unless others are given."""
    function = get(record.name, backend, accuracy=accuracy)
    params = record.example_parameters if params is None else params
    if form == "value":
        return function(x, *params)
    if form.startswith("backward"):
        return getattr(function, form)(g, x, *params)
    return getattr(function, form)(x, *params)


# ---------------------------------------------------------------- errors
def bound_of(bounds: Bounds, backend: str, dtype: type, accuracy: str) -> float:
    """What a record promises of this backend."""
    base = find(backend)[0]
    single = dtype is np.float32
    if accuracy == "accurate" and single:
        return bounds.accurate if base.compiled else max(bounds.accurate, 0.51)
    if base.name == "python":
        # Computed in float64 and rounded once more for float32.
        return 0.51 if single else bounds.python64
    if base.name == "numpy":
        return bounds.numpy32 if single else bounds.numpy64
    return bounds.float32 if single else bounds.float64


def bits_differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays differ to the bit; any NaN equals any NaN, +0 and -0 differ."""
    unsigned = UNSIGNED[a.dtype.type]
    return (a.view(unsigned) != b.view(unsigned)) & ~(np.isnan(a) & np.isnan(b))


def first_difference(a: np.ndarray, b: np.ndarray, x: np.ndarray) -> str:
    differ = np.flatnonzero(bits_differ(a.reshape(-1), b.reshape(-1)))
    if not differ.size:
        return "-"
    i = differ[0]
    at = f"x={x.reshape(-1)[i]!r}" if x.size == a.size else f"element {i}"
    return f"{at}: {a.reshape(-1)[i]!r} against {b.reshape(-1)[i]!r}"


# ---------------------------------------------------------------- check: oracle
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


def finding(
    check: str, record: Activation, form: str, backend: str, dtype: type, accuracy: str, errors: np.ndarray,
    bound: float, x: np.ndarray,
) -> Finding:  # fmt: skip
    worst = int(np.argmax(errors)) if errors.size else 0
    at = repr(x.reshape(-1)[worst]) if x.size else "-"
    error = float(errors[worst]) if errors.size else 0.0
    return Finding(check, record.name, form, backend, np.dtype(dtype).name, accuracy, error, bound, at)


# ---------------------------------------------------------------- check: dense
def check_dense(record: Activation, form: str, backend: str, accuracy: str, count: int = 1_000_003) -> Finding:
    """Many float32 bit patterns against the float64 kernel."""
    x, errors = dense_errors(record, form, backend, accuracy, count)
    bound = bound_of(record.ulp[BOUND_OF[form]], backend, np.float32, accuracy)
    return finding("dense", record, form, backend, np.float32, accuracy, errors, bound, x)


def dense_errors(
    record: Activation, form: str, backend: str, accuracy: str, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, errors in ULP)."""
    bounds = record.ulp[BOUND_OF[form]]
    x = patterns(count)
    if form == "backward_from_output":
        x = outputs(record, x)
    wide, params = x.astype(np.float64), parameters(record, np.float32)
    reference = evaluate(record, form, reference_backend(), "fast", wide, np.ones(x.size), params)
    got = evaluate(record, form, backend, accuracy, x, np.ones_like(x))
    errors = ulp_errors(got, reference, np.float32)
    if bounds.absolute:
        with np.errstate(invalid="ignore"):
            small = np.abs(got - reference) <= bounds.absolute * np.finfo(np.float32).eps
        errors[small & near_roots(x, record.derivative_roots)] = 0.0
    return x, errors


def reference_backend() -> str:
    """The compiled backend that the others are held to, or NumPy where nothing is compiled."""
    return next((name for name in ("cython", "numba") if BACKENDS[name].reason() is None), "numpy")


# ---------------------------------------------------------------- check: bits
def check_bits(record: Activation, form: str, backend: str, dtype: type, accuracy: str, count: int = 20_000) -> Finding:
    """A compiled backend against the reference backend, to the bit."""
    x, g = rows_or_elements(record, dtype, count)
    if form == "backward_from_output":
        x = evaluate(record, "value", reference_backend(), "fast", x, g)
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
    x = rng.standard_normal((max(count // 1001, 7), 1001)) * 10
    x[0, 3], x[1, 5], x[2, :] = np.nan, np.inf, -np.inf
    x[3, ::2] = -np.inf
    return x.astype(dtype), rng.standard_normal(x.shape).astype(dtype)


# ---------------------------------------------------------------- check: special values
def check_special(record: Activation, form: str, backend: str, dtype: type, accuracy: str) -> Finding:
    """The record's special values at every place of short arrays, and strided."""
    rows = [(s.x, s.value if form == "value" else s.derivative) for s in record.special] + [(np.nan, np.nan)]
    misses, worst = 0, "-"
    for x, expected in rows:
        for array in special_arrays(x, dtype):
            got = evaluate(record, form, backend, accuracy, array, np.ones_like(array))
            wrong = ~special_agrees(got, expected, dtype, find(backend)[0].compiled)[array_mask(array, x)]
            if wrong.any():
                misses += int(wrong.sum())
                worst = f"x={x!r}: {got[array_mask(array, x)][wrong][0]!r}, expected {expected!r}"
    return Finding("special", record.name, form, backend, np.dtype(dtype).name, accuracy, misses, 0, worst)


def special_arrays(x: float, dtype: type) -> Iterator[np.ndarray]:
    """x among ordinary values: everywhere, first, last, and in a strided view, over body and tail lengths."""
    for n in (1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 67):
        yield np.full(n, x, dtype)
        for place in {0, n // 2, n - 1}:
            array = np.linspace(0.25, 2.0, n).astype(dtype)
            array[place] = x
            yield array
    yield np.full(68, x, dtype)[::2]


def array_mask(array: np.ndarray, x: float) -> np.ndarray:
    """Where the special value stands, sign of zero included."""
    if np.isnan(x):
        return np.isnan(array)
    return (array == x) & (np.signbit(array) == np.signbit(x))


def special_agrees(got: np.ndarray, expected: float, dtype: type, compiled: bool) -> np.ndarray:
    """Equal to the correctly rounded expectation; the sign of a zero counts in compiled backends."""
    if np.isnan(expected):
        return np.isnan(got)
    same = got == dtype(expected)
    return same & (np.signbit(got) == np.signbit(expected)) if compiled and expected == 0 else same


# ---------------------------------------------------------------- check: forms made of other forms
def check_composed(
    record: Activation, form: str, backend: str, dtype: type, accuracy: str, count: int = 500
) -> Finding:
    """value_and_derivative is the two forms to the bit, backward the rounded product, the Jacobian made of y."""
    rng = np.random.default_rng(3)
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


def _check_jacobian(record: Activation, backend: str, dtype: type, accuracy: str, rng: np.random.Generator) -> Finding:
    """Off the diagonal in ulp(y_i y_j), on it in ulp(y_i), since 1 - y_i cancels."""
    x = rng.standard_normal((5, 23)).astype(dtype)
    y = evaluate(record, "value", backend, accuracy, x, x).astype(np.float64)
    expected = np.einsum("ri,ij->rij", y, np.eye(23)) - y[:, :, None] * y[:, None, :]
    scale = np.where(np.eye(23, dtype=bool), y[:, :, None], y[:, :, None] * y[:, None, :])
    got = evaluate(record, "jacobian", backend, accuracy, x, x)
    errors = np.abs(got - expected) / ulp_of(scale, dtype)
    return finding("composed", record, "jacobian", backend, dtype, accuracy, errors.reshape(-1), 2.0, errors)


# ---------------------------------------------------------------- rows
def check_rows(record: Activation, form: str, backend: str, dtype: type, accuracy: str) -> Finding:
    """A row function against the arbitrary-precision one, over row lengths around the lanes and wide rows."""
    from kernels import oracle

    rng = np.random.default_rng(2)
    worst_error, worst = 0.0, "-"
    for n in (1, 2, 31, 32, 33, 67, 300):
        for spread in (1.0, 10.0) if find(backend)[0].compiled else (1.0,):
            x, g = (rng.standard_normal((1, n)) * spread).astype(dtype), rng.standard_normal((1, n)).astype(dtype)
            if form == "backward_from_output":
                x = get(record.name, reference_backend())(x)
            got = evaluate(record, form, backend, accuracy, x, g)[0]
            error = max(row_errors(oracle, record, form, got, x[0], g[0], dtype))
            if error > worst_error:
                worst_error, worst = float(error), f"a row of {n}, spread {spread}"
    bounds = record.ulp["value" if form == "value" else "derivative_from_output"]
    bound = bound_of(bounds, backend, dtype, accuracy)
    if form == "backward":
        # The rounding of y itself comes first, then that of the gradient.
        bound = bound + bound_of(record.ulp["value"], backend, dtype, accuracy)
    return Finding("oracle", record.name, form, backend, np.dtype(dtype).name, accuracy, worst_error, bound, worst)


def row_errors(oracle, record: Activation, form: str, got: np.ndarray, x: np.ndarray, g: np.ndarray, dtype) -> list:
    """Errors of one row in ULP; a gradient's in ulp(y (|g| + sum |g y|)), since g - sum(g y) cancels."""
    x, g = list(map(float, x)), list(map(float, g))
    if form == "value":
        exact = oracle.softmax(x)
        return [oracle.ulp_error(a, b, dtype) for a, b in zip(got, exact, strict=True)]
    y = [float(v) for v in (x if form == "backward_from_output" else oracle.softmax(x))]
    name = "derivative_from_output" if form == "backward_from_output" else "backward"
    exact = oracle.lookup(record, name)(g, x)
    total = sum(abs(a * b) for a, b in zip(g, y, strict=True))
    scale = ulp_of(np.array([b * (abs(a) + total) for a, b in zip(g, y, strict=True)]), dtype)
    return [abs(float(a - b)) / s for a, b, s in zip(map(float, got), exact, scale, strict=True)]


# ---------------------------------------------------------------- peers: measured, held to nothing
#: Forms whose error is that of one formula.
COMPARED = ("value", "derivative", "backward", "backward_from_output")
#: A worst error that is larger than a peer's by more ULP than this is told.
WORSE = 0.5


@dataclass(frozen=True)
class Compared:
    """The worst error of one form from one backend, over the same inputs for all."""

    activation: str
    form: str
    dtype: str
    backend: str
    #: Over the results that are numbers where they should be.
    ulp: float
    #: Results that are NaN or infinite where they should not be, or the reverse.
    wrong: int

    def __str__(self) -> str:
        mark = "!" if self.wrong else ""
        return f"{self.ulp:.2f}{mark}" if self.ulp < 1000 else f"{self.ulp:.0e}{mark}"


def peers_by_name(asked: Sequence[str]) -> list[str]:
    """The peers asked for, or with "all" those installed; KeyError and BackendUnavailable say what is wrong."""
    for name in asked:
        if name != "all" and not find(name)[0].peer:
            raise KeyError(f"{name!r} is no peer; known are: all, {', '.join(PEERS)}")
        if name != "all":
            available(name)
    return [name for name, peer in PEERS.items() if name in asked or ("all" in asked and peer.reason() is None)]


def comparisons(peers: Sequence[str], names: Sequence[str] = (), forms: Sequence[str] = ()) -> Iterator[Callable]:
    """Functions without arguments that give the Compared of kernels.fastest and of each peer that has the form."""
    for record in [lookup(name) for name in names] or RECORDS:
        for form in COMPARED:
            if form in record.forms and (not forms or form in forms):
                for dtype in DTYPES:
                    those = [name for name in peers if has(name, record, form, dtype)]
                    for backend in ("fastest", *those) if those else ():
                        yield functools.partial(worst, record, form, backend, dtype)


def has(peer: str, record: Activation, form: str, dtype: type) -> bool:
    return PEERS[peer].module.absent(record, form, dtype) is None


def worst(record: Activation, form: str, backend: str, dtype: type) -> Compared:
    """By the oracle, and for float32 over many bit patterns, too; rows by the oracle."""
    if not record.elementwise:
        errors = np.array([check_rows(record, form, backend, dtype, "fast").error])
    else:
        errors = oracle_errors(record, form, backend, dtype, "fast", count=60)[1]
        if dtype is np.float32:
            errors = np.append(errors, dense_errors(record, form, backend, "fast", count=1_000_003)[1])
    finite = np.isfinite(errors)
    largest = float(errors[finite].max(initial=0.0))
    return Compared(record.name, form, np.dtype(dtype).name, backend, largest, int(np.count_nonzero(~finite)))


def peer_table(found: Sequence[Compared]) -> str:
    """The worst errors by form and backend, and where kernels.fastest is behind a peer."""
    backends = list(dict.fromkeys(w.backend for w in found))
    width = max(map(len, backends)) + 4
    lines = ["peers, worst error in ULP; ! NaN or infinite where it should not be, or the reverse", ""]
    lines.append(f"{'':42}" + "".join(b.rjust(width) for b in backends))
    by_key: dict[tuple, dict[str, Compared]] = {}
    for one in found:
        by_key.setdefault((one.activation, one.form, one.dtype), {})[one.backend] = one
    for (activation, form, dtype), row in by_key.items():
        cells = [str(row.get(b, "-")).rjust(width) for b in backends]
        lines.append(f"{activation + '.' + form + ' ' + dtype:42}" + "".join(cells))
    lines += ["", *(behind(by_key.values()) or [f"kernels.fastest is nowhere behind a peer by more than {WORSE} ULP"])]
    return "\n".join(lines)


def behind(rows: Iterable[dict[str, Compared]]) -> list[str]:
    return [
        f"less accurate than {other.backend}: {ours.activation}.{ours.form} {ours.dtype}: {ours} against {other}"
        for row in rows
        for ours in [row["fastest"]]
        for other in row.values()
        if ours.ulp > other.ulp + WORSE
    ]


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


def _cases_of(record: Activation, form: str, backend: str) -> Iterator[Callable]:
    compiled = find(backend)[0].compiled
    for accuracy in ("fast", "accurate"):
        for dtype in DTYPES:
            if compiled:
                yield functools.partial(check_bits, record, form, backend, dtype, accuracy)
            if form in ("backward", "value_and_derivative", "jacobian") and (record.elementwise or form == "jacobian"):
                yield functools.partial(check_composed, record, form, backend, dtype, accuracy)
            if not record.elementwise:
                if form != "jacobian":
                    yield functools.partial(check_rows, record, form, backend, dtype, accuracy)
                continue
            if form in BOUND_OF:
                yield functools.partial(check_oracle, record, form, backend, dtype, accuracy)
            if form in ("value", "derivative"):
                yield functools.partial(check_special, record, form, backend, dtype, accuracy)
        if record.elementwise and form in ("value", "derivative", "backward_from_output") and dense_pays(backend):
            yield functools.partial(check_dense, record, form, backend, accuracy)


def dense_pays(backend: str) -> bool:
    """Millions of inputs: not for pure Python, and not for levels that the bits check holds to the same bits."""
    base, variant = find(backend)
    return base.name != "python" and variant is None


def matrix(findings: Sequence[Finding]) -> str:
    """Activation and form by backend: the worst error in ULP of the fast float32 class, or the misses."""
    backends = list(dict.fromkeys(f.backend for f in findings))
    lines = ["worst error in ULP (float32, fast class); = same bits as the reference; ! a miss", ""]
    width = max(len(b) for b in backends) + 2
    lines.append(f"{'':34}" + "".join(b.rjust(width) for b in backends))
    keys = dict.fromkeys((f.activation, f.form) for f in findings)
    for activation, form in keys:
        cells = [
            _cell([f for f in findings if (f.activation, f.form, f.backend) == (activation, form, b)]) for b in backends
        ]
        lines.append(f"{activation + '.' + form:34}" + "".join(c.rjust(width) for c in cells))
    return "\n".join(lines)


def _cell(findings: list[Finding]) -> str:
    if not findings:
        return "-"
    misses = sum(not f.ok for f in findings)
    if misses:
        return f"{misses}!"
    errors = [
        f.error for f in findings
        if f.check in ("oracle", "dense") and f.dtype == "float32" and f.accuracy == "fast"
    ]  # fmt: skip
    same = "=" if any(f.check == "bits" for f in findings) else ""
    return f"{max(errors):.2f}{same}" if errors else same or "ok"


def print_left_out(backends: Mapping[str, Backend]) -> None:
    for name, backend in backends.items():
        if backend.reason() is not None:
            print(f"left out: {name}: {backend.reason()}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kernels.verify", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="activations (default: all)")
    parser.add_argument(
        "--backend", action="append", default=[], help="a backend or variant (repeatable; default: all)"
    )
    parser.add_argument("--form", action="append", default=[], help="a form (repeatable; default: all)")
    parser.add_argument(
        "--peers",
        type=lambda text: text.split(","),
        default=[],
        metavar="A,B",
        help="measure these libraries and kernels.fastest side by side instead; all: those installed",
    )
    parser.add_argument(
        "--exhaustive",
        action="store_true",
        help="all 2^32 float32 inputs instead, a minute or two a form, of kernels.fastest, kernels.accurate and the "
        "backends (libraries too) that are named",
    )
    parser.add_argument(
        "--accuracy", action="append", choices=ACCURACIES, default=[], help="with --exhaustive: one class only"
    )
    parser.add_argument(
        "--results", type=Path, default=Path("reports/accuracy.jsonl"), help="with --exhaustive (default: %(default)s)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        for name in chosen.names:
            lookup(name)
        for backend in chosen.backend:
            available(backend)
        peers = peers_by_name(chosen.peers)
    except (KeyError, BackendUnavailable) as error:
        parser.error(error.args[0])
    try:
        import mpmath  # noqa: F401
        import rich  # noqa: F401
    except ImportError:
        print("this needs rich and mpmath: pip install 'activation-kernels[verify]'", file=sys.stderr)
        return 2
    if chosen.exhaustive:
        if peers:
            parser.error("--exhaustive takes other libraries by --backend, not by --peers")
        return _check_exhaustively(chosen, parser)
    if peers:
        return _compare(peers, chosen)
    return _check(chosen)


def _check_exhaustively(chosen: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from kernels import exhaustive

    todo = list(exhaustive.sweeps(chosen.names, chosen.form))
    if not todo:
        parser.error(f"nothing of one input: {', '.join(chosen.names)} {', '.join(chosen.form)}")
    contestants = [
        exhaustive.Contestant(backend, accuracy)
        for backend in chosen.backend or ["fastest"]
        for accuracy in chosen.accuracy or ACCURACIES
    ]
    return exhaustive.check(todo, contestants, chosen.results)


def _compare(peers: Sequence[str], chosen: argparse.Namespace) -> int:
    from rich.progress import track

    print_left_out(PEERS)
    todo = list(comparisons(peers, chosen.names, chosen.form))
    print(peer_table([one() for one in track(todo, description="comparing", transient=True)]))
    return 0


def _check(chosen: argparse.Namespace) -> int:
    from rich.progress import track

    print_left_out(OWN)
    todo = list(cases(chosen.names, chosen.backend, chosen.form))
    findings = [case() for case in track(todo, description="verifying", transient=True)]
    print(matrix(findings))
    misses = [f for f in findings if not f.ok]
    for miss in misses:
        print(miss)
    print(f"\n{len(findings)} checks, {len(misses)} misses")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
