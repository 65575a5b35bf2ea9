"""Many Python threads at once, a fork after threads have run, and any number of threads: the same bits."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import kernels
from kernels import crossover
from kernels.backends import numba_cpu
from kernels.backends.cython_loops import THREADS_FROM
from kernels.native import native
from kernels.native.built import build_report

#: The sizes from which calls use threads.
SHIPPED = {s["from"] for row in crossover.shipped()["rows"] for s in row["segments"][1:]}
THRESHOLDS = sorted({THREADS_FROM, numba_cpu.THREADS_FROM, *SHIPPED})
#: Eight times the first of them, where sleeping workers are woken too, and no multiple of anything.
LONG = 8 * THRESHOLDS[0] + 1031
ROWS = (LONG // 1009 + 1, 1009)
THREADS = 8


@pytest.fixture(autouse=True)
def _restored_threads():
    before = kernels.get_num_threads()
    yield
    kernels.set_num_threads(before)


def _at_once(task, count=THREADS):
    """``task(k)`` in ``count`` Python threads that start together."""
    barrier = threading.Barrier(count)

    def started(k):
        barrier.wait(timeout=60)
        return task(k)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(started, range(count)))


@pytest.mark.parametrize("name", ["sigmoid", "prelu", "softmax"])
def test_eight_python_threads_at_once(backend, accuracy, name, values, assert_same):
    kernels.set_num_threads(2)
    record = kernels.ACTIVATIONS[name]
    function = kernels.get(name, backend, accuracy=accuracy)
    shape = ROWS if name == "softmax" else LONG
    repeats = 1 if backend == "python" else 4
    params = record.example_parameters

    def data(k):
        return values(shape, np.float32, seed=k), values(shape, np.float32, seed=100 + k)

    def task(k):
        x, g = data(k)
        for _ in range(repeats):
            results = function(x, *params), function.backward(g, x, *params)
        into = x.copy()
        return *results, function(into, *params, out=into)

    for k, (value, gradient, in_place) in enumerate(_at_once(task)):
        x, g = data(k)
        assert_same(value, function(x, *params), f"thread {k}")
        assert_same(gradient, function.backward(g, x, *params), f"thread {k}")
        assert_same(in_place, value, f"thread {k}")


def test_eight_first_calls_at_once(backend, run_python):
    """Everything is looked up, loaded and compiled by all threads at once; the object is one all the same."""
    code = f"""
import threading, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
sys.setswitchinterval(1e-6)
import kernels, kernels.backends
x = np.linspace(-3, 3, {LONG}, dtype=np.float32)
barrier = threading.Barrier({THREADS})
def task(k):
    barrier.wait()
    found = kernels.get("elu", {backend!r})
    return found, found(x), found.backward(x, x)
with ThreadPoolExecutor({THREADS}) as pool:
    results = list(pool.map(task, range({THREADS})))
elu = kernels.get("elu", {backend!r})
for found, value, gradient in results:
    assert np.array_equal(value, elu(x)) and np.array_equal(gradient, elu.backward(x, x))
print(len({{id(found) for found, *_ in results}}))
"""
    assert run_python(code) == "1"


FORK = """
import os, signal, sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import kernels
kernels.set_num_threads(2)
BACKEND, LONG = {backend!r}, {long}
function, softmax = kernels.get("sigmoid", BACKEND), kernels.get("softmax", BACKEND)
x = np.linspace(-9, 9, LONG, dtype=np.float32)
rows = x[: 66 * 1000].reshape(66, 1000)
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda _: function(x), range(8)))
expected = function(x), function.backward(x, x), softmax(rows)

def child(depth):
    for _ in range(2):
        got = function(x), function.backward(x, x), softmax(rows)
        if not all(map(np.array_equal, got, expected)):
            os._exit(3)
    with ThreadPoolExecutor(3) as pool:
        if not all(np.array_equal(r, expected[0]) for r in pool.map(lambda _: function(x), range(3))):
            os._exit(4)
    kernels.set_num_threads(2)
    function(x)
    if depth:
        wait(fork(depth - 1))
    os._exit(0)

def fork(depth):
    pid = os.fork()
    if pid == 0:
        try:
            child(depth)
        finally:
            os._exit(5)
    return pid

def wait(pid):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            if status:
                sys.exit(f"the child ended with status {{status}}")
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    sys.exit("the child hung")

wait(fork(1))
assert np.array_equal(function(x), expected[0])  # the parent goes on
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_after_threads_have_run(backend, run_python):
    """A child, and its child, after threads of every kind have run in the parent."""
    assert run_python(FORK.format(backend=backend, long=LONG)) == "done"


FORK_OF_TEXTBOOK = """
import os
import numpy as np
import kernels
kernels.set_num_threads(2)
sigmoid, x = kernels.get("sigmoid", "numba:textbook"), np.linspace(-9, 9, 1000, dtype=np.float32)
expected = sigmoid(x)
pid = os.fork()
if pid == 0:
    os._exit(0 if np.allclose(sigmoid(x), expected, rtol=1e-6) else 3)
print(os.waitpid(pid, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_after_a_textbook_loop_has_run(run_python):
    """OpenMP kills a child that comes near it."""
    pytest.importorskip("numba.np.ufunc.omppool", exc_type=ImportError, reason="numba has no OpenMP here")
    assert run_python(FORK_OF_TEXTBOOK, NUMBA_THREADING_LAYER="omp") == "0"


def test_any_number_of_threads_gives_the_same_bits(function, record, form, backend, arguments, values, assert_same):
    if not kernels.BACKENDS[backend].compiled or form in ("jacobian", "backward_parameters"):
        pytest.skip("has no threads")
    shape = ROWS if not record.elementwise else LONG
    x, g = values(shape, np.float32), values(shape, np.float32, seed=1)
    kernels.set_num_threads(1)
    expected = function(*arguments(x, g))
    for n in (2, 3):
        kernels.set_num_threads(n)
        assert_same(function(*arguments(x, g)), expected, f"{n} threads")


@pytest.mark.parametrize("length", [start + more for start in THRESHOLDS for more in (-1, 0, 1, 1023, 1025, start + 1)])
def test_lengths_around_the_threading_threshold(backend, length, values):
    if backend == "python":
        pytest.skip("has no threads")
    kernels.set_num_threads(3)
    relu, x = kernels.get("relu", backend), values(length, np.float32)
    np.testing.assert_array_equal(relu(x), np.maximum(x, 0))
    guarded = np.full(length + 2, 77, np.float32)
    relu(x, out=guarded[1:-1])
    np.testing.assert_array_equal(guarded[1:-1], np.maximum(x, 0))
    assert guarded[0] == guarded[-1] == 77


@pytest.mark.parametrize("shape", [(1, 140_001), (2, 80_000), (3, 60_001), (140_001, 1), (17_500, 8)], ids=str)
def test_rows_over_threads(backend, shape, values, assert_same):
    if backend == "python":
        pytest.skip("has no threads")
    softmax, x = kernels.get("softmax", backend), values(shape, np.float32)
    kernels.set_num_threads(1)
    expected = softmax(x), softmax.backward(x, x)
    kernels.set_num_threads(3)
    assert_same((softmax(x), softmax.backward(x, x)), expected)


# ---------------------------------------------------------------- the setting
def test_the_number_of_threads_is_kept():
    for n in (1, 2, 7, np.int64(3)):
        kernels.set_num_threads(n)
        assert kernels.get_num_threads() == n
        assert type(kernels.get_num_threads()) is int


def test_more_threads_than_there_can_be(values):
    x = values(LONG, np.float32)
    for n in (1000, 2**29, 2**31 - 1):
        kernels.set_num_threads(n)
        np.testing.assert_array_equal(kernels.get("relu")(x), np.maximum(x, 0))


@pytest.mark.parametrize("bad", [0, -1, 2.5, "2", None, float("nan"), 2**40], ids=str)
def test_a_wrong_number_of_threads_changes_nothing(bad):
    kernels.set_num_threads(2)
    with pytest.raises((TypeError, ValueError, OverflowError), match="thread"):
        kernels.set_num_threads(bad)
    assert kernels.get_num_threads() == 2


def test_calls_use_the_threads_that_are_promised(run_python):
    """Before anybody asks for or sets the number."""
    code = """
import numpy as np
from kernels.fastest import relu
relu(np.ones(100_000, np.float32))
try:
    from kernels.native import dispatch
except ImportError:
    print(True)
else:
    import os
    print(dispatch.get_num_threads() == len(os.sched_getaffinity(0)))
"""
    assert run_python(code, OMP_NUM_THREADS="") == "True"


COUNTED = """
import os
import numpy as np
import kernels
from kernels.fastest import sigmoid
from threadpoolctl import threadpool_limits
kernels.set_num_threads(3)
x = np.ones(1_000_000, np.float32)
threads = lambda: len(os.listdir("/proc/self/task"))
before = threads()
with threadpool_limits(1):
    sigmoid(x)
limited = threads() - before
sigmoid(x)
print(limited, threads() - before)
"""


#: A worker that slept is kept off the processor of its caller, and of no other.
KEPT_OFF = f"""
import os, time
import numpy as np
import kernels

kernels.set_num_threads(2)
x, before = np.ones({LONG}, np.float32), set(os.listdir("/proc/self/task"))
kernels.get("sigmoid", "cython")(x)
(worker,) = set(os.listdir("/proc/self/task")) - before
time.sleep(0.1)
kernels.get("sigmoid", "cython")(x)
left, own = os.sched_getaffinity(int(worker)), os.sched_getaffinity(0)
print(left < own and len(left) == len(own) - 1)
"""


@pytest.mark.skipif(native("dispatch") is None, reason="there are no workers without compiled code")
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no processors to choose")
def test_a_worker_is_woken_beside_its_caller(run_python):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one processor")
    assert run_python(KEPT_OFF) == "True"


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="this system does not list a process's threads")
def test_a_limit_of_threadpoolctl_is_heeded(run_python):
    pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    if native("dispatch") is None or "openmp" in build_report()["left_out"]:
        pytest.skip("built without OpenMP, through which threadpoolctl sets its limit")
    assert run_python(COUNTED, OMP_NUM_THREADS="") == "0 2"


def test_omp_num_threads_is_the_default(run_python):
    code = "import kernels; print(kernels.get_num_threads())"
    assert run_python(code, OMP_NUM_THREADS="3") == "3"
    assert run_python(code, OMP_NUM_THREADS="3,2") == "3"
    assert run_python(code, OMP_NUM_THREADS="99999999999") == str(2**31 - 1)
    for odd in "", "many", "0":
        assert int(run_python(code, OMP_NUM_THREADS=odd)) >= 1
