"""Times for pytest-benchmark: `pytest --benchmark-only -k sigmoid-float32-1000`; each table compares the backends."""

import pytest

from benchmarks.cases import Case, cases, prepare
from kernels.backends import BACKENDS

CASES = cases()


@pytest.mark.benchmark(max_time=0.2, min_rounds=5, min_time=0.001)
@pytest.mark.parametrize(Case._fields, CASES, ids=[case.id for case in CASES])
def test_time(benchmark, activation, form, dtype, n, backend, accuracy):
    reason = BACKENDS[backend].reason()
    if reason:
        pytest.skip(f"{backend}: {reason}")
    case = Case(activation, form, dtype, n, backend, accuracy)
    call, arguments, keywords = prepare(case)
    benchmark.group = case.group
    benchmark(call, *arguments, **keywords)
    benchmark.extra_info.update(backend=backend, dtype=dtype, n=n)
    if benchmark.stats:  # None under --benchmark-disable
        benchmark.extra_info["GB/s"] = case.bytes / benchmark.stats.stats.median / 1e9
