"""What any API wants of a conversation before it takes it; no I/O here.

What a model wrote is kept as it wrote it. Only what is sent back is made acceptable.
"""

import re
from collections.abc import Collection, Sequence
from itertools import count
from typing import Literal

from codeact.episode.messages import JSON, Message, ToolCall, arguments_of

History = Literal["keep", "drop", "last"]
"""What later turns see of earlier reasoning: all of it, nothing, or that of the last message."""

_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64
"""What OpenAI admits as the name of a function."""
INVALID_ARGUMENTS = "invalid_arguments"
"""The key under which arguments that are no JSON object are sent back."""


def places_with_reasoning(messages: Sequence[Message], history: History) -> Collection[int]:
    """Return the places of the assistant's messages whose reasoning is sent back."""
    places = [place for place, one in enumerate(messages) if one["role"] == "assistant"]
    return {"keep": places, "last": places[-1:], "drop": []}[history]


def answered_calls(messages: Sequence[Message], place: int) -> set[str]:
    """Return the ids of the calls that tools' messages directly after a message answer."""
    found = set()
    for message in messages[place + 1 :]:
        if message["role"] != "tool":
            break
        found.add(message.get("tool_call_id", ""))
    return found


def as_object(call: ToolCall) -> JSON:
    """Return a call's arguments as a JSON object.

    Other text is one, too, under the key `INVALID_ARGUMENTS`, so that the model still sees it.
    """
    if not call["arguments"].strip():
        return {}
    found = arguments_of(call)
    return {INVALID_ARGUMENTS: call["arguments"]} if found is None else found


def as_name(name: str) -> str:
    """Return a function's name, or a call's id, in the letters that every API admits."""
    return _NO_NAME.sub("_", name)[:_LONGEST_NAME] or "unknown"


def made_up_id(turn: int, place: int, taken: Collection[str]) -> str:
    """Return an id for a call whose own is missing or taken, the same one each time.

    It has the nine letters and digits that Mistral insists on.
    """
    names = (f"call{turn:03d}{number:02d}" for number in count(place))
    return next(name for name in names if name not in taken)
