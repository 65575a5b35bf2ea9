"""What is refused is refused before anything is written; the message names what was given and what is accepted."""

from __future__ import annotations

import decimal
import fractions

import numpy as np
import pytest

import kernels
from kernels.activations import RECORDS
from kernels.backends import BackendUnavailable, available


class Unwilling:
    """As a tensor that autograd follows."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("detach it first")


BAD_DATA = {
    "complex": (1j, TypeError, "complex128"),
    "complex array": (np.ones(3, np.complex64), TypeError, "complex64"),
    "longdouble": (np.ones(3, np.longdouble), TypeError, str(np.dtype(np.longdouble))),
    "longdouble scalar": (np.longdouble(1), TypeError, str(np.dtype(np.longdouble))),
    "string": ("text", TypeError, "<U4"),
    "bytes": (b"text", TypeError, "S4"),
    "list of strings": (["1", "2"], TypeError, "<U1"),
    "number and string": ([1.0, "2"], TypeError, "<U"),
    "new strings": (np.array(["1"], np.dtypes.StringDType()), TypeError, "StringDType"),
    "none": (None, TypeError, "object"),
    "list with none": ([1.0, None], TypeError, "object"),
    "object array": (np.array([1.0], object), TypeError, "object"),
    "decimal": (decimal.Decimal(1), TypeError, "object"),
    "fraction": ([fractions.Fraction(1, 2)], TypeError, "object"),
    "dictionary": ({}, TypeError, "object"),
    "generator": ((v for v in (1, 2)), TypeError, "object"),
    "datetime": (np.array(["2020-01-01"], "M8[D]"), TypeError, "datetime64"),
    "timedelta": (np.array([1], "m8[s]"), TypeError, "timedelta64"),
    "record": (np.zeros(2, [("a", "f4")]), TypeError, "'a'"),
    "void": (np.zeros(2, "V4"), TypeError, "V4"),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, "not a rectangular array"),
    "ragged deeper": ([1.0, [2.0]], ValueError, "not a rectangular array"),
    "masked": (np.ma.array([1.0, 2.0], mask=[True, False]), TypeError, "masked"),
    "unwilling": (Unwilling(), TypeError, "gives no NumPy array (detach it first)"),
}

SENTINEL = 77.0


def test_bad_x(function, record, form):
    for bad, error, words in BAD_DATA.values():
        arguments = ([1.0], bad) if form.startswith("backward") else (bad,)
        with pytest.raises(error) as caught:
            function(*arguments, *record.example_parameters)
        name = "y" if form == "backward_from_output" else "x"
        assert str(caught.value).startswith(f"{name} ")
        assert words in str(caught.value)
        assert "float64" in str(caught.value) or "masked" in words


def test_bad_grad_output(function, record, form):
    if not form.startswith("backward"):
        pytest.skip("takes no grad_output")
    for bad, error, words in BAD_DATA.values():
        with pytest.raises(error) as caught:
            function(bad, np.ones(3), *record.example_parameters)
        assert str(caught.value).startswith("grad_output ")
        assert words in str(caught.value)


def test_grad_output_that_does_not_fit(function, record, form):
    if not form.startswith("backward") or record.gate:
        pytest.skip("takes no grad_output, or one of another shape than x")
    for shape in (2,), (4,), (3, 2), (1, 2, 3), (0,):
        with pytest.raises(ValueError, match="grad_output") as caught:
            function(np.ones(shape), np.ones((2, 3)), *record.example_parameters)
        assert str(shape) in str(caught.value)
        assert "(2, 3)" in str(caught.value)


def test_dtypes_without_a_common_one(backend):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with pytest.raises(TypeError, match="bfloat16"):
        kernels.get("relu", backend).backward(np.ones(2, ml_dtypes.bfloat16), np.ones(2, np.float16))
    with pytest.raises(TypeError, match="float8_e5m2"):
        kernels.get("relu", backend)(np.ones(2, ml_dtypes.float8_e5m2))


# ---------------------------------------------------------------- out
def _read_only():
    out = np.full((2, 3), SENTINEL)
    out.flags.writeable = False
    return out


BAD_OUT = {
    "shape": (lambda: np.full((3, 2), SENTINEL), ValueError, ("(2, 3)", "(3, 2)")),
    "broadcastable shape": (lambda: np.full((4, 2, 3), SENTINEL), ValueError, ("(2, 3)", "(4, 2, 3)")),
    "flat": (lambda: np.full(6, SENTINEL), ValueError, ("(2, 3)", "(6,)")),
    "0-d": (lambda: np.array(SENTINEL), ValueError, ("(2, 3)", "()")),
    "narrower": (lambda: np.full((2, 3), SENTINEL, np.float32), ValueError, ("float64", "float32")),
    "integer": (lambda: np.full((2, 3), SENTINEL, np.int64), ValueError, ("float64", "int64")),
    "complex": (lambda: np.full((2, 3), SENTINEL, complex), ValueError, ("float64", "complex128")),
    "longdouble": (lambda: np.full((2, 3), SENTINEL, np.longdouble), ValueError, ("float64", "longdouble|float128")),
    "object": (lambda: np.full((2, 3), SENTINEL, object), ValueError, ("float64", "object")),
    "string": (lambda: np.full((2, 3), "77.0"), ValueError, ("float64", "<U4")),
    "new string": (lambda: np.full((2, 3), "77.0", np.dtypes.StringDType()), ValueError, ("float64", "StringDType")),
    "read-only": (_read_only, ValueError, ("read-only", "writeable")),
    "masked": (
        lambda: np.ma.array(np.full((2, 3), SENTINEL), mask=True),
        (TypeError, ValueError),
        ("out", "[Mm]asked"),
    ),
    "list": (lambda: [[SENTINEL] * 3] * 2, (TypeError, ValueError), ("out", "list")),
    "number": (lambda: SENTINEL, (TypeError, ValueError), ("out", "float")),
}


def _untouched(out) -> bool:
    return all(v in (SENTINEL, "77.0") for v in np.ma.getdata(out).reshape(-1))


@pytest.mark.parametrize("bad", BAD_OUT)
@pytest.mark.parametrize("form", ["value", "backward", "value_and_derivative"])
@pytest.mark.parametrize("name", ["sigmoid", "softmax", "leaky_relu"])
def test_bad_out(name, form, backend, bad):
    make, error, words = BAD_OUT[bad]
    out, other = make(), np.full((2, 3), SENTINEL)
    pair = form == "value_and_derivative"
    if pair and name == "softmax":
        pytest.skip("has no pair")
    function = kernels.get(name, backend) if form == "value" else getattr(kernels.get(name, backend), form)
    x = np.ones((2, 3))
    with pytest.raises(error) as caught:
        function(*([x, x] if form == "backward" else [x]), out=(other, out) if pair else out)
    for word in words:
        caught.match(word.replace("(", r"\(").replace(")", r"\)"))
    assert _untouched(out)
    assert _untouched(other)


@pytest.mark.parametrize("bad", [(), (1,), (1, 2, 3)], ids=["none", "one", "three"])
def test_a_pair_needs_two_outputs(record, backend, bad):
    if not record.elementwise:
        pytest.skip("has no pair")
    outs = tuple(np.full(3, SENTINEL) for _ in bad)
    with pytest.raises((TypeError, ValueError), match="pair"):
        kernels.get(record.name, backend).value_and_derivative(np.ones(3), *record.example_parameters, out=outs)
    assert all(map(_untouched, outs))


def test_a_pair_that_is_one_array(record, backend):
    if not record.elementwise:
        pytest.skip("has no pair")
    out = np.full(4, SENTINEL)
    for pair in (out, out), (out[:3], out[1:]):
        x = np.ones(pair[0].shape)
        with pytest.raises(ValueError, match="share memory"):
            kernels.get(record.name, backend).value_and_derivative(x, *record.example_parameters, out=pair)
    with pytest.raises((TypeError, ValueError), match="pair"):
        kernels.get(record.name, backend).value_and_derivative(np.ones(4), *record.example_parameters, out=out)
    assert _untouched(out)


def test_out_stays_when_the_input_is_refused(function, arguments, takes_out, form, record):
    outs = np.full((2, 3), SENTINEL), np.full((2, 3), SENTINEL)
    out = outs if form == "value_and_derivative" else outs[0]
    x = np.ones((2, 3))
    refused = [arguments(x.astype(complex)), (*arguments(x), 1, 2, 3)]
    if record.parameters:
        refused += [(*arguments(x)[: -len(record.parameters)], "text"), (*arguments(x)[: -len(record.parameters)], 1j)]
    for bad in refused:
        with pytest.raises(TypeError):
            function(*bad, out=out)
    assert all(map(_untouched, outs))


# ---------------------------------------------------------------- calls
def test_unknown_keyword(function, arguments, record):
    with pytest.raises(TypeError, match="'slope'") as caught:
        function(*arguments(np.ones(3)), slope=1)
    assert f"accepted is {record.name}" in str(caught.value)


def test_too_many_arguments(function, arguments, record, form):
    """``out`` and ``axis`` are keywords only."""
    x = np.full(3, SENTINEL)
    training = [False] if record.drawn and form == "value" else []
    with pytest.raises(TypeError, match=f"too many positional arguments; accepted is {record.name}"):
        function(*arguments(np.ones(3)), *training, x)
    assert _untouched(x)


def test_missing_arguments(function, record):
    with pytest.raises(TypeError, match=f"missing a required argument.*accepted is {record.name}"):
        function()


def test_the_same_parameter_twice(function, arguments, record):
    x = np.ones(3)
    with pytest.raises(TypeError, match=r"multiple values|unexpected keyword"):
        function(*arguments(x), **{record.parameters[0].name if record.parameters else "x": 0.5})


def test_out_of_a_form_that_has_none(record, backend):
    function = kernels.get(record.name, backend)
    out, x = np.full(3, SENTINEL), np.ones(3)
    calls = {"jacobian": (x,), "backward_parameters": (x, x, *record.example_parameters)}
    for form in calls.keys() & set(record.forms):
        with pytest.raises(TypeError, match="'out'"):
            getattr(function, form)(*calls[form], out=out)
    assert _untouched(out)


BAD_PARAMETERS = {
    "string": ("text", TypeError, "str|text"),
    "none": (None, TypeError, "None"),
    "complex": (1j, TypeError, "complex"),
    "longdouble": (np.longdouble(1), TypeError, "longdouble|float128"),
    "object": (object(), TypeError, "object"),
    "ragged": ([[1.0], [1.0, 2.0]], (TypeError, ValueError), ""),
    "empty": ([], (TypeError, ValueError), r"\(0,\)"),
    "wrong length": ([0.1, 0.2], (TypeError, ValueError), r"\(2,\)"),
    "masked": (np.ma.array([0.5], mask=True), TypeError, "[Mm]asked"),
}


PARAMETRISED = [record for record in RECORDS if record.parameters]


@pytest.mark.parametrize("record", PARAMETRISED, ids=lambda r: r.name)
@pytest.mark.parametrize("form", ["value", "backward"])
@pytest.mark.parametrize("bad", BAD_PARAMETERS)
def test_bad_parameter(record, form, backend, bad):
    value, error, words = BAD_PARAMETERS[bad]
    parameter, *others = (p.name for p in record.parameters)
    function = kernels.get(record.name, backend)
    function, plain = (function, [np.ones((3, 4))]) if form == "value" else (function.backward, [np.ones((3, 4))] * 2)
    others = dict.fromkeys(others, 0.5)
    for call in (lambda: function(*plain, value, **others), lambda: function(*plain, **{parameter: value}, **others)):
        with pytest.raises(error, match=parameter) as caught:
            call()
        caught.match(words)


ROWS = [record for record in RECORDS if record.kind == "row"]


@pytest.mark.parametrize("record", ROWS, ids=lambda r: r.name)
@pytest.mark.parametrize("axis", [2, -3, 10**20, 1.5, None, "rows", (0, 1), [0]], ids=str)
def test_bad_axis(record, backend, axis):
    function = kernels.get(record.name, backend)
    x, out = np.ones((2, 3)), np.full((2, 3), SENTINEL)
    calls = [
        lambda: function(x, axis=axis, out=out),
        lambda: function.backward(x, x, axis=axis, out=out),
        lambda: function.jacobian(x, axis=axis),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError), match="axis") as caught:
            call()
        assert str(axis) in str(caught.value)
    assert _untouched(out)


# ---------------------------------------------------------------- names
def test_unknown_names_list_what_exists():
    with pytest.raises(KeyError, match=r"'rule'.*relu.*softmax"):
        kernels.get("rule")
    with pytest.raises(KeyError, match=r"'fortran'.*python.*numba"):
        kernels.get("relu", "fortran")
    with pytest.raises(ValueError, match=r"'exact'.*fast.*accurate"):
        kernels.get("relu", accuracy="exact")
    from kernels import fastest

    with pytest.raises(AttributeError, match=r"'rule'.*relu.*softmax"):
        _ = fastest.rule
    with pytest.raises(ImportError, match="rule"):
        from kernels.fastest import rule  # noqa: F401


@pytest.mark.parametrize("name", [5, None, ["relu"]], ids=str)
def test_names_that_are_no_text(name):
    with pytest.raises((KeyError, TypeError), match=r"relu.*softmax"):
        kernels.get(name)
    with pytest.raises((KeyError, TypeError), match=r"python.*numba"):
        kernels.get("relu", name)


def test_unknown_variants_list_what_exists(backend):
    with pytest.raises(BackendUnavailable, match="'x86-64-v9'") as caught:
        kernels.get("relu", f"{backend}:x86-64-v9")
    known = kernels.BACKENDS[backend]
    for variant in (*known.variants(), *known.second_texts()) or ("none",):
        assert variant in str(caught.value)


@pytest.mark.parametrize("name", kernels.BACKENDS)
def test_an_unavailable_backend_says_why_and_what_to_do(name, monkeypatch):
    backend = kernels.BACKENDS[name]
    reason = backend.reason() or 'it is switched off; pip install "it"'
    monkeypatch.setattr(backend.module, "reason", lambda: reason)
    with pytest.raises(BackendUnavailable) as caught:
        available(name)
    assert name in str(caught.value)
    assert reason in str(caught.value)
    assert "install" in reason
