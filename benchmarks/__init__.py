"""Benchmarks for asv; pytest-benchmark shares their cases (tests/test_benchmarks.py)."""

import os

# Before OpenMP is loaded: threads that spin while they wait make a call of 50 us take 12 ms where a core is shared.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
