"""Arrays in GPU memory, of several libraries: computed where they are, and refused where that is impossible."""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import cuda_stand_ins as stand_ins
import numpy as np
import pytest

import kernels
from kernels import device_arrays, dlpack
from kernels.activations import lookup
from kernels.backends import cuda_launch, numba_cuda

pytest.importorskip("numba")

HERE = str(Path(__file__).parent)

KINDS = """
import sys
sys.setswitchinterval(1e-5)
import numpy as np, kernels, cuda_stand_ins as stand_ins
from kernels import device_arrays, dlpack
from kernels.fastest import geglu, prelu, relu, rrelu, softmax, swish
from numba import cuda
sys.modules["cupy"] = stand_ins.cupy()
random = np.random.default_rng(0)
x, g = random.standard_normal((2, 3, 4, 6)).astype(np.float32)

def same(got, expected):
    given = got.numbers if isinstance(got, stand_ins.ndarray | stand_ins.Lender) else got.copy_to_host()
    assert (given.dtype, given.shape) == (expected.dtype, expected.shape)
    assert given.tobytes() == expected.tobytes()

for make in (cuda.to_device, stand_ins.array):
    on, gradient = make(x), make(g)
    same(relu(on), relu(x))
    same(kernels.get("relu", "cuda")(on), relu(x))
    same(kernels.accurate.swish.backward(gradient, on, 1.5), kernels.accurate.swish.backward(g, x, 1.5))
    for mine, theirs in zip(swish.value_and_derivative(on, 1.0), swish.value_and_derivative(x, 1.0)):
        same(mine, theirs)
    same(rrelu(on, 0.1, upper=0.3), rrelu(x, 0.1, 0.3))
    same(softmax(on), softmax(x))
    same(geglu(on, axis=1), geglu(x, axis=1))
    weight = np.linspace(-1, 1, 4, dtype=np.float32)
    same(prelu(on, make(weight)), prelu(x, weight))
    same(prelu(on, make(x)), prelu(x, x))
    same(prelu.backward(gradient, on, make(weight[:1])), prelu.backward(g, x, weight[:1]))
    assert relu(on, out=on) is on
    same(on, relu(x))
    same(relu(make(x[:0])), x[:0])
# Transposed: any order of the axes will do that leaves no gaps.
across = stand_ins.ndarray(stand_ins.aligned((6, 4), np.float64).T)
across.numbers[...] = random.standard_normal((4, 6))
assert relu(across, out=across) is across and across.numbers.min() == 0
# Aligned or not.
for offset in (0, 0, 4, 4):
    other = random.standard_normal(37).astype(np.float32)
    same(swish(stand_ins.array(other, offset=offset), 1.5), swish(other, 1.5))
    for zero in (0.0, -0.0):
        same(swish(stand_ins.array(other, offset=offset), zero), swish(other, zero))
# Lent and taken over, on the stream that both know, and given back.
device_arrays.DLPack.devices = (1,)
lent, gradient = stand_ins.Lender(x), stand_ins.Lender(g)
for _ in range(2):
    y = relu(lent)
    assert type(y) is stand_ins.Lender
    same(y, relu(x))
same(softmax.backward(gradient, lent), softmax.backward(g, x))
same(swish.value_and_derivative(lent, 1.0)[1], swish.derivative(x, 1.0))
same(prelu(lent, cuda.to_device(weight)), prelu(x, weight))
half = stand_ins.Lender(x.astype(np.float16))
same(relu(half), relu(half.numbers))
assert set(lent.asked) == {1}
del y
assert not dlpack._lent
try:
    relu(lent, out=lent)
except ValueError as error:
    assert "out is read-only" in str(error)
else:
    raise AssertionError("a borrowed array was written")
"""


def test_the_kind_that_is_given_comes_back(run_python):
    """Same bits as the CPU's, in and out of place, whatever is prepared."""
    search = os.pathsep.join((HERE, os.environ.get("PYTHONPATH", "")))
    run_python(
        KINDS.replace("import numpy as np, kernels", "import numpy as np, kernels, kernels.accurate"),
        PYTHONPATH=search,
        NUMBA_ENABLE_CUDASIM="1",
    )


TORCH = """
import torch, kernels
from kernels import device_arrays
from kernels.fastest import relu, softmax
# Tensors of the host stand in for those of a GPU.
device_arrays.Torch.is_on_device = lambda self, array: True
device_arrays.Torch.stream = lambda self, device: 0
for name in ("float16", "bfloat16", "float32", "float64"):
    x = torch.randn(5, 9).to(getattr(torch, name))
    assert torch.equal(relu(x), torch.relu(x)) and relu(x).dtype == x.dtype
    assert torch.equal(relu(x.t()), torch.relu(x.t())) and relu(x.t()).stride() == x.t().stride()
    assert torch.allclose(softmax(x), torch.softmax(x, -1), atol=1e-2)
out = torch.empty(3)
assert relu(torch.ones(3), out=out) is out and out._version == 1
for wrong in (torch.ones(3, requires_grad=True), torch.ones(3, dtype=torch.int32), torch.ones(4, 6)[:, ::2]):
    try:
        relu(wrong)
    except (TypeError, ValueError) as error:
        assert "detach()" in str(error) or "int32" in str(error) or "contiguous" in str(error), error
    else:
        raise AssertionError(wrong)
"""


def test_tensors(run_python):
    pytest.importorskip("torch")
    run_python("import warnings; warnings.simplefilter('ignore')\n" + TORCH, NUMBA_ENABLE_CUDASIM="1")


# ---------------------------------------------------------------- the launch
@pytest.fixture
def cupy(monkeypatch):
    """The stand-in for as long as a test runs: Dask looks for CuPy, and would find it in others."""
    monkeypatch.setitem(sys.modules, "cupy", stand_ins.cupy())


@pytest.fixture
def driver(cupy, monkeypatch):
    """A stand-in for the driver; ``driver.compiled`` are the kernels that were asked for, for ``driver.devices``."""
    made = stand_ins.Driver("PPffPPqqqqq")
    made.compiled, made.devices = [], []

    def launcher(choice, device):
        made.compiled.append(choice)
        made.devices.append(device)
        return cuda_launch.Launcher(made, 1, choice.layout).launch

    monkeypatch.setattr(numba_cuda, "_launcher", launcher)
    monkeypatch.setattr(cuda_launch, "_multiprocessors", lambda device: 100)
    return made


def test_a_second_call_only_launches(driver, monkeypatch):
    """No kernel is looked for, no array viewed or converted: what was prepared gets other addresses."""
    form = numba_cuda.OnDevice(lookup("relu"), "value", "fast")
    first, second = stand_ins.array(np.ones(1003, np.float32)), stand_ins.array(np.ones(1003, np.float32))
    out = form((first,), ())
    monkeypatch.setattr(device_arrays, "View", None)
    again = form((second,), ())
    same = form((second,), (), out=None)
    assert [choice.name for choice in driver.compiled] == ["relu"]
    for (blocks, threads, stream, values), x, y in zip(
        driver.launches, (first, second, second), (out, again, same), strict=True
    ):
        # 125 times eight elements, and three.
        assert (blocks, threads, stream) == (1, 256, stand_ins.STREAM)
        assert values == (x.data.ptr, x.data.ptr, 0, 0, y.data.ptr, y.data.ptr, 0, 125, 1003, 0, 0)


def test_a_library_is_told_what_was_written(driver, monkeypatch):
    """By the first call and by prepared ones; new arrays are nobody's yet."""
    told = []
    monkeypatch.setattr(device_arrays.CuPy, "written", lambda self, array: told.append(array))
    form = numba_cuda.OnDevice(lookup("relu"), "value", "fast")
    x, y = (stand_ins.array(np.ones(9, np.float32)) for _ in range(2))
    for out in (None, y, y, x, None):
        form((x,), (), out=out)
    assert told == [y, y, x]


def test_what_was_prepared_keeps_no_array(driver):
    form = numba_cuda.OnDevice(lookup("relu"), "value", "fast")
    x = stand_ins.array(np.ones(9, np.float32))
    kept = weakref.ref(x)
    form((x,), ())
    del x
    assert form.ready
    assert kept() is None


def test_calls_along_the_first_axis_are_prepared(driver):
    form = numba_cuda.OnDevice(lookup("glu"), "value", "fast")
    for _ in range(2):
        form((stand_ins.array(np.ones((4, 6), np.float32)),), (), axis=0)
    assert (len(driver.compiled), len(driver.launches)) == (1, 2)


@pytest.fixture
def made_current(monkeypatch) -> list[int]:
    """The GPUs that were made the current one, GPU 0 being that."""
    devices = []

    def remembered(device):
        devices.append(device)
        return contextlib.nullcontext()

    for module in (device_arrays, cuda_launch):
        monkeypatch.setattr(module, "made_current", remembered)
    return devices


def test_kernels_run_on_the_gpu_of_their_arrays(driver, made_current):
    form = numba_cuda.OnDevice(lookup("relu"), "value", "fast")
    for device in (0, 1, 1, 0):
        assert form((stand_ins.array(np.ones(9, np.float32), device),), ()).device.id == device
    assert (driver.devices, made_current) == ([0, 1], [1, 1])


def test_new_arrays_are_on_the_gpu_of_the_input(made_current, monkeypatch):
    monkeypatch.setattr("numba.cuda.device_array", lambda shape, dtype: (shape, dtype))
    view = device_arrays.View(None, device_arrays.Kind(), "float64", (3,), 16, 1)
    assert view.kind.new(view, (4,))(None) == ((4,), np.float64)
    assert made_current == [1]


@pytest.mark.parametrize(("offset", "start", "groups"), [(0, 0, 12), (4, 3, 12), (12, 1, 12)])
def test_where_16_byte_accesses_start(driver, offset, start, groups):
    x = stand_ins.array(np.ones(100, np.float32), offset=offset)
    numba_cuda.OnDevice(lookup("relu"), "value", "fast")((x,), (), out=x)
    assert driver.launches[0][3][6:8] == (start, groups)


def test_indices_beyond_32_bits(driver):
    """The numbers of a call of 10^10 elements, none of which is there."""
    form, n = numba_cuda.OnDevice(lookup("relu"), "value", "fast"), 10**10
    view = device_arrays.View(None, None, "float32", (n,), 1 << 40, 0)
    form.run([view], (), [view], 0, -1)
    ((blocks, threads, _, values),) = driver.launches
    assert (blocks, threads, values[6:9]) == (800, 256, (0, n // 8, n))


@pytest.mark.parametrize(
    ("written_on", "launched_on", "waits"),
    [((None, None), 0, []), ((7, 7), 7, []), ((7, 8), 7, [(7, 8)]), ((None, 8), 8, [])],
)
def test_streams_wait_for_each_other(written_on, launched_on, waits, monkeypatch):
    """Arrays without a library that has a current stream: on the first's, after what the others' hold."""
    streams = stand_ins.Streams()
    monkeypatch.setattr(device_arrays, "driver", lambda: streams)
    kind = device_arrays.Kind()
    views = [device_arrays.View(None, kind, "float32", (3,), 16, 0, stream=stream) for stream in written_on]
    assert numba_cuda._stream(views) == launched_on
    assert (streams.waits, streams.recorded) == (waits, {})


def test_a_stream_waits_for_weights_and_out(driver, monkeypatch):
    streams, ones = stand_ins.Streams(), np.ones((4, 6), np.float32)
    monkeypatch.setattr(device_arrays, "driver", lambda: streams)
    monkeypatch.setattr(device_arrays, "device_of", lambda address: 0)
    driver.packing = struct.Struct("PPPfPPqqqqq")
    weight, out = stand_ins.Written(ones[0], 8), stand_ins.Written(ones.copy(), 9)
    form = numba_cuda.OnDevice(lookup("prelu"), "value", "fast")
    assert form((stand_ins.array(ones),), (weight,), out=out) is out
    assert streams.waits == [(stand_ins.STREAM, 9), (stand_ins.STREAM, 8)]
    assert driver.launches[0][2] == stand_ins.STREAM


@pytest.mark.parametrize("function", ["cuEventCreate", "cuEventRecord", "cuStreamWaitEvent", "cuEventDestroy"])
def test_what_the_driver_refuses_is_told(function, monkeypatch):
    streams, error = stand_ins.Streams(), SimpleNamespace(name="CUDA_ERROR_LAUNCH_FAILED")
    monkeypatch.setattr(device_arrays, "driver", lambda: streams)
    monkeypatch.setattr(streams, function, lambda *_: (error,))
    with pytest.raises(RuntimeError, match="CUDA_ERROR_LAUNCH_FAILED"):
        device_arrays.wait(7, 8, 0)


def test_arrays_on_several_devices_are_none_of_the_gpu():
    assert device_arrays.kind_of(stand_ins.Sharded(np.ones(3))) is None


JAX = """
import jax, jax.numpy as jnp, numpy as np
from kernels import device_arrays
from kernels.fastest import relu, swish
# Arrays of the host stand in for those of a GPU.
device_arrays.DLPack.devices, device_arrays.DLPack.lending_stream = (1,), None
for dtype in ("float16", "bfloat16", "float32"):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((5, 9))).astype(dtype)
    y = relu(x)
    assert isinstance(y, jax.Array) and y.dtype == x.dtype and (y == jax.nn.relu(x)).all()
    value, slope = swish.value_and_derivative(x)
    assert value.shape == slope.shape == x.shape and slope.dtype == x.dtype
"""


def test_jax_arrays(run_python):
    pytest.importorskip("jax")
    run_python(JAX, NUMBA_ENABLE_CUDASIM="1")


KEPT = """
import gc, sys
import numpy as np
from kernels import dlpack
take = np.from_dlpack
if JAX:
    import jax.numpy
    take = jax.numpy.from_dlpack
memory = np.zeros(500, np.uint8)
memory = memory[-memory.ctypes.data % 64 :][:400].view(np.float32)
memory[:] = np.arange(100)

def taken():
    return take(dlpack.Offered(memory, ("float32", (10, 10), memory.ctypes.data), (1, 0), None))

array = taken()
assert array.sum() == 4950 and len(dlpack._lent) == 1
del array
gc.collect()
assert not dlpack._lent
# Until after the end, in places that are cleared early and late.
array, sys.kept, cycle = taken(), taken(), [taken()]
cycle.append(cycle)
"""


@pytest.mark.parametrize("library", ["numpy", "jax"])
def test_what_is_lent_may_outlive_python(library, run_python):
    pytest.importorskip(library)
    run_python(KEPT.replace("JAX", str(library == "jax")))


def test_what_is_offered_and_not_taken_is_forgotten():
    offered = dlpack.Offered(np.zeros(3), ("float32", (3,), 16), (dlpack.CUDA, 0), None)
    capsule = offered.__dlpack__(stream=dlpack.LEGACY_DEFAULT)
    assert len(dlpack._lent) == 1
    del capsule
    assert not dlpack._lent


def test_a_library_waits_for_the_result(monkeypatch):
    """On its own stream, for what is under way on the default one."""
    streams = stand_ins.Streams()
    monkeypatch.setattr(device_arrays, "driver", lambda: streams)
    waiting = functools.partial(device_arrays.wait, device=0)
    offered = dlpack.Offered(np.zeros(3), ("float32", (3,), 16), (dlpack.CUDA, 0), waiting)
    for stream in (77, None, dlpack.NO_WAITING, dlpack.LEGACY_DEFAULT):
        offered.__dlpack__(stream=stream)
    assert streams.waits == [(77, dlpack.LEGACY_DEFAULT)]


def test_borrowed_memory_is_kept_until_it_was_read(monkeypatch):
    streams = stand_ins.Streams()
    monkeypatch.setattr(device_arrays, "driver", lambda: streams)
    views = [device_arrays.View(None, None, "float32", (3,), 16, 0, lent=object()) for _ in range(2)]
    for view in views:
        device_arrays.keep_until_done([view], 7)
    device_arrays.let_go(0)
    assert [kept for _, kept in device_arrays.in_use] == [[views[0]], [views[1]]]
    # One has come, and one has failed.
    streams.ended = dict(zip(streams.recorded, (0, 719), strict=True))
    device_arrays.let_go(0)
    assert not device_arrays.in_use
    assert not streams.recorded


REFUSED = {
    "out on the host": (lambda f, x: f.relu(x, out=x.numbers), TypeError, "out must be in GPU memory"),
    "x on the host": (lambda f, x: f.relu(x.numbers, out=x), TypeError, "x must be in GPU memory"),
    "gradient on the host": (lambda f, x: f.relu.backward(x.numbers, x), TypeError, "grad_output must be in GPU"),
    "gradient of another shape": (
        lambda f, x: f.relu.backward(stand_ins.array(x.numbers[:2]), x),
        ValueError,
        "expected (4, 6), given (2, 6)",
    ),
    "another dtype": (
        lambda f, x: f.relu(x, out=stand_ins.array(x.numbers.astype(np.float64))),
        TypeError,
        "expected float32",
    ),
    "another GPU": (lambda f, x: f.relu(x, out=stand_ins.array(x.numbers, 1)), ValueError, "is on GPU 1"),
    "integers": (lambda f, x: f.relu(stand_ins.array(np.arange(3))), TypeError, "accepted in GPU memory are float32"),
    "overlap": (
        lambda f, x: f.relu(stand_ins.ndarray(x.numbers[:2]), out=stand_ins.ndarray(x.numbers[1:3])),
        ValueError,
        "shares memory",
    ),
    "overlap with weights": (
        lambda f, x: f.prelu(x, stand_ins.ndarray(x.numbers.ravel()[3:9]), out=x),
        ValueError,
        "shares memory",
    ),
    "one output twice": (lambda f, x: f.relu.value_and_derivative(x, out=(x, x)), ValueError, "two outputs share"),
    "gaps": (lambda f, x: f.relu(stand_ins.ndarray(x.numbers[:, ::2])), ValueError, "not contiguous"),
    "other rows": (lambda f, x: f.softmax(x, axis=0), ValueError, "along the last axis"),
    "odd halves": (lambda f, x: f.glu(stand_ins.array(x.numbers[:, :5])), ValueError, "two halves"),
    "a number on the GPU": (lambda f, x: f.leaky_relu(x, x), TypeError, "negative_slope must be a number"),
    "weights": (lambda f, x: f.prelu(x, stand_ins.array(x.numbers[0, :5])), ValueError, "does not fit x of shape"),
    "training": (lambda f, x: f.rrelu(x, training=True), TypeError, "training draws on the host"),
    "a jacobian": (lambda f, x: f.softmax.jacobian(x), TypeError, "copy them to the host"),
    "another backend": (lambda f, x: kernels.get("relu", "numpy")(x), TypeError, "those that do are cuda, fastest"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_say_what_to_do(case, driver):
    import kernels.fastest as fastest

    call, kind, message = REFUSED[case]
    with pytest.raises(kind) as refused:
        call(fastest, stand_ins.array(np.ones((4, 6), np.float32)))
    assert message in str(refused.value)
    assert not driver.launches


def test_without_a_driver_the_error_says_what_is_missing(cupy, monkeypatch):
    monkeypatch.setattr(numba_cuda, "reason", lambda: "no usable NVIDIA driver")
    from kernels.fastest import tanh

    with pytest.raises(kernels.BackendUnavailable, match="no usable NVIDIA driver"):
        tanh(stand_ins.array(np.ones(3, np.float32)))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the provided PTX was compiled with an unsupported toolchain", True),
        ("ptxas application ptx input, line 9; fatal : Unsupported .version 9.5; current version is '9.0'", True),
        ("CUDA_ERROR_OUT_OF_MEMORY", False),
    ],
)
def test_a_driver_older_than_the_compiler_is_told(said, told, monkeypatch):
    streams = stand_ins.Streams()
    monkeypatch.setattr(device_arrays, "driver", lambda: streams)
    with pytest.raises(RuntimeError) as raised, numba_cuda._old_driver_told():
        raise RuntimeError(said)
    assert isinstance(raised.value, kernels.BackendUnavailable) is told
    assert ("of CUDA 13.0, is older" in str(raised.value)) is told
    assert ('pip install "cuda-toolkit==13.0.*"' in str(raised.value)) is told


def test_too_little_memory_is_a_memory_error(monkeypatch):
    def full(*_):
        raise RuntimeError("[2] CUDA_ERROR_OUT_OF_MEMORY")

    kernel = numba_cuda.bind(lookup("relu"), "value", np.float32, "fast")
    monkeypatch.setattr(kernel, "_compute", full)
    with pytest.raises(MemoryError, match="2,400 bytes"):
        kernel(np.ones(300, np.float32))


BITS = """
from kernels.verify import bits, sweeps
bits.BLOCK = sweeps.BLOCK = 16
assert "cuda" not in bits.compared() and bits.compared(["cuda"]) == ["cuda"]
for name, backend, differ in (("sigmoid", "cuda", 0), ("mish", "cuda", 0), ("sigmoid", "numpy", 1)):
    entry = sweeps.Entry(name, "value", None, "float32", backend, "fast")
    block = bits.Equality((entry,), step=4001).prepare()
    wrong = sum(block(k)[0].error for k in (0x3F800000 // 64016, 0xBF800000 // 64016))
    assert bool(wrong) == bool(differ), (name, backend, wrong)
"""


def test_all_inputs_can_be_compared_on_a_gpu(run_python):
    """A few blocks of what ``python -m kernels.verify --exhaustive --part bits --backend cuda`` does with 2^32."""
    run_python(BITS, NUMBA_ENABLE_CUDASIM="1")
