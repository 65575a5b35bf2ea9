"""Cross-validation: every backend and level against the others and against the mathematics."""

import pytest

from kernels.backends import OWN, PEERS
from kernels.half import HALVES
from kernels.verify import checks, peers
from kernels.verify.__main__ import main
from kernels.verify.findings import Finding


def test_backends_agree_with_each_other_and_the_mathematics(record, form):
    findings = [case() for case in checks.cases([record.name], forms=[form])]
    assert findings
    assert not [str(finding) for finding in findings if not finding.ok]


def test_every_backend_that_runs_is_verified():
    assert {name.partition(":")[0] for name in checks.contestants()} == {
        name for name, backend in OWN.items() if backend.reason() is None
    }


def test_every_number_of_the_half_types_is_verified():
    pytest.importorskip("ml_dtypes")
    backends = {name for name in checks.contestants() if checks.rounds_halves(name)}
    found = {(case.args[2], case.args[3].name) for case in checks.cases(["relu"]) if case.func is checks.check_half}
    assert found == {(backend, name) for backend in backends for name in HALVES}
    assert backends.isdisjoint({"python", "numpy"})


def test_an_error_is_a_miss_and_the_exit_code_says_so(monkeypatch, capsys):
    wrong = Finding("oracle", "relu", "value", "numpy", "float32", "fast", 1.0, 0.0, "x=1.0")
    monkeypatch.setattr(checks, "cases", lambda *_: [lambda: wrong])
    assert main(["relu"]) == 1
    assert "MISS oracle: relu.value" in capsys.readouterr().out


def test_clean_run_exits_with_zero(capsys):
    assert main(["relu", "--backend", "numpy", "--form", "value"]) == 0
    assert "0 misses" in capsys.readouterr().out


def test_activations_in_processes_of_their_own_give_the_same(capsys):
    chosen = ["--backend", "numpy", "--form", "value"]
    apart = [main([name, *chosen]) for name in ("relu", "swish")]
    counts = [int(text.split(" checks")[0].split()[-1]) for text in capsys.readouterr().out.split(" misses")[:-1]]
    assert main(["relu", "swish", *chosen]) == max(apart) == 0
    assert f"{sum(counts)} checks, 0 misses" in capsys.readouterr().out


@pytest.fixture
def refused(capsys):
    """``refused(arguments)``: what the command says of a choice that it can't do anything with."""

    def call(arguments: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(arguments.split(" "))
        assert stop.value.code == 2
        return capsys.readouterr().err.replace("\n", " ")

    return call


@pytest.mark.parametrize(
    ("arguments", "given", "accepted"),
    [
        ("nonsense", "'nonsense'", "relu"),
        ("--backend nonsense", "'nonsense'", "numpy"),
        ("relu --form nonsense", "'nonsense'", "backward_parameters"),
        ("softmax --form derivative", "no form derivative of softmax", "value, backward, backward_from_output"),
        ("relu --backend torch", "'torch'", "--peers"),
        ("relu --backend numba:textbook", "'numba:textbook'", "cython, numba"),
        ("relu --backend ,", "','", "commas"),
        ("--exhaustive relu --form derivative --backend cython:textbook", "'cython:textbook'", "cython, numba"),
        ("--exhaustive softmax --part float64 --count 0", "'0'", "at least 1"),
        ("--exhaustive --count many", "'many'", "at least 1"),
        ("--exhaustive relu --part bits --backend cython", "relu --part bits --backend cython", "an exponential"),
        ("--exhaustive softmax --form backward", "softmax --form backward", "value, backward_from_output of row"),
        ("--exhaustive relu --accuracy accurate --backend numpy", "accurate --backend numpy", "compiled backends"),
    ],
)
def test_what_can_not_be_verified_is_a_usage_error(arguments, given, accepted, refused):
    if "--backend cython" in arguments and OWN["cython"].reason():
        pytest.skip(OWN["cython"].reason())
    message = refused(arguments)
    assert given in message
    assert accepted in message


# ---------------------------------------------------------------- peers
def worst(backend: str, ulp: float, wrong: int = 0) -> peers.Compared:
    return peers.Compared("tanh", "value", "float32", backend, ulp, wrong)


def test_where_a_peer_is_more_accurate_is_told():
    found = [worst("fastest", 1.6), worst("torch", 1.0), worst("jax", 1.2), worst("numexpr", 5e6, wrong=3)]
    table = peers.table(found)
    assert "less accurate than torch: tanh.value float32: 1.60 against 1.00" in table
    assert "than jax" not in table
    assert "5e+06!" in table
    assert "nowhere behind" in peers.table([worst("fastest", 1.0), worst("torch", 0.6)])


def test_peers_are_measured_and_no_miss(capsys):
    if PEERS["numexpr"].reason():
        pytest.skip(PEERS["numexpr"].reason())
    assert main(["relu", "--peers", "numexpr, numexpr", "--form", "value"]) == 0
    assert "relu.value float64" in capsys.readouterr().out


@pytest.mark.parametrize(("asked", "message"), [("numpy", "no peer"), ("nonsense", "unknown backend"), (",", "names")])
def test_what_is_no_peer_is_a_usage_error(asked, message, refused):
    assert message in refused(f"--peers {asked}")


def test_all_of_no_peers_are_a_usage_error(monkeypatch, refused):
    monkeypatch.setattr(peers, "PEERS", {})
    for arguments in ("relu --peers all", "--exhaustive relu --peers all"):
        assert "no peer is installed: pip install 'activation-kernels[peers]'" in refused(arguments)


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ("gelu", "numexpr has no gelu: its functions lack erfc"),
        ("relu --form value_and_derivative", "value, derivative, backward, backward_from_output"),
    ],
)
def test_nothing_to_compare_is_a_usage_error(chosen, why, refused):
    if PEERS["numexpr"].reason():
        pytest.skip(PEERS["numexpr"].reason())
    message = refused(f"{chosen} --peers numexpr")
    assert f"{chosen} --peers numexpr" in message
    assert why in message
