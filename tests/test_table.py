"""The table of activations is whole: every record is consistent and every formula text has every formula."""

import copy
import dataclasses
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import kernels
from kernels import ACTIVATIONS, oracle
from kernels.activations import FORMS, RECORDS, lookup
from kernels.backends import OWN, numba_formulas, numpy_vector, pure_python, texts
from kernels.native.levels import LEVELS

each_record = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)


@pytest.mark.parametrize("name", OWN)
def test_the_tests_run_every_backend(name):
    if OWN[name].reason():
        pytest.skip(OWN[name].reason())
    assert kernels.get("relu", name)(-1.0) == 0


def test_the_tests_run_bfloat16(dtypes):
    pytest.importorskip("ml_dtypes")
    assert "bfloat16" in [dtype.name for dtype in dtypes]


@each_record
def test_record_says_what_it_must(record):
    assert record.formula
    assert record.derivative_formula
    assert record.reference
    assert record.range[0] < record.range[1]
    assert record.flops[0] > 0 or record.formula == "x"
    assert set(record.forms) <= set(FORMS)
    formulas = [
        "value",
        *(["derivative"] if record.elementwise else []),
        *(["derivative_from_output"] if record.from_output else []),
    ]
    assert set(formulas) <= set(record.ulp)
    if record.elementwise:
        assert {-math.inf, 0.0, math.inf} <= {special.x for special in record.special}


@each_record
def test_record_is_immutable_hashable_and_one_of_a_kind(record):
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.name = "another"
    with pytest.raises(TypeError):
        record.ulp["value"] = None
    assert len({record, ACTIVATIONS[record.name]}) == 1
    assert pickle.loads(pickle.dumps(record)) is record
    assert copy.deepcopy(record) is record


@each_record
def test_aliases_lead_to_the_record(record):
    assert all(ACTIVATIONS[name] is record for name in (record.name, *record.aliases))


@each_record
@pytest.mark.parametrize("module", [pure_python, numpy_vector], ids=["python", "numpy"])
def test_text_has_every_form(record, module):
    forms = [form for form in record.forms if form != "backward_parameters"]
    forms += ["parameter_derivative"] if record.learnable else []
    for form in forms:
        for name in texts.names(record, form):
            assert callable(texts.find(module, name))


@each_record
def test_fast_texts_have_every_scalar_formula(record):
    for name in record.scalar_formulas:
        assert name in numba_formulas.FORMULAS, f"numba_formulas lacks `{name}`"


def families_of_cython():
    """Family -> the names of its formulas."""
    folder = Path(kernels.__file__).parent / "native" / "formulas"
    return {
        path.stem: set(re.findall(r"^cdef inline \w+ (\w+)\(", path.read_text(), re.MULTILINE))
        for path in folder.glob("*.pxi")
    }


def test_fast_texts_have_the_same_families():
    formulas = {name for record in RECORDS for name in record.scalar_formulas}
    families = {family.__name__.rpartition(".")[2]: formulas & set(vars(family)) for family in numba_formulas.FAMILIES}
    assert families == {family: formulas & names for family, names in families_of_cython().items()}


def test_no_formula_is_in_two_families():
    names = [name for family in numba_formulas.FAMILIES for name in vars(family) if name in numba_formulas.FORMULAS]
    assert len(names) == len(numba_formulas.FORMULAS)


@each_record
def test_oracle_has_every_formula_with_a_bound(record):
    for key in record.ulp:
        assert callable(oracle.lookup(record, key))


def test_missing_formula_is_an_error_that_names_it():
    with pytest.raises(LookupError, match=r"numpy_vector\.py lacks `no_such_formula`"):
        texts.find(numpy_vector, "no_such_formula")


def test_unknown_activation_lists_what_exists():
    with pytest.raises(KeyError, match="relu"):
        lookup("no_such_activation")


@each_record
def test_special_values_are_the_oracles(record):
    for special in record.special:
        params = record.example_parameters
        value = float(oracle.lookup(record, "value")(special.x, *params))
        derivative = float(oracle.lookup(record, "derivative")(special.x, *params))
        assert value == pytest.approx(special.value, rel=1e-15, abs=0) or value == special.value
        assert derivative == pytest.approx(special.derivative, rel=1e-15, abs=0) or derivative == special.derivative


@each_record
def test_derivative_is_the_slope_of_the_value(record):
    """The record's derivative formula, judged by the value formula: central differences in 400-bit arithmetic."""
    if not record.elementwise:
        pytest.skip("a row function has no elementwise derivative")
    value, derivative = (oracle.lookup(record, key) for key in ("value", "derivative"))
    step = oracle.mp.mpf(2) ** -100
    for x in np.random.default_rng(0).normal(scale=3, size=20):
        x = oracle.mp.mpf(float(x))
        slope = (value(x + step, *record.example_parameters) - value(x - step, *record.example_parameters)) / (2 * step)
        assert abs(slope - derivative(x, *record.example_parameters)) < 1e-50


@each_record
def test_roots_of_the_derivative_are_roots(record):
    for root in record.derivative_roots:
        assert abs(oracle.lookup(record, "derivative")(root, *record.example_parameters)) < 1e-15


def test_levels_have_one_module_each():
    assert len({level.module for level in LEVELS}) == len(LEVELS)
