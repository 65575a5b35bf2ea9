"""The sample that the README shows: from finished runs alone, between the two marks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_race import heats, raced
from test_report import header, measurement, write

pytest.importorskip("matplotlib")

from kernels.report import sample
from kernels.report.__main__ import DONE, USAGE

END = {"kind": "end", "seconds": 1.0}
ROOT = Path(__file__).parents[1]


@pytest.fixture
def reports(tmp_path):
    """A folder of reports beside a README, with a finished run and race, and later ones that were interrupted."""
    results = tmp_path / "reports" / "results"
    mine = [measurement("sigmoid", backend=b, n=n) for b in ("numpy", "cython") for n in (1, 1000)]
    write(results / "default-20260101T000000.jsonl", [header(), *mine, END])
    write(results / "quick-20260102T000000.jsonl", [header(commit="later"), measurement()])
    race = heats(raced("torch", 0.5, (0.4, 0.5, 0.6)), raced("keras", 3.0)).rows
    write(results / "peers-default-20260101T000000.jsonl", [*race, END])
    (tmp_path / "README.md").write_text(f"before\n{sample.BEGIN}\nan old figure\n{sample.END}\nafter\n")
    return tmp_path / "reports"


def test_the_readme_gets_what_was_measured(reports):
    readme = reports.parent / "README.md"
    assert sample.main(["--output", str(reports)]) == DONE
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "an old figure" not in text
    assert "later" not in text
    assert "| elements | `kernels.fastest` | PyTorch | Keras |" in text
    assert "| 1,000 | 1 s | 0.50x | 3.00x |" in text
    assert "torch takes 0.50 of the time (0.40 to 0.60)" in text
    assert "A <processor>, 2 cores, x86-64-v3, measured 2024-01-01, commit abc" in text
    assert "same machine, same commit" in text
    shown = re.findall(r"\(reports/(sample/[^)]*)\)", text)
    assert len(shown) == 3
    assert all((reports / name).stat().st_size > 1000 for name in shown)
    assert "PyTorch</th>" in (reports / "sample" / "index.html").read_text()
    assert sample.main(["--output", str(reports)]) == DONE
    assert readme.read_text() == text


def test_without_a_finished_run_or_marks_nothing_is_written(reports, capsys):
    (reports.parent / "README.md").write_text("no marks")
    assert sample.main(["--output", str(reports)]) == USAGE
    (reports / "results" / "default-20260101T000000.jsonl").unlink()
    assert sample.main(["--output", str(reports)]) == USAGE
    told = capsys.readouterr().err
    assert "to write between" in told
    assert "no finished run" in told
    assert not (reports / "sample").exists()


def test_the_readme_has_the_marks():
    text = (ROOT / "README.md").read_text()
    assert text.index(sample.BEGIN) < text.index(sample.END)
