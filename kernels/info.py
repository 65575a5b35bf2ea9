"""``python -m kernels.info``: machine, levels, threads and the state of each backend."""

from __future__ import annotations

import argparse
import json
import sys
from types import ModuleType

from kernels.machine import info


class _CallableModule(ModuleType):
    """Importing this module puts it where the function ``kernels.info`` was: calling it must still work."""

    def __call__(self) -> dict:
        return info()


sys.modules[__name__].__class__ = _CallableModule


def show(facts: dict, indent: str = "") -> None:
    for key, value in facts.items():
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
    facts = info()
    if arguments.json:
        print(json.dumps(facts, indent=1))
    else:
        for table in ("levels", "backends"):
            facts[table] = {name: reason or "ready" for name, reason in facts[table].items()}
        show(facts)


if __name__ == "__main__":
    main()
