"""Mixes conversations of several files into one: shares or numbers, drawn and ordered by a seed."""

import os
import random
from collections.abc import Iterable, Iterator
from fractions import Fraction
from hashlib import blake2b
from typing import IO, NamedTuple

import msgspec

from codeact.collection.contamination import NGramIndex
from codeact.collection.conversations import DataFile, conversation_files
from codeact.collection.conversion import Conversation
from codeact.collection.convert_settings import ConvertConfig, MixSettings
from codeact.collection.examples import Form, encoded, examples
from codeact.episode.messages import JSON, as_text
from codeact.exceptions import ConfigError
from codeact.recordings.trajectory import Problem

MIXED = "mixed"
"""The name of the file that a mix is written to."""


class MixedSource(msgspec.Struct):
    """What one source gave.

    `duplicates` are whole conversations that it or an earlier source had already: of what is mixed
    in they are not used. `known_prompts` begin with the same user message as a conversation of an
    earlier source, and `contaminated` ones with one of an evaluation set: these are not used.
    """

    path: str
    asked: str
    usable: int
    taken: int
    share: float
    duplicates: int
    known_prompts: int
    contaminated: int
    left_out: int


class _Group(NamedTuple):
    """Files that are drawn from together; those of the sources have no settings."""

    path: str
    settings: MixSettings | None
    files: list[DataFile]


class Mixer:
    """Reads every source once into a spool on disk, then draws; memory is 48 bytes an example."""

    def __init__(self, config: ConvertConfig, files: list[DataFile], spool: IO[bytes]) -> None:
        self._config = config
        self._spool = spool
        self._groups = [
            _Group(", ".join(config.sources), None, files),
            *(_Group(one.path, one, conversation_files([one.path])) for one in config.mix),
        ]
        self._places: list[list[tuple[int, int]]] = []
        self._end = 0
        self._whole: set[bytes] = set()
        self._prompts: set[bytes] = set()
        contamination = config.selection.steps.contamination
        self._grams = NGramIndex.read(contamination) if contamination else None
        self._most = contamination.share if contamination else 1.0
        self.report: list[MixedSource] = []

    @property
    def files(self) -> list[DataFile]:
        """Every file that is read."""
        return [file for group in self._groups for file in group.files]

    def read(self, form: Form, problems: list[Problem]) -> None:
        """Read all sources; raises `ConfigError` where one has fewer than it should give."""
        for group in self._groups:
            before = len(problems)
            self._read(group, form, problems)
            self.report[-1].left_out = len(problems) - before
        self._spool.flush()
        numbers = self._numbers()
        for one, number in zip(self.report, numbers, strict=True):
            one.taken = number
            one.share = round(number / (sum(numbers) or 1), 6)

    def drawn(self) -> Iterator[JSON]:
        """Yield the examples in their mixed order, which depends on seed and files alone."""
        chosen: list[tuple[int, int]] = []
        for number, (places, one) in enumerate(zip(self._places, self.report, strict=True)):
            draw = random.Random(f"{self._config.seed}/{number}")  # noqa: S311 - no secret
            chosen += draw.sample(places, one.taken)
        random.Random(self._config.seed).shuffle(chosen)  # noqa: S311
        for offset, length in chosen:
            yield msgspec.json.decode(os.pread(self._spool.fileno(), length, offset))

    def _read(self, group: _Group, form: Form, problems: list[Problem]) -> None:
        places: list[tuple[int, int]] = []
        asked = "all"
        if settings := group.settings:
            asked = f"weight {settings.weight:g}" if settings.weight else f"count {settings.count}"
        found = MixedSource(group.path, asked, 0, 0, 0.0, 0, 0, 0, 0)
        prompts: set[bytes] = set()
        for file in group.files:
            for conversation, example in examples(file.path, form, self._config.tags, problems):
                if self._is_usable(conversation, found, prompts) or settings is None:
                    line = encoded(example)
                    self._spool.write(line)
                    places.append((self._end, len(line)))
                    self._end += len(line)
        self._prompts |= prompts
        found.usable = len(places)
        self._places.append(places)
        self.report.append(found)

    def _is_usable(
        self, conversation: Conversation, found: MixedSource, prompts: set[bytes]
    ) -> bool:
        """Count what is known of a conversation; tells whether it may be mixed in."""
        messages = conversation.conversations
        asked = next((one["content"] for one in messages if one["role"] == "user"), "")
        prompt, whole = _digest([asked]), _digest(map(as_text, messages))
        prompts.add(prompt)
        found.known_prompts += prompt in self._prompts
        is_new = whole not in self._whole
        self._whole.add(whole)
        found.duplicates += not is_new
        is_clean = self._grams is None or self._grams.overlap(asked) < self._most
        found.contaminated += not is_clean
        return is_new and is_clean

    def _numbers(self) -> list[int]:
        """How many each source gives; the sources themselves give all."""
        settings = [group.settings for group in self._groups]
        fixed = sum(one.count or 0 for one in settings if one)
        weights = [_fraction(one) if one else Fraction(0) for one in settings]
        whole = (self.report[0].usable + fixed) / (1 - sum(weights, Fraction(0)))
        numbers = []
        for one, weight, found in zip(settings, weights, self.report, strict=True):
            if one is None:
                numbers.append(found.usable)
                continue
            number = one.count or int(weight * whole + Fraction(1, 2))
            if not 0 < number <= found.usable:
                raise ConfigError(_refusal(found, number, int(whole)))
            numbers.append(number)
        return numbers


def _refusal(found: MixedSource, number: int, whole: int) -> str:
    if not number:
        return (
            f"mix: {found.path}: {found.asked} of {whole:,} examples is none; give more, or count"
        )
    return (
        f"mix: {found.path}: {found.asked} asks for {number:,} examples, and it has "
        f"{found.usable:,} that can be used ({found.duplicates:,} duplicates, "
        f"{found.contaminated:,} of evaluation sets and {found.left_out:,} others left out); "
        f"give count={found.usable} or a smaller weight"
    )


def _fraction(settings: MixSettings) -> Fraction:
    """The weight as it was written, without the error of a binary number."""
    return Fraction(repr(settings.weight)) if settings.weight else Fraction(0)


def _digest(texts: "Iterable[str]") -> bytes:
    """A digest that case and white space do not change."""
    said = "\0".join(" ".join(text.casefold().split()) for text in texts)
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
