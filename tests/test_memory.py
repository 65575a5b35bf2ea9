"""The memory of large outputs: reused once nobody holds it, never while somebody does, bounded, and off by one call."""

from __future__ import annotations

import gc
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import kernels
from kernels import memory
from kernels.activations import RECORDS
from kernels.native import native

pytestmark = pytest.mark.skipif(native("dispatch") is None, reason="without the compiled part nothing is held")

#: Elements of a float32 output of 4 MB: large enough to be kept.
LARGE = 1 << 20
#: Smaller ones are NumPy's business.
SMALL = 1 << 10


@pytest.fixture(autouse=True)
def _clean():
    before = memory.get_limit()
    memory.release()
    memory.set_limit(1 << 28)
    yield
    memory.set_limit(before)
    memory.release()


@pytest.fixture
def relu():
    return kernels.get("relu")


@pytest.fixture
def x():
    return np.linspace(-1, 1, LARGE, dtype=np.float32)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_the_memory_of_a_collected_output_is_used_again(relu, x):
    address = _address(relu(x))
    assert x.nbytes <= memory.held() < 1.1 * x.nbytes
    again = relu(x)
    assert _address(again) == address
    assert memory.held() == 0
    np.testing.assert_array_equal(again, np.maximum(x, 0))


def test_small_outputs_are_not_kept(relu):
    relu(np.ones(SMALL, np.float32))
    assert memory.held() == 0


def test_an_output_owns_its_data_and_is_aligned_to_a_cache_line(relu, x):
    y = relu(x)
    assert y.flags.owndata
    assert y.base is None
    assert _address(y) % 64 == 0


@pytest.mark.parametrize(
    "hold", [lambda y: y[5:], lambda y: memoryview(y), lambda y: y.reshape(2, -1).T, lambda y: y.view("u4")]
)
def test_what_somebody_holds_is_not_used_again(relu, x, hold):
    y = relu(x)
    kept = hold(y)
    expected = np.array(kept)
    del y
    for _ in range(3):
        relu(-x)
    np.testing.assert_array_equal(np.asarray(kept), expected)


def test_an_output_in_a_cycle_is_kept_until_it_is_collected(relu, x):
    cycle = [relu(x)]
    cycle.append(cycle)
    address = _address(cycle[0])
    other = relu(x)
    assert _address(other) != address
    del cycle, other
    gc.collect()
    assert memory.held() >= 2 * x.nbytes


def test_both_outputs_of_a_pair_come_from_it(relu, x):
    pair = relu.value_and_derivative(x)
    del pair
    assert memory.held() >= 2 * x.nbytes
    value, derivative = relu.value_and_derivative(x)
    assert memory.held() == 0
    assert not np.shares_memory(value, derivative)


def test_resizing_keeps_the_contents(relu, x):
    y = relu(x)
    y.resize(2 * LARGE, refcheck=False)
    np.testing.assert_array_equal(y[:LARGE], np.maximum(x, 0))
    y.resize(10, refcheck=False)
    np.testing.assert_array_equal(y, np.maximum(x[:10], 0))


def test_no_more_than_the_limit_is_held_and_the_oldest_goes_first(relu, x):
    memory.set_limit(3 * x.nbytes)
    outputs = [relu(x) for _ in range(4)]
    addresses = [_address(y) for y in outputs]
    while outputs:
        del outputs[0]
    assert memory.held() <= memory.get_limit()
    assert _address(relu(x)) == addresses[-1]


def test_a_lower_limit_holds_at_once(relu, x):
    relu(x)
    memory.set_limit(1000)
    assert memory.held() == 0
    relu(x)
    assert memory.held() == 0


def test_it_can_be_turned_off(relu, x):
    memory.set_limit(0)
    y = relu(x)
    assert np._core.multiarray.get_handler_name(y) == np._core.multiarray.get_handler_name()
    del y
    assert memory.held() == 0


def test_release_frees_what_is_held(relu, x):
    relu(x)
    memory.release()
    assert memory.held() == 0
    np.testing.assert_array_equal(relu(x), np.maximum(x, 0))


def test_other_arrays_are_not_touched(relu, x):
    relu(x)
    held = memory.held()
    np.empty_like(x)
    assert memory.held() == held
    assert np._core.multiarray.get_handler_name() == "default_allocator"


def test_no_block_is_given_to_an_output_that_would_waste_more_than_a_quarter(relu, x):
    relu(x)
    held = memory.held()
    relu(x[: LARGE // 2])
    assert memory.held() > held


def test_eight_threads_get_memory_of_their_own(relu):
    barrier = threading.Barrier(8)

    def task(k):
        x = np.full(LARGE // 4, k, np.float32)
        barrier.wait(timeout=60)
        return all(np.all(relu(x) == k) and np.all(relu(x[: LARGE // 8 + 100 * i]) == k) for i in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(task, range(8)))
    assert memory.held() <= memory.get_limit()


def test_a_forked_child_has_memory_of_its_own(run_python):
    code = f"""
import os, sys, threading
import numpy as np
from kernels.fastest import relu
x = np.ones({LARGE}, np.float32)
stop = threading.Event()
def churn():
    while not stop.is_set():
        relu(x)
threads = [threading.Thread(target=churn) for _ in range(3)]
[t.start() for t in threads]
mine = relu(x)
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        good = all(np.all(relu(k * x) == k) for k in range(3)) and np.all(mine == 1)
        os._exit(0 if good else 3)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
[t.join() for t in threads]
print("done")
"""
    assert run_python(code) == "done"


HIGH_WATER = """
import math, re
from pathlib import Path
import numpy as np
import kernels
from kernels.activations import RECORDS

# For every form the same arrays, so that none has a higher mark than another.
memory = np.ones((4, 8_000_000), np.float32)

def high_water():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def call(record, form, n):
    function = kernels.get(record.name)
    function = function if form == "value" else getattr(function, form)
    shape = (n,) if record.elementwise else (2, n // 2)
    shapes = shape, record.result_shape("value", shape), record.result_shape(form, shape), shape
    x, g, *outs = (one[: math.prod(shape)].reshape(shape) for one, shape in zip(memory, shapes))
    arrays = (g, x) if form.startswith("backward") else (x,)
    function(*arrays, *record.example_parameters, out=tuple(outs) if form == "value_and_derivative" else outs[0])

for record in RECORDS:
    for form in record.forms:
        if form not in ("jacobian", "backward_parameters"):
            call(record, form, 100_000)
            before = high_water()
            call(record, form, 8_000_000)
            print(record.name, form, high_water() - before)
"""


def test_a_call_needs_its_output_and_nothing_else_that_grows(run_python):
    """The high-water mark of a process's memory, with an output to write into."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the mark is read from /proc: ru_maxrss begins with what the parent had")
    found = re.findall(r"^(.+) (\d+)$", run_python(HIGH_WATER, timeout=300), re.MULTILINE)
    grown = {form: int(kilobytes) for form, kilobytes in found}
    assert len(grown) > len(RECORDS)
    # An array has 31,250.
    assert {form: kilobytes for form, kilobytes in grown.items() if kilobytes >= 2_000} == {}


@pytest.mark.parametrize("bad", [-1, 2**63, 1.5, "1", None], ids=str)
def test_a_wrong_limit_changes_nothing(bad):
    before = memory.get_limit()
    with pytest.raises((TypeError, ValueError), match=r"limit must be .* given"):
        memory.set_limit(bad)
    assert memory.get_limit() == before
