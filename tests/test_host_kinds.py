"""Arrays of other libraries in host memory: the kind that is given comes back, with the bits of NumPy's arrays."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import kernels
from kernels import host_kinds
from kernels.activations import lookup

#: A function of each kind of forms: elementwise, with a parameter, of rows, of pairs.
NAMES = ("sigmoid", "swish", "prelu", "softmax", "glu")
FORMS = [(name, form) for name in NAMES for form in lookup(name).forms]
NO_OUT = ("jacobian", "backward_parameters")


class Kind(NamedTuple):
    library: str
    #: The array that holds numbers.
    make: Callable[[Any, np.ndarray], Any]
    back: Callable[[Any], np.ndarray] = np.asarray
    axes: int = 2
    halves: bool = True
    doubles: bool = True
    #: Results of another shape than x are NumPy's.
    labelled: bool = False


def _tensor(torch, numbers):
    if numbers.dtype.name != "bfloat16":
        return torch.from_numpy(numbers.copy())
    return torch.from_numpy(numbers.view(np.int16).copy()).view(torch.bfloat16)


def _of_tensor(tensor):
    import torch

    if tensor.dtype != torch.bfloat16:
        return tensor.numpy()
    return tensor.view(torch.int16).numpy().view(pytest.importorskip("ml_dtypes").bfloat16)


def _frame(pandas, numbers):
    return pandas.DataFrame(
        numbers, columns=[f"column {k}" for k in range(numbers.shape[1])], index=[*"dcba"[: len(numbers)]]
    )


def _data_array(xarray, numbers):
    # One coordinate only: an axis may have none.
    return xarray.DataArray(numbers, dims=("y", "x"), coords={"x": np.arange(numbers.shape[1])[::-1]}, name="field")


def _blocks(dask_array, numbers):
    return dask_array.from_array(numbers, chunks=(3, 2))


KINDS = {
    "tensor": Kind("torch", _tensor, _of_tensor),
    "jax": Kind("jax", lambda jax, numbers: jax.numpy.asarray(numbers), doubles=False),
    "series": Kind("pandas", lambda pandas, numbers: pandas.Series(numbers, name="s"), axes=1, labelled=True),
    "frame": Kind("pandas", _frame, labelled=True),
    "index": Kind("pandas", lambda pandas, numbers: pandas.Index(numbers), axes=1, halves=False, labelled=True),
    "data array": Kind("xarray", _data_array, labelled=True),
    "variable": Kind("xarray", lambda xarray, numbers: xarray.Variable(("y", "x"), numbers), labelled=True),
    "blocks": Kind("dask.array", _blocks),
}


def library(name):
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install {name.partition('.')[0]}")


@pytest.fixture(params=KINDS)
def kind(request) -> Kind:
    """With ``make`` of numbers alone."""
    found = KINDS[request.param]
    module = library(found.library)
    return found._replace(make=lambda numbers: found.make(module, numbers))


@pytest.fixture
def assert_kind(assert_same):
    """``assert_kind(kind, got, expected, x)``: what x is, and holds the bits of what NumPy's arrays give."""

    def check(kind, got, expected, x):
        if isinstance(expected, tuple):
            assert type(got) is tuple
            for one, other in zip(got, expected, strict=True):
                check(kind, one, other, x)
            return
        labelled = kind.labelled and np.shape(expected) != x.shape
        assert isinstance(got, np.ndarray | np.generic) if labelled else type(got) is type(x)
        assert tuple(got.shape) == np.shape(expected)
        assert_same(np.asarray(got) if labelled else kind.back(got), expected)

    return check


def function_of(name, form, backend="fastest"):
    function = kernels.get(name, backend)
    return function if form == "value" else getattr(function, form)


def arrays_of(kind, name, form, values, dtype=np.float32):
    """The inputs of a form, as NumPy's arrays."""
    shape = (4, 6)[-kind.axes :]
    inputs = [values(shape, dtype)]
    if form.startswith("backward"):
        inputs.insert(0, values(lookup(name).result_shape("value", shape), dtype, seed=1))
    return inputs


# ---------------------------------------------------------------- every kind
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_the_kind_that_is_given_comes_back(kind, name, form, backend, values, assert_kind):
    inputs = arrays_of(kind, name, form, values)
    given, parameters = [kind.make(one) for one in inputs], lookup(name).example_parameters
    function = function_of(name, form, backend)
    assert_kind(kind, function(*given, *parameters), function(*inputs, *parameters), given[-1])


@pytest.mark.parametrize(("name", "form"), [("sigmoid", "value"), ("swish", "backward"), ("softmax", "value")])
def test_every_dtype(kind, name, form, backend, dtype, values, assert_kind):
    if (dtype.itemsize == 2 and not kind.halves) or (dtype.itemsize == 8 and not kind.doubles):
        pytest.skip("the library has no such arrays")
    inputs = arrays_of(kind, name, form, values, dtype)
    given, function = [kind.make(one) for one in inputs], function_of(name, form, backend)
    assert_kind(kind, function(*given), function(*inputs), given[-1])


def test_integers_and_booleans_compute_in_float64(kind):
    for numbers in (np.arange(24) - 9, np.arange(24) % 2 == 0):
        x = np.resize(numbers, (4, 6)[-kind.axes :])
        y = kernels.get("tanh")(kind.make(x))
        expected = np.tanh(x.astype(float))
        # JAX has no float64, unless it is told to.
        np.testing.assert_allclose(kind.back(y), expected, rtol=1e-6)
        assert kind.back(y).dtype == (np.float64 if kind.doubles else np.float32)


@pytest.mark.parametrize(("name", "form"), [pair for pair in FORMS if not lookup(pair[0]).elementwise])
def test_rows_and_pairs_along_the_first_axis(kind, name, form, values, assert_kind):
    inputs = arrays_of(kind, name, form, values)
    if kind.axes == 2 and name == "glu" and form == "backward":
        inputs[0] = values((2, 6), np.float32)
    given, function = [kind.make(one) for one in inputs], function_of(name, form)
    assert_kind(kind, function(*given, axis=0), function(*inputs, axis=0), given[-1])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("torch", lambda torch: torch.tensor(-1.5)),
        ("jax", lambda jax: jax.numpy.float32(-1.5)),
        ("xarray", lambda xarray: xarray.DataArray(np.float32(-1.5))),
        ("dask.array", lambda da: da.from_array(np.float32(-1.5))),
    ],
)
def test_numbers_without_axes(name, make, assert_same):
    x = make(library(name))
    for function, form in (("sigmoid", "value"), ("softmax", "value"), ("softmax", "jacobian"), ("elu", "derivative")):
        got, expected = function_of(function, form)(x), function_of(function, form)(np.float32(-1.5))
        assert np.asarray(got).shape == np.shape(expected)
        assert_same(np.asarray(got), np.asarray(expected))
        assert form == "jacobian" or type(got) is type(x)


def test_arguments_that_are_no_arrays(kind, backend):
    """They are what they would be without an array of another library, or refused, however they look."""
    one, numbers = kind.make(np.ones((1, 1)[-kind.axes :], np.int64)), np.ones((2, 3), np.float32)
    softmax, rrelu = kernels.get("softmax", backend), kernels.get("rrelu", backend)
    try:
        axis = operator.index(one)
    except (TypeError, ValueError):
        with pytest.raises(TypeError, match="axis must be a whole number"):
            softmax(numbers, axis=one)
    else:
        np.testing.assert_array_equal(softmax(numbers, axis=one), softmax(numbers, axis=axis))
    for x in (numbers, kind.make(numbers[-1] if kind.axes == 1 else numbers)):
        with pytest.raises(TypeError, match=r"training (must be True or False|would draw anew)"):
            rrelu(x, training=one)
        assert np.shape(rrelu(x, rng=one)) == np.shape(x)


def test_a_gradient_of_another_kind_is_read(kind, values, assert_kind, assert_same):
    function = function_of("swish", "backward")
    g, x = arrays_of(kind, "swish", "backward", values)
    expected = function(g, x)
    assert_kind(kind, function(g, kind.make(x)), expected, kind.make(x))
    other = function(kind.make(g), x)
    assert type(other) is np.ndarray
    assert_same(other, expected)
    assert_kind(kind, function(2.0, kind.make(x)), function(2.0, x), kind.make(x))
    if kind.doubles:
        # A list is float64.
        assert_kind(kind, function(g.tolist(), kind.make(x)), function(g.tolist(), x), kind.make(x))


def test_x_says_which_kind_comes_back(kind, backend):
    got = function_of("relu", "backward", backend)(kind.make(np.ones((4, 6)[-kind.axes :])), [[1.0] * 6] * 4)
    assert type(got) is (list if backend == "python" else np.ndarray)


def test_a_gradient_that_does_not_fit(kind, values):
    g, x = arrays_of(kind, "relu", "backward", values)
    with pytest.raises(ValueError, match=r"grad_output of shape \(5,\) does not fit x of shape"):
        function_of("relu", "backward")(g.reshape(-1)[:5], kind.make(x))


def test_a_weight_that_is_foreign(kind, backend, values, assert_same):
    x, weight = values((4, 6), np.float32), values(6, np.float32, seed=1)
    if kind.axes == 1:
        given = kind.make(weight)
    elif kind.library == "dask.array":
        given = library("dask.array").from_array(weight, chunks=2)
    elif kind.library in ("torch", "jax"):
        given = kind.make(weight)
    else:
        weight = values((4, 6), np.float32, seed=1)
        given = kind.make(weight)
    for form in ("value", "backward", "backward_parameters"):
        inputs = (x,) if form == "value" else (x, x)
        function = function_of("prelu", form, backend)
        assert_same(np.asarray(function(*inputs, given)), function(*inputs, weight))
        assert_same(np.asarray(function(*inputs, weight=given)), function(*inputs, weight))


def test_slopes_that_are_drawn(kind, backend, values, assert_kind):
    (x,) = arrays_of(kind, "rrelu", "value", values)
    given, rrelu = kind.make(x), kernels.get("rrelu", backend)
    if kind.library == "dask.array":
        with pytest.raises(TypeError, match=r"draws?.*prelu\(x, slope\)"):
            rrelu(given, training=True)
    else:
        assert_kind(kind, rrelu(given, training=True, rng=1), rrelu(x, training=True, rng=1), given)
    assert_kind(kind, rrelu(given), rrelu(x), given)


def test_an_out_of_numpy_takes_the_result(kind, values, assert_same):
    (x,) = arrays_of(kind, "relu", "value", values)
    relu, out = kernels.get("relu"), np.full_like(x, 7)
    if kind.library == "dask.array":
        with pytest.raises(TypeError, match="computed later: out can't take it"):
            relu(kind.make(x), out=out)
        assert (out == 7).all()
    else:
        assert relu(kind.make(x), out=out) is out
        assert_same(out, relu(x))


REFUSED = {
    "jax": "immutable",
    "dask.array": "no memory to write into",
    "pandas": r"out must be a NumPy array or a tensor of PyTorch, given",
    "xarray": r"out must be a NumPy array or a tensor of PyTorch, given",
}


def test_what_can_not_be_written_is_no_out(kind, backend, values):
    if kind.library == "torch":
        pytest.skip("tensors can be written")
    (x,) = arrays_of(kind, "relu", "value", values)
    out, sigmoid = kind.make(x), kernels.get("sigmoid", backend)
    for call in (
        lambda: sigmoid(x, out=out),
        lambda: sigmoid(x.tolist(), out=out),
        lambda: sigmoid.value_and_derivative(x, out=(np.empty_like(x), out)),
    ):
        with pytest.raises(TypeError, match=REFUSED[kind.library]):
            call()
    np.testing.assert_array_equal(kind.back(out), x)


def test_inputs_are_left_alone(kind, values):
    (x,) = arrays_of(kind, "relu", "value", values)
    given = kind.make(x.copy())
    np.asarray(kernels.get("relu")(given))
    np.testing.assert_array_equal(kind.back(given), x)


@pytest.mark.parametrize("wrong", [np.ones(6, complex), np.array([None] * 6)], ids=["complex", "object"])
def test_wrong_dtypes_are_refused_by_name(kind, wrong):
    if wrong.dtype == object and kind.library in ("torch", "jax"):
        pytest.skip("the library has no such arrays")
    x = kind.make(np.resize(wrong, (4, 6)[-kind.axes :]))
    for name in ("relu", "softmax", "glu"):
        with pytest.raises(TypeError, match=r"x has dtype (complex|object)"):
            kernels.get(name)(x)


def test_results_are_not_copied(kind):
    if kind.library in ("jax", "dask.array"):
        pytest.skip("what JAX's and Dask's arrays hold is their own affair")
    result = np.ones((4, 6)[-kind.axes :])
    x = kind.make(np.zeros_like(result))
    assert np.shares_memory(kind.back(host_kinds.kind_of(x).wrap(result, x)), result)


@pytest.mark.parametrize("peer", ["torch", "jax", "numexpr", "numba:textbook"])
def test_what_is_compared_with_gives_the_kind_too(kind, peer, values, assert_kind):
    name = peer.partition(":")[0]
    why = kernels.BACKENDS[name].reason()
    if why:
        pytest.skip(why)
    (x,) = arrays_of(kind, "sigmoid", "value", values)
    function, given = kernels.get("sigmoid", peer), kind.make(x)
    assert_kind(kind, function(given), function(x), given)


# ---------------------------------------------------------------- PyTorch
@pytest.fixture
def torch():
    return library("torch")


def test_tensors_are_read_where_they_are(torch):
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32):
        whole = torch.arange(24).reshape(4, 6).to(dtype)
        for x in (whole, whole[:, ::2], whole.t(), whole[1, 1]):
            seen = host_kinds.read(x, "x")
            assert seen.ctypes.data == x.data_ptr()
            assert seen.shape == tuple(x.shape)
            assert seen.strides == tuple(step * x.element_size() for step in x.stride())


def test_results_lie_in_memory_like_x(torch):
    x = torch.ones(4, 6).t()
    assert kernels.get("sigmoid")(x).stride() == x.stride()


def test_a_tensor_as_out(torch, backend, dtypes, values, assert_same):
    for dtype in dtypes:
        x = values((4, 6), dtype)
        for name, form in FORMS:
            if form in NO_OUT or name == "glu":
                continue
            function, record = function_of(name, form, backend), lookup(name)
            inputs = (x, x) if form.startswith("backward") else (x,)
            expected = function(*inputs, *record.example_parameters)
            outs = [_tensor(torch, np.zeros((4, 12), dtype))[:, ::2] for _ in range(2)]
            pair = form == "value_and_derivative"
            for given in (inputs, [_tensor(torch, one) for one in inputs]):
                for out in outs:
                    out.fill_(7)
                got = function(*given, *record.example_parameters, out=tuple(outs) if pair else outs[0])
                of = list(zip(got, outs, expected, strict=True)) if pair else [(got, outs[0], expected)]
                for one, out, numbers in of:
                    assert one is out
                    assert_same(_of_tensor(out), numbers)


def test_tensors_in_place(torch, backend):
    x = torch.tensor([1.0, -2.0])
    relu = kernels.get("relu", backend)
    assert relu(x, out=x) is x
    assert x.tolist() == [1, 0]
    whole = torch.arange(-4.0, 4.0)
    expected = torch.relu(whole[:-1].clone())
    assert relu(whole[:-1], out=whole[1:]).tolist() == expected.tolist()


def test_slopes_beside_an_out(torch):
    x = torch.tensor([1.0, -2.0])
    out, slope = kernels.get("rrelu")(x, training=True, out=x)
    assert out is x
    assert isinstance(slope, torch.Tensor)


def test_tensors_that_can_not_be_out(torch, backend):
    relu, x = kernels.get("relu", backend), torch.ones(4, 6)
    wrong = {
        "read-only": (torch.full((4, 1), 7.0).expand(4, 6), ValueError),
        r"expected \(4, 6\), given \(4, 5\)": (torch.full((4, 5), 7.0), ValueError),
        "expected float32, given float64": (torch.full((4, 6), 7.0, dtype=torch.float64), ValueError),
        r"out: a tensor requires grad.*detach\(\)": (torch.full((4, 6), 7.0, requires_grad=True), TypeError),
        "out gives no NumPy array": (torch.full((4, 6), 7.0).to_sparse(), TypeError),
        "given list": ([x], TypeError),
    }
    before = {words: out._version for words, (out, _) in wrong.items() if isinstance(out, torch.Tensor)}
    for words, (out, error) in wrong.items():
        with pytest.raises(error, match=words):
            relu(x, out=out)
        if isinstance(out, torch.Tensor):
            # Autograd is told of what was written alone.
            assert out._version == before[words]
            assert (out.detach().to_dense() == 7).all()
    with pytest.raises(ValueError, match="the two outputs share memory"):
        relu.value_and_derivative(x, out=(x, x))


def test_a_tensor_that_requires_grad(torch, record, backend):
    x, tracked = torch.ones(4, 6), torch.ones(4, 6, requires_grad=True)
    for form in record.forms:
        function = function_of(record.name, form, backend)
        backward = form.startswith("backward")
        for inputs in ((x, tracked), (tracked, x)) if backward else ((tracked,),):
            with pytest.raises(TypeError, match=r"a tensor requires grad, .* give tensor\.detach\(\)"):
                function(*inputs, *record.example_parameters)


def test_autograd_knows_that_a_tensor_was_written(torch):
    weight, x = torch.ones(2, requires_grad=True), torch.ones(2)
    loss = (weight * x).sum()
    kernels.get("relu")(x, out=x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_transforms_of_pytorch_are_refused(torch, backend):
    """What such a tensor holds is not all of its numbers, or not yet."""
    sigmoid, x = kernels.get("sigmoid", backend), torch.tensor([1.0, -2.0, 3.0])
    message = r"x belongs to torch\.func or to forward-mode AD, .*: call them outside"
    for transform in (torch.func.vmap, torch.func.functionalize, torch.func.jacfwd):
        with pytest.raises(TypeError, match=message):
            transform(sigmoid)(x)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x.clone(), torch.ones(3))
        with pytest.raises(TypeError, match=message):
            sigmoid(dual)
        with pytest.raises(TypeError, match=r"out belongs to torch\.func"):
            sigmoid(x, out=dual)
        assert torch.equal(sigmoid(x), sigmoid(x.clone()))


def test_what_is_no_plain_tensor(torch):
    relu = kernels.get("relu")
    wrong = (torch.ones(3).to_sparse(), torch.ones(3, device="meta"), torch.ones(2, dtype=torch.float8_e5m2))
    for x in wrong:
        with pytest.raises(TypeError, match=r"x gives no NumPy array \(.*; accepted are"):
            relu(x)
    assert type(relu(torch.nn.Parameter(torch.ones(2), requires_grad=False))) is torch.Tensor
    assert relu(torch.Size([1, 2])).tolist() == [1, 2]


def test_bfloat16_without_ml_dtypes(torch, monkeypatch):
    monkeypatch.setattr(host_kinds, "named", lambda name: __import__("a_module_that_is_missing"))
    with pytest.raises(TypeError, match=r"x is bfloat16.*pip install ml_dtypes"):
        kernels.get("relu")(torch.ones(2, dtype=torch.bfloat16))


# ---------------------------------------------------------------- JAX
@pytest.fixture
def jax():
    return library("jax")


def test_jax_arrays_are_read_where_they_are(jax):
    x = jax.numpy.arange(24.0).reshape(4, 6)
    assert host_kinds.read(x, "x").ctypes.data == x.unsafe_buffer_pointer()


def test_inside_of_jit_vmap_and_grad(jax, backend):
    relu, leaky = kernels.get("relu", backend), kernels.get("leaky_relu", backend)
    x = jax.numpy.ones((3, 4))
    calls = {
        "x": [jax.jit(relu), jax.vmap(relu), jax.grad(lambda x: relu(x).sum()), jax.jit(relu.derivative)],
        "grad_output": [jax.jit(lambda g: relu.backward(g, x))],
        "negative_slope": [jax.jit(lambda slope: leaky(x, slope.sum()))],
        "out": [jax.jit(lambda out: relu(np.ones((3, 4)), out=out))],
    }
    for name, traced in calls.items():
        for call in traced:
            with pytest.raises(TypeError, match=f"{name} is .*(jax.pure_callback|immutable)"):
                call(x)


def test_by_a_callback_of_jax(jax):
    relu, x = kernels.get("relu"), jax.numpy.linspace(-1, 1, 100_000)

    def called(x):
        return jax.pure_callback(relu, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    assert (jax.jit(called)(x) == jax.nn.relu(x)).all()


SPREAD = """
import jax, numpy as np
from kernels.fastest import glu, prelu, relu
mesh = jax.make_mesh((4,), ("i",))
x = jax.device_put(np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4), jax.NamedSharding(mesh, jax.P("i")))
y = relu(x)
assert y.sharding == x.sharding and (y == jax.nn.relu(x)).all()
assert isinstance(glu(x, axis=0), jax.Array) and prelu.backward_parameters(x, x, 0.5).shape == ()
other = jax.device_put(np.ones(3), jax.devices()[2])
assert relu(other).devices() == glu(other[:2]).devices() == other.devices()
# What is bound to no device may be used beside what is.
free = jax.numpy.ones(3)
assert not free.committed and not relu(free).committed and relu(other).committed
assert (relu(free) + other).devices() == other.devices()
with jax.default_device(jax.devices()[1]):
    assert relu(free).devices() == free.devices()
"""


def test_results_are_on_the_devices_of_x(jax, run_python):
    run_python(SPREAD, XLA_FLAGS="--xla_force_host_platform_device_count=4")


# ---------------------------------------------------------------- pandas
@pytest.fixture
def pandas():
    return library("pandas")


def test_labels_of_pandas(pandas):
    sigmoid = kernels.get("sigmoid")
    frame = pandas.DataFrame({"a": [1.0, -2.0], "b": [0.5, 3.0]}, index=pandas.Index([7, 9], name="key"))
    frame.attrs["unit"] = "m"
    for one in (sigmoid(frame), *sigmoid.value_and_derivative(frame), sigmoid.backward(frame, frame)):
        pandas.testing.assert_index_equal(one.index, frame.index)
        pandas.testing.assert_index_equal(one.columns, frame.columns)
        assert one.attrs == {"unit": "m"}
    pandas.testing.assert_series_equal(sigmoid(frame)["a"], sigmoid(frame["a"]))
    assert sigmoid(frame["a"]).name == "a"
    assert sigmoid(frame["a"]).attrs == {"unit": "m"}
    assert sigmoid(pandas.Index([1.0, 2.0], name="key")).name == "key"


def test_subclasses_of_pandas(pandas):
    class Mine(pandas.DataFrame):
        @property
        def _constructor(self):
            return Mine

    assert type(kernels.get("relu")(Mine({"a": [1.0]}))) is Mine


def test_dtypes_of_pandas(pandas):
    relu = kernels.get("relu")
    mixed = pandas.DataFrame({"a": np.array([1, -2], np.float32), "b": [3, -4]})
    assert relu(mixed).to_numpy().tolist() == [[1, 3], [0, 0]]
    assert set(relu(mixed).dtypes) == {np.dtype(np.float64)}
    flags = relu(pandas.DataFrame({"a": [True, False], "b": np.array([-1.5, 2], np.float32)}))
    assert flags.to_numpy().tolist() == [[1, 0], [0, 2]]
    assert set(flags.dtypes) == {np.dtype(np.float32)}
    for dtype, computed in (("Int64", np.float64), ("Float32", np.float32), ("boolean", np.float64)):
        own = relu(pandas.Series(pandas.array([1, 0, None], dtype=dtype), name="s"))
        np.testing.assert_array_equal(own, [1, 0, np.nan])
        assert (own.dtype, own.name) == (computed, "s")
        beside = relu(pandas.DataFrame({"a": pandas.array([1, None], dtype=dtype), "b": [4, -5]}))
        np.testing.assert_array_equal(beside, [[1, 4], [np.nan, 0]])
    for wrong in (
        pandas.DataFrame({"a": [1.0], "b": ["text"]}),
        pandas.Series(pandas.date_range("2020", periods=2)),
        pandas.MultiIndex.from_tuples([(1, 2)]),
    ):
        with pytest.raises(TypeError, match=r"x has dtype (object|datetime64).*; accepted are"):
            relu(wrong)


def test_gradients_with_other_labels(pandas):
    backward = kernels.get("relu").backward
    x = pandas.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    for wrong in (x[::-1], x[["b", "a"]], pandas.Series([1.0, 2.0])):
        with pytest.raises(ValueError, match="grad_output has other labels than x: align the two"):
            backward(wrong, x)
        assert backward(wrong.to_numpy(), x).columns.tolist() == ["a", "b"]
    assert backward(pandas.Series({"a": 1.0, "b": 2.0}), x).to_numpy().tolist() == [[1, 2], [1, 2]]


def test_weights_with_other_labels(pandas):
    prelu, x = kernels.get("prelu"), pandas.DataFrame({"a": [-1.0, -2.0], "b": [-3.0, -4.0]})
    weight = pandas.Series({"a": 0.5, "b": 0.25})
    assert prelu(x, weight).to_numpy().tolist() == [[-0.5, -0.75], [-1, -1]]
    assert prelu(x, weight.iloc[:1]).to_numpy().tolist() == [[-0.5, -1.5], [-1, -2]]
    for wrong in (weight[::-1], x[::-1]):
        with pytest.raises(ValueError, match="weight has other labels than x: align the two"):
            prelu(x, wrong)
        with pytest.raises(ValueError, match="weight has other labels than x: align the two"):
            prelu.backward_parameters(x, x, wrong)


# ---------------------------------------------------------------- xarray
@pytest.fixture
def xarray():
    return library("xarray")


def test_labels_of_xarray(xarray):
    x = xarray.DataArray(
        np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
        dims=("time", "place"),
        coords={"time": [3, 4], "height": ("place", [1.0, 2.0, 3.0])},
        name="field",
        attrs={"unit": "m"},
    )
    relu, softmax = kernels.get("relu"), kernels.get("softmax")
    for got in (relu(x), *relu.value_and_derivative(x), softmax(x, axis=0), softmax.backward(x, x)):
        assert (got.dims, got.name, got.attrs, set(got.coords)) == (x.dims, x.name, x.attrs, set(x.coords))
    xarray.testing.assert_identical(relu(x), x.copy(data=relu(x.data)))
    # A coordinate is no exception.
    assert relu(x["time"]).to_numpy().tolist() == [3, 4]
    assert xarray.Dataset({"a": x}).map(relu)["a"].dims == x.dims
    with pytest.raises(TypeError, match=r"x gives no NumPy array .*Dataset"):
        relu(xarray.Dataset({"a": x}))


def test_gradients_with_other_dims(xarray):
    backward = kernels.get("relu").backward
    x = xarray.DataArray(np.ones((3, 3)), dims=("a", "b"), coords={"a": [0, 1, 2]})
    for wrong in (x.T, x[::-1], x[:, 0]):
        with pytest.raises(ValueError, match="grad_output has other labels than x"):
            backward(wrong, x)
    for right in (x, x[0], x.drop_vars("a"), x.assign_coords(b=[5, 6, 7])):
        xarray.testing.assert_identical(backward(right, x), x)


def test_weights_with_other_dims(xarray):
    prelu, x = kernels.get("prelu"), xarray.DataArray(-np.ones((2, 2)), dims=("a", "b"), coords={"b": [5, 6]})
    weight = xarray.DataArray([0.5, 0.25], dims="b", coords={"b": [5, 6]})
    assert prelu(x, weight).to_numpy().tolist() == [[-0.5, -0.25], [-0.5, -0.25]]
    assert prelu(x, xarray.DataArray(0.5)).to_numpy().tolist() == [[-0.5, -0.5], [-0.5, -0.5]]
    for wrong in (weight[::-1], weight.rename(b="a"), x.T):
        with pytest.raises(ValueError, match="weight has other labels than x"):
            prelu(x, wrong)


def test_how_x_is_packed_in_a_file_says_nothing_of_results(xarray):
    x = xarray.DataArray(np.ones(3), dims="place", coords={"place": [1.0, 2.0, 3.0]})
    x.encoding = {"dtype": "int16", "scale_factor": 1.0}
    got = kernels.get("sigmoid").backward(x.copy(), x)
    assert (got.encoding, x.encoding["dtype"]) == ({}, "int16")


def test_indexes_that_pandas_has_not(xarray):
    """They are compared as xarray does it."""

    class Place(xarray.Index):
        def __init__(self, where):
            self.where = where

        @classmethod
        def from_variables(cls, variables, *, options):
            return cls(next(iter(variables.values())).values.tolist())

        def equals(self, other, **_):
            return self.where == other.where

    def at(*where):
        bare = xarray.DataArray(np.ones(2), dims="place", coords={"place": ("place", list(where))})
        return bare.drop_indexes("place").set_xindex("place", Place)

    backward = kernels.get("sigmoid").backward
    assert backward(at(1.0, 2.0), at(1.0, 2.0)).shape == (2,)
    with pytest.raises(ValueError, match="grad_output has other labels than x"):
        backward(at(1.0, 3.0), at(1.0, 2.0))


def test_lazy_arrays_of_xarray(xarray, da):
    numbers = np.linspace(-1, 1, 12).reshape(3, 4)
    x = xarray.DataArray(da.from_array(numbers, chunks=2), dims=("a", "b"))
    y = kernels.get("softmax").backward(x, x)
    assert isinstance(y.data, da.Array)
    np.testing.assert_array_equal(y, kernels.get("softmax").backward(numbers, numbers))


def test_lazy_arguments_of_xarray(xarray, da):
    """Blocks inside of another array than x are not computed either."""

    def never(block):
        raise AssertionError("computed")

    x = da.ones((3, 4), chunks=2)
    lazy = xarray.DataArray(x.map_blocks(never, meta=np.empty((0, 0))), dims=("a", "b"))
    for result in (kernels.get("relu").backward(lazy, x), kernels.get("prelu")(x, lazy)):
        with pytest.raises(AssertionError, match="computed"):
            result.compute()
    with pytest.raises(TypeError, match="negative_slope must be a number, given a Dask array"):
        kernels.get("leaky_relu")(x, xarray.DataArray(da.ones(())))


# ---------------------------------------------------------------- Dask
@pytest.fixture
def da():
    return library("dask.array")


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_nothing_is_computed_before_it_is_asked_for(da, name, form):
    def never(block):
        raise AssertionError("computed")

    x = da.zeros((4, 6), chunks=(2, 3)).map_blocks(never, meta=np.empty((0, 0)))
    g = x[:, :3] if name == "glu" else x
    inputs = (g, x) if form.startswith("backward") else (x,)
    result = function_of(name, form)(*inputs, *lookup(name).example_parameters)
    with pytest.raises(AssertionError, match="computed"):
        (result[1] if form == "value_and_derivative" else result).compute()


def test_blocks_stay_and_those_of_rows_are_joined(da):
    x = da.zeros((4, 6), chunks=(2, 3))
    chunks = {
        "relu": ((2, 2), (3, 3)),
        "softmax": ((2, 2), (6,)),
        "glu": ((2, 2), (3,)),
    }
    for name, expected in chunks.items():
        assert kernels.get(name)(x).chunks == expected
    assert kernels.get("softmax")(x, axis=0).chunks == ((4,), (3, 3))
    assert kernels.get("glu").backward(x[:, :3], x).chunks == ((2, 2), (6,))
    assert kernels.get("sigmoid").backward(da.ones(6), x).chunks == ((2, 2), (3, 3))


def test_a_pair_is_one_pass(da, monkeypatch):
    """Both results of a block come of one call."""
    calls = []
    stacked = host_kinds._stacked
    monkeypatch.setattr(host_kinds, "_stacked", lambda *given: calls.append(1) or stacked(*given))
    pair = kernels.get("sigmoid").value_and_derivative(da.zeros((4, 6), chunks=(2, 6)))
    library("dask").compute(*pair, scheduler="sync")
    assert len(calls) == 2


def test_weights_of_blocks(da, backend, values, assert_same):
    prelu, x = kernels.get("prelu", backend), values((4, 6), np.float32)
    blocks = da.from_array(x, chunks=(3, 4))
    for weight in (np.float32(0.5), x[0], x[:1], x[:, :1], x):
        for form in (prelu, lambda x, w: prelu.backward(2.0, x, w), lambda x, w: prelu.backward_parameters(x, x, w)):
            assert_same(np.asarray(form(blocks, weight)), np.asarray(form(x, weight)))
        if np.size(weight) > 1:
            assert_same(np.asarray(prelu(blocks, da.from_array(weight))), prelu(x, weight))


def test_what_is_wrong_is_said_at_once(da):
    get, x = kernels.get, da.zeros((4, 5), chunks=(2, 5))
    unknown = x[x[:, 0] == 0]
    wrong = {
        "two halves along axis -1, given length 5": lambda: get("glu")(x),
        r"grad_output of shape \(4,\) does not fit x of shape \(4, 5\)": lambda: get("relu").backward(da.ones(4), x),
        r"weight has shape \(7,\), which does not fit x of shape \(4, 5\)": lambda: get("prelu")(x, np.ones(7)),
        "axis 5 is out of bounds": lambda: get("softmax")(x, axis=5),
        "unknown size: call its compute_chunk_sizes": lambda: get("relu").backward(x, unknown),
        "y is a Dask array with chunks of unknown": lambda: get("relu").backward_from_output(x, unknown),
        r"x is a Dask array with chunks of unknown size: call": lambda: get("softmax")(unknown, axis=0),
        r"x is a Dask array with chunks of unknown": lambda: get("glu")(unknown, axis=0),
        r"x is a Dask array with chunks of unknown size": lambda: get("prelu")(unknown, np.ones((4, 1))),
        "negative_slope must be a number, given a Dask array": lambda: get("leaky_relu")(x, da.ones(3)),
        "weight must be a number, given a Dask array": lambda: get("prelu")(x, da.ones(1)),
        "negative_slope must be a real number, given str": lambda: get("leaky_relu")(x, "text"),
        "unexpected keyword argument 'slope'": lambda: get("relu")(x, slope=1),
    }
    for words, call in wrong.items():
        with pytest.raises((TypeError, ValueError), match=words):
            call()
    assert get("relu")(unknown).compute().shape == get("softmax")(unknown).compute().shape == (4, 5)


def test_other_processes_take_the_forms(da):
    numbers = np.linspace(-1, 1, 6)
    pair = kernels.get("sigmoid").value_and_derivative(da.from_array(numbers, chunks=3))
    again = pickle.loads(pickle.dumps(pair))
    np.testing.assert_array_equal(again[1], kernels.get("sigmoid").derivative(numbers))
    # The same work has the same name.
    same = kernels.get("sigmoid").value_and_derivative(da.from_array(numbers.copy(), chunks=3))
    assert [one.name for one in same] == [one.name for one in pair]
    x = da.from_array(numbers, chunks=3)
    assert kernels.get("elu")(x, 0.5).name == kernels.get("elu")(x, 0.5).name != kernels.get("elu")(x, 0.25).name


# ---------------------------------------------------------------- all others
class Lender:
    """An array of a library of the Python array API, of the host."""

    def __array__(self, dtype=None, copy=None):
        return np.array([1.0, -2.0])

    def __array_namespace__(self):
        raise AssertionError("nobody needs it")

    def __dlpack__(self, **_):
        raise AssertionError("nobody needs it")

    def __dlpack_device__(self):
        return 1, 0


def test_what_numpy_can_read_gives_numpys(backend):
    relu = kernels.get("relu", backend)
    for got in (relu(Lender()), relu.backward(Lender(), Lender()), relu.value_and_derivative(Lender())[0]):
        assert list(got) == [1, 0]
        assert isinstance(got, np.ndarray)
    with pytest.raises(TypeError, match=r"out must be .*, given Lender"):
        relu(np.ones(2), out=Lender())


def test_an_array_brings_its_own_library_only(torch, run_python):
    code = """
import warnings; warnings.simplefilter("ignore")
import sys, torch
before = set(sys.modules)
from kernels.fastest import relu
relu(torch.ones(3))
print([name for name in ("jax", "pandas", "xarray", "dask", "numba") if name in sys.modules and name not in before])
"""
    assert run_python(code) == "[]"
