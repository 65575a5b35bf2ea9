"""The published table of largest errors: what the records promise is what was measured, and the page shows it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from kernels.activations import RECORDS
from kernels.report import accuracy
from kernels.verify import outcomes
from kernels.verify.__main__ import PUBLISHED, main
from kernels.verify.findings import bound_of
from kernels.verify.sweeps import PATTERNS, Entry, Worst

FOLDER = Path(__file__).parents[1] / PUBLISHED
ROWS = accuracy.read(FOLDER / accuracy.FILE)
FACTS = {"cpu": "a processor", "level": "x86-64-v3", "commit": "abc", "versions": {"numpy": "2.3"}}
SIGMOID = Entry("sigmoid", "value", None, "float32", "fastest", "fast")


def made(error: float, check: str = "ulp", wrong: int = 0, inputs: int = PATTERNS, **changes) -> dict:
    """A row as the command writes it."""
    entry = dataclasses.replace(SIGMOID, **changes)
    return outcomes.row(check, entry, inputs, Worst(error, -1.5, 0.0, 0.0, wrong, 2.0), FACTS)


# ---------------------------------------------------------------- the records
def bounds() -> list:
    return [
        pytest.param(record, key, dtype, accuracy_class, id=f"{record.name}-{key}-{dtype}-{accuracy_class}")
        for record in RECORDS
        if not record.gate  # held to their parts
        for key in record.ulp
        if key != "parameter_derivative"
        for dtype, accuracy_class in (("float32", "fast"), ("float32", "accurate"), ("float64", "fast"))
    ]


@pytest.mark.parametrize(("record", "key", "dtype", "accuracy_class"), bounds())
def test_a_bound_is_the_measured_error_rounded_up(record, key, dtype, accuracy_class):
    """Of rows, of which a sweep has a sample, a seventh more, of float64 a twentieth: it seldom has the worst one."""
    measured = outcomes.measured_bounds(ROWS).get((record.name, key, dtype, accuracy_class))
    if measured is None:
        pytest.skip(f"no published row yet of {record.name}, {key}, {dtype}, {accuracy_class}: make exhaustive")
    promised = bound_of(record.ulp[key], "fastest", np.dtype(dtype).type, accuracy_class)
    assert outcomes.fits(promised, measured, record, dtype), (promised, measured)


def test_published_outcomes_are_within_their_bounds():
    assert not [outcomes.key_of(row) for row in ROWS if not outcomes.is_within(row)]


def test_the_page_is_that_of_the_rows():
    page = FOLDER / "accuracy.md"
    if not ROWS:
        pytest.skip("no published rows yet: make exhaustive")
    assert page.read_text(encoding="utf-8") == accuracy.markdown(ROWS)


@pytest.mark.parametrize(
    ("error", "bound"), [(0, 0), (0.5, 0.5), (0.5000000018, 0.51), (2.4401, 2.45), (2.45, 2.45), (1.0, 1.0)]
)
def test_bounds_are_rounded_up_to_two_digits(error, bound):
    assert accuracy.rounded_up(error) == bound


def test_what_the_records_say_too_little_or_too_much_is_told():
    promised = bound_of(outcomes.lookup("sigmoid").ulp["value"], "fastest", np.float32, "fast")
    assert outcomes.drift([made(promised)]) == []
    for error in (promised + 0.1, promised - 0.1):
        (line,) = outcomes.drift([made(error)])
        assert f"sigmoid value float32 fast: the record says {promised:g}, measured {error:.1f}" in line
    assert outcomes.drift([made(promised - 0.1, inputs=PATTERNS // 2)]) == []


@pytest.mark.parametrize(
    ("promised", "same", "little_more", "no_less"),
    [
        (1.4, False, False, False),
        (1.5, True, True, True),
        (1.6, False, True, True),
        (1.82, False, True, True),
        (1.83, False, False, True),
    ],
)
def test_a_bound_is_for_every_parameter_and_row(promised, same, little_more, no_less):
    assert outcomes.fits(promised, 1.5, outcomes.lookup("elu"), "float32") == same
    assert outcomes.fits(promised, 1.5, outcomes.lookup("softmax"), "float32") == little_more
    assert outcomes.fits(promised, 1.5, outcomes.lookup("celu"), "float32") == no_less


@pytest.mark.parametrize(("promised", "fits"), [(1.49, False), (1.5, True), (1.57, True), (1.58, False)])
def test_a_sample_of_float64_leaves_a_twentieth_open(promised, fits):
    assert outcomes.fits(promised, 1.5, outcomes.lookup("elu"), "float64") == fits


# ---------------------------------------------------------------- the table
def test_the_table_has_ours_by_class_and_the_others_beside():
    rows = [
        made(2.444),
        made(0.504, accuracy="accurate"),
        made(1.5e7, backend="torch", wrong=3),
        made(0, check="bits", backend="numba"),
        made(5, check="bits", backend="cython:x86-64-v2"),
        made(2.3, dtype="float64", inputs=10**8),
        made(1.9, form="backward", gradient=-0.7310585975646973),
    ]
    table = accuracy.table(rows, "float32")
    assert table.head == ["function", "fast", "at x =", "accurate", "same bits", "PyTorch"]
    assert table.body[0] == ["sigmoid", "2.45", "-1.5", "0.51", "not cython:x86-64-v2", "2e+07!"]
    assert table.body[1] == ["sigmoid, backward, g = -0.731", "1.90", "-1.5", *[accuracy.DASH] * 3]
    assert accuracy.table(rows, "float64").body == [["sigmoid", "2.30", "-1.5"]]
    page = accuracy.markdown(rows)
    assert "| sigmoid | 2.45 | -1.5 | 0.51 |" in page
    assert "a processor, x86-64-v3, commit abc" in page
    assert "4,294,967,296 inputs each" in page


def test_the_most_inputs_count_then_the_latest():
    rows = [made(1.0), made(9.0, inputs=PATTERNS // 2), made(2.0)]
    assert [row["error"] for row in accuracy.latest(rows)] == [2.0]


def test_rows_are_published_beside_older_ones(tmp_path):
    run, folder = tmp_path / "run.jsonl", tmp_path / "sample"
    folder.mkdir()
    outcomes.append(run, [made(2.4) | {"bound": 99.0}, made(1.0, activation="tanh")])
    assert "2 rows, 2 of them" in outcomes.publish(run, folder)[0]
    run.unlink()
    outcomes.append(run, [made(2.3), made(7.0, activation="elu") | {"commit": "abc+"}])
    assert accuracy.read(folder / accuracy.FILE)[0]["bound"] < 99
    lines = outcomes.publish(run, folder)
    assert "1 rows of code that was not committed were left out" in lines
    published = accuracy.read(folder / accuracy.FILE)
    assert [row["error"] for row in published] == [2.3, 1.0]
    assert [row["bound"] for row in published] == [outcomes.bound("ulp", outcomes.entry_of(row)) for row in published]
    assert "| sigmoid | 2.30 |" in (folder / "accuracy.md").read_text()


def test_rows_of_what_left_the_table_are_left_out(tmp_path):
    run = tmp_path / "run.jsonl"
    outcomes.append(run, [made(2.4) | {"activation": "gone"}, made(1.0)])
    assert "1 rows of activations that are no longer in the table were left out" in outcomes.publish(run, tmp_path)
    assert [row["activation"] for row in accuracy.read(tmp_path / accuracy.FILE)] == ["sigmoid"]


def test_published_rows_survive_an_interruption(tmp_path, monkeypatch):
    run, kept = tmp_path / "run.jsonl", tmp_path / accuracy.FILE
    outcomes.append(run, [made(2.4)])
    outcomes.publish(run, tmp_path)
    before = kept.read_text()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kernels.files.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        outcomes.publish(run, tmp_path)
    assert kept.read_text() == before


def test_results_that_are_no_numbers_are_a_miss():
    assert outcomes.is_within(made(0.1))
    assert not outcomes.is_within(made(0.1, wrong=1))
    assert outcomes.is_within(made(0.1, wrong=1, backend="torch"))


def test_the_command_publishes(tmp_path, monkeypatch, capsys):
    from kernels.verify import __main__ as command

    monkeypatch.setattr(command, "PUBLISHED", tmp_path)
    outcomes.append(tmp_path / "run.jsonl", [made(2.4)])
    assert main(["--table", "--results", str(tmp_path / "run.jsonl")]) == 0
    assert (tmp_path / "accuracy.md").exists()
    assert "1 rows" in capsys.readouterr().out


@pytest.mark.parametrize("sweeping", [[], ["--exhaustive", "relu"]], ids=["table", "sweeps"])
def test_publishing_outside_a_checkout_is_a_usage_error(sweeping, tmp_path, monkeypatch, capsys):
    from kernels.verify import exhaustive

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exhaustive, "check", lambda *_: pytest.fail("swept before"))
    with pytest.raises(SystemExit) as stop:
        main(["--table", *sweeping])
    assert stop.value.code == 2
    assert "from the root of a checkout" in capsys.readouterr().err.replace("\n", " ")


def test_the_report_shows_it():
    from kernels.report import page

    shown = page.all_inputs([made(2.444), made(1.98, backend="torch")])
    assert "<td>2.45</td>" in shown
    assert "PyTorch" in shown
    assert "4,294,967,296" in shown
    assert "--exhaustive" in page.all_inputs([])


def test_rows_survive_the_disk(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = outcomes.row("ulp", SIGMOID, 1, Worst(0.0, float("nan"), 0.0, 0.0), FACTS)
    outcomes.append(path, [row])
    (back,) = accuracy.read(path)
    assert json.dumps(back) == json.dumps(row)
