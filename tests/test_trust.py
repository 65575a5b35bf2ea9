"""Verdicts on times, the self-test of the way they are taken, and comparisons of two runs."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kernels.backends import BACKENDS
from kernels.measure import Case
from kernels.report import compare, conditions, imported, rows, selftest, verdicts
from kernels.report.__main__ import main
from kernels.report.race import digits
from tests.test_report import header, measurement

RNG = np.random.default_rng(0)


# ---------------------------------------------------------------- verdicts
def noisy(times: float, rounds: int = verdicts.ROUNDS, noise: float = 0.03) -> list[float]:
    """Times of a call with outliers, as a busy machine gives them."""
    scatter = np.exp(noise * RNG.standard_normal(rounds))
    return list(times * scatter * np.where(RNG.random(rounds) < 0.1, 1.5, 1.0))


@pytest.mark.parametrize(("times", "word"), [(1.0, "same"), (1.1, "slower"), (0.9, "faster"), (1.2, "slower")])
def test_times_in_turns(times, word):
    verdict = verdicts.of_rounds(noisy(times), noisy(1.0))
    assert verdict.word == word
    assert verdict.low <= verdict.ratio <= verdict.high


def test_what_slows_both_cancels_out():
    drift = np.geomspace(1, 3, verdicts.ROUNDS)
    both = [list(np.array(noisy(times, noise=0.01)) * drift) for times in (1.1, 1.0)]
    assert verdicts.of_rounds(*both).word == "slower"


def test_equal_contestants_differ_in_less_than_one_of_a_hundred_and_five_percent_are_seen():
    def words(times):
        return [verdicts.of_rounds(noisy(times, noise=0.02), noisy(1.0, noise=0.02)).word for _ in range(400)]

    assert sum(word in ("faster", "slower") for word in words(1.0)) <= 4
    assert words(1.05).count("slower") >= 380


def test_few_rounds_say_nothing():
    assert verdicts.of_rounds([1.5] * 5, [1.0] * 5).word == "unclear"


def test_the_interval_holds_the_median_as_often_as_it_says():
    held = 0
    for _ in range(1000):
        ratios = np.exp(RNG.standard_normal(15))
        verdict = verdicts.of_rounds(ratios, np.ones(15))
        held += verdict.low <= 1 <= verdict.high
    assert held >= 1000 * verdicts.CONFIDENCE - 8


@pytest.mark.parametrize(("high", "word"), [(1.04, "same"), (1.06, "unclear"), (1.09, "unclear")])
def test_in_turns_five_percent_is_no_longer_the_same(high, word):
    ratios = np.linspace(2 - high, high, verdicts.ROUNDS)
    widest = verdicts._rank(verdicts.ROUNDS)
    ratios[:widest], ratios[-widest:] = 2 - high, high
    assert verdicts.of_rounds(ratios, np.ones(verdicts.ROUNDS)).word == word


def test_different_runs_by_quartiles():
    one, other = (0.99, 1.0, 1.01), (1.19, 1.2, 1.21)
    assert verdicts.of_quartiles(other, one, (20, 20)).word == "slower"
    assert verdicts.of_quartiles(one, other, (20, 20)).word == "faster"
    assert verdicts.of_quartiles(one, one, (20, 20)).word == "same"
    assert verdicts.of_quartiles((0.9, 1.2, 1.9), (0.5, 1.0, 1.8), (3, 3)).word == "unclear"


def test_a_difference_that_the_witness_has_too_is_unclear():
    slower = verdicts.of_quartiles((1.19, 1.2, 1.21), (0.99, 1.0, 1.01), (20, 20))
    assert verdicts.beside(slower, slower).word == "unclear"
    assert verdicts.beside(slower, verdicts.Verdict("same", 1.0, 0.99, 1.01, 0.5)).word == "slower"


def test_the_same_is_unclear_only_where_the_witness_changed():
    same, slower = (verdicts.of_quartiles((0.99 * t, t, 1.01 * t), (0.99, 1.0, 1.01), (20, 20)) for t in (1.0, 1.2))
    assert verdicts.beside(same, slower).word == "unclear"
    assert verdicts.beside(same, same).word == "same"
    assert verdicts.beside(same, replace(slower, word="unclear")).word == "same"


# ---------------------------------------------------------------- self-test
def test_a_pair_is_measured_and_its_row_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(selftest, "ROUNDS", 9)
    monkeypatch.setattr(selftest, "SAMPLE_NS", 1_000_000)
    monkeypatch.setattr(selftest, "FEWEST_LOOPS", 1)  # a busy machine may make a sample of a few calls
    monkeypatch.setattr(selftest, "cases", lambda: itertools.repeat(Case("relu", "value", "numpy", "float32", 100)))
    monkeypatch.setattr(selftest, "PAIRS", 1)
    code = main(["--self-test", "--output", str(tmp_path)])
    (path,) = (tmp_path / "results").iterdir()
    found, problems = rows.read(path)
    pairs = rows.of_kind(found, "self_test")
    assert not problems
    assert [pair["slowdown"] for pair in pairs] == [0.0, verdicts.SLOWDOWN]
    assert code == (not verdicts.passes(pairs))
    assert rows.newest(tmp_path / "results") is None


def test_the_slowed_contestant_makes_more_calls_than_are_counted():
    made = []

    class Counting:
        loops = None

        def run(self, loops):
            made.append(loops)
            return loops

    selftest.Slowed(Counting()).run(100)
    assert made == [105]


@pytest.mark.parametrize(("false", "missed", "passed"), [(0, 0, True), (1, 5, True), (2, 0, False), (0, 6, False)])
def test_what_passes(false, missed, passed):
    same = [{"slowdown": 0.0, "right": k >= false} for k in range(100)]
    slowed = [{"slowdown": verdicts.SLOWDOWN, "right": k >= missed} for k in range(100)]
    assert verdicts.passes(same + slowed) == passed
    assert f"in {false} of 100" in verdicts.summary(same + slowed)


def test_a_case_too_long_to_be_slowed_by_whole_calls(monkeypatch):
    monkeypatch.setattr(selftest, "SAMPLE_NS", 1000)
    with pytest.raises(ValueError, match="takes too long"):
        selftest.measured(Case("sigmoid", "value", "numpy", "float32", 1000), True, RNG)


def test_the_page_shows_the_self_test_and_the_machines(tmp_path):
    results = tmp_path / "results"
    pair = {"kind": "self_test", "case": "relu-<x>", "ratio": 1.05, "low": 1.03, "high": 1.07, "verdict": "slower"}
    pairs = [pair | {"slowdown": 0.05, "right": True}, pair | {"slowdown": 0.0, "right": False}]
    written(results / "self-test-20260101T000000.jsonl", [header(plan="self-test"), *pairs])
    mine = [measurement(backend=b, n=n) for b in ("numpy", "cython", "fastest") for n in (1, 1000)]
    seen = [{"name": "turbo", "value": "on", "fine": False, "words": "the clock <depends>"}]
    written(results / "quick-20260102T000000.jsonl", [header(conditions=seen), *mine])
    written(results / "quick-b-20260101T000000.jsonl", [header(host="b", machine="other"), *mine])
    assert main(["--render-only", "--output", str(tmp_path)]) == 0
    text = (tmp_path / "index.html").read_text()
    assert "a difference reported in 1 of 1 pairs" in text
    assert "relu-&lt;x&gt;" in text
    assert "Mind: turbo, on: the clock &lt;depends&gt;." in text
    assert "A &lt;processor&gt; (b)" in text


# ---------------------------------------------------------------- the machine
def test_conditions_are_parts_of_a_row():
    found = conditions.check()
    assert json.loads(json.dumps(found)) == found
    assert all(set(one) == {"name", "value", "fine", "words"} for one in found)
    assert len(conditions.in_words(found)) == sum(not one["fine"] for one in found)


def test_a_busy_machine_is_told(monkeypatch):
    monkeypatch.setattr(conditions.measure.Elsewhere, "cores", lambda self: 1.3)
    monkeypatch.setattr(conditions, "WATCHED_S", 0)
    (text,) = [text for text in conditions.in_words(conditions.check()) if "other processes" in text]
    assert "1.3 of" in text
    assert "close what else runs" in text


# ---------------------------------------------------------------- two runs
def written(path: Path, found: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


def scaled(row: dict, times: float) -> dict:
    return row | {key: times * row[key] for key in ("seconds_q1", "seconds_median", "seconds_q3")}


@pytest.fixture
def runs(tmp_path):
    """Two runs: Cython became 1.5 times slower, and Numba with NumPy, so that the machine did it."""
    mine = [measurement(backend=b, n=n, samples=30) for b in ("numpy", "cython") for n in (1000, 10_000)]
    mine = [
        {**row, "seconds_q1": 0.99 * row["seconds_median"], "seconds_q3": 1.01 * row["seconds_median"]} for row in mine
    ]
    times = {("numpy", 1000): 1.0, ("cython", 1000): 1.5, ("numpy", 10_000): 1.5, ("cython", 10_000): 1.5}
    later = [scaled(row, times[row["backend"], row["n"]]) for row in mine]
    folder = tmp_path / "results"
    first = written(folder / "quick-20260101T000000.jsonl", [header(commit="abc1"), *mine])
    second = written(folder / "quick-20260102T000000.jsonl", [header(commit="def2"), *later])
    return first, second


def test_what_is_slower_and_what_the_machine_did(runs):
    found = compare.Comparison(*(compare.load(str(path), path.parent) for path in runs))
    words = {(case[2], case[4]): verdict.word for case, verdict in found.verdicts.items()}
    assert words["cython", 1000] == "slower"
    assert words["cython", 10_000] == "unclear"
    ((label, word, ratio, *_), *_) = compare.lines(found)
    assert (word, ratio) == ("slower", digits(1.5))
    assert label in ("relu, 1,000, cython", "relu, 10,000, numpy")


def test_the_same_run_is_the_same(runs):
    side = compare.load(str(runs[0]), runs[0].parent)
    found = compare.Comparison(side, side)
    assert found.counts == {"faster": 0, "slower": 0, "same": 4, "unclear": 0}
    assert math.isclose(found.drift, 1)


def test_runs_are_found_by_commit(runs, capsys):
    assert main(["--compare", "abc1", "def2", "--output", str(runs[0].parents[1])]) == 0
    out = capsys.readouterr().out
    assert "4 cases" in out
    assert "slower" in out


def test_an_unknown_commit_names_those_there_are(runs, capsys):
    assert main(["--compare", "abc1", "ffff", "--output", str(runs[0].parents[1])]) == 2
    assert "abc1, def2" in capsys.readouterr().err


@pytest.fixture
def by_commit(tmp_path, monkeypatch):
    """What --compare takes for a commit: its file's name, or the word that refuses it."""
    commits = "902ca64dcc09", "902ca64dcc09+", "902cffffffff", "1234567890ab", "77777777aaaa+"
    for day, commit in enumerate(commits, 1):
        written(tmp_path / f"quick-2026010{day}T000000.jsonl", [header(commit=commit), measurement()])
    asv = [Path("host/12345678-env.json"), Path("host/55555555-env.json")]
    monkeypatch.setattr(compare, "asv_files", lambda: asv)
    return lambda what: compare._of_commit(what, tmp_path).name


def test_edited_code_is_meant_only_where_it_is_said(by_commit):
    assert by_commit("902ca64dcc09") == by_commit("902ca") == "quick-20260101T000000.jsonl"
    assert by_commit("902ca64dcc09+") == by_commit("902c+") == "quick-20260102T000000.jsonl"
    with pytest.raises(ValueError, match=re.escape("77777777aaaa+")):
        by_commit("77777777aaaa")


def test_a_commit_is_known_by_longer_names_too(by_commit):
    assert by_commit("902ca64dcc09" + "0" * 28) == "quick-20260101T000000.jsonl"
    assert by_commit("555555551234") == "55555555-env.json"
    assert by_commit("1234") == by_commit("1234567890ab" + "0" * 28) == "quick-20260104T000000.jsonl"


def test_what_may_be_several_commits_is_refused(by_commit):
    with pytest.raises(ValueError, match="902ca64dcc09, 902cffffffff"):
        by_commit("902c")
    for what in ("", "+", "902"):
        with pytest.raises(ValueError, match="neither a file nor, by 4 digits"):
            by_commit(what)


def test_other_machines_and_versions_are_told(runs):
    one, other = (compare.load(str(path), path.parent) for path in runs)
    facts = other.header["facts"] | {"cpu": "another"}
    other = replace(other, rows=[other.header | {"facts": facts}, *other.rows[1:]])
    assert any("another" in text for text in compare.Comparison(one, other).differences)


def test_the_newest_run_of_each_machine(tmp_path):
    for name, about in {
        "quick-20260101T000000": {"machine": "one"},
        "quick-20260102T000000": {"machine": "one"},
        "full-20260101T120000": {"machine": "two"},
        "full-b-20260103T000000": {"machine": "one", "host": "b"},
        "peers-quick-20260104T000000": {"machine": "three"},
    }.items():
        written(tmp_path / f"{name}.jsonl", [header(**about)])
    (tmp_path / "broken-20260105T000000.jsonl").write_text("no json")
    names = [path.name[:6] for path in rows.newest_of_machines(tmp_path)]
    assert names == ["full-b", "quick-", "full-2"]


# ---------------------------------------------------------------- other tools
PYTEST_BENCHMARK = {
    "machine_info": {"node": "host", "machine": "x86_64", "system": "Linux", "release": "6", "python_version": "3.11.7",
                     "cpu": {"brand_raw": "A processor", "count": 2}},
    "commit_info": {"id": "0123456789abcdef", "dirty": True},
    "datetime": "2026-01-01T00:00:00+00:00",
    "benchmarks": [
        {"params": {"activation": "relu", "form": "value", "dtype": "float32", "n": 1000, "backend": "numpy",
                    "accuracy": "fast"},
         "stats": {"q1": 1e-6, "median": 2e-6, "q3": 3e-6, "rounds": 9}},
        {"params": None, "stats": {}},
    ],
}  # fmt: skip
ASV = {
    "commit_hash": "fedcba9876543210", "date": 1795253458000, "python": "3.11", "requirements": {"numpy": "2.4.6"},
    "params": {"machine": "host", "cpu": "A processor", "arch": "x86_64", "os": "Linux", "num_cpu": "2"},
    "result_columns": ["result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b",
                       "stats_q_25", "stats_q_75", "stats_number", "stats_repeat"],
    "results": {
        "bench_activations.time_swish": [
            [2e-6, float("nan")], [["'value'"], ["'numpy'"], ["'float32'"], ["'fast'"], ["1000", "10000"]], "1", 0, 1,
            [1e-6, None], [3e-6, None], [1.5e-6, None], [2.5e-6, None], [1, None], [10, None]],
        "bench_activations.timeraw_import": [[0.1], [], "1"],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "activation", "commit"),
    [(PYTEST_BENCHMARK, "relu", "0123456789ab+"), (ASV, "swish", "fedcba987654")],
    ids=["pytest-benchmark", "asv"],
)
def test_results_of_other_tools_are_rows(text, activation, commit, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(text))
    head, row = imported.read(path)
    assert [rows.check(one) for one in (head, row)] == [None, None]
    assert (row["activation"], row["backend"], row["n"], row["seconds_median"]) == (activation, "numpy", 1000, 2e-6)
    assert head["commit"] == row["commit"] == commit
    side = compare.load(str(path), tmp_path)
    assert compare.Comparison(side, side).verdicts


def timed_by_asv(folder, results):
    """asv's folder of a machine with three commits of these results."""
    (folder / "host").mkdir()
    (folder / "host" / "machine.json").write_text("{}")
    for commit, later in (("bbb2", 1), ("aaa1", 0), ("ccc3", 2)):
        text = results | {"commit_hash": commit * 10, "date": results["date"] + later}
        (folder / "host" / f"{commit}-env.json").write_text(json.dumps(text))


def test_the_history_is_each_commit_against_the_one_before_it(tmp_path, monkeypatch, capsys):
    timed_by_asv(tmp_path, ASV)
    steps = [(step.first.header["commit"][:4], step.second.header["commit"][:4]) for step in compare.steps(tmp_path)]
    assert steps == [("aaa1", "bbb2"), ("bbb2", "ccc3")]
    for function in (compare.asv_files, compare.steps):
        monkeypatch.setattr(function, "__defaults__", (tmp_path,))
    assert main(["--compare", "aaa1", "ccc3" * 10, "--output", str(tmp_path)]) == 0
    assert "1 cases" in capsys.readouterr().out
    assert main(["--history", "--output", str(tmp_path / "reports")]) == 0
    html = (tmp_path / "reports" / "history.html").read_text()
    assert html.count("<svg") == 1
    assert BACKENDS["numpy"].color in html
    assert "aaa1aaa1aaa1</td>" in html
    assert "<script" not in html
    assert "<link" not in html


def test_the_history_leaves_out_backends_that_are_no_more_and_says_so(tmp_path):
    from kernels.report import history

    backends = ["numpy", "gone", "gone:textbook", "cython:textbook"]
    params = [["'value'"], [repr(name) for name in backends], ["'float32'"], ["'fast'"], ["1000"]]
    columns = [[2e-6] * 4, params, "1", 0, 1, [1e-6] * 4, [3e-6] * 4, [1.5e-6] * 4, [2.5e-6] * 4, [1] * 4, [10] * 4]
    timed_by_asv(tmp_path, ASV | {"results": {"bench_activations.time_swish": columns}})
    html = history.page(compare.steps(tmp_path), reported=False)
    assert html.count("<svg") == 1
    assert BACKENDS["numpy"].color in html
    assert BACKENDS["cython"].color in html
    assert "no longer: gone, gone:textbook." in html


@pytest.mark.parametrize("text", ["[]", "{}", "no json"])
def test_a_file_of_no_known_tool(text, tmp_path, capsys):
    path = tmp_path / "other.json"
    path.write_text(text)
    assert main(["--compare", str(path), str(path)]) == 2
    assert "other.json is" in capsys.readouterr().err
