"""asv finds the benchmarks, and nothing of the tables is forgotten there."""

import importlib.util
import json
import operator
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kernels
from benchmarks import bench_activations
from benchmarks.cases import FRESH, SIZES, Case, cases, forms, prepare
from kernels.activations import MEASURED, RECORDS
from kernels.backends import OWN
from kernels.constants import DTYPES

ROOT = Path(__file__).parents[1]
#: Says in a process of its own, as FULL is read at import, what the full set holds.
LIST_FULL = """
import json, sys
sys.path += sys.argv[1:]
from benchmarks.cases import FRESH, SIZES, Case, cases, forms, prepare
print(json.dumps(sorted({(c.activation, c.form, c.backend, c.dtype, c.accuracy) for c in cases()})))
"""


@pytest.fixture(scope="module")
def full() -> set[tuple[str, ...]]:
    """(activation, form, backend, dtype, accuracy) of the full set."""
    environment = {**os.environ, "KERNELS_ASV_FULL": "1"}
    result = subprocess.run(
        [sys.executable, "-c", LIST_FULL, *sys.path], env=environment, capture_output=True, text=True, check=True
    )
    return {tuple(row) for row in json.loads(result.stdout)}


def test_asv_check():
    if importlib.util.find_spec("asv") is None:
        pytest.skip('asv is not installed: pip install "activation-kernels[dev]"')
    command = [sys.executable, "-m", "asv", "check", "-E", "existing:same"]
    # asv drops PYTHONPATH; check with the very package that is tested.
    environment = {**os.environ, "ASV_PYTHONPATH": str(Path(kernels.__file__).parents[1])}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("record", MEASURED, ids=lambda record: record.name)
def test_asv_times_what_is_measured_by_default(record):
    function = getattr(bench_activations, f"time_{record.name}")
    assert function.__name__ == f"time_{record.name}"
    assert function.params[0] == forms(record)
    assert len(function.params) == len(function.param_names)


@pytest.mark.parametrize("backend", OWN)
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_full_set_forgets_nothing(full, record, backend):
    fast = {(record.name, form, backend, dtype, "fast") for form in record.forms for dtype in DTYPES}
    assert fast <= full
    if backend != "python":
        assert {(record.name, form, backend, "float32", "accurate") for form in record.forms} <= full


def test_default_set():
    found = cases()
    assert len(found) == len(set(found)) < 400
    assert {case.activation for case in found} == {record.name for record in MEASURED}
    assert {case.n for case in found if case.backend == "fastest"} == set(SIZES)


def test_ids():
    case = Case("relu", "value", "float32", 1000, "numba")
    assert case.id == "relu-float32-1000-numba"
    assert case._replace(form="derivative", accuracy="accurate").group == "relu-derivative-float32-1000-accurate"


@pytest.mark.parametrize("backend", ["python", "numpy", "fastest"])
@pytest.mark.parametrize(("record", "form"), [(record, form) for record in RECORDS for form in record.forms])
def test_prepared_call_writes_its_output(monkeypatch, record, form, backend):
    monkeypatch.setattr("benchmarks.cases.WARM_UP", 1e-9)
    call, arguments, keywords = prepare(Case(record.name, form, "float32", 10, backend))
    assert ("out" in keywords) == (backend != "python" and form not in FRESH)
    result = call(*arguments, **keywords)
    assert not keywords or result is keywords["out"] or all(map(operator.is_, result, keywords["out"]))
