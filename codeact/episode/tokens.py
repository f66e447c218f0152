"""Exact tokens of an episode's requests: what a server read and sampled, id by id, packed.

Ids are packed as 32-bit integers and log probabilities as 32-bit floats, little-endian: a list of
Python's own numbers takes eight times the memory. A prompt is kept as what is new in it.
"""

import sys
from array import array
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeVar

import msgspec

T = TypeVar("T", int, float)

_ID, _SHORT, _LONG = "I", "f", "d"
ID_BYTES = array(_ID).itemsize
"""Bytes of an id."""


class CompletionTokens(msgspec.Struct, frozen=True, kw_only=True):
    """The packed tokens of one request: its whole prompt, and what was sampled.

    `finish_reason` is the server's own, and `temperature` that of sampling, None where it is the
    server's default. `agrees` says whether the sampled ids decode to the text; None where no
    tokenizer was available.
    """

    prompt: bytes
    sampled: bytes
    logprobs: bytes
    finish_reason: str
    temperature: float | None = None
    agrees: bool | None = None

    @property
    def numbers(self) -> tuple[int, int]:
        """How many ids the prompt has, and how many were sampled."""
        return count_ids(self.prompt), count_ids(self.sampled)


class PackedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """`codeact.recordings.tokens.TurnTokens`, packed."""

    turn: int
    kept: int
    prompt: bytes
    sampled: bytes
    logprobs: bytes
    finish_reason: str
    temperature: float | None


class PrefixBreak(msgspec.Struct, frozen=True, kw_only=True):
    """Where a prompt first does not extend what the server had seen.

    `turn` is that of the prompt, from 1. From place `at` on, counted in ids, `seen` is what the
    server had seen and `sent` what the prompt has: texts, which begin a few ids before that, or ids
    where the texts could not be known. The `place` is in what was ``sampled`` in the turn before,
    or in its ``prompt``.
    """

    turn: int
    at: int
    place: Literal["prompt", "sampled"]
    seen: str
    sent: str


class TokenReport(msgspec.Struct, frozen=True, kw_only=True):
    """The exact tokens of an episode in numbers, as its record keeps them.

    `prompt` and `sampled` count ids. Of `requests`, all but the first are `followers`, and
    `extending` are those whose prompt extends all that the server had seen. The text of `checked`
    answers was compared with their ids, and `unlike` of them differ.
    """

    requests: int = 0
    prompt: int = 0
    sampled: int = 0
    followers: int = 0
    extending: int = 0
    checked: int = 0
    unlike: int = 0
    first_break: PrefixBreak | None = None


def pack_ids(ids: Sequence[int]) -> bytes:
    """Pack ids from 0 to 2³² - 1; raises `OverflowError` for others."""
    return _little(array(_ID, ids))


def unpack_ids(packed: bytes) -> list[int]:
    """Return packed ids; raises `ValueError` where the bytes are no whole number of them."""
    return _numbers(array(_ID), packed)


def pack_logprobs(logprobs: Sequence[float]) -> bytes:
    """Pack log probabilities without loss: in 64 bits where one needs more than 32."""
    short = array(_SHORT, logprobs)
    return _little(short if short.tolist() == list(logprobs) else array(_LONG, logprobs))


def unpack_logprobs(packed: bytes, count: int) -> list[float]:
    """Return so many packed log probabilities; raises `ValueError` where the bytes do not fit."""
    kind = _LONG if count and len(packed) == count * array(_LONG).itemsize else _SHORT
    found: list[float] = _numbers(array(kind), packed)
    if len(found) != count:
        raise ValueError(f"{len(found)} log probabilities for {count} ids")
    return found


def _little(numbers: "array[T]") -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _numbers(numbers: "array[T]", packed: bytes) -> list[T]:
    numbers.frombytes(packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def count_ids(packed: bytes) -> int:
    """Return how many ids are packed."""
    return len(packed) // ID_BYTES


def common_ids(one: bytes, other: bytes) -> int:
    """Return how many ids two packed sequences have in common before they differ."""
    if other.startswith(one):
        return count_ids(one)
    low, high = 0, min(count_ids(one), count_ids(other))
    # What begins alike is found by halves, since bytes compare at the speed of memory.
    while low < high:
        middle = (low + high + 1) // 2
        first, last = low * ID_BYTES, middle * ID_BYTES
        if one[first:last] == other[first:last]:
            low = middle
        else:
            high = middle - 1
    return low


class Divergence(NamedTuple):
    """A prompt that does not extend what the server had `seen`: from id `at` on, they differ.

    `turn` is that of the prompt, from 0. `in_sampled` says that the difference is in what was
    sampled in the turn before, and not in front of that.
    """

    turn: int
    at: int
    in_sampled: bool
    seen: bytes
    sent: bytes

    def windows(self, before: int, after: int) -> tuple[list[int], list[int]]:
        """Return the ids around the difference on both sides: so many before and after it."""
        first, last = max(0, self.at - before) * ID_BYTES, (self.at + after) * ID_BYTES
        return unpack_ids(self.seen[first:last]), unpack_ids(self.sent[first:last])


class TokenLog:
    """The exact tokens of an episode as they come, request by request.

    `turns` has them, and `report` is what they come to.
    """

    def __init__(self) -> None:
        self.turns: list[PackedTurn] = []
        self.report = TokenReport()
        self._seen = b""

    def add(self, turn: int, tokens: CompletionTokens) -> Divergence | None:
        """Take in a request; returns where it breaks with what the server had seen, if it does."""
        kept = common_ids(self._seen, tokens.prompt)
        before, report = self._seen, self.report
        follows = bool(self.turns)
        broken = follows and kept < count_ids(before)
        sampled_from = count_ids(before) - count_ids(self.turns[-1].sampled) if follows else 0
        self._seen = tokens.prompt + tokens.sampled
        self.turns.append(
            PackedTurn(
                turn=turn,
                kept=kept,
                prompt=tokens.prompt[kept * ID_BYTES :],
                sampled=tokens.sampled,
                logprobs=tokens.logprobs,
                finish_reason=tokens.finish_reason,
                temperature=tokens.temperature,
            )
        )
        self.report = msgspec.structs.replace(
            report,
            requests=report.requests + 1,
            prompt=report.prompt + count_ids(tokens.prompt),
            sampled=report.sampled + count_ids(tokens.sampled),
            followers=report.followers + follows,
            extending=report.extending + (follows and not broken),
            checked=report.checked + (tokens.agrees is not None),
            unlike=report.unlike + (tokens.agrees is False),
        )
        if not broken:
            return None
        return Divergence(turn, kept, kept >= sampled_from, before, tokens.prompt)

    def describe(self, first_break: PrefixBreak) -> None:
        """Keep what the first divergence is in words."""
        self.report = msgspec.structs.replace(self.report, first_break=first_break)
