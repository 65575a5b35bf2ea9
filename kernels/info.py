"""``python -m kernels.info``: machine, levels, threads and the state of each backend."""

from __future__ import annotations

import argparse
import json
import sys
from types import ModuleType
from typing import Any

from kernels import crossover, memory, threads
from kernels.activations import RECORDS
from kernels.backends import OWN, PEERS
from kernels.backends.dispatcher import fallback
from kernels.machine import facts
from kernels.native.built import build_report, level_states


def info() -> dict[str, Any]:
    """Machine, levels built and usable, threads, and the state of each backend (None, or why it can't run)."""
    return {
        "machine": facts(),
        "levels": level_states(),
        "left out of the build": build_report()["left_out"],
        "threads": threads.get_num_threads(),
        "backends": {name: backend.reason() for name, backend in OWN.items()},
        "peers": {name: backend.reason() for name, backend in PEERS.items()},
        "crossover table": crossover.table().source,
        "outputs stream from": f"{crossover.table().stream_from} bytes read and written",
        "output memory": f"{memory.held()} bytes held, at most {memory.get_limit()}",
        "fastest falls back to NumPy": fallback(),
        "activations": [record.name for record in RECORDS],
    }


class _CallableModule(ModuleType):
    """Importing this module puts it where the function ``kernels.info`` was: calling it must still work."""

    def __call__(self) -> dict:
        return info()


sys.modules[__name__].__class__ = _CallableModule


def show(table: dict, indent: str = "") -> None:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            print(f"{indent}{key}:")
            show(value, indent + "  ")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            print(f"{indent}{key}: {text}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kernels.info", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    shown = info()
    if arguments.json:
        print(json.dumps(shown, indent=1))
    else:
        for table in ("levels", "backends", "peers"):
            shown[table] = {name: reason or "ready" for name, reason in shown[table].items()}
        show(shown)


if __name__ == "__main__":
    main()
