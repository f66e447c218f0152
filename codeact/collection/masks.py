"""Which messages of a conversation are trained, and what its tags are written as."""

import re
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field

from codeact.episode.effects import Message
from codeact.episode.settings import Settings

Preset = Literal["all", "worked", "successful_tail", "last"]

_RAISED = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Interrupt|Exit)(?::|$)", re.MULTILINE
)
"""The last line of a traceback: an exception's name, with or without words."""
_REFUSED = "I don't understand your input."


def loss_mask(messages: Sequence[Message], preset: Preset) -> list[bool]:
    """Whether each message is trained; never one that the model did not write.

    ``all`` its turns; those that ``worked``: all but failed ones; the ``successful_tail``: those
    after the last that failed; only the ``last``. A turn failed if it proposed what was not
    accepted, ran code that raised, or had neither.
    """
    return _PRESETS[preset](messages)


def _all(messages: Sequence[Message]) -> list[bool]:
    return [message["role"] == "assistant" for message in messages]


def _worked(messages: Sequence[Message]) -> list[bool]:
    failed = _failed(messages)
    return [ours and not bad for ours, bad in zip(_all(messages), failed, strict=True)]


def _successful_tail(messages: Sequence[Message]) -> list[bool]:
    failed = _failed(messages)
    start = len(failed) - failed[::-1].index(True) if True in failed else 0
    return [ours and number >= start for number, ours in enumerate(_all(messages))]


def _last(messages: Sequence[Message]) -> list[bool]:
    ours = _all(messages)
    last = len(ours) - 1 - ours[::-1].index(True) if True in ours else -1
    return [number == last for number in range(len(ours))]


_PRESETS: dict[Preset, Callable[[Sequence[Message]], list[bool]]] = {
    "all": _all,
    "worked": _worked,
    "successful_tail": _successful_tail,
    "last": _last,
}


def _failed(messages: Sequence[Message]) -> list[bool]:
    """Whether each message is a turn that failed; the last has no answer that could say so."""
    following = [*messages[1:], None]
    return [
        message["role"] == "assistant" and answer is not None and _is_failure(message, answer)
        for message, answer in zip(messages, following, strict=True)
    ]


def _is_failure(message: Message, answer: Message) -> bool:
    if "<solution>" in message["content"]:
        return True
    said = answer["content"].partition("\n\nExpert feedback:\n")[0]
    return "<execute>" not in message["content"] or bool(_RAISED.search(said) or _REFUSED in said)


class Marks(Settings):
    """What stands before and after, in place of a tag's beginning and end."""

    open: str = Field(min_length=1)
    close: str = Field(min_length=1)


class TagSettings(Settings):
    """What the tags around code and around a solution are written as; None keeps them."""

    execute: Marks | None
    solution: Marks | None


def rewritten(text: str, tags: TagSettings) -> str:
    """A text with other marks, the instruction's own words about them included.

    What is between two tags loses the white space at its ends, which the protocol ignores.
    """
    for tag, marks in (("execute", tags.execute), ("solution", tags.solution)):
        if marks is None:
            continue
        # The instruction names a tag before its example: only the last beginning has an end.
        between = rf"<{tag}>((?:(?!<{tag}>).)*?)</{tag}>"
        pieces = re.split(between, text, flags=re.DOTALL)
        pieces[1::2] = [f"{marks.open}{inner.strip()}{marks.close}" for inner in pieces[1::2]]
        text = "".join(pieces)
        text = text.replace(f"<{tag}>", marks.open.strip())
        text = text.replace(f"</{tag}>", marks.close.strip())
    return text
