"""Results of other tools as rows: asv's files, and what pytest-benchmark writes with ``--benchmark-json``."""

from __future__ import annotations

import itertools
import json
import math
from ast import literal_eval
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from kernels.backends import described
from kernels.measure import Case
from kernels.report import rows
from kernels.report.rows import Row

TIME = "bench_activations.time_"


def read(path: Path) -> list[Row]:
    """The rows of a JSON file of either tool; ValueError says what it is not."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error})") from None
    if isinstance(found, dict) and "benchmarks" in found and "machine_info" in found:
        return list(_of_pytest_benchmark(found))
    if isinstance(found, dict) and "result_columns" in found and "results" in found:
        return list(_of_asv(found))
    raise ValueError(f"{path} is neither a result file of asv nor one of pytest-benchmark")


# ---------------------------------------------------------------- pytest-benchmark
def _of_pytest_benchmark(found: dict) -> Iterator[Row]:
    info, commit = found["machine_info"], found.get("commit_info", {})
    name = (commit.get("id") or "")[:12] + ("+" if commit.get("dirty") else "")
    facts = {
        "cpu": info.get("cpu", {}).get("brand_raw", info.get("processor")),
        "machine": info["machine"],
        "system": f"{info['system']} {info['release']}",
        "cores": info.get("cpu", {}).get("count"),
        "versions": {"python": info["python_version"]},
    }
    timed = [one for one in found["benchmarks"] if set(one.get("params") or ()) >= {"activation", "backend", "n"}]
    yield _header("pytest-benchmark", found["datetime"], facts, name, len(timed))
    for one in timed:
        stats = one["stats"]
        quartiles = stats["q1"], stats["median"], stats["q3"]
        yield _measurement(Case(**one["params"]), quartiles, stats["rounds"], info["node"], name)


# ---------------------------------------------------------------- asv
def _of_asv(found: dict) -> Iterator[Row]:
    about, commit = found["params"], found["commit_hash"][:12]
    facts = {
        "cpu": about.get("cpu"),
        "machine": about.get("arch"),
        "system": about.get("os"),
        "cores": int(about["num_cpu"]) if about.get("num_cpu") else None,
        "versions": {"python": found["python"], **found["requirements"]},
    }
    began = datetime.fromtimestamp(found["date"] / 1000, UTC).isoformat(timespec="seconds")
    timed = list(_asv_cases(found))
    yield _header("asv", began, facts, commit, len(timed))
    for case, quartiles, samples in timed:
        yield _measurement(case, quartiles, samples, about["machine"], commit)


def _asv_cases(found: dict) -> Iterator[tuple[Case, tuple, int]]:
    for name, values in found["results"].items():
        if not name.startswith(TIME):
            continue
        columns = dict(zip(found["result_columns"], values, strict=False))
        given = itertools.product(*([literal_eval(text) for text in axis] for axis in columns["params"]))
        keys = ("result", "stats_q_25", "stats_q_75", "stats_repeat")
        for params, middle, q1, q3, repeat in zip(given, *(columns[key] for key in keys), strict=True):
            if middle is not None and not math.isnan(middle):
                form, backend, dtype, accuracy, n = params
                case = Case(name.removeprefix(TIME), form, backend, dtype, int(n), accuracy)
                # asv rounds its quartiles to five digits, and not the median.
                yield case, (min(q1, middle), middle, max(q3, middle)), repeat


# ---------------------------------------------------------------- rows
def _header(plan: str, started: str, facts: dict, commit: str, cases: int) -> Row:
    facts = {"caches": {}, "governor": None, "level": None, "commit": commit, **facts}
    about = {"plan": plan, "fingerprint": "", "cases": cases, "started": started, "facts": facts}
    where = {"machine": plan, "commit": commit, "backends": described(), "left_out": {}}
    return {"kind": "run", "format": rows.FORMAT, **about, **where}


def _measurement(case: Case, quartiles: tuple, samples: int, machine: str, commit: str) -> Row:
    q1, middle, q3 = quartiles
    seconds = {"seconds_q1": q1, "seconds_median": middle, "seconds_q3": q3, "samples": samples}
    measured = {**dict.fromkeys(rows.MEASURED), **seconds, "gb_per_s": case.bytes / middle * 1e-9}
    about = {**dict.fromkeys(rows.ABOUT), "machine": machine, "commit": commit}
    return {"kind": "measurement", **asdict(case), **measured, **about, "status": "ok", "reason": None}
