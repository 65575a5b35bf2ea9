"""What `pytest` and `pytest --benchmark-only` collect, and where they find `benchmarks`."""

import sys
from pathlib import Path

TIMED = "test_benchmarks.py"
ROOT = str(Path(__file__).parent)

# pytest has put the checkout first; it goes last, so that an installed `kernels` is the one that is tested.
if ROOT in sys.path:
    sys.path.remove(ROOT)
sys.path.append(ROOT)


def pytest_ignore_collect(collection_path, config):
    """Plain `pytest` leaves the timed tests out, `--benchmark-only` all others; a file that is asked for stays."""
    if collection_path.suffix != ".py" or any(collection_path.name in argument for argument in config.args):
        return None
    only_timed = config.getoption("benchmark_only", False)
    return True if (collection_path.name == TIMED) != only_timed else None
