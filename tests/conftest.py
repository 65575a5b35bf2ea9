"""What the tests share.

Arguments called ``record``, ``form``, ``backend``, ``contestant`` (backends and their variants), ``dtype`` and
``accuracy`` run over the tables; ``record`` with ``form`` runs over the forms there are. A test is an item for each
record and form, and goes over the other tables by itself. Backends are this project's own, those that can be had here;
test_table skips the others with their reasons.
"""

from __future__ import annotations

import gc
import inspect
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import kernels
from kernels.activations import RECORDS
from kernels.backends import ACCURACIES, OWN


def pytest_collection_finish() -> None:
    """Tens of thousands of tests are millions of objects: the collector need not walk them again and again."""
    gc.collect()
    gc.freeze()


# ---------------------------------------------------------------- the tables as parameters
def usable_backends() -> list[str]:
    return [name for name, backend in OWN.items() if backend.reason() is None]


def contestants() -> list[str]:
    """The usable backends, and each of their variants."""
    return [
        one for name in usable_backends() for one in (name, *(f"{name}:{variant}" for variant in OWN[name].variants()))
    ]


def floating_dtypes() -> list[np.dtype]:
    """The floating dtypes that can be had here."""
    dtypes = [np.dtype(name) for name in ("float16", "float32", "float64")]
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        return dtypes
    return [*dtypes, np.dtype(bfloat16)]


#: What a test goes over within one item: an item costs more than most calls of a test.
LOOPED = {
    "backend": usable_backends,
    "contestant": contestants,
    "dtype": floating_dtypes,
    "accuracy": lambda: list(ACCURACIES),
}
#: In the place of what changes from case to case.
EACH_CASE = object()


def records_for(fixtures: list[str]) -> list:
    """Those that a test is about: with ordinary data, those whose results have x's shape; test_gates has the others."""
    return [record for record in RECORDS if not record.gate or not {"arguments", "values"} & set(fixtures)]


def pytest_generate_tests(metafunc) -> None:
    given = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    taken = {name.strip() for names in given for name in (names.split(",") if isinstance(names, str) else names)}
    records = records_for(metafunc.fixturenames)
    wanted = {"record", "form"} & set(metafunc.fixturenames) - taken
    if wanted == {"record", "form"}:
        pairs = [pytest.param(r, form, id=f"{r.name}.{form}") for r in records for form in r.forms]
        metafunc.parametrize(("record", "form"), pairs)
    elif "record" in wanted:
        metafunc.parametrize("record", [pytest.param(record, id=record.name) for record in records])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items) -> None:
    """What xdist's workers take at once: what is compiled and computed once a process for a record, or for a file."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        fixtures = item._fixtureinfo.name2fixturedefs.values()
        if any(found[-1].scope == "module" for found in fixtures) or "peer" in parameters:
            item.add_marker(pytest.mark.xdist_group(item.path.name))
        elif "record" in parameters:
            item.add_marker(pytest.mark.xdist_group(parameters["record"].name))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem) -> bool | None:
    """A test of LOOPED tables: once for each case, of which a failure names its own."""
    if not any(value is EACH_CASE for value in pyfuncitem.funcargs.values()):
        return None
    skips = []
    cases = list(cases_of(pyfuncitem.funcargs))
    for case in cases:
        try:
            pyfuncitem.obj(**arguments_of(pyfuncitem, case))
        except pytest.skip.Exception as skip:
            skips.append(skip)
        except (Exception, pytest.fail.Exception) as error:
            error.add_note(f"in the case of {', '.join(str(case[name]) for name in LOOPED if name in case)}")
            raise
    if len(skips) == len(cases):
        raise skips[0]
    return True


def cases_of(arguments: dict) -> Iterator[dict]:
    """The values, case by case, of the arguments that change."""
    names = [name for name in LOOPED if arguments.get(name) is EACH_CASE]
    for values in itertools.product(*(LOOPED[name]() for name in names)):
        yield dict(zip(names, values, strict=True))


def arguments_of(test, case: dict) -> dict:
    """What a test takes in one case."""
    arguments = test.funcargs | case
    if arguments.get("function") is EACH_CASE:
        arguments["function"] = form_of(arguments["record"], arguments["form"], case["backend"])
    return {name: arguments[name] for name in inspect.signature(test.obj).parameters}


@pytest.fixture
def backend():
    return EACH_CASE


@pytest.fixture
def contestant():
    return EACH_CASE


@pytest.fixture
def dtype():
    return EACH_CASE


@pytest.fixture
def accuracy():
    return EACH_CASE


@pytest.fixture
def function(record, form, backend):
    """The form of the record from the backend, fast class."""
    return EACH_CASE


# ---------------------------------------------------------------- calling a form
def form_of(record, form: str, backend: str):
    function = kernels.get(record.name, backend)
    return function if form == "value" else getattr(function, form)


@pytest.fixture
def arguments(record, form):
    """``arguments(x, g)``: what the form takes, with the record's example parameters."""

    def build(x, g=None):
        g = x if g is None else g
        return (*((g, x) if form.startswith("backward") else (x,)), *record.example_parameters)

    return build


@pytest.fixture
def dtypes() -> list[np.dtype]:
    """The floating dtypes that can be had here, to loop over."""
    return floating_dtypes()


@pytest.fixture
def takes_out(form) -> None:
    if form in ("jacobian", "backward_parameters"):
        pytest.skip(f"{form} has no out")


@pytest.fixture
def assert_same():
    """``assert_same(got, expected, case)``: the same dtype, shape and bits, pairs too; any NaN equals any NaN."""

    def check(got, expected, case=""):
        if isinstance(expected, tuple):
            assert isinstance(got, tuple), case
            for one, other in zip(got, expected, strict=True):
                check(one, other, case)
            return
        got, expected = np.asarray(got), np.asarray(expected)
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape), case
        bits = f"u{got.dtype.itemsize}"
        same = got.reshape(-1).view(bits) == expected.reshape(-1).view(bits)
        same |= (np.isnan(got) & np.isnan(expected)).reshape(-1)
        wrong = got.reshape(-1)[~same], expected.reshape(-1)[~same]
        assert same.all(), f"{case}: {np.count_nonzero(~same)} differ: {wrong[0]}, expected {wrong[1]}"

    return check


@pytest.fixture
def values():
    """``values(shape, dtype, seed)``: ordinary numbers of both signs, with zeros among them."""

    def build(shape, dtype=np.float64, seed=0):
        numbers = np.random.default_rng(seed).standard_normal(shape) * 3
        numbers[np.abs(numbers) < 0.2] = 0.0
        return numbers.astype(dtype)

    return build


# ---------------------------------------------------------------- memory layouts
def _misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    array = raw[1:].view(x.dtype).reshape(x.shape)
    array[...] = x
    return array


def _embedded(x, step, gap=np.nan):
    """x in the last axis of something larger, ``step`` apart (negative: backwards)."""
    array = np.full((*x.shape[:-1], x.shape[-1] * abs(step)), gap, x.dtype)[..., ::step]
    array[...] = x
    return array


def _huge_strides(x):
    array = np.zeros((*x.shape, 1024), x.dtype)[..., 5]
    array[...] = x
    return array


class Sub(np.ndarray):
    """A subclass that changes nothing."""


LAYOUTS = {
    "fortran": lambda x: np.array(x, order="F"),
    "every_other": lambda x: _embedded(x, 2),
    "reversed": lambda x: _embedded(x, -1),
    "every_third_reversed": lambda x: _embedded(x, -3),
    "huge_strides": _huge_strides,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "byte_swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "misaligned": _misaligned,
    "subclass": lambda x: x.copy().view(Sub),
    "misaligned_byte_swapped_reversed": lambda x: _misaligned(x[..., ::-1].astype(x.dtype.newbyteorder()))[..., ::-1],
}


@pytest.fixture
def layouts():
    """Name -> ``layout(x)``: the values of x, writeable, laid out in memory in another way."""
    return LAYOUTS


# ---------------------------------------------------------------- a Python of its own
@pytest.fixture
def run_python():
    """``run_python(code, **environment)``: its output; failing, or hanging for a minute, fails the test."""

    def run(code: str, timeout: float = 60, **environment: str) -> str:
        root = str(Path(kernels.__file__).resolve().parents[1])
        search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code],
            env=os.environ | {"PYTHONPATH": search} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # A hung grandchild would keep the pipes open.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            pytest.fail(f"hung for {timeout} seconds")
        assert process.returncode == 0, errors[-3000:]
        return output.strip()

    return run
