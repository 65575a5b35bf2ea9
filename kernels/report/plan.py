"""Which cases a run measures: the cross product of the tables, nothing kept by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import groupby, product

from kernels.activations import MEASURED, RECORDS, Activation, lookup
from kernels.backends import OWN, PEERS, Backend, BackendUnavailable, absence, available, find
from kernels.constants import DTYPES, HALF_TYPES
from kernels.half import is_half, named
from kernels.measure import DATA, FORMS, Case
from kernels.report.findings import BASELINE, DISPATCHER, IN_CACHE, SWEPT, slope_form
from kernels.report.rows import PEERS_PLAN

#: Second texts of a backend that is not compiled are only of interest where a call is cheap.
SECOND_TEXT_TO = 10_000
#: Functions on which a plan that is not of everything changes one thing at a time: one that is all memory, one that is
#: all arithmetic, one of rows.
SIDE = ("relu", "sigmoid", "softmax")
#: Functions whose values a plan that is not of everything has by size in every dtype: one that is all memory, one that
#: is computed in registers in half types, one that is looked up there, and one of rows, which goes through float32.
ACROSS_DTYPES = ("relu", "leaky_relu", "sigmoid", "softmax")
#: The largest array of half types that NumPy is given there: it converts number by number, and no size changes that.
NUMPY_HALF_TO = 10**6
#: One thing changed at a time.
CHANGES = (
    {"allocate": True},
    {"allocate": True, "keep": True},
    {"cold": True},
    {"threads": 1},
    {"accuracy": "accurate"},
)
#: The largest array that is compared in float64, in other forms, and by the accurate class.
SIDE_SIZE = 10**5
#: Seconds outside the timed cases: start, compilation, ceilings, experiments with a network, drawing.
FIXED_SECONDS = 30.0
#: Seconds for importing other libraries, and for what they compile.
LIBRARIES = 15.0
#: Fewer elements say nothing of the memory that they lie in: their time is that of the call.
ESTIMATE_FROM = 1000
#: From this size on peers are also compared with ``out=``, where they have that: below it a call's overhead decides.
OUT_FROM = 10**5
#: Of a race, unless others are asked for.
RACED = ("float32", "float64")


@dataclass(frozen=True)
class Scope:
    """How far a plan goes."""

    name: str
    sizes: tuple[int, ...]
    seconds_per_case: float
    #: A case is skipped where one call is expected to take longer.
    longest_call: float
    #: Every activation, form, dtype and side axis, too.
    everything: bool = False
    #: Nothing is compiled for a side question alone.
    hurried: bool = False
    #: The functions whose training step is timed, and the seconds for each.
    steps: tuple[str, ...] = ("relu", "sigmoid", "swish")
    step_seconds: float = 0.6


SCOPES = {
    "quick": Scope("quick", (1, 10**3, 10**5, 10**6), 0.022, 0.08, hurried=True, steps=("sigmoid",), step_seconds=0.2),
    "default": Scope("default", tuple(10**k for k in range(8)), 0.16, 0.5),
    "full": Scope("full", tuple(10**k for k in range(9)), 0.3, 1.5, everything=True),
}


@dataclass(frozen=True)
class Plan:
    """What a run measures, in this order."""

    scope: Scope
    cases: tuple[Case, ...]
    #: backend -> why it is not among the contestants
    left_out: dict[str, str]
    #: A race with other libraries, rather than between this project's backends.
    race: bool = False
    #: The copying speed of each cache is measured first.
    roofs: bool = False
    #: What the activations do in a network is looked at last.
    network: bool = False
    #: Beside float32, those in which all ways to write a kernel are measured by size.
    dtypes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{PEERS_PLAN}{self.scope.name}" if self.race else self.scope.name

    @property
    def fingerprint(self) -> str:
        """Two runs with the same one measure the same cases."""
        return hashlib.sha256("\n".join(case.id for case in self.cases).encode()).hexdigest()[:12]

    @property
    def seconds(self) -> float:
        extra = LIBRARIES if self.race else 0.0
        return FIXED_SECONDS + extra + len(self.cases) * self.scope.seconds_per_case

    def groups(self) -> Iterator[tuple[Case, ...]]:
        """The cases that are compared with each other, and so are timed in turns."""
        for _, group in groupby(self.cases, key=lambda case: case.group):
            yield tuple(group)


def of_choices(
    scope: str = "default",
    activations: Sequence[str] = (),
    backends: Sequence[str] = (),
    peers: Sequence[str] = (),
    dtype: Sequence[str] = (),
) -> Plan:
    """What the command's options of these names ask for; KeyError and BackendUnavailable say what is wrong."""
    if not peers:
        return make(SCOPES[scope], activations, backends, dtype)
    if backends:
        raise KeyError("--peers races kernels.fastest and NumPy; --backends has no place beside it")
    return make_race(SCOPES[scope], peers, activations, dtype or RACED)


def make(
    scope: Scope, activations: Sequence[str] = (), backends: Sequence[str] = (), dtypes: Sequence[str] = ()
) -> Plan:
    """The plan of a scope; activations and backends by name, none for those of the scope; dtypes beside its own."""
    refuse_unknown(dtypes)
    records = chosen_records(scope, activations)
    chosen, left_out = _contestants(backends)
    groups = [*_sweep(scope, records)]
    if scope.everything:
        groups += [*_other_forms(scope, records), *_other_axes(scope, records)]
    else:
        groups += _some_others(scope, [record for record in records if activations or record.name in SIDE])
    groups += _other_dtypes(scope, records, dtypes)
    across = [r for r in records if activations or r.name in ACROSS_DTYPES or (scope.everything and r.elementwise)]
    compared = [*product(groups, chosen), *_across_dtypes(scope, across, chosen)]
    cases = [replace(group, backend=name) for group, name in compared if _takes_part(name, group, scope)]
    order = {group: k for k, group in enumerate(dict.fromkeys(case.group for case in cases))}
    # One after the other, what differs in the dtype alone: the machine may be another a minute later.
    first = {case.group: order.get(replace(case, dtype=SWEPT).group, order[case.group]) for case in cases}
    cases.sort(key=lambda case: (first[case.group], order[case.group]))
    network = not (activations or backends)
    swept = tuple(dtype for dtype in DTYPES if dtype != SWEPT and (scope.everything or dtype in dtypes))
    return Plan(scope, tuple(dict.fromkeys(cases)), left_out, roofs=True, network=network, dtypes=swept)


def make_race(
    scope: Scope, peers: Sequence[str], activations: Sequence[str] = (), dtypes: Sequence[str] = RACED
) -> Plan:
    """kernels.fastest and NumPy against peers, by name, or "all" for those installed."""
    refuse_unknown(dtypes)
    chosen, left_out = _rivals(peers)
    groups = [*_race(scope, chosen_records(scope, activations), dtypes)]
    cases = [replace(group, backend=name) for group in groups for name in chosen if _races(name, group)]
    return Plan(scope, tuple(cases), left_out, race=True)


def refuse_unknown(dtypes: Sequence[str]) -> None:
    unknown = [dtype for dtype in dtypes if dtype not in DTYPES]
    if unknown:
        raise KeyError(f"unknown dtype {unknown[0]!r}; known are: {', '.join(DTYPES)}")


def chosen_records(scope: Scope, activations: Sequence[str]) -> list[Activation]:
    """Those named, or those of the scope, in the table's order."""
    names = {lookup(name).name for name in activations}
    if names:
        return [record for record in RECORDS if record.name in names]
    return list(RECORDS if scope.everything else MEASURED)


def _rivals(asked: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """(contestants of a race, peers left out and why); a peer that was named has to be there."""
    everyone = "all" in asked
    for name in asked:
        if name not in PEERS and name != "all":
            raise KeyError(f"unknown peer {name!r}; known are: all, {', '.join(PEERS)}")
        if name != "all":
            available(name)
    left_out = {name: why for name, peer in PEERS.items() if (why := _not_raced(peer)) is not None}
    chosen = [name for name in PEERS if name not in left_out and (everyone or name in asked)]
    if not chosen:
        raise BackendUnavailable(f"no peer can run here: {'; '.join(left_out.values())}")
    others = {} if everyone else {name: "not asked for" for name in PEERS if name not in asked}
    return [DISPATCHER, BASELINE, *chosen], left_out | others


def _not_raced(peer: Backend) -> str | None:
    on_gpu = "it computes on a GPU, where --device cuda measures it" if peer.only_device else None
    return peer.reason() or on_gpu


def _race(scope: Scope, records: Iterable[Activation], dtypes: Sequence[str]) -> Iterator[Case]:
    """A new output each call, which is what every library has; long values with ``out=`` as well."""
    for record in records:
        for dtype in dtypes:
            for form in FORMS:
                if form in record.forms:
                    for n in scope.sizes:
                        yield Case(record.name, form, "", dtype, n, allocate=True)
                        if form == "value" and n >= OUT_FROM:
                            yield Case(record.name, form, "", dtype, n)


def _races(name: str, case: Case) -> bool:
    if name not in PEERS:
        return True
    module = PEERS[name].module
    if module.absent(case.record, case.form, named(case.dtype).type):
        return False
    return case.allocate or module.takes_out(case.record, case.form)


def _contestants(asked: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """(backends as kernels.get takes them, those left out and why)."""
    if asked:
        for name in asked:
            if available(name)[0].peer:
                raise KeyError(f"{name} is a peer: --peers {name}")
        return list(asked), {name: "not asked for" for name in OWN if name not in {find(a)[0].name for a in asked}}
    left_out = {name: reason for name, backend in OWN.items() if (reason := backend.reason()) is not None}
    chosen = []
    for name, backend in OWN.items():
        if name not in left_out:
            chosen += [name, *(f"{name}:{text}" for text in backend.second_texts())]
    return chosen, left_out


def _takes_part(name: str, case: Case, scope: Scope) -> bool:
    backend, variant = find(name)
    changed = case.accuracy != "fast" or case.allocate or case.cold or case.threads is not None
    if backend.is_textbook(variant):
        told = (not scope.hurried or case.activation in SIDE) and not is_half(named(case.dtype))
        return told and not changed and case.data == "normal" and absence(case.record, case.form, name) is None
    if variant is not None and not backend.compiled and case.n > SECOND_TEXT_TO:
        return False
    if name == BASELINE and case.threads is not None:
        return False  # it has one thread anyway
    # Pure Python computes in float64 whatever it is given, with one thread, into new lists.
    return backend.name != "python" or (not changed and case.dtype == "float32")


def _sweep(scope: Scope, records: Iterable[Activation]) -> Iterator[Case]:
    """Value and derivative at every size, and the other data sets beside the values: at one size, or at all."""
    for record in records:
        for form in ("value", slope_form(record)):
            for n in sorted({*scope.sizes, IN_CACHE} if form == "value" else scope.sizes):
                side = form == "value" and (scope.everything or n == IN_CACHE)
                for data in DATA if side else ("normal",):
                    yield Case(record.name, form, "", "float32", n, data=data)


def _other_dtypes(scope: Scope, records: Iterable[Activation], dtypes: Sequence[str]) -> Iterator[Case]:
    for record in records:
        for dtype in dtypes:
            for form in ("value", slope_form(record)):
                for n in scope.sizes:
                    yield Case(record.name, form, "", dtype, n)


def _across_dtypes(scope: Scope, records: Iterable[Activation], chosen: Sequence[str]) -> Iterator[tuple[Case, str]]:
    """Values by size in the other dtypes, bfloat16 where NumPy can have it, each with who computes it."""
    dtypes = [dtype for dtype in DTYPES if dtype != SWEPT and (dtype != "bfloat16" or find_spec("ml_dtypes"))]
    sizes = [n for n in scope.sizes if n >= ESTIMATE_FROM]
    for record, dtype, n in product(records, dtypes, sizes):
        for name in chosen:
            slow = name == BASELINE and dtype in HALF_TYPES and n > NUMPY_HALF_TO
            if scope.everything or (name in (DISPATCHER, BASELINE) and not slow):
                yield Case(record.name, "value", "", dtype, n), name


def _other_forms(scope: Scope, records: Iterable[Activation]) -> Iterator[Case]:
    for record in records:
        for dtype in ("float32", "float64"):
            for form in FORMS:
                if form in record.forms:
                    for n in scope.sizes:
                        yield Case(record.name, form, "", dtype, n)


def _other_axes(scope: Scope, records: Iterable[Activation]) -> Iterator[Case]:
    """One thing changed at a time."""
    for change in CHANGES:
        for record in records:
            for n in scope.sizes:
                yield replace(Case(record.name, "value", "", "float32", n), **change)


def _some_others(scope: Scope, records: Iterable[Activation]) -> Iterator[Case]:
    """A few of the other forms and axes: enough for an answer to each question that the page asks."""
    for record in records:
        value = Case(record.name, "value", "", "float32", SIDE_SIZE)
        if not scope.hurried:
            yield from (replace(value, form=form) for form in FORMS if form in record.forms)
            yield replace(value, dtype="float64")
            yield replace(value, accuracy="accurate")
        for n in (n for n in scope.sizes if n >= ESTIMATE_FROM):
            yield replace(value, n=n, threads=1)
        for n in (n for n in scope.sizes if n >= OUT_FROM):
            for change in CHANGES[:3]:
                yield replace(value, n=n, **change)
