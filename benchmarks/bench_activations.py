"""asv: time of activations by form, backend, dtype and size; peak memory; import time."""

from __future__ import annotations

from kernels.activations import Activation
from kernels.backends import BACKENDS

from .cases import ACTIVATIONS, CLASSES, CONTESTANTS, DTYPES, SIZES, Case, forms, left_out, prepare, seconds_per_call

AXES = ("form", "backend", "dtype", "accuracy", "n")
#: Size at which memory is measured.
LARGEST = SIZES[-1]


class CallClock:
    """The clock that asv reads: one benchmark call advances it by the seconds of one kernel call.

    asv runs ``setup`` before every call that it times, so that it can't repeat a call of some nanoseconds within a
    sample. Here a sample is a batch of at least 10 ms, and the clock shows its mean.
    """

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


CLOCK = CallClock()


def ready(case: Case):
    """The prepared case; NotImplementedError, which asv takes for a skip, where it can't run here."""
    reason = left_out(case) or BACKENDS[case.backend].reason()
    if reason:
        raise NotImplementedError(reason)
    return prepare(case)


def benchmark_of(record: Activation):
    """The time_* function of one activation."""

    def time_activation(form, backend, dtype, accuracy, n):
        CLOCK.advance(seconds_per_call(prepare(Case(record.name, form, dtype, n, backend, accuracy))))

    def setup(form, backend, dtype, accuracy, n):
        ready(Case(record.name, form, dtype, n, backend, accuracy))

    time_activation.__name__ = f"time_{record.name}"
    time_activation.__doc__ = f"{record.name}: {record.formula}"
    time_activation.setup = setup
    time_activation.param_names = AXES
    time_activation.params = (forms(record), CONTESTANTS, DTYPES, CLASSES, SIZES)
    time_activation.timer = CLOCK
    time_activation.number = 1
    time_activation.repeat = (5, 10, 0.5)
    time_activation.rounds = 1
    time_activation.warmup_time = 0
    # Raise it when times taken before and after a change of this file can't be compared.
    time_activation.version = "1"
    return time_activation


for _record in ACTIVATIONS:
    globals()[f"time_{_record.name}"] = benchmark_of(_record)


def setup_memory(activation, backend):
    """Inputs and output are made here: the peak is theirs and the kernel's temporaries."""
    ready(Case(activation, "value", "float32", LARGEST, backend))


def peakmem_value(activation, backend):
    call, arguments, keywords = prepare(Case(activation, "value", "float32", LARGEST, backend))
    call(*arguments, **keywords)


peakmem_value.setup = setup_memory
peakmem_value.param_names = ("activation", "backend")
peakmem_value.params = (
    tuple(record.name for record in ACTIVATIONS),
    tuple(b for b in CONTESTANTS if left_out(Case(ACTIVATIONS[0].name, "value", "float32", LARGEST, b)) is None),
)
peakmem_value.version = "1"


def timeraw_import():
    """Importing one function, in a process of its own."""
    return "from kernels.fastest import relu"


timeraw_import.repeat = 5
timeraw_import.rounds = 1
timeraw_import.number = 1
timeraw_import.version = "1"
