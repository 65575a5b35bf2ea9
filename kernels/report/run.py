"""Measures a plan, a group of contestants at a time, and appends each row as it is there."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from kernels import crossover, machine, measure, threads, training
from kernels.activations import RECORDS, Activation
from kernels.backends import described, find, numpy_vector
from kernels.measure import Case, Prepared, Timing
from kernels.report import conditions, rows
from kernels.report.findings import DISPATCHER
from kernels.report.plan import ESTIMATE_FROM, Plan, Scope
from kernels.report.rows import Results, Row

#: The least and the most of the time of a plan that one case may take, as multiples of the scope's seconds per case.
LEAST, MOST = 0.25, 2.0
#: Seconds for what only first calls cost: compiling, and training the network that gives the digits data.
FIRST_CALLS = 8.0
#: Data of more elements are made anew for each group: held together they would fill the memory.
HELD = 10**7
#: Memory that is left to others.
SPARE = 0.5
CURVE = np.linspace(-5.0, 5.0, 201)


@dataclass
class Run:
    """A run of a plan into a file; ``done`` are the rows of the part that was measured before."""

    plan: Plan
    results: Results
    done: list[Row]
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng())

    def __post_init__(self):
        self.measured = {_case(row) for row in rows.of_kind(self.done, "measurement")}
        self.seconds = {_case(row): row["seconds_q1"] for row in rows.of_kind(self.done, "measurement")}
        self.ceilings = {(row["bytes"], row["threads"]): row["gb_per_s"] for row in rows.of_kind(self.done, "ceiling")}
        self.sizes = {case.n for case in self.plan.cases}
        head = rows.header(self.done)
        self.about = {"machine": head["machine"], "commit": head["commit"], "busy_elsewhere": None}
        self.level = head["facts"]["level"]
        self.conditions = head.get("conditions", [])

    @property
    def left(self) -> int:
        return sum(case not in self.measured for case in self.plan.cases)

    def measure(self, advance: Callable[[str, int], None]) -> None:
        """All groups; ``advance`` is told the group's name before it, and after it how many cases it had."""
        with self.results.held():
            self._measure(advance)

    def _measure(self, advance: Callable[[str, int], None]) -> None:
        start = time.perf_counter()
        if self.plan.roofs:
            advance("ceilings", 0)
            self._measure_roofs()
        per_case = self.plan.scope.seconds_per_case
        allowed = FIRST_CALLS + per_case * self.left
        for group in self.plan.groups():
            missing = [case for case in group if case not in self.measured]
            if not missing:
                continue
            advance(group[0].group, 0)
            # What fast cases leave over goes to the slow ones, and the plan keeps its time.
            fair = (allowed - (time.perf_counter() - start)) / max(self.left, 1)
            budget = min(max(fair, LEAST * per_case), MOST * per_case)
            self._measure_group(missing, budget * len(missing))
            advance(group[0].group, len(missing))
            if group[0].n > HELD:
                measure.release_data()
        if self.plan.network:
            advance("in a network", 0)
            self._experiment()
        self.results.append({"kind": "end", "seconds": round(time.perf_counter() - start, 1)})

    def _measure_roofs(self) -> None:
        """The copying speed of each cache and of memory, by one thread and by all."""
        done = {(row["cache"], row["threads"]) for row in rows.of_kind(self.done, "roof")}
        for count in dict.fromkeys((1, threads.get_num_threads())):
            for roof in measure.roofs(count):
                if (roof.name, count) in done:
                    continue
                ways = {way: round(speed, 3) for way, speed in measure.roof_speeds(roof, count).items()}
                if ways:
                    about = {"cache": roof.name, "first": roof.first, "last": roof.last, "bytes": roof.bytes}
                    speed = {"threads": count, "gb_per_s": max(ways.values()), "ways": ways}
                    self.results.append({"kind": "roof", **about, **speed})

    def _experiment(self) -> None:
        """What the activations do in a network; nothing where its images can't be had."""
        try:
            training.available()
        except ImportError:
            return
        done = {(row["kind"], training.key(row)) for row in self.done if row["kind"] in training.KINDS}
        scope = self.plan.scope
        for experiment in training.experiments(scope.everything, scope.steps, scope.step_seconds):
            if (experiment.kind, experiment.key) not in done:
                for row in experiment.run():
                    self.results.append(row)

    def _measure_group(self, cases: Sequence[Case], budget: float) -> None:
        prepared = []
        for case in cases:
            reason = self._too_much(case)
            if reason:
                self._append(case, "skipped", reason)
                continue
            try:
                prepared.append(measure.prepare(case))
            except ImportError as error:
                self._append(case, "skipped", str(error))
            except Exception as error:  # One broken contestant must not end a run of hours; its row says what happened.
                self._append(case, "failed", f"{type(error).__name__}: {error}")
        if prepared:
            ceiling = self._ceiling(cases[0])
            elsewhere = measure.Elsewhere()
            timings = measure.sample(prepared, budget, self.rng)
            self.about["busy_elsewhere"] = elsewhere.cores()
            pairs = list(zip(prepared, timings, strict=True))
            ours = {one.case: timing for one, timing in pairs if one.case.backend == DISPATCHER}
            for one, timing in pairs:
                self._append_timing(one, timing, ceiling, ours.get(replace(one.case, backend=DISPATCHER)))

    def _too_much(self, case: Case) -> str | None:
        """Why a case is not measured, by the time of the size below it and by the memory it needs."""
        n = max((n for n in self.sizes if n < case.n and replace(case, n=n) in self.seconds), default=None)
        if n is not None:
            seconds = self.seconds[replace(case, n=n)]
            limit = self.plan.scope.longest_call
            if seconds is None:
                return f"n = {n} was not measured either"
            expected = seconds * case.n / n
            if expected > limit and n >= ESTIMATE_FROM:
                return f"a call would take about {expected:.2g} s, by that of n = {n}; the limit is {limit} s"
        needed, free = measure.memory_needed(case), measure.memory_free()
        if free is not None and needed > SPARE * free:
            return f"it needs about {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"
        return None

    def _ceiling(self, case: Case) -> float:
        key = (case.bytes, case.threads)
        if key not in self.ceilings:
            ways = measure.copy_ceiling(*key)
            best = max(ways.values())
            self.ceilings[key] = best
            self.results.append(
                {
                    "kind": "ceiling",
                    "bytes": key[0],
                    "threads": key[1],
                    "gb_per_s": best,
                    "ways": {way: round(speed, 3) for way, speed in ways.items()},
                }
            )
        return self.ceilings[key]

    def _append_timing(self, prepared: Prepared, timing: Timing, ceiling: float, ours: Timing | None) -> None:
        case = prepared.case
        speed = case.bytes / timing.median * 1e-9
        error = measure.ulp(prepared)
        wrong = not np.isfinite(error)
        measured = {
            "seconds_q1": timing.q1,
            "seconds_median": timing.median,
            "seconds_q3": timing.q3,
            "samples": timing.samples,
            "stopped": timing.stopped,
            "seconds_min": min(timing.rounds),
            "seconds_max": max(timing.rounds),
            "loops": timing.loops,
            "gb_per_s": speed,
            "ceiling_gb_per_s": ceiling,
            "share_of_ceiling": speed / ceiling,
            "ulp": None if wrong else error,
            "compile_seconds": max(prepared.first_seconds - timing.median, 0.0),
            "memory_bytes": measure.peak_memory(prepared),
            "times_fastest": measure.ratio(timing, ours) if ours else None,
        }
        reason = "the result is not a number, or infinite, where it should not be" if wrong else None
        self._append(case, "wrong" if wrong else "ok", reason, measured)

    def _append(self, case: Case, status: str, reason: str | None, measured: dict | None = None) -> None:
        measured = measured or dict.fromkeys(rows.MEASURED)
        backend, variant = find(case.backend)
        level = (variant or self.level) if backend.compiled else None
        about = {"level": level, "peer": backend.peer, "load": machine.load()}
        row = {"kind": "measurement", **asdict(case), **measured, **about}
        self.results.append({**row, **self.about, "status": status, "reason": reason})
        self.measured.add(case)
        self.seconds[case] = measured["seconds_q1"]


def _case(row: Row) -> Case:
    return Case(**{key: row[key] for key in rows.CASE})


# ---------------------------------------------------------------- beginning and continuing
def start(plan: Plan, folder: Path, fresh: bool = False) -> Run:
    """The run of a plan: the newest one where it was interrupted, else a new file."""
    if not fresh:
        found = interrupted(plan, folder)
        if found:
            return Run(plan, Results(found[0]), found[1])
    began = datetime.now(UTC)
    results = Results(folder / f"{plan.name}-{began:%Y%m%dT%H%M%S}.jsonl")
    opening = [_header(plan, began), *map(_curve, RECORDS)]
    for row in opening:
        results.append(row)
    return Run(plan, results, opening)


def start_self_test(folder: Path) -> Results:
    """A new file for the pairs of a self-test."""
    began = datetime.now(UTC)
    results = Results(folder / f"{rows.SELF_TEST_PLAN}-{began:%Y%m%dT%H%M%S}.jsonl")
    results.append(_header(Plan(Scope(rows.SELF_TEST_PLAN, (), 0.0, 0.0), (), {}), began))
    return results


def interrupted(plan: Plan, folder: Path) -> tuple[Path, list[Row]] | None:
    """(file, rows) of the newest run of this plan, if it did not end and all that its rows depend on is as it was."""
    path = rows.newest(folder, plan.name)
    if path is None:
        return None
    found, _ = rows.read(path)
    head, now = rows.header(found), _depends_on(plan)
    if head is None or rows.is_finished(found) or not can_continue(now["commit"]):
        return None
    return (path, found) if all(key in head and head[key] == value for key, value in now.items()) else None


def can_continue(commit: str | None) -> bool:
    """Whether more rows of this code may come later; code that was edited has no name to know it again by."""
    return commit is None or not commit.endswith("+")


def _header(plan: Plan, began: datetime) -> Row:
    return {
        "kind": "run",
        "format": rows.FORMAT,
        "plan": plan.name,
        "cases": len(plan.cases),
        "started": began.isoformat(timespec="seconds"),
        **_depends_on(plan),
        "load": machine.load(),
        "conditions": conditions.check(),
        "backends": described(),
        "left_out": plan.left_out,
        "dtypes": plan.dtypes,
        "longest_call": plan.scope.longest_call,
    }


def _depends_on(plan: Plan) -> Row:
    """What all rows of a run share: where one of these has changed, it is another run."""
    facts = machine.facts()
    return {
        "fingerprint": plan.fingerprint,
        "facts": facts,
        "machine": _machine_id(facts),
        "commit": facts["commit"],
        "threads": threads.get_num_threads(),
        "wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "dispatcher": _dispatcher_table(plan),
    }


def _dispatcher_table(plan: Plan) -> dict:
    """What kernels.fastest goes by: its table's source, and the segments of values in float32."""
    table = crossover.table()
    names = dict.fromkeys(case.activation for case in plan.cases)
    wanted = {"form": "value", "dtype": "float32", "accuracy": "fast"}
    segments = {name: crossover.segments(activation=name, **wanted) for name in names}
    return {"source": table.source, "stream_from": table.stream_from, "segments": segments}


def _machine_id(facts: dict) -> str:
    parts = [str(facts[key]) for key in ("cpu", "machine", "system", "cores", "caches")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _curve(record: Activation) -> Row:
    """A function and its derivative as points, so that drawing needs no kernel."""
    params = record.example_parameters
    if record.elementwise:
        title = f"{record.name}(x)" if not params else f"{record.name}(x, {', '.join(map(str, params))})"
        value = _text(record, "value")(CURVE, *params)
        slope = _text(record, "derivative")(CURVE, *params)
    elif record.gate:
        title = f"{record.name}([1, x])"
        table, ones = np.stack([np.ones_like(CURVE), CURVE], axis=1), np.ones((CURVE.size, 1))
        value = _text(record, "value")(table)[:, 0]
        slope = _text(record, "backward")(ones, table)[:, 1]
    else:
        title = f"first entry of {record.name}([x, 0, 1])"
        table = np.stack([CURVE, np.zeros_like(CURVE), np.ones_like(CURVE)], axis=1)
        value = _text(record, "value")(table)[:, 0]
        slope = _text(record, "jacobian")(table)[:, 0, 0]
    points = {"x": CURVE, "value": value, "derivative": slope}
    lists = {name: np.round(numbers, 6).tolist() for name, numbers in points.items()}
    return {"kind": "curve", "activation": record.name, "title": title, **lists}


def _text(record: Activation, form: str) -> Callable:
    return numpy_vector.bind(record, form, np.float64, "fast")
