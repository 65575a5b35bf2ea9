"""The function objects: name, text, signature, pickle, copy, missing forms; what an import loads; no leaks."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import kernels
from kernels.activations import FORMS


def test_name_and_text(function, record, form):
    assert function.__name__ == (record.name if form == "value" else form)
    assert function.__qualname__ == (record.name if form == "value" else f"{record.name}.{form}")
    text = function.__doc__
    assert record.reference in text
    for parameter in record.parameters:
        assert parameter.name in text
    assert callable(function)


def test_signature(function, record, form):
    parameters = inspect.signature(function).parameters
    kinds = inspect.Parameter
    arrays = {"backward_from_output": ["grad_output", "y"]}.get(
        form, ["grad_output", "x"] if "backward" in form else ["x"]
    )
    only = ([] if record.elementwise else ["axis"]) + (
        ["out"] if form not in ("jacobian", "backward_parameters") else []
    )
    drawn = ["training", "rng"] if record.drawn and form == "value" else []
    assert list(parameters) == [*arrays, *(p.name for p in record.parameters), *drawn, *only]
    for parameter in record.parameters:
        default = kinds.empty if parameter.default is None else parameter.default
        assert parameters[parameter.name].default == default
        assert parameters[parameter.name].kind is kinds.POSITIONAL_OR_KEYWORD
    assert all(parameters[name].kind is kinds.KEYWORD_ONLY for name in only)


def test_pickle_and_copy_give_the_same_object(record, form, backend, accuracy):
    object_ = kernels.get(record.name, backend, accuracy=accuracy)
    object_ = object_ if form == "value" else getattr(object_, form)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(object_, protocol)) is object_
    assert copy.copy(object_) is object_
    assert copy.deepcopy(object_) is object_
    assert copy.deepcopy({"activation": [object_]})["activation"][0] is object_


def test_repr_says_what_it_is(record, contestant, accuracy):
    object_ = kernels.get(record.name, contestant, accuracy=accuracy)
    for word in (record.name, contestant, accuracy):
        assert word in repr(object_)
        assert word in repr(object_.backward)


def test_hash_and_identity(record, backend):
    function = kernels.get(record.name, backend)
    assert {function: 1}[kernels.get(record.name, backend)] == 1
    assert function != kernels.get(record.name, backend, accuracy="accurate")


def test_an_object_in_a_class_is_no_method(backend):
    class Layer:
        activation = kernels.get("relu", backend)

    assert Layer().activation(-1.0) == 0


def test_pickle_from_another_process(backend, tmp_path):
    function = kernels.get("leaky_relu", backend).backward
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read())(2.0, -1.0, 0.5))"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(function), capture_output=True, timeout=60)
    assert done.stdout.strip() == b"1.0", done.stderr


# ---------------------------------------------------------------- forms that are missing
def test_missing_forms_name_those_that_exist(record, contestant):
    function = kernels.get(record.name, contestant)
    missing = [form for form in FORMS if form not in record.forms]
    for form in missing:
        with pytest.raises(TypeError, match=f"{record.name} has no {form}") as caught:
            getattr(function, form)(np.ones(3))
        for existing in record.forms[1:]:
            assert existing in str(caught.value)


def test_examples_of_missing_forms(contestant):
    with pytest.raises(TypeError, match="backward, backward_from_output, jacobian"):
        kernels.get("softmax", contestant).derivative([1.0])
    with pytest.raises(TypeError, match="elementwise"):
        kernels.get("relu", contestant).jacobian([1.0])
    with pytest.raises(TypeError, match="backward_parameters"):
        kernels.get("relu", contestant).backward_parameters([1.0], [1.0])
    with pytest.raises(AttributeError):
        _ = kernels.get("relu", contestant).backwards


# ---------------------------------------------------------------- what an import loads
PEERS = ("torch", "jax", "keras", "onnxruntime", "onnx", "numexpr", "tensorflow")
HEAVY = ("numba", "llvmlite", "matplotlib", "mpmath", "scipy", "pandas", "xarray", "dask", "rich", *PEERS)


@pytest.mark.parametrize("module", ["kernels.fastest", "kernels.accurate"])
def test_importing_and_calling_loads_nothing_heavy(module, run_python):
    code = f"""
import sys
from {module} import *
relu([1.0]), softmax.backward([1.0], [1.0]), prelu([1.0], 0.5)
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert run_python(code, KERNELS_CROSSOVER="") == "[]"


def test_asking_what_there_is_loads_no_peer(run_python):
    code = f"""
import sys, kernels
kernels.info()
[backend.variants() for backend in kernels.BACKENDS.values() if backend.reason() is None]
print([name for name in {PEERS} if name in sys.modules])
"""
    assert run_python(code) == "[]"


def test_importing_the_package_does_not_load_numpy(run_python):
    assert run_python("import sys, kernels; list(kernels.ACTIVATIONS); print('numpy' in sys.modules)") == "False"


def test_the_public_names(run_python):
    """Each of them, as often as one likes, whatever was imported before."""
    code = """
import kernels
for _ in range(2):
    for name in kernels.__all__:
        assert type(getattr(kernels, name)) is not type(kernels), name
    assert isinstance(kernels.info(), dict)
    import kernels.info
    import kernels.fastest
print("done")
"""
    assert run_python(code) == "done"


def test_unknown_attributes_of_the_package():
    with pytest.raises(AttributeError, match="'relux'"):
        _ = kernels.relux


# ---------------------------------------------------------------- leaks
def test_calls_keep_no_references(function, record, form):
    x = np.ones((3, 4))
    g, out = (np.ones(record.result_shape(one, x.shape)) for one in ("value", form))
    arrays = (g, x) if form.startswith("backward") else (x,)
    keywords = {} if form in ("jacobian", "backward_parameters", "value_and_derivative") else {"out": out}
    parameters = record.example_parameters
    watched = [x, g, out, function, *parameters]

    def calls():
        function(*arrays, *parameters, **keywords)
        function(*arrays, *parameters)
        function(*arrays, **dict(zip((p.name for p in record.parameters), parameters, strict=True)), **keywords)
        for bad in ({"out": x[0]}, {"nonsense": x}):
            with pytest.raises((TypeError, ValueError)):
                function(*arrays, *parameters, **bad)

    calls()
    before = [sys.getrefcount(w) for w in watched]
    for _ in range(10):
        calls()
    assert [sys.getrefcount(w) for w in watched] == before


@pytest.mark.parametrize("name", ["sigmoid", "prelu", "softmax"])
def test_repeated_calls_do_not_grow(name, backend):
    function = kernels.get(name, backend)
    parameters = kernels.ACTIVATIONS[name].example_parameters
    x = np.ones((8, 125), np.float32)

    def calls(count):
        for _ in range(count):
            function(x, *parameters)
            function.backward(x, x, *parameters)
            function(x[:, ::2], *parameters)

    calls(3)
    gc.collect()
    tracemalloc.start()
    try:
        calls(3)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        calls(50)
        gc.collect()
        # One result that stayed would be 4,000 bytes a call; other threads of this process may keep some, too.
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
