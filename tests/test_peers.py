"""Peers compute the records' functions, say what they lack and what to install, and load when first needed."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest

import kernels
from kernels import measure
from kernels.activations import RECORDS
from kernels.backends import PEERS, BackendUnavailable, absence, available, numpy_vector


def marked(name: str, *values, label: str = "") -> object:
    """A parameter that is skipped, with the reason, where the library is not installed."""
    reason = PEERS[name].reason()
    return pytest.param(*values, name, id=f"{label}{name}", marks=[pytest.mark.skip(reason=reason)] if reason else [])


#: The others are skipped once, by ``each_peer``, and not for each form.
INSTALLED = {name: peer for name, peer in PEERS.items() if peer.reason() is None}


def timed() -> list:
    """(record, form, allocate, peer): every call that can be timed."""
    return [
        marked(name, record, form, allocate, label=f"{record.name}.{form}-{'new' if allocate else 'out'}-")
        for name, peer in INSTALLED.items()
        for record in RECORDS
        for form in measure.FORMS
        for allocate in (True, False)
        if form in record.forms
        and absence(record, form, name) is None
        and (allocate or peer.module.takes_out(record, form))
    ]


def forms(exists: bool) -> list:
    """(record, form, peer), of the forms that a peer has, or of those that it lacks."""
    return [
        marked(name, record, form, label=f"{record.name}.{form}-")
        for name in INSTALLED
        for record in RECORDS
        for form in measure.FORMS
        if form in record.forms and (absence(record, form, name) is None) is exists
    ]


each_peer = pytest.mark.parametrize("peer", [marked(name) for name in PEERS])
each_form = pytest.mark.parametrize(("record", "form", "peer"), forms(exists=True))
each_absent_form = pytest.mark.parametrize(("record", "form", "peer"), forms(exists=False))


def inputs(record, form: str, dtype: type) -> tuple[np.ndarray, ...]:
    """Ordinary numbers away from the kinks, where libraries differ."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 7.0, (6, 35)).astype(dtype) * rng.choice((-1, 1), (6, 35)).astype(dtype)
    x = x[:, :34].copy() if record.gate else x
    g = rng.standard_normal(record.result_shape("value", x.shape)).astype(dtype)
    if form == "backward_from_output":
        return g, numpy_vector.bind(record, "value", dtype, "fast")(x, *record.example_parameters)
    return (g, x) if form == "backward" else (x,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_form
def test_what_a_peer_computes_is_the_records_function(record, form, dtype, peer):
    """Semantics, not accuracy: 1e-5 is far above any library's rounding and far below any other function."""
    module = PEERS[peer].module
    if module.absent(record, form, dtype):
        pytest.skip(module.absent(record, form, dtype))
    function = kernels.get(record.name, peer)
    function = function if form == "value" else getattr(function, form)
    arrays = inputs(record, form, dtype)
    got = function(*arrays, *record.example_parameters)
    wide = [a.astype(np.float64) for a in arrays]
    expected = numpy_vector.bind(record, form, np.float64, "fast")(*wide, *record.example_parameters)
    pair = form == "value_and_derivative"
    for one, exact in zip(got if pair else (got,), expected if pair else (expected,), strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("times", [0.3, 2.0])
@pytest.mark.parametrize("record", [r for r in RECORDS if r.parameters], ids=lambda r: r.name)
@each_peer
def test_parameters_are_the_peers_too(record, times, peer):
    params = [times * p for p in record.example_parameters]
    for form in ("value", "backward"):
        if not absence(record, form, peer):
            function = kernels.get(record.name, peer)
            arrays = inputs(record, form, np.float32)
            got = (function if form == "value" else function.backward)(*arrays, *params)
            wide = [a.astype(np.float64) for a in arrays]
            expected = numpy_vector.bind(record, form, np.float64, "fast")(*wide, *params)
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@each_absent_form
def test_an_absent_form_says_why(record, form, peer):
    why = re.escape(absence(record, form, peer))
    with pytest.raises(LookupError, match=why):
        kernels.backends.bind(record, form, np.float32, peer)
    if absence(record, "value", peer):
        with pytest.raises(BackendUnavailable, match=f"no {record.name}"):
            kernels.get(record.name, peer)
    else:
        with pytest.raises(TypeError, match=why):
            getattr(kernels.get(record.name, peer), form)(1.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("record", "form", "allocate", "peer"), timed())
def test_what_is_timed_gives_the_result(record, form, dtype, allocate, peer):
    """On the library's own arrays, with a new output or with ``out=`` where it has that."""
    why = PEERS[peer].module.absent(record, form, np.dtype(dtype).type)
    if why:
        pytest.skip(why)
    prepared = measure.prepare(measure.Case(record.name, form, peer, dtype, 200, allocate=allocate))
    assert prepared.run(2) > 0
    wide = [x.astype(np.float64) for x in prepared.inputs]
    expected = numpy_vector.bind(record, form, np.float64, "fast")(*wide, *prepared.params)
    for one, exact in zip(prepared.result(), expected if len(prepared.result()) == 2 else (expected,), strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, exact, rtol=1e-5, atol=1e-5)


@each_peer
def test_fixed_threads_are_not_timed_as_others(peer):
    """A library that can't change its threads is no contestant of a case with another number of them."""
    started = PEERS[peer].module.fixed_threads()
    if started is None:
        pytest.skip(f"{peer} can change its threads")
    with pytest.raises(RuntimeError, match=f"{started} threads"):
        measure.prepare(measure.Case("relu", "value", peer, "float32", 10, allocate=True, threads=started + 1))


@each_peer
def test_peers_have_one_class(peer):
    with pytest.raises(ValueError, match="one accuracy class"):
        kernels.get("relu", peer, accuracy="accurate")
    with pytest.raises(ValueError, match="one accuracy class"):
        kernels.backends.bind(RECORDS[0], "value", np.float32, peer, "accurate")


@each_peer
def test_parameter_arrays_are_refused(peer):
    with pytest.raises(TypeError, match="scalar parameters"):
        kernels.get("prelu", peer)(np.ones((2, 3), np.float32), np.ones(3, np.float32))


@pytest.mark.parametrize("name", PEERS)
def test_an_absent_library_says_how_to_install_it(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    extra = r"activation-kernels\[peers(-cuda)?\]"
    with pytest.raises(BackendUnavailable, match=rf'pip install .*{name}.* \(or "{extra}"\)'):
        available(name)


def test_keras_without_what_computes_for_it(monkeypatch):
    present = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda m: present("sys") if m == "keras" else None)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert "compute with jax, but JAX is not installed: pip install jax" in PEERS["keras"].reason()
    monkeypatch.setenv("KERAS_BACKEND", "nonsense")
    assert "'nonsense'" in PEERS["keras"].reason()
