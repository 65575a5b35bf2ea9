"""Cross-validation: every backend and level against the others and against the mathematics."""

import pytest

from kernels import verify
from kernels.activations import RECORDS
from kernels.backends import OWN


def cells():
    return [
        pytest.param(record.name, form, backend, id=f"{record.name}-{form}-{backend}")
        for record in RECORDS
        for backend in verify.contestants()
        for form in record.forms
    ]


@pytest.mark.parametrize(("name", "form", "backend"), cells())
def test_backend_agrees_with_the_others_and_the_mathematics(name, form, backend):
    findings = [case() for case in verify.cases([name], [backend], [form])]
    assert findings
    assert not [str(finding) for finding in findings if not finding.ok]


def test_every_backend_that_runs_is_verified():
    assert {name.partition(":")[0] for name in verify.contestants()} == {
        name for name, backend in OWN.items() if backend.reason() is None
    }


def test_an_error_is_a_miss_and_the_exit_code_says_so(monkeypatch, capsys):
    wrong = verify.Finding("oracle", "relu", "value", "numpy", "float32", "fast", 1.0, 0.0, "x=1.0")
    monkeypatch.setattr(verify, "cases", lambda *_: [lambda: wrong])
    assert verify.main(["relu"]) == 1
    assert "MISS oracle: relu.value" in capsys.readouterr().out


def test_clean_run_exits_with_zero(capsys):
    assert verify.main(["relu", "--backend", "numpy", "--form", "value"]) == 0
    assert "0 misses" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "known"), [(["nonsense"], "relu"), (["--backend", "nonsense"], "numpy")])
def test_unknown_names_are_usage_errors(arguments, known, capsys):
    with pytest.raises(SystemExit) as stop:
        verify.main(arguments)
    assert stop.value.code == 2
    assert known in capsys.readouterr().err
