"""How a policy kept to its format: actions a message, refusals, and invented observations."""

import re
from typing import Protocol

import msgspec

from codeact.episode.effects import Turn
from codeact.episode.protocol import policy_text
from codeact.episode.record import EpisodeRecord

_ENVIRONMENT = re.compile(
    r"^[ \t*#>]*+(?:(?:Observation|Expert feedback)[ \t*]*+:|Out\[\d++\]:|You have \d++ steps? left"
    r"|Left: \d++ turns?,|This is the last turn:|Your answer is wrong\.)",
    re.MULTILINE,
)
"""Starts of lines that the environment alone writes."""


class KnowsActions(Protocol):
    """A format that can tell where in a text the first action ends; None where there is none."""

    def acted_until(self, text: str) -> int | None: ...


class Conduct(msgspec.Struct, frozen=True):
    """Counts over the turns that a policy itself wrote.

    `actions` are all that its `messages` held, and `refused` those that could not be performed.
    `invented` messages go on after their first action in the environment's words. A stop string
    often cuts such a message before that, so the count is a lower bound.
    """

    messages: int = 0
    actions: int = 0
    refused: int = 0
    invented: int = 0

    def __add__(self, other: "Conduct") -> "Conduct":
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Conduct(*(one + another for one, another in pairs))


def conduct_of(record: EpisodeRecord, format_: KnowsActions) -> Conduct:
    """Count over one episode; `format_` is the one that it was played in."""
    total = Conduct()
    for turn in record.turns:
        if turn.restored or turn.message is None:
            continue
        text = written_in(turn, record)
        acted = [(one.action, one.content) for one in turn.actions] or [(turn.action, turn.content)]
        refused = sum(kind == "invalid" or not content for kind, content in acted)
        total += Conduct(1, len(acted), refused, int(is_invented(text, format_)))
    return total


def written_in(turn: Turn, record: EpisodeRecord) -> str:
    """Return what the policy wrote in a turn of a record; nothing where it names no message."""
    if turn.text is not None:
        return turn.text
    if turn.message is None or not 0 <= turn.message < len(record.messages):
        return ""
    return policy_text(record.messages[turn.message]["content"])


def could_be_invented(text: str) -> bool:
    """Whether a text has the environment's words anywhere, so that `is_invented` may be true."""
    return _ENVIRONMENT.search(text) is not None


def is_invented(text: str, format_: KnowsActions) -> bool:
    """Whether a text goes on after its first action as the environment would."""
    end = format_.acted_until(text)
    return end is not None and _ENVIRONMENT.search(text, end) is not None
