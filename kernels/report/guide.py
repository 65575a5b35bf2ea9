"""The texts of the documentation, from ``guide.toml``: what the records do not hold, checked against the records."""

from __future__ import annotations

import functools
import importlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType
from typing import Any

from kernels.activations import ACTIVATIONS, RECORDS, Activation

FILE = "guide.toml"


# ---------------------------------------------------------------- other libraries
@dataclass(frozen=True)
class Library:
    """Where another library keeps its activations."""

    title: str
    #: What a name without a dot is an attribute of; None: operators of ONNX.
    module: str | None

    def find(self, name: str) -> Any:
        """The function of that name; LookupError where there is none, ImportError where the library is missing."""
        if self.module is None:
            return _operator(name)
        home, _, attribute = self.full_name(name).rpartition(".")
        try:
            return getattr(importlib.import_module(home), attribute)
        except AttributeError:
            raise LookupError(f"{home} has no {attribute}") from None

    def full_name(self, name: str) -> str:
        return name if "." in name or self.module is None else f"{self.module}.{name}"


def _operator(name: str) -> Any:
    from onnx import defs

    try:
        return defs.get_schema(name)
    except defs.SchemaError:
        raise LookupError(f"ONNX has no operator {name}") from None


LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        "torch": Library("torch.nn.functional", "torch.nn.functional"),
        "jax": Library("jax.nn", "jax.nn"),
        "keras": Library("keras.activations", "keras.activations"),
        "onnx": Library("ONNX operators", None),
    }
)


# ---------------------------------------------------------------- the texts
@dataclass(frozen=True)
class Claim:
    text: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """What is written about one function."""

    family: str
    #: TeX.
    formula: str
    derivative: str
    strengths: tuple[Claim, ...]
    weaknesses: tuple[Claim, ...]
    use: str
    avoid: str
    #: A session of the interpreter that holds.
    example: str
    #: Where the plot begins and ends.
    view: tuple[float, float] = (-5.0, 5.0)
    #: library -> its names of this function
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    #: library -> where it differs in a default or a convention
    notes: Mapping[str, str] = field(default_factory=dict, hash=False)
    #: library that differs -> its derivative at each kink of the record
    kinks_elsewhere: Mapping[str, tuple[float, ...]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Guide:
    """The file; its texts may be ahead of the table of activations, not behind it."""

    functions: Mapping[str, Text]
    families: Mapping[str, str]
    #: key -> citation
    sources: Mapping[str, str]
    #: property, relu, sigmoid, sources
    beside: tuple[tuple[str, str, str, tuple[str, ...]], ...]
    verdict: str
    #: situation, functions, why, sources
    choice: tuple[tuple[str, tuple[str, ...], str, tuple[str, ...]], ...]

    def of(self, record: Activation) -> Text:
        try:
            return self.functions[record.name]
        except KeyError:
            raise LookupError(f"{FILE} has no text about {record.name}: add [functions.{record.name}]") from None

    def family(self, key: str) -> list[Activation]:
        """The records of a family, in the order of the texts."""
        return [
            ACTIVATIONS[name] for name, text in self.functions.items() if text.family == key and name in ACTIVATIONS
        ]


@functools.cache
def guide() -> Guide:
    """The file, read once; LookupError names a record that has no text."""
    read = tomllib.loads(resources.files("kernels.report").joinpath(FILE).read_text(encoding="utf-8"))
    found = Guide(
        functions=MappingProxyType({name: _text(name, entry) for name, entry in read["functions"].items()}),
        families=MappingProxyType(read["families"]),
        sources=MappingProxyType(read["sources"]),
        beside=tuple((what, relu, sigmoid, _keys(keys)) for what, relu, sigmoid, keys in read["beside"]["rows"]),
        verdict=read["beside"]["verdict"],
        choice=tuple((where, tuple(names), why, _keys(keys)) for where, names, why, keys in read["choice"]["rows"]),
    )
    for record in RECORDS:
        found.of(record)
    return found


def _text(name: str, entry: dict[str, Any]) -> Text:
    names = {key: tuple(entry.pop(key)) for key in LIBRARIES if key in entry}
    for key in ("strengths", "weaknesses"):
        entry[key] = tuple(Claim(text, _keys(keys)) for text, keys in entry.get(key, ()))
    kinks = {key: tuple(values) for key, values in entry.pop("kinks_elsewhere", {}).items()}
    if "view" in entry:
        entry["view"] = tuple(entry["view"])
    try:
        return Text(names=names, kinks_elsewhere=kinks, **entry)
    except TypeError as error:
        raise LookupError(f"{FILE}, [functions.{name}]: {error}") from None


def _keys(text: str) -> tuple[str, ...]:
    return tuple(text.split())
