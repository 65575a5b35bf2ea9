"""The dispatcher: its crossover table, the cap on the level, and what happens without the compiled part."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kernels
from kernels import crossover
from kernels.activations import RECORDS

EVERYTHING = {"activation": "*", "form": "*", "dtype": "*", "accuracy": "*"}
CYTHON = [{"from": 0, "backend": "cython", "threads": 1}]


def _table(segments=CYTHON, **changes) -> dict:
    rows = [EVERYTHING | {"segments": segments}]
    head = {"format": crossover.FORMAT, "machine": crossover.fingerprint(), "stream_from": 1 << 25}
    return {**head, "rows": rows} | changes


USE = """
import warnings
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import kernels
    from kernels.fastest import relu, prelu, softmax, sigmoid
    import kernels.crossover
    source = kernels.crossover.table().source
    x = np.linspace(-3, 3, LENGTH, dtype=np.float32)
    for a in x, x[:6], x.astype(np.float64):
        for name in kernels.ACTIVATIONS:
            g = a[: kernels.ACTIVATIONS[name].result_shape("value", a.shape)[0]]
            params = kernels.ACTIVATIONS[name].example_parameters
            fast, plain = kernels.get(name), kernels.get(name, "numpy")
            np.testing.assert_allclose(fast(a, *params), plain(a, *params), rtol=2e-4, atol=1e-5)
            got, expected = (f.backward(g, a, *params) for f in (fast, plain))
            np.testing.assert_allclose(got, expected, rtol=2e-4, atol=1e-5)
print(source)
print(len(caught))
for warning in caught:
    print(str(warning.message).replace(chr(10), " "))
"""
#: Where only the table in use is asked for, answers of long arrays, over threads, are those of the shipped one's tests.
BRIEFLY, USE = USE.replace("LENGTH", "1_002"), USE.replace("LENGTH", "140_002")


@pytest.fixture
def use(run_python, tmp_path):
    """``use(content)``: (table in use, warnings) of a Python whose own table is this; its answers are checked."""

    def run(content: str | bytes | dict | list, code: str = USE, **environment: str) -> tuple[str, list[str]]:
        path = tmp_path / "crossover.json"
        content = json.dumps(content) if isinstance(content, (dict, list)) else content
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        output = run_python(code, KERNELS_CROSSOVER=str(path), **environment).splitlines()
        return output[0], output[2:]

    return run


# ---------------------------------------------------------------- the table
def test_the_shipped_table_names_cython_only():
    shipped = crossover.shipped()
    assert shipped["format"] == crossover.FORMAT
    for row in shipped["rows"]:
        assert row["segments"][0]["from"] == 0
        assert {segment["backend"].partition(":")[0] for segment in row["segments"]} == {"cython"}


def test_the_shipped_table_has_a_row_for_everything(monkeypatch):
    monkeypatch.setattr(crossover, "table", lambda: crossover.Table("shipped", crossover.shipped()["rows"], 0))
    for record in RECORDS:
        for form in record.forms:
            for dtype in ("float32", "float64"):
                for accuracy in ("fast", "accurate"):
                    assert crossover.segments(activation=record.name, form=form, dtype=dtype, accuracy=accuracy)


def test_an_empty_variable_means_the_shipped_table(run_python):
    assert run_python(USE, KERNELS_CROSSOVER="").splitlines() == ["shipped", "0"]


def test_without_an_own_table_the_shipped_one_is_used(run_python, tmp_path, monkeypatch):
    monkeypatch.delenv(crossover.VARIABLE, raising=False)
    assert run_python(USE, XDG_CACHE_HOME=str(tmp_path)).splitlines() == ["shipped", "0"]


def test_a_table_that_is_named_but_missing_is_ignored_with_a_word(run_python, tmp_path):
    source, count, warning = run_python(USE, KERNELS_CROSSOVER=str(tmp_path / "missing.json")).splitlines()
    assert (source, count) == ("shipped", "1")
    assert "missing.json is ignored" in warning


FOREIGN = {"cpu": "another", "cores": 1, "python": "3.11.0"}
BROKEN = {
    "foreign machine": lambda: _table(machine=FOREIGN),
    "no machine": lambda: {"format": crossover.FORMAT, "rows": []},
    "future format": lambda: _table(format=crossover.FORMAT + 1),
    "no format": lambda: {"machine": crossover.fingerprint(), "rows": []},
    "no rows": lambda: {"format": crossover.FORMAT, "machine": crossover.fingerprint()},
    "broken JSON": lambda: '{"format": 1,',
    "empty file": lambda: "",
    "a list": lambda: [1, 2],
    "a number": lambda: "7",
    "no text": lambda: b"\xff\xfe\x00",
    "rows of nothing": lambda: _table(rows=None),
    "rows as an object": lambda: _table(rows={}),
    "a row of nothing": lambda: _table(rows=[{}]),
    "a row of text": lambda: _table(rows=["relu"]),
    "no segments": lambda: _table(segments=[]),
    "a segment without a backend": lambda: _table(segments=[{"from": 0, "threads": 1}]),
    "a start above 0": lambda: _table(segments=[{"from": 10, "backend": "cython", "threads": 1}]),
    "starts that fall": lambda: _table(
        segments=[{"from": f, "backend": "cython", "threads": 1} for f in (0, 100, 50)]
    ),
    "too many segments": lambda: _table(
        segments=[{"from": f, "backend": "cython", "threads": 1} for f in range(40)]
    ),
    "unknown backend": lambda: _table(segments=[{"from": 0, "backend": "fortran", "threads": 1}]),
    "unknown level": lambda: _table(segments=[{"from": 0, "backend": "cython:x86-64-v9", "threads": 1}]),
    "text for threads": lambda: _table(segments=[{"from": 0, "backend": "cython", "threads": "all"}]),
    "no start of streaming": lambda: _table(stream_from=None),
    "a negative start of streaming": lambda: _table(stream_from=-1),
    "text for the start of streaming": lambda: _table(stream_from="32 MB"),
    "negative threads": lambda: _table(segments=[{"from": 0, "backend": "cython", "threads": -1}]),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_table_that_does_not_hold_is_ignored_with_a_word(use, case):
    source, warned = use(BROKEN[case](), BRIEFLY)
    assert source == "shipped"
    assert len(warned) == 1, warned
    assert "crossover.json" in warned[0]
    assert "python -m kernels.tune" in warned[0]


def test_an_own_table_is_read(use, tmp_path):
    assert use(_table()) == (str(tmp_path / "crossover.json"), [])


def test_an_own_table_of_one_function_leaves_the_rest_shipped(use, tmp_path):
    rows = [EVERYTHING | {"activation": "tanh", "dtype": "float32", "segments": CYTHON}]
    assert use(_table(rows=rows)) == (str(tmp_path / "crossover.json"), [])


needs_numba = pytest.mark.skipif(kernels.BACKENDS["numba"].reason() is not None, reason="numba can't run here")
NUMBA = [{"from": 0, "backend": "cython", "threads": 1}, {"from": 10, "backend": "numba", "threads": 1},
         {"from": 70_000, "backend": "numba", "threads": 0}]  # fmt: skip


@needs_numba
def test_an_own_table_may_name_numba(use, tmp_path):
    code = """
import sys
from kernels.fastest import sigmoid
assert "numba" in sys.modules
import kernels, numpy as np, kernels.crossover
print(kernels.crossover.table().source)
print()
for name in ("sigmoid", "prelu", "softmax"):
    record = kernels.ACTIVATIONS[name]
    for accuracy in ("fast",) if name != "prelu" else ("accurate",):
        fast = kernels.get(name, accuracy=accuracy)
        other = kernels.get(name, "numba", accuracy=accuracy)
        for n in (5, 11, 140_001):
            x = np.linspace(-3, 3, n, dtype=np.float32)
            params = record.example_parameters
            assert np.array_equal(fast(x, *params), other(x, *params)), name
            assert np.array_equal(fast.backward(x, x, *params), other.backward(x, x, *params)), name
            if record.elementwise:
                assert np.array_equal(fast.value_and_derivative(x, *params), other.value_and_derivative(x, *params))
            if name == "prelu":
                w = np.linspace(0, 1, n, dtype=np.float32)
                assert np.array_equal(fast(x, w), other(x, w))
"""
    assert use(_table(segments=NUMBA), code) == (str(tmp_path / "crossover.json"), [])


@needs_numba
def test_an_own_table_that_names_numba_where_numba_went_away(use):
    """An automatic choice falls back."""
    source, warned = use(_table(segments=NUMBA), BLOCK.format(blocked=("numba",)) + USE)
    assert source == "shipped"
    assert any("numba" in text and "kernels.tune" in text for text in warned)


# ---------------------------------------------------------------- the level
def _levels() -> tuple[str, ...]:
    return kernels.BACKENDS["cython"].variants()


@pytest.mark.skipif(len(_levels()) < 2, reason="one level or none runs here")
def test_a_cap_on_the_level(run_python, use):
    lowest = _levels()[-1]
    code = """
import kernels
from kernels.fastest import relu
print(kernels.BACKENDS["cython"].variants(), kernels.info()["machine"]["level"], relu(5.0))
try:
    kernels.get("relu", "cython:{best}")
except kernels.BackendUnavailable as error:
    print(error)
import sys
print([name for name in sys.modules if "loops_" in name])
"""
    lines = run_python(code.format(best=_levels()[0]), KERNELS_MAX_LEVEL=lowest).splitlines()
    assert lines[0] == f"({lowest!r},) {lowest} 5.0"
    assert _levels()[0] in lines[1]
    assert lowest in lines[1]
    assert lines[2] == f"['kernels.native.loops_{lowest.replace('-', '_')}']"


@pytest.mark.skipif(len(_levels()) < 2, reason="one level or none runs here")
def test_the_cap_holds_against_an_own_table(use):
    """A level that may not be used is not loaded, whoever names it."""
    best, lowest = _levels()[0], _levels()[-1]
    code = USE + f"\nimport sys; assert 'kernels.native.loops_{best.replace('-', '_')}' not in sys.modules"
    segments = [{"from": 0, "backend": f"cython:{best}", "threads": 1}]
    use(_table(segments=segments), code, KERNELS_MAX_LEVEL=lowest)


def test_an_unknown_cap_says_which_there_are(run_python):
    code = """
import kernels
try:
    from kernels.fastest import relu
except ValueError as error:
    print(error)
"""
    said = run_python(code, KERNELS_MAX_LEVEL="x86-64-v9")
    assert "KERNELS_MAX_LEVEL" in said
    assert "x86-64-v9" in said
    assert all(level in said for level in _levels())


# ---------------------------------------------------------------- without the compiled part
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.startswith({blocked!r}):
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
"""
NATIVE = {
    "dispatch": ("kernels.native.dispatch",),
    "cpu": ("kernels.native.cpu",),
    "loops": ("kernels.native.loops_",),
    "everything": ("kernels.native.dispatch", "kernels.native.cpu", "kernels.native.loops_"),
}
WITHOUT = """
import pickle
import numpy as np
import kernels
from kernels.fastest import relu, softmax
import kernels.accurate
assert relu(5) == 5 and relu(-3) == 0 and list(relu([1, -2, 3])) == [1, 0, 3] and relu.derivative(0) == 0
x = np.linspace(-3, 3, 140_002, dtype=np.float32)
for name, record in kernels.ACTIVATIONS.items():
    for form in record.forms:
        if form == "jacobian":
            continue
        for accuracy in ("fast", "accurate"):
            pair = [kernels.get(name, backend, accuracy=accuracy) for backend in ("fastest", "numpy")]
            pair = [f if form == "value" else getattr(f, form) for f in pair]
            g = x[: record.result_shape("value", x.shape)[0]]
            args = ((g, x) if "backward" in form else (x,)) + record.example_parameters
            assert np.array_equal(*(np.asarray(f(*args)) for f in pair)), name
into = x.copy()
assert np.array_equal(relu(into, out=into), np.maximum(x, 0))
assert pickle.loads(pickle.dumps(relu)) is relu
kernels.set_num_threads(2)
info = kernels.info()
print(info["fastest falls back to NumPy"])
print(info["backends"]["cython"])
assert info["backends"]["fastest"] is None
for name in ("cython", "cython:x86-64-v3"):
    try:
        kernels.get("relu", name)
    except kernels.BackendUnavailable as error:
        print(error)
"""


@pytest.mark.parametrize("missing", NATIVE)
def test_without_compiled_modules_numpy_answers(run_python, missing):
    lines = run_python(BLOCK.format(blocked=NATIVE[missing]) + WITHOUT).splitlines()
    assert len(lines) == 4
    for line in lines:
        assert "pip install" in line
        assert missing in line or missing == "everything"


@needs_numba
def test_numba_runs_without_compiled_modules(run_python):
    code = """
import numpy as np, kernels
relu = kernels.get("relu", "numba")
assert list(relu([1, -2, 3])) == [1, 0, 3]
x = np.linspace(-3, 3, 140_001)
assert np.array_equal(kernels.get("softmax", "numba").jacobian(x[:9]).shape, (9, 9))
assert np.array_equal(relu.backward(x, x), np.maximum(x, 0))
print("done")
"""
    assert run_python(BLOCK.format(blocked=NATIVE["everything"]) + code) == "done"


@pytest.mark.skipif(len(_levels()) < 2, reason="one level or none runs here")
def test_without_the_best_level_the_next_one_answers(run_python):
    best, second = _levels()[:2]
    code = "import kernels; from kernels.fastest import relu; relu(1); print(kernels.info()['machine']['level'])"
    assert run_python(BLOCK.format(blocked=(f"kernels.native.loops_{best.replace('-', '_')}",)) + code) == second


def test_small_and_long_arrays_give_the_same_bits(backend):
    """Whatever the table says of a size, an element's result does not depend on it."""
    if backend == "python":
        pytest.skip("has one way")
    x = np.linspace(-20, 20, 140_001, dtype=np.float32)
    for name in ("sigmoid", "tanh", "elu"):
        function = kernels.get(name, backend)
        whole = function(x)
        for n in (1, 16, 1000, 131_072):
            np.testing.assert_array_equal(function(x[:n]), whole[:n])
