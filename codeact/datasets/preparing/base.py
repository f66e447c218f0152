"""What a preparer is: where a data set comes from, and how its raw records become task rows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from codeact.datasets.preparing.addresses import Address
from codeact.datasets.preparing.raw import Raw


class Choice(NamedTuple):
    """What is taken of a data set: at most `sample` rows (None is all), only these `levels`.

    `few_shot` rows are set aside as examples for prompts, in a file of their own.
    """

    sample: int | None = None
    levels: tuple[str, ...] | None = None
    few_shot: int = 0
    seed: int = 42


class Made(NamedTuple):
    """One row for the task file ``STEM.jsonl``, and the raw record it was made of."""

    stem: str
    row: Mapping[str, Any]
    where: str


class FilterStep(msgspec.Struct, frozen=True):
    """A filter, and how many records it saw and kept."""

    name: str
    of: int
    kept: int


class Finding(msgspec.Struct, frozen=True):
    """A record that could not be used: file and line, and why."""

    where: str
    reason: str


class Journal:
    """What became of the raw records: every one that is left out has an entry here."""

    def __init__(self) -> None:
        self.steps: list[FilterStep] = []
        self.findings: list[Finding] = []
        self.notes: list[str] = []

    def step(self, name: str, of: int, kept: int) -> None:
        """Note a filter's counts."""
        self.steps.append(FilterStep(name, of, kept))

    def refuse(self, where: str, reason: str) -> None:
        """Note a raw record that is left out, and why."""
        self.findings.append(Finding(where, reason))

    def note(self, what: str) -> None:
        """Note something worth knowing that costs no record; the same words are kept once."""
        if what not in self.notes:
            self.notes.append(what)


_ALL = Choice()
Read = Callable[[Raw, Choice, Journal], Iterator[Made]]


@dataclass(frozen=True, kw_only=True)
class Preparer:
    """One raw data set.

    `choice` is what the published collection took. `family` is the task family that has to accept
    every row. `downloads` maps paths in the raw folder to addresses, for data sets that are not in
    `addresses.py`; `sums` holds the SHA-256 digests that are known. `hub_split` is the split that
    is read when a hub's name is given, None where the hub's copy has another form than the files.
    """

    name: str
    family: str
    source: str
    licence: str
    read: Read
    choice: Choice = _ALL
    downloads: Mapping[str, str | Address] = field(default_factory=dict)
    sums: Mapping[str, str] = field(default_factory=dict)
    hub_split: str | None = None
