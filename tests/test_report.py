"""The report: rows survive damage, plans cover the tables, runs continue, and the page says what the rows say."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from kernels import files
from kernels.activations import MEASURED, RECORDS
from kernels.backends import BACKENDS, OWN, BackendUnavailable
from kernels.measure import Case
from kernels.report import __main__ as command
from kernels.report import plan, rows
from kernels.report.findings import Findings, losses, slope_form

AVAILABLE = {name for name, backend in OWN.items() if backend.reason() is None}
TINY = plan.Scope("quick", (1, 10), 0.001, 1.0)
SECONDS = {"python": 5e-5, "numpy": 1e-6, "cython": 1e-7, "numba": 2e-6, "fastest": 1e-7}


# ---------------------------------------------------------------- synthetic rows
def header(**changes) -> dict:
    facts = {
        "cpu": "A <processor>", "machine": "x86_64", "system": "Linux", "cores": 2, "caches": {"L1d": 32768},
        "governor": None, "level": "x86-64-v3", "versions": {"python": "3.11"}, "commit": "abc",
    }  # fmt: skip
    backends = {
        b.name: {"title": b.title, "color": b.color, "marker": b.marker, "compiled": b.compiled}
        for b in BACKENDS.values()
    }
    made = {
        "kind": "run", "format": rows.FORMAT, "plan": "quick", "fingerprint": "f", "cases": 3, "started": "2024-01-01",
        "facts": facts, "machine": "m", "commit": "abc", "backends": backends, "left_out": {"cuda": "no <GPU>"},
    }  # fmt: skip
    return made | changes


def measurement(
    activation: str = "relu", form: str = "value", backend: str = "numpy", n: int = 1000, **changes
) -> dict:
    each = SECONDS[backend.partition(":")[0]]
    seconds = each * n
    made = {
        "kind": "measurement", "activation": activation, "form": form, "backend": backend, "dtype": "float32", "n": n,
        "accuracy": "fast", "data": "normal", "allocate": False, "cold": False, "threads": None, "keep": False,
        "seconds_q1": 0.9 * seconds, "seconds_median": seconds, "seconds_q3": 1.1 * seconds, "samples": 7, "loops": 10,
        "gb_per_s": 8 / each * 1e-9, "ceiling_gb_per_s": 50.0, "share_of_ceiling": 0.1, "ulp": 0.5,
        "compile_seconds": 0.01, "memory_bytes": 0, "level": None, "peer": False, "load": 0.1, "busy_elsewhere": 0.0,
        "machine": "m", "commit": "abc", "status": "ok", "reason": None,
    }  # fmt: skip
    return made | changes


def skipped(reason: str, **changes) -> dict:
    return measurement(**changes) | dict.fromkeys(rows.MEASURED) | {"status": "skipped", "reason": reason}


def curve(activation: str) -> dict:
    points = {"x": [-1.0, 0.0, 1.0], "value": [0.0, 0.0, 1.0], "derivative": [0.0, 0.0, 1.0]}
    return {"kind": "curve", "activation": activation, "title": f"{activation}(x)", **points}


def synthetic() -> list[dict]:
    found = [header(), curve("relu"), curve("softmax")]
    for record in RECORDS:
        if record.name in ("relu", "softmax"):
            for form in ("value", slope_form(record)):
                found += [measurement(record.name, form, b, n) for b in SECONDS for n in (1, 1000, 10**6)]
    found += [measurement(data="negative", n=10_000), measurement(n=10_000)]
    found += [measurement(backend="numba:textbook", n=10_000), measurement(backend="numba", n=10_000)]
    for change in ({"allocate": True}, {"allocate": True, "keep": True}, {"cold": True}):
        found += [measurement(backend=b, n=10**6, **change) for b in ("numpy", "cython")]
    found.append(skipped("a call would take <ages>", backend="python", n=10**7))
    found += network()
    found += [roof("L1d", 0, 32768, 100.0), roof("memory", 32768, None, 20.0)]
    found.append({"kind": "ceiling", "bytes": 8000, "threads": None, "gb_per_s": 50.0, "ways": {"memcpy": 50.0}})
    return found


def roof(cache: str, first: int, last: int | None, speed: float) -> dict:
    about = {"cache": cache, "first": first, "last": last, "bytes": 16384, "threads": 1}
    return {"kind": "roof", **about, "gb_per_s": speed, "ways": {"memcpy": speed}}


def network() -> list[dict]:
    many = {"loss": [2.3, 0.5], "accuracy": [0.1, 0.9], "dead": [0.0, 0.25], "zeros": [0.5, 0.5]}
    learning = {"kind": "learning", "activation": "relu", "rate": 0.1, "bias": 0.0, **many, "parameters": [[], []]}
    deep = {"mean": [0.0] * 10, "variance": [1.0] * 10, "zeros": [0.5] * 10, "gradient": [1e-9, *[1.0] * 8, None]}
    quartiles = {"seconds_q1": 1e-3, "seconds_median": 2e-3, "seconds_q3": 3e-3}
    step = {"kind": "step", "activation": "relu", "batch": 256, "sizes": [64, 10], **quartiles}
    return [
        *(learning | {"experiment": name} for name in ("ordinary", "high rate")),
        learning | {"experiment": "ordinary", "activation": "prelu", "parameters": [[0.25, 0.25], [0.5, None]]},
        {"kind": "layers", "experiment": "1 / inputs", "activation": "relu", "scale": 1.0, **deep},
        *(step | {"backend": name} for name in ("numpy", "fastest")),
    ]


def write(path, found) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in found))


# ---------------------------------------------------------------- rows
def test_rows_come_back_as_written(tmp_path):
    results = rows.Results(tmp_path / "a" / "quick-1.jsonl")
    for row in synthetic():
        results.append(row)
    assert rows.read(results.path) == (synthetic(), [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "expected an object"),
        ('{"kind": "else"}', "unknown kind 'else'"),
        ('{"kind": "curve", "activation": "relu"}', "lacks title, x"),
        (json.dumps(header(format=0)), "format 0, expected"),
        (json.dumps(measurement(status="fine")), "unknown status 'fine'"),
        (json.dumps(measurement(n=0)), "n is 0"),
        (json.dumps(measurement(seconds_q1=1.0)), "rising quartiles"),
        (json.dumps(measurement(seconds_q1=None)), "rising quartiles"),
        (json.dumps(skipped("", backend="python")), "skipped without a reason"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_used(tmp_path, line, message):
    path = tmp_path / "quick-1.jsonl"
    path.write_text(f"{json.dumps(header())}\n{line}\n\n{json.dumps(measurement())}\n")
    found, problems = rows.read(path)
    assert [row["kind"] for row in found] == ["run", "measurement"]
    assert len(problems) == 1
    assert "quick-1.jsonl:2" in problems[0]
    assert message in problems[0]


def test_a_line_cut_short_does_not_swallow_the_next(tmp_path):
    path = tmp_path / "quick-1.jsonl"
    path.write_text(f"{json.dumps(header())}\n{json.dumps(measurement())[:50]}")
    results = rows.Results(path)
    with results.held():
        results.append(measurement(n=10))
    found, problems = rows.read(path)
    assert [row.get("n") for row in found] == [None, 10]
    assert len(problems) == 1


def test_a_row_that_could_not_be_read_back_is_refused(tmp_path):
    results = rows.Results(tmp_path / "quick-1.jsonl")
    with pytest.raises(ValueError, match="lacks"):
        results.append({"kind": "measurement"})
    with pytest.raises(ValueError, match="JSON"):
        results.append(measurement(ulp=float("inf")))


def test_rows_of_earlier_commits_are_read(tmp_path):
    old = {key: value for key, value in measurement().items() if key not in rows.ADDED}
    write(tmp_path / "quick-1.jsonl", [header(), old])
    assert rows.read(tmp_path / "quick-1.jsonl") == ([header(), old | rows.ADDED], [])


def test_the_newest_file_is_found(tmp_path):
    for name in ("quick-20240101T000000", "full-20240301T000000", "quick-20240201T000000"):
        write(tmp_path / f"{name}.jsonl", [header()])
    assert rows.newest(tmp_path).stem == "full-20240301T000000"
    assert rows.newest(tmp_path, "quick").stem == "quick-20240201T000000"
    assert rows.newest(tmp_path / "nowhere") is None


# ---------------------------------------------------------------- plans
@pytest.mark.parametrize("scope", plan.SCOPES.values(), ids=lambda scope: scope.name)
def test_a_plan_covers_the_tables(scope):
    made = plan.make(scope)
    records = RECORDS if scope.everything else MEASURED
    assert {case.activation for case in made.cases} == {record.name for record in records}
    assert {case.backend.partition(":")[0] for case in made.cases} == AVAILABLE
    assert set(made.left_out) == set(OWN) - AVAILABLE
    cases = set(made.cases)
    assert len(cases) == len(made.cases)
    for record in records:
        for backend in AVAILABLE:
            for form in ("value", slope_form(record)):
                for n in scope.sizes:
                    assert Case(record.name, form, backend, "float32", n) in cases
            assert Case(record.name, "value", backend, "float32", plan.IN_CACHE, data="digits") in cases


def test_the_full_plan_changes_every_axis():
    cases = plan.make(plan.SCOPES["full"]).cases
    axes = {key: {getattr(case, key) for case in cases} for key in rows.CASE}
    assert all(len(values) > 1 for values in axes.values()), axes
    assert max(axes["n"]) == 10**8


@pytest.mark.parametrize("scope", plan.SCOPES.values(), ids=lambda scope: scope.name)
def test_values_are_planned_across_dtypes(scope):
    pytest.importorskip("ml_dtypes")
    cases = {case for case in plan.make(scope).cases if case.form == "value" and case.dtype != "float32"}
    names = (
        {r.name for r in RECORDS if r.elementwise or r.name == "softmax"} if scope.everything else plan.ACROSS_DTYPES
    )
    for name, dtype, n in itertools.product(names, ("float64", "float16", "bfloat16"), scope.sizes):
        if n >= 1000:
            assert Case(name, "value", "fastest", dtype, n) in cases
            slow = not scope.everything and dtype != "float64" and n > plan.NUMPY_HALF_TO
            assert (Case(name, "value", "numpy", dtype, n) in cases) is not slow
    assert "python" not in {case.backend for case in cases}


def test_dtypes_take_their_share_of_the_promised_time():
    scope = plan.SCOPES["default"]
    assert sum(case.dtype != "float32" for case in plan.make(scope).cases) * scope.seconds_per_case <= 25


def test_dtypes_of_one_function_are_measured_one_after_the_other():
    groups = [group[0] for group in plan.make(plan.SCOPES["default"]).groups()]
    values = [(case.n, case.dtype) for case in groups if (case.activation, case.form) == ("sigmoid", "value")]
    assert {dtype for n, dtype in values[values.index((1000, "float32")) :][:4] if n == 1000} == set(plan.DTYPES)


def test_without_ml_dtypes_there_is_no_bfloat16(monkeypatch):
    monkeypatch.setattr(plan, "find_spec", lambda name: None)
    assert {case.dtype for case in plan.make(plan.SCOPES["default"]).cases} == {"float32", "float64", "float16"}


def test_a_function_that_is_asked_for_has_every_dtype():
    pytest.importorskip("ml_dtypes")
    cases = plan.make(plan.SCOPES["default"], ["gelu"]).cases
    assert {case.dtype for case in cases if case.backend == "fastest"} == set(plan.DTYPES)


def test_groups_hold_what_is_compared():
    made = plan.make(plan.SCOPES["default"])
    groups = list(made.groups())
    assert [case for group in groups for case in group] == list(made.cases)
    assert len({group[0].group for group in groups}) == len(groups)


def test_a_plan_of_some():
    made = plan.make(plan.SCOPES["quick"], ["silu"], ["numpy"])
    assert {(case.activation, case.backend) for case in made.cases} == {("swish", "numpy")}
    assert made.left_out["cython"] == "not asked for"
    with pytest.raises(KeyError, match="nonsense"):
        plan.make(plan.SCOPES["quick"], ["nonsense"])
    with pytest.raises((KeyError, BackendUnavailable)):
        plan.make(plan.SCOPES["quick"], [], ["numpy:nonsense"])


def test_the_promised_times():
    assert plan.make(plan.SCOPES["quick"]).seconds < 60
    assert plan.make(plan.SCOPES["default"]).seconds < 300


# ---------------------------------------------------------------- runs
@pytest.fixture
def run(monkeypatch):
    from kernels.report import run

    monkeypatch.setattr(run.machine, "commit", lambda: "abc")
    return run


def tiny() -> plan.Plan:
    cases = [Case("relu", "value", backend, "float32", n) for n in (1, 10) for backend in ("python", "numpy")]
    return plan.Plan(TINY, tuple(cases), {})


def test_an_interrupted_run_continues_without_measuring_again(run, tmp_path):
    asked: list[str] = []

    def interrupt(group: str, cases: int) -> None:
        asked.append(group)
        if cases:
            raise KeyboardInterrupt

    first = run.start(tiny(), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        first.measure(interrupt)
    assert first.left == 2

    second = run.start(tiny(), tmp_path)
    assert second.results.path == first.results.path
    assert second.left == 2
    again: list[str] = []
    second.measure(lambda group, cases: again.append(group))
    assert not set(asked) & set(again)

    found, problems = rows.read(second.results.path)
    assert problems == []
    assert rows.is_finished(found)
    measured = [run._case(row) for row in rows.of_kind(found, "measurement")]
    assert sorted(case.id for case in measured) == sorted(case.id for case in tiny().cases)


def test_a_finished_run_and_fresh_start_over(run, tmp_path, monkeypatch):
    first = run.start(tiny(), tmp_path)
    assert run.interrupted(tiny(), tmp_path) is not None
    other = replace(tiny(), cases=tiny().cases[:2])
    assert run.interrupted(other, tmp_path) is None
    first.measure(lambda group, cases: None)
    assert run.interrupted(tiny(), tmp_path) is None


def test_two_runs_do_not_write_to_one_file(run, tmp_path, monkeypatch, capsys):
    for name in ("fcntl", "rich", "matplotlib"):
        pytest.importorskip(name)
    monkeypatch.setattr(plan, "make", lambda *_: tiny())
    first = run.start(tiny(), tmp_path / "results")
    before = first.results.path.read_bytes() + b'{"kind": "half a ro'
    first.results.path.write_bytes(before)
    with first.results.path.open() as other:
        rows._lock(other)
        assert command.main(["--quick", "--output", str(tmp_path)]) == command.USAGE
    assert "another run is writing to" in capsys.readouterr().err
    assert first.results.path.read_bytes() == before
    assert command.main(["--quick", "--output", str(tmp_path)]) == command.DONE
    (path,) = (tmp_path / "results").iterdir()
    assert rows.is_finished(rows.read(path)[0])


def of_a_lower_level(run, monkeypatch):
    facts = run.machine.facts() | {"level": "x86-64"}
    monkeypatch.setattr(run.machine, "facts", lambda: facts)


def of_another_numpy(run, monkeypatch):
    versions = run.machine.versions() | {"numpy": "0.1"}
    monkeypatch.setattr(run.machine, "versions", lambda: versions)


def with_more_threads(run, monkeypatch):
    count = run.threads.get_num_threads() + 1
    monkeypatch.setattr(run.threads, "get_num_threads", lambda: count)


def after_tuning(run, monkeypatch):
    table = replace(run.crossover.table(), source="tuned.json")
    monkeypatch.setattr(run.crossover, "table", lambda: table)


def at_another_commit(run, monkeypatch):
    monkeypatch.setattr(run.machine, "commit", lambda: "def")


CHANGES = of_a_lower_level, of_another_numpy, with_more_threads, after_tuning, at_another_commit


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_where_what_rows_depend_on_has_changed_another_run_starts(run, tmp_path, monkeypatch, change):
    run.start(tiny(), tmp_path)
    assert run.interrupted(tiny(), tmp_path) is not None
    change(run, monkeypatch)
    assert run.interrupted(tiny(), tmp_path) is None


def test_a_run_of_edited_code_is_not_continued(run, tmp_path, monkeypatch):
    monkeypatch.setattr(run.machine, "commit", lambda: "abc+")
    run.start(tiny(), tmp_path)
    assert run.interrupted(tiny(), tmp_path) is None


def test_what_takes_too_long_is_skipped_with_its_reason(run, tmp_path):
    cases = tuple(Case("relu", "value", "python", "float32", n) for n in (10**3, 10**4, 10**5))
    hurried = plan.Plan(replace(TINY, longest_call=1e-9), cases, {})
    going = run.start(hurried, tmp_path)
    going.measure(lambda group, cases: None)
    found = rows.of_kind(rows.read(going.results.path)[0], "measurement")
    assert [row["status"] for row in found] == ["ok", "skipped", "skipped"]
    assert "the limit is" in found[1]["reason"]
    assert "n = 10000 was not measured either" in found[2]["reason"]
    assert found[1]["seconds_median"] is None


def test_a_broken_contestant_does_not_end_the_run(run, tmp_path, monkeypatch):
    whole = run.measure.prepare

    def prepare(case):
        if case.backend == "numpy":
            raise RuntimeError("broken")
        return whole(case)

    monkeypatch.setattr(run.measure, "prepare", prepare)
    going = run.start(tiny(), tmp_path)
    going.measure(lambda group, cases: None)
    found = rows.of_kind(rows.read(going.results.path)[0], "measurement")
    first = {row["backend"]: row["status"] for row in found if row["n"] == 1}
    assert first == {"python": "ok", "numpy": "failed"}
    assert "RuntimeError: broken" in {row["reason"] for row in found}


def test_too_little_memory_is_a_reason(run, tmp_path, monkeypatch):
    monkeypatch.setattr(run.measure, "memory_free", lambda: 10)
    going = run.start(tiny(), tmp_path)
    going.measure(lambda group, cases: None)
    found = rows.of_kind(rows.read(going.results.path)[0], "measurement")
    assert all("GB are free" in row["reason"] or "not measured either" in row["reason"] for row in found)


# ---------------------------------------------------------------- findings
def test_winners_and_losses():
    findings = Findings(synthetic())
    cell = findings.cell("relu", "value", 1000)
    assert cell.winner == "cython"
    assert cell.is_clear
    assert cell.factor("cython") == pytest.approx(10)
    assert {c.n for c in losses(findings.sweep, "numba")} == {1, 1000, 10**6}
    assert losses(findings.sweep, "cython") == []


def test_a_win_within_the_noise_is_not_clear():
    close = [measurement(), measurement(backend="cython", seconds_q1=9e-4, seconds_median=9.5e-4, seconds_q3=1.2e-3)]
    (cell,) = Findings([header(), *close]).sweep
    assert cell.winner == "cython"
    assert not cell.is_clear
    assert not cell.is_slower("numpy", "cython")


# ---------------------------------------------------------------- the page
@pytest.fixture(scope="module")
def drawn():
    pytest.importorskip("matplotlib")
    from kernels.report import charts, overviews, page

    findings = Findings(synthetic())
    found = charts.draw_all(findings) | overviews.draw_all(findings, None)
    return found, page.render(findings, found, ["quick-1.jsonl:7 is not JSON <so>"])


OVERVIEWS = {
    *("roofline-1", "errors", "textbook", "memory", "learning", "zeros", "parameters"),
    *("dead-high-rate", "gradient-1", "variance-1", "step"),
}


def test_overviews_are_drawn_from_their_rows(drawn):
    charts, html = drawn
    assert charts.keys() >= OVERVIEWS
    assert all(charts[name] in html for name in OVERVIEWS)


def test_every_chart_is_in_the_page(drawn):
    charts, html = drawn
    charts = {name: chart for name, chart in charts.items() if name not in OVERVIEWS}
    kinds = ("time", "bandwidth", "speed-up")
    expected = {
        f"{name}-{form}-{kind}"
        for name, form in (("relu", "value"), ("relu", "derivative"), ("softmax", "value"), ("softmax", "backward"))
        for kind in kinds
    }
    assert set(charts) == expected | {"crossover", "relu-curve", "softmax-curve"}
    assert all(chart in html for chart in charts.values())
    assert html.count("<svg") == len(charts) + len(OVERVIEWS)


def test_the_page_needs_nothing_but_itself(drawn):
    _, html = drawn
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?\s*(https?:)?//""", html)
    assert "<link" not in html
    assert len(re.findall("<script", html)) == 1
    (script,) = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert not re.search(r"\b(fetch|import|XMLHttpRequest|WebSocket|eval)\b", script)
    assert "@import" not in html


def test_ids_and_references_of_charts_fit(drawn):
    _, html = drawn
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', html)) | set(re.findall(r"url\(#([^)]*)\)", html)) <= set(ids)


def test_charts_keep_their_words_and_drop_what_is_not_seen():
    pytest.importorskip("matplotlib")
    from kernels.report import charts

    figure = charts.Figure((2, 2))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=charts.INK, marker="o")
    axes.set_title("0.123456 <as it is>")
    axes.set_xlabel("$10^{-3}$")
    drawn = charts.svg(figure, "one")
    assert "0.123456 &lt;as it is&gt;" in drawn
    assert "".join(re.findall(">([^<]*)</tspan>", drawn)) == "10\N{MINUS SIGN}3"
    assert "currentColor" in drawn
    assert not re.search(r"\d\.\d\d", " ".join(re.findall(r' (?:d|x|y)="([^"]*)"', drawn)))
    used, known = (set(re.findall(pattern, drawn)) for pattern in (r'(?:url\(|href=")#([^)"]*)', r' id="([^"]*)"'))
    assert used == known
    assert not known & set(re.findall(r' id="([^"]*)"', charts.svg(figure, "other")))


def test_the_page_says_what_the_rows_say(drawn):
    _, html = drawn
    assert "A &lt;processor&gt;, 2 cores, x86-64-v3, measured 2024-01-01, commit abc" in html[: html.index("<nav")]
    assert "not raced yet" in html[: html.index("<nav")]
    assert "Write it in <strong>Cython</strong>, at any size" in html
    assert "the fastest in 12 of 12 comparisons" in html
    assert "as fast as the best of them, or faster, in 12 of 12 cells" in html
    assert "a call would take &lt;ages&gt;" in html
    assert "no &lt;GPU&gt;" in html
    assert "not JSON &lt;so&gt;" in html
    assert "A &lt;processor&gt;" in html
    assert "$" not in re.sub(r"<(svg|script).*?</\1>", "", html, flags=re.DOTALL)


def test_other_processes_at_work_are_told():
    pytest.importorskip("matplotlib")
    from kernels.report import page

    quiet = Findings([header(), measurement()])
    loud = Findings([header(), measurement(busy_elsewhere=1.5)])
    assert "Other processes" not in page.render(quiet, {})
    assert "Other processes kept 1.5 cores busy" in page.render(loud, {})


def test_every_backend_has_its_price():
    pytest.importorskip("matplotlib")
    from kernels.report.answer import PRICES

    assert set(PRICES) == set(OWN)


def test_the_answer_names_size_and_price(drawn):
    from kernels.report.answer import pays_from

    findings = Findings(synthetic())
    assert pays_from(findings, "cython") == "at every size"
    assert pays_from(findings, "python") == "nowhere"
    late = [measurement(n=n) for n in (10, 1000)] + [
        measurement(backend="numba", n=n, **{f"seconds_{q}": s for q in ("q1", "median", "q3")})
        for n, s in ((10, 1.0), (1000, 1e-6))
    ]
    assert pays_from(Findings([header(), *late]), "numba") == "from 10³ on"
    assert "Numba CUDA</th>" in drawn[1]
    assert "a GPU, numba-cuda" in drawn[1]


def test_compiling_pays_after_its_cost_over_the_gain():
    from kernels.report import costs, html

    (found,) = [measurement(backend="cython", n=1000, compile_seconds=0.9)]
    calls = costs._calls_to_pay(Findings([header(), measurement(n=1000), found]), "cython", 1000)
    assert calls == "1,000 calls"  # NumPy takes 1 ms, Cython 0.1
    assert costs._calls_to_pay(Findings([header(), measurement(n=1000), found]), "cython", 10) == html.DASH


def test_new_outputs_and_cold_caches_are_multiples(drawn):
    from kernels.report import costs, html

    slow = measurement(backend="cython", n=10**6, cold=True, seconds_q1=0.3, seconds_median=0.3, seconds_q3=0.3)
    table = costs.memory(Findings([header(), measurement(backend="cython", n=10**6), slow]))
    assert html.times(3.0) in table
    assert "new output, kept" not in table
    assert "new output, kept" in drawn[1]


def test_shares_are_of_the_roof_that_the_arrays_are_under():
    from kernels.report import costs

    roofs = [roof("L1d", 0, 32768, 100.0), roof("memory", 32768, None, 20.0)]
    alike = {"backend": "fastest", "gb_per_s": 10.0, "threads": 1}
    short, long = (measurement(n=n, seconds_median=8e-10 * n, **alike) for n in (10**3, 10**6))
    text = costs.roofline(Findings([header(threads=2), *roofs, short, long]))
    assert "10 <strong>10%</strong><small>10³ elements</small>" in text
    assert "10 <strong>50%</strong><small>10⁶ elements</small>" in text


# ---------------------------------------------------------------- dtypes
def in_dtypes(**header_changes) -> Findings:
    """relu as in the sweep, and its values in two more dtypes: float16 takes half the time, float64 as long."""
    alike = [measurement("relu", form, b, n) for form in ("value", "derivative") for b in SECONDS for n in (10, 10**6)]
    factors = {"float16": 0.5, "float64": 1.07}
    found = [header(**header_changes), curve("relu"), *alike]
    for dtype, factor in factors.items():
        for backend, n in itertools.product(("numpy", "fastest"), (10, 10**6)):
            row = measurement("relu", backend=backend, n=n, dtype=dtype)
            found.append(row | {key: row[key] * factor for key in row if key.startswith("seconds")})
    return Findings(found)


def rendered(findings: Findings) -> tuple[dict[str, str], str]:
    pytest.importorskip("matplotlib")
    from kernels.report import charts, overviews, page

    found = charts.draw_all(findings) | overviews.draw_all(findings, None)
    return found, page.render(findings, found)


def section_of(html: str, place: str) -> str:
    return re.search(f'<section id="{place}">.*?</section>', html, flags=re.DOTALL)[0]


def test_dtypes_have_a_section():
    charts, html = rendered(in_dtypes())
    from kernels.report.html import DASH, times

    section = section_of(html, "dtypes")
    assert charts["relu-dtypes"] in section
    assert all(f">{word}</text>" in charts["relu-dtypes"] for word in ("float64", "float32", "float16", "NumPy"))
    assert "bfloat16" not in charts["relu-dtypes"]
    assert f"<td>≈ {times(1.07)}</td><td>{DASH}</td><td>{times(0.5)}</td>" in section
    assert "Time of 10⁶ elements over that in float32" in section
    assert "</span>NumPy</td><td>float16</td><td>500</td><td>500</td>" in section


def test_rows_without_dtypes_have_no_such_section(drawn):
    assert 'id="dtypes"' not in drawn[1]
    once = measurement(dtype="float64", n=10**6), measurement(backend="fastest", dtype="float64", n=10**6)
    charts, html = rendered(Findings([*synthetic(), *once]))
    assert 'id="dtypes"' not in html
    assert not any("float64" in name or "dtypes" in name for name in charts)


def test_a_dtype_that_was_swept_has_charts_by_size():
    kinds = ("time", "bandwidth", "speed-up")
    charts, html = rendered(in_dtypes(dtypes=["float16"]))
    names = [f"relu-value-float16-{kind}" for kind in kinds]
    assert {name for name in charts if "float16" in name} == set(names)
    folded = re.search("<details><summary>In float16</summary>.*?</details>", section_of(html, "relu"), flags=re.DOTALL)
    assert all(charts[name] in folded[0] for name in names)
    assert "In float64" not in html
    assert ">relu, value, float16</text>" in charts["relu-value-float16-time"]


def test_the_header_says_which_dtypes_were_swept(run, tmp_path):
    asked = plan.make(TINY, ["relu"], ["numpy"], ["float16", "float32"])
    assert asked.dtypes == ("float16",)
    going = run.start(asked, tmp_path)
    assert Findings(rows.read(going.results.path)[0]).dtypes == ["float16"]
    assert plan.make(plan.SCOPES["full"]).dtypes == ("float64", "float16", "bfloat16")


def test_the_lesson_tells_vanishing_and_dying(drawn):
    _, html = drawn
    assert "relu ends with 25% dead units" in html
    assert "not a number" not in html
    assert "infinite" in html


def test_unreadable_lines_are_told_at_the_top(drawn):
    _, html = drawn
    assert "1 lines or files of results could not be read" in html[: html.index("<nav")]


def test_a_run_with_nothing_measured_still_gives_a_page():
    pytest.importorskip("matplotlib")
    from kernels.report import charts, page

    findings = Findings([header()])
    assert "Nothing was measured yet" in page.render(findings, charts.draw_all(findings))


# ---------------------------------------------------------------- the command
def test_render_only_loads_no_kernel(tmp_path):
    pytest.importorskip("matplotlib")
    write(tmp_path / "results" / "quick-20240101T000000.jsonl", synthetic())
    program = (
        "import sys; from kernels.report.__main__ import main; code = main(sys.argv[1:]); "
        "heavy = 'kernels.backends', 'kernels.native', 'kernels.measure', 'numba'; "
        "bad = [m for m in sys.modules if m.startswith(heavy)]; "
        "assert not bad, bad; sys.exit(code)"
    )
    arguments = [sys.executable, "-c", program, "--render-only", "--output", str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").stat().st_size > 10_000
    assert (tmp_path / "charts" / "crossover.svg").exists()


@pytest.mark.parametrize("option", ["--activations", "--backends", "--peers", "--dtype"])
def test_a_list_of_nothing_is_a_usage_error(option, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main([option, " ,"])
    assert stop.value.code == 2
    assert f"{option}: must be names with commas between them, given ' ,'" in capsys.readouterr().err


def test_what_is_drawn_again_stays_whole_until_it_is_replaced(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    write(tmp_path / "results" / "quick-20240101T000000.jsonl", synthetic())
    pages = [tmp_path / "index.html", tmp_path / "charts" / "crossover.svg"]
    (tmp_path / "charts").mkdir()
    for path in pages:
        path.write_text("the old one")

    def interrupted(*_):
        assert {path.read_text() for path in pages} == {"the old one"}
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "replace", interrupted)
        assert command.main(["--render-only", "--output", str(tmp_path)]) == command.INTERRUPTED
    assert {path.read_text() for path in pages} == {"the old one"}
    assert command.main(["--render-only", "--output", str(tmp_path)]) == command.DONE
    assert {path.read_text() for path in pages}.isdisjoint({"the old one"})
    assert not list(tmp_path.rglob("*.new"))


def test_without_results_render_only_says_what_to_do(tmp_path, capsys):
    assert command.main(["--render-only", "--output", str(tmp_path)]) == command.USAGE
    assert "measure first" in capsys.readouterr().err


def test_a_file_that_says_nothing_is_left_out_and_the_rest_drawn(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    results = tmp_path / "results"
    write(results / "quick-20240101T000000.jsonl", [header(), measurement()])
    (results / "quick-20250101T000000.jsonl").write_text("what is this\n")
    write(results / "peers-quick-20250101T000000.jsonl", [header(format=0)])
    assert command.main(["--render-only", "--output", str(tmp_path)]) == command.DONE
    out, told = capsys.readouterr()
    assert "Against other libraries: python -m kernels.report --peers all" in out
    assert "quick-20250101T000000.jsonl has no readable run row" in told
    assert "peers-quick-20250101T000000.jsonl has no readable run row" in told
    assert "--fresh" in told
    assert "2 lines or files of results could not be read" in (tmp_path / "index.html").read_text()


def test_unknown_names_are_usage_errors(tmp_path, capsys):
    pytest.importorskip("rich")
    assert command.main(["--activations", "nonsense", "--output", str(tmp_path)]) == command.USAGE
    assert "unknown activation 'nonsense'" in capsys.readouterr().err
    assert command.main(["--backends", "numpy:nonsense", "--output", str(tmp_path)]) == command.USAGE


@pytest.mark.parametrize(
    ("given", "step", "told"),
    [
        ("--scheduler tcp://nowhere:1", "measure_cluster", " The same command starts over."),
        ("--self-test", "test_itself", " The same command starts over."),
        ("--render-only", "draw", " --render-only draws what was measured."),
        ("--compare a b", "compare_two", ""),
        ("--history", "show_history", ""),
    ],
)
def test_ctrl_c_promises_nothing_that_does_not_continue(given, step, told, tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, step, interrupt)
    assert command.main([*given.split(), "--output", str(tmp_path)]) == command.INTERRUPTED
    assert capsys.readouterr().err == f"\nInterrupted.{told}\n"


@pytest.mark.parametrize(
    ("commit", "told"),
    [("abc", "The same command continues; --fresh starts over"), ("abc+", "The same command starts over, as the code")],
)
def test_ctrl_c_says_whether_the_same_command_continues(run, commit, told, tmp_path, monkeypatch, capsys):
    pytest.importorskip("rich")
    monkeypatch.setattr(run.machine, "commit", lambda: commit)
    monkeypatch.setattr(plan, "make", lambda *_: tiny())

    def interrupt(self, advance):
        raise KeyboardInterrupt

    monkeypatch.setattr(run.Run, "measure", interrupt)
    assert command.main(["--quick", "--output", str(tmp_path)]) == command.INTERRUPTED
    out = " ".join(capsys.readouterr().out.split())
    assert "Plan quick: 4 cases" in out
    assert "0 of 4 cases are measured" in out
    assert told in out
