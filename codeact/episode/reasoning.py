"""Whether reasoning that was sent back reached the model, by what the prompts grew by.

A server may ignore the field in which reasoning comes back, and a chat template may leave it out,
both without a word. But servers count the tokens of each prompt. From one turn to the next a prompt
grows by three things: what the model wrote, what the environment said, and the reasoning, if it was
sent. The first is known in tokens, and the length of the second bounds its tokens.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from codeact.episode.effects import Turn
from codeact.episode.messages import Message
from codeact.episode.record import EpisodeRecord

_OVERHEAD = 32
"""Tokens that headers of messages and counting may make up between two turns."""
_LEAST = 0.4
"""How much of the tokens estimated by its length a text has at the least. At the most, each byte is
one: so digits are with some models."""
_DENSITY = (0.1, 1.0)
"""Tokens of a character, at the least and at the most."""


class ReasoningSent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one turn's reasoning in the next turn's prompt; turns count from 1.

    The prompt grew by `growth` tokens; without the `reasoning` that would be about `expected`.
    """

    reasoning: int
    growth: int
    expected: int
    reached: bool
    turn: int = 1


def reasoning_sent(record: EpisodeRecord) -> list[ReasoningSent]:
    """Return, for an episode's turns with reasoning, whether the next prompt had it.

    The reasoning reached the model if the prompt grew by more than everything else can take. It did
    not if the prompt grew by less than the least that everything else takes and half of the
    reasoning. Turns in between are left out, and so are restored and edited ones, and those whose
    tokens no server has counted. Where only the last message's reasoning is sent, that of the turn
    before leaves the prompt at the same time; the bounds allow for it.
    """
    if record.version == 1 or not any(map(_has_reasoning, record.messages)):
        return []
    density = _density(record)
    found: list[ReasoningSent] = []
    left = 0
    for number, pair in enumerate(pairwise(record.turns), 1):
        judged = _judged(pair, record.messages, density, left)
        left = judged.reasoning if judged is not None and judged.reached else 0
        if judged is not None:
            found.append(msgspec.structs.replace(judged, turn=number))
    return found


def _has_reasoning(message: Message) -> bool:
    return "reasoning" in message or "reasoning_details" in message


def _density(record: EpisodeRecord) -> float:
    """Return tokens of a character, by the first prompt, which holds nothing but known texts."""
    opening = _length(record.opening)
    prompt = record.turns[0].usage.prompt if record.turns else 0
    low, high = _DENSITY
    return min(high, max(low, prompt / opening)) if opening and prompt else high


def _length(messages: Sequence[Message]) -> int:
    return sum(len(message["content"]) for message in messages)


def _judged(
    pair: tuple[Turn, Turn], messages: list[Message], density: float, left: int
) -> ReasoningSent | None:
    """Return what a turn's successor tells; `left` may have gone from the prompt meanwhile."""
    turn, after = pair
    place, end = turn.message, after.message
    if place is None or end is None or not 0 <= place < end <= len(messages):
        return None
    if turn.restored or after.restored or turn.original is not None:
        return None
    if not turn.usage.prompt or not after.usage.prompt or not _has_reasoning(messages[place]):
        return None
    written, thought = _parts(messages[place], turn, density)
    if turn.cut:
        written = round(density * len(messages[place]["content"]))
    between = messages[place + 1 : end]
    said = density * _length(between)
    most = (
        written
        + sum(len(message["content"].encode("utf-8", "replace")) for message in between)
        + _OVERHEAD
    )
    least = written + _LEAST * said - _OVERHEAD + thought / 2
    growth = after.usage.prompt - turn.usage.prompt
    if least <= growth + left <= most or thought <= 2 * _OVERHEAD:
        return None
    reached = growth + left >= least
    expected = round(written + said)
    return ReasoningSent(reasoning=thought, growth=growth, expected=expected, reached=reached)


def _parts(message: Message, turn: Turn, density: float) -> tuple[int, int]:
    """Return the tokens of a turn's text and calls, and of the reasoning that can be sent back.

    The latter may be less than was counted: some servers give a summary of it.
    """
    reasoning = len(message.get("reasoning", ""))
    calls = sum(
        len(call["arguments"]) + len(call["name"]) for call in message.get("tool_calls", ())
    )
    whole = reasoning + len(message["content"]) + calls
    counted = turn.usage.reasoning or round(turn.usage.completion * reasoning / max(1, whole))
    shown = round(density * reasoning) if reasoning else counted
    return max(0, turn.usage.completion - counted), min(counted, shown)
