"""The rows on disk: flat JSON objects, one a line.

"run" opens a file (machine, plan, backends), "curve" is a function to draw, "ceiling" the copying speed at a footprint,
"roof" that of a cache, "measurement" one case; of a GPU also "launch", the host's time of a call, "transfer", bytes to
the device and back, and "kernel", what ptxas says of one; "learning", "layers" and "step" are experiments with a
network, "self_test" is one pair of a self-test, and "end" closes the run. A file is only ever appended to, so an
interrupted run loses nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

Row = dict[str, Any]

FORMAT = 1
#: How the names of races with other libraries begin, and so the names of their files.
PEERS_PLAN = "peers-"
#: And those of self-tests, and of runs on a GPU.
SELF_TEST_PLAN, DEVICE_PLAN = "self-test", "cuda-"
#: Where what is compiled to PTX is written, beside the page.
PTX_FILE = "ptx.jsonl"

#: What a measurement is of: the fields of ``measure.Case``.
CASE = ("activation", "form", "backend", "dtype", "n", "accuracy", "data", "allocate", "cold", "threads", "keep")
#: What is measured; None where a case was skipped.
MEASURED = (
    "seconds_q1",
    "seconds_median",
    "seconds_q3",
    "samples",
    "loops",
    "gb_per_s",
    "ceiling_gb_per_s",
    "share_of_ceiling",
    "ulp",
    "compile_seconds",
    "memory_bytes",
)
#: What rows of earlier commits lack.
ADDED = {"keep": False, "memory_bytes": None}
#: "busy_elsewhere": cores that other processes used meanwhile.
ABOUT = ("level", "peer", "load", "busy_elsewhere", "machine", "commit")
#: "ok"; "wrong": the result is not a number where it should be; "skipped" and "failed" come with a reason.
STATUSES = ("ok", "wrong", "skipped", "failed")

#: Registers of a thread, and bytes of its local memory.
RESOURCES = ("registers", "stack", "spill_stores", "spill_loads")

KEYS = {
    "run": ("format", "plan", "fingerprint", "cases", "started", "facts", "machine", "commit", "backends", "left_out"),
    "curve": ("activation", "title", "x", "value", "derivative"),
    "ceiling": ("bytes", "threads", "gb_per_s", "ways"),
    "roof": ("cache", "first", "last", "bytes", "threads", "gb_per_s", "ways"),
    "learning": ("experiment", "activation", "rate", "bias", "loss", "accuracy", "dead", "zeros", "parameters"),
    "layers": ("experiment", "activation", "scale", "mean", "variance", "zeros", "gradient"),
    "step": ("activation", "backend", "batch", "sizes", "seconds_q1", "seconds_median", "seconds_q3"),
    "measurement": (*CASE, *MEASURED, *ABOUT, "status", "reason"),
    "self_test": ("case", "slowdown", "ratio", "low", "high", "verdict", "right"),
    "launch": ("activation", "backend", "n", "seconds"),
    "transfer": ("bytes", "to_device", "to_host"),
    "kernel": ("name", "form", "dtype", "accuracy", "variant", "architecture", *RESOURCES),
    "end": ("seconds",),
}


class Results:
    """A file of rows that is appended to, a line at a time, each on disk before the next is measured."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Alone with the file, its last line being whole; BlockingIOError where another run is writing to it."""
        with self.path.open("a") as file:
            _lock(file)
            if not self.path.read_bytes().endswith(b"\n"):
                # A line cut short by a crash must not swallow the next one.
                file.write("\n")
                file.flush()
            yield

    def append(self, row: Row) -> None:
        problem = check(row)
        if problem:
            raise ValueError(f"a row that could not be read back: {problem}")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")


def nanoseconds(row: Row) -> tuple[float, float, float]:
    """Quartiles of a measurement's time, an element."""
    return tuple(row[f"seconds_{q}"] / row["n"] * 1e9 for q in ("q1", "median", "q3"))


def _lock(file: IO) -> None:
    """Until the file is closed, however the process ends."""
    try:
        import fcntl
    except ImportError:  # not there on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(
            f"another run is writing to {file.name}: wait until it has ended, or start one beside it with --fresh"
        ) from None
    except OSError:  # a file system without locks
        return


def check(row: Any) -> str | None:
    """None, or what is wrong with a row."""
    if not isinstance(row, dict):
        return f"expected an object, found {type(row).__name__}"
    kind = row.get("kind")
    if kind not in KEYS:
        return f"unknown kind {kind!r}; known are: {', '.join(KEYS)}"
    missing = [key for key in KEYS[kind] if key not in row]
    if missing:
        return f"a {kind} row lacks {', '.join(missing)}"
    if kind == "run" and row["format"] != FORMAT:
        return f"format {row['format']}, expected {FORMAT}"
    return _check_measurement(row) if kind == "measurement" else None


def _check_measurement(row: Row) -> str | None:
    if row["status"] not in STATUSES:
        return f"unknown status {row['status']!r}; known are: {', '.join(STATUSES)}"
    if not isinstance(row["n"], int) or row["n"] < 1:
        return f"n is {row['n']!r}, expected a positive whole number"
    if row["status"] in ("skipped", "failed"):
        return None if row["reason"] else f"{row['status']} without a reason"
    quartiles = [row[key] for key in ("seconds_q1", "seconds_median", "seconds_q3")]
    if not all(isinstance(q, (int, float)) and q > 0 for q in quartiles) or quartiles != sorted(quartiles):
        return f"seconds are {quartiles}, expected rising quartiles above 0"
    return None


def read(path: Path) -> tuple[list[Row], list[str]]:
    """(rows, problems): lines that can't be used are named in the problems, the others are rows."""
    rows, problems = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            problems.append(f"{path.name}:{number} is not JSON ({error}); the line is left out")
            continue
        if isinstance(row, dict) and row.get("kind") == "measurement":
            row = ADDED | row
        problem = check(row)
        if problem:
            problems.append(f"{path.name}:{number}: {problem}; the line is left out")
        else:
            rows.append(row)
    return rows, problems


def files(folder: Path, plan: str | None = None) -> list[Path]:
    """Files of results, of one plan where it is given, the latest first: names end with the time of their start.

    A race with other libraries, a self-test or a run on a GPU is not among those of all plans: its plan is asked for.
    """
    apart = (PEERS_PLAN, SELF_TEST_PLAN, DEVICE_PLAN)
    found = [path for path in folder.glob(f"{plan or '*'}-*.jsonl") if plan or not path.name.startswith(apart)]
    return sorted(found, key=lambda path: path.stem.rpartition("-")[2], reverse=True)


def newest(folder: Path, plan: str | None = None) -> Path | None:
    """The latest file of results."""
    return next(iter(files(folder, plan)), None)


def latest_readable(
    folder: Path, plan: str | None = None, finished: bool = False
) -> tuple[Path | None, list[Row], list[str]]:
    """(file, rows, problems) of the latest file that says what it is of; the problems name those that do not.

    ``finished``: of a run that came to its end.
    """
    problems: list[str] = []
    for path in files(folder, plan):
        found, mine = read(path)
        if header(found) is not None:
            if finished and not is_finished(found):
                continue
            return path, found, problems + mine
        problems.append(
            f"{path.name} has no readable run row at its start: measure again, with --fresh; it is left out"
        )
    return None, [], problems


def newest_of_machines(folder: Path) -> list[Path]:
    """The latest file of results of each machine and host, the latest of all first."""
    found: dict[tuple, Path] = {}
    for path in files(folder):
        head = opening(path)
        if head:
            found.setdefault((head["machine"], head.get("host")), path)
    return list(found.values())


def opening(path: Path) -> Row | None:
    """The row that opens a file of results, if it does."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        try:
            row = json.loads(next(lines, ""))
        except ValueError:
            return None
    return row if check(row) is None and row["kind"] == "run" else None


def of_kind(rows: Iterable[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind]


def header(rows: Iterable[Row]) -> Row | None:
    """The row that opens the run."""
    return next(iter(of_kind(rows, "run")), None)


def is_finished(rows: Iterable[Row]) -> bool:
    return bool(of_kind(rows, "end"))
