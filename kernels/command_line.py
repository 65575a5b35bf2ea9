"""What the commands' options have in common."""

from __future__ import annotations

import argparse


def names(text: str) -> tuple[str, ...]:
    """The names in "a, b"."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"must be names with commas between them, given {text!r}")
    return found
