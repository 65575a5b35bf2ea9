"""Textbook loops: what a newcomer writes, right where a newcomer looks, and in nobody's way."""

from __future__ import annotations

import numpy as np
import pytest

import kernels
from kernels.activations import MEASURED
from kernels.backends import BACKENDS, OWN, TEXTBOOK, BackendUnavailable, available, cython_textbook
from kernels.backends.textbook import absent
from kernels.native import built

TEXTS = [f"{name}:{TEXTBOOK}" for name, b in OWN.items() if b.reason() is None and TEXTBOOK in b.second_texts()]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("record", MEASURED, ids=lambda record: record.name)
def test_ordinary_numbers_come_out_right(record, name):
    x = np.linspace(-4, 4, 60, dtype=np.float32).reshape(6, 10)
    expected = kernels.get(record.name, "numpy")(x, *record.example_parameters)
    textbook = kernels.get(record.name, name)
    np.testing.assert_allclose(textbook(x, *record.example_parameters), expected, rtol=1e-5, atol=1e-7)
    out = np.empty_like(x)
    assert textbook(x, *record.example_parameters, out=out) is out
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", TEXTS)
def test_other_forms_say_why_they_are_missing(name):
    with pytest.raises(TypeError, match="textbook loops are there for values of relu"):
        kernels.get("relu", name).derivative(1.0)
    with pytest.raises(BackendUnavailable, match="textbook loops"):
        kernels.get("gelu", name)
    with pytest.raises(ValueError, match="one accuracy class"):
        kernels.get("relu", name, accuracy="accurate")
    assert absent(kernels.ACTIVATIONS["gelu"], "value")


def test_they_are_no_variants_that_promises_are_about():
    for backend in OWN.values():
        if backend.reason() is None:
            assert TEXTBOOK not in backend.variants()
    assert BACKENDS["python"].second_texts() == BACKENDS["python"].variants() == ("if_else",)
    with pytest.raises(BackendUnavailable, match="textbook"):
        kernels.get("relu", "numpy:textbook")


def test_a_text_that_was_left_out_of_the_build_says_why(monkeypatch):
    if BACKENDS["cython"].reason():
        pytest.skip(BACKENDS["cython"].reason())
    report = {"left_out": {"kernels.native.textbook": "the compiler lacks a flag"}}
    monkeypatch.setattr(built, "was_built", lambda: True)
    monkeypatch.setattr(built, "build_report", lambda: report)
    monkeypatch.setattr(cython_textbook, "native", lambda module: None)
    with pytest.raises(BackendUnavailable, match=r"'cython:textbook' is not available: .*the compiler lacks a flag"):
        available("cython:textbook")
    assert available("cython")[1] is None
