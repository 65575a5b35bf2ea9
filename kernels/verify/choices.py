"""What the command is asked for; what can't be done is refused before anything is measured."""

from __future__ import annotations

import argparse

from kernels.activations import RECORDS, lookup
from kernels.backends import OWN, available, find
from kernels.verify import peers


def count(text: str) -> int:
    """A number of inputs."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, given {text!r}")
    return int(text)


def check(chosen: argparse.Namespace) -> list[str]:
    """The peers that were asked for; KeyError and BackendUnavailable say what is wrong with the choice."""
    forms = [form for record in [lookup(name) for name in chosen.names] or RECORDS for form in record.forms]
    if chosen.form and not set(chosen.form).intersection(forms):
        known = ", ".join(dict.fromkeys(forms))
        raise KeyError(f"no form {', '.join(chosen.form)} of {', '.join(chosen.names)}; there are: {known}")
    for name in chosen.backend:
        _check_own(name)
    return peers.by_name(chosen.peers)


def _check_own(name: str) -> None:
    backend, variant = find(name)
    if backend.peer:
        raise KeyError(f"{name!r} is another library: compare with it by --peers; backends are: {', '.join(OWN)}")
    if backend.is_textbook(variant):
        raise KeyError(f"{name!r} is there to be compared with, and held to nothing; backends are: {', '.join(OWN)}")
    available(name)


def in_words(chosen: argparse.Namespace) -> str:
    """The choice as it is written in a command."""
    options = {name: getattr(chosen, name) for name in ("form", "part", "accuracy", "backend", "peers")}
    given = (f"--{name} {','.join(values)}" for name, values in options.items() if values)
    return " ".join([*chosen.names, *given])
