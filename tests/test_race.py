"""The race with other libraries: who takes part, what the rows say of it, and where that is shown."""

from __future__ import annotations

import importlib.util
import itertools
from dataclasses import replace

import pytest
from test_report import header, measurement, skipped, write

from kernels import measure
from kernels.backends import OWN, PEERS, BackendUnavailable
from kernels.report import __main__ as command
from kernels.report import plan, rows
from kernels.report.findings import Findings
from kernels.report.race import Race, label, loss, summary

TINY = plan.Scope("quick", (1, 10**5), 0.001, 1.0)
INSTALLED = [name for name, peer in PEERS.items() if peer.reason() is None and not peer.only_device]
needs_one = pytest.mark.skipif(not INSTALLED, reason='no peer is installed: pip install "activation-kernels[peers]"')


# ---------------------------------------------------------------- who takes part
@needs_one
def test_everyone_installed_races():
    made = plan.make_race(TINY, ["all"])
    assert made.name == "peers-quick"
    assert {case.backend for case in made.cases} == {"fastest", "numpy", *INSTALLED}
    assert set(made.left_out) == set(PEERS) - set(INSTALLED)
    assert len(set(made.cases)) == len(made.cases)
    assert all(case.allocate or (case.form == "value" and case.n >= plan.OUT_FROM) for case in made.cases)
    assert all(len(group) > 1 for group in made.groups())
    assert all(len({replace(case, backend="", allocate=True) for case in group}) == 1 for group in made.groups())


@needs_one
def test_a_peer_takes_part_where_it_has_the_form():
    for case in plan.make_race(TINY, ["all"]).cases:
        if case.backend in PEERS:
            assert PEERS[case.backend].module.absent(case.record, case.form) is None
            assert case.allocate or PEERS[case.backend].module.takes_out(case.record, case.form)


@needs_one
def test_half_types_race_where_they_are_asked_for():
    pytest.importorskip("ml_dtypes")
    made = plan.make_race(TINY, ["all"], ["relu"], ["bfloat16"])
    assert {case.dtype for case in made.cases} == {"bfloat16"}
    assert {case.backend for case in made.cases} - {"fastest", "numpy"} <= {"torch", "jax"}
    with pytest.raises(KeyError, match="unknown dtype 'int8'; known are: float32"):
        plan.make_race(TINY, ["all"], ["relu"], ["int8"])


def test_half_types_are_compared_beside_float32_where_they_are_asked_for():
    made = plan.make(TINY, ["relu"], ["fastest", "numpy"], ["float16"])
    lines = {(case.backend, case.form, case.n) for case in made.cases if case.dtype == "float16"}
    assert lines == set(itertools.product(("fastest", "numpy"), ("value", "derivative"), TINY.sizes))
    assert "float32" in {case.dtype for case in made.cases}
    with pytest.raises(KeyError, match="unknown dtype 'int8'; known are: float32"):
        plan.make(TINY, ["relu"], ["numpy"], ["int8"])


@pytest.mark.parametrize("peer", ["torch", "jax", "fastest", "numpy"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_are_timed_and_checked(peer, dtype):
    pytest.importorskip("ml_dtypes")
    if peer in PEERS and PEERS[peer].reason():
        pytest.skip(PEERS[peer].reason())
    prepared = measure.prepare(measure.Case("sigmoid", "value", peer, dtype, 1000, allocate=True))
    assert {result.dtype.name for result in prepared.result()} == {dtype}
    # One rounding, or the library's own.
    assert measure.ulp(prepared) <= (2 if peer in PEERS else 0.5)


def test_who_is_unknown_or_absent_is_told(monkeypatch, tmp_path, capsys):
    with pytest.raises(KeyError, match=r"unknown peer 'numpy'; known are: all, torch"):
        plan.make_race(TINY, ["numpy"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(BackendUnavailable, match="PyTorch is not installed: pip install torch"):
        plan.make_race(TINY, ["torch"])
    with pytest.raises(BackendUnavailable, match=r"no peer can run here.*numexpr is not installed"):
        plan.make_race(TINY, ["all"])
    pytest.importorskip("rich")
    assert command.main(["--peers", "torch", "--output", str(tmp_path)]) == command.USAGE
    assert "pip install torch" in capsys.readouterr().err


def test_peers_are_no_contestants_of_the_ordinary_report(tmp_path, capsys):
    assert {case.backend.partition(":")[0] for case in plan.make(plan.SCOPES["quick"]).cases} <= set(OWN)
    pytest.importorskip("rich")
    for arguments in (["--backends", "numpy", "--peers", "all"], ["--backends", "torch"]):
        assert command.main([*arguments, "--output", str(tmp_path)]) == command.USAGE
    assert "--peers" in capsys.readouterr().err


# ---------------------------------------------------------------- what the rows say
def raced(backend: str, seconds: float, ratio: tuple | None = None, **changes) -> dict:
    times = {"seconds_q1": 0.9 * seconds, "seconds_median": seconds, "seconds_q3": 1.1 * seconds}
    more = {"times_fastest": list(ratio)} if ratio else {}
    return measurement(allocate=True, **changes) | times | more | {"backend": backend, "peer": backend in PEERS}


def heats(*others: dict) -> Race:
    found = [header(plan="peers-quick", left_out={"jax": "no <JAX>"})]
    return Race([*found, raced("fastest", 1.0), *others])


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(2.0, "win"), (1.06, "win"), (1.04, "tie"), (0.96, "tie"), (0.95, "loss"), (0.5, "loss")]
)
def test_within_five_percent_is_a_tie(ratio, verdict):
    (heat,) = heats(raced("torch", ratio, (ratio, ratio, ratio))).heats
    assert heat.verdict == verdict


def test_the_rival_is_the_fastest_of_the_others():
    (heat,) = heats(raced("torch", 3.0), raced("numpy", 2.0, (1.8, 2.0, 2.1)), raced("numexpr", 4.0)).heats
    assert heat.rival == "numpy"
    assert heat.ratio == (1.8, 2.0, 2.1)


def test_without_common_rounds_quartiles_are_the_widest():
    (heat,) = heats(raced("torch", 2.0)).heats
    assert heat.ratio == pytest.approx((1.8 / 1.1, 2.0, 2.2 / 0.9))


def test_wrong_results_win_nothing():
    race = heats(raced("torch", 0.1) | {"status": "wrong", "reason": "NaN"}, raced("numpy", 2.0))
    assert race.heats[0].rival == "numpy"
    assert [row["backend"] for row in race.not_timed] == ["torch"]


def test_losses_are_listed_the_worst_first_and_counted():
    more = [raced(b, s, n=10, form="backward") for b, s in (("fastest", 1.0), ("numexpr", 0.5))]
    race = heats(raced("torch", 0.8, (0.7, 0.8, 0.9)), *more)
    assert [heat.form for heat in race.lost] == ["backward", "value"]
    assert loss(race.lost[1]) == "relu, float32 at 10³: torch takes 0.80 of the time (0.70 to 0.90)"
    assert label(race.lost[0].line) == "relu, backward, float32"
    assert label(("relu", "value", "float64", False)) == "relu, float64, out="
    assert summary(race.heats).startswith("0 wins, 0 ties within 5 %, 2 losses in 2 cells")
    assert "in 0.0 %" in summary(race.heats)
    assert summary([]) == "nothing was compared"


def test_ratios_are_of_the_same_rounds():
    """What slows both contestants of a round is no difference between them."""
    ours, theirs = (measure.Timing(1, 1, 1, 3, 1, tuple(f * k for k in (1.0, 5.0, 9.0))) for f in (1.0, 2.0))
    assert measure.ratio(theirs, ours) == pytest.approx([2.0, 2.0, 2.0])
    assert measure.ratio(replace(theirs, rounds=theirs.rounds[:2]), ours) == pytest.approx([2.0, 2.0, 2.0])


# ---------------------------------------------------------------- where it is shown
def test_the_page_has_a_panel():
    pytest.importorskip("matplotlib")
    from kernels.report import page

    findings = Findings([header(), measurement()])
    race = heats(raced("torch", 0.5), skipped("it takes <ages>", backend="numpy"))
    html = page.render(findings, {}, [], race)
    assert "torch takes 0.50 of the time" in html
    assert "1 losses in 1 cells" in html
    assert "no &lt;JAX&gt;" in html
    assert "1 skipped" in html
    assert "PyTorch</th><td>0</td><td>0</td><td>1</td>" in html
    assert "--peers all" in page.render(findings, {})


def test_the_newest_run_and_the_newest_race_share_a_page(tmp_path):
    pytest.importorskip("matplotlib")
    results = tmp_path / "results"
    write(results / "peers-quick-20240301T000000.jsonl", heats(raced("torch", 0.5)).rows)
    assert command.main(["--render-only", "--output", str(tmp_path)]) == command.DONE
    alone = (tmp_path / "index.html").read_text()
    assert "Nothing was measured yet" not in alone
    assert "<code>kernels.fastest</code> against PyTorch" in alone[: alone.index("<nav")]
    assert "Nothing was measured for this chart" not in alone
    write(results / "quick-20240101T000000.jsonl", [header(), measurement()])
    assert rows.newest(results).name.startswith("quick")
    assert command.main(["--render-only", "--output", str(tmp_path)]) == command.DONE
    html = (tmp_path / "index.html").read_text()
    assert "Nothing was measured yet" not in html
    assert "torch takes 0.50 of the time" in html


def test_every_dtype_that_was_raced_is_charted():
    pytest.importorskip("matplotlib")
    from kernels.report import overviews, page

    half = [raced(b, s, dtype="float16") for b, s in (("fastest", 1.0), ("torch", 2.0))]
    race = heats(raced("torch", 0.5), *half)
    alone = Findings([row for row in race.rows if row["kind"] != "measurement"])
    both = Findings([header(), measurement()])
    charts = overviews.draw_all(both, race)
    assert {name for name in charts if "peers" in name} == {"relu-value-peers", "relu-value-float16-peers"}
    assert ">relu, value, float16: other libraries, new outputs</text>" in charts["relu-value-float16-peers"]
    beside = page.render(both, charts, [], race)
    assert beside.index(charts["relu-value-peers"]) < beside.index("<summary>In float16</summary>")
    assert beside.index("<summary>In float16</summary>") < beside.index(charts["relu-value-float16-peers"])
    html = page.render(alone, charts, [], race)
    places = [html.index(f"<summary>Time by size in {dtype}, function by function") for dtype in ("float32", "float16")]
    assert places[0] < html.index(charts["relu-value-peers"]) < places[1]
    assert places[1] < html.index(charts["relu-value-float16-peers"])


@needs_one
def test_a_race_is_run_and_told(tmp_path, monkeypatch, capsys):
    pytest.importorskip("rich")
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(plan.SCOPES, "quick", TINY)
    name = "numexpr" if "numexpr" in INSTALLED else INSTALLED[0]
    arguments = ["--quick", "--peers", name, "--activations", "relu", "--output", str(tmp_path)]
    assert command.main(arguments) == command.DONE
    told = capsys.readouterr().out
    assert "Plan peers-quick" in told
    assert "in 14 cells" in told or "cells: kernels.fastest" in told
    (path,) = (tmp_path / "results").glob("peers-quick-*.jsonl")
    found, problems = rows.read(path)
    assert problems == []
    measured = rows.of_kind(found, "measurement")
    assert {row["status"] for row in measured} == {"ok"}
    assert {row["backend"] for row in measured if row["peer"]} == {name}
    assert all(len(row["times_fastest"]) == 3 for row in measured)
