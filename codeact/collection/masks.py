"""Which messages of a conversation are trained, and up to which character.

The model wrote on without seeing the result of an action. So nothing after a turn's first action is
trained, nor what it wrote in the environment's place.
"""

import re
from collections.abc import Callable, Container, Sequence
from typing import Literal, NamedTuple

from codeact.collection.actions import ended, of_agent, own_part
from codeact.collection.tags import TagSettings, rewritten, rewritten_at
from codeact.episode.messages import Message

Preset = Literal["all", "worked", "successful_tail", "last"]

_RAISED = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Interrupt|Exit)(?::|$)", re.MULTILINE
)
"""The last line of a traceback: an exception's name, with or without words."""
_REFUSED = "I don't understand your input."


def loss_mask(messages: Sequence[Message], preset: Preset) -> list[bool]:
    """Return whether each message is trained; only the model's own ones are.

    ``all``: every turn. ``worked``: all but failed turns. ``successful_tail``: the turns after the
    last failed one. ``last``: only the last turn. A turn failed if its proposal was not accepted,
    its code raised, or it had no action. In a general conversation, without any action, none did.
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


class Masked(NamedTuple):
    """A message as it is written, and the number of its first characters that are trained."""

    role: str
    content: str
    trained: int

    @property
    def whole(self) -> bool:
        """Whether all of it is trained."""
        return 0 < self.trained == len(self.content)


def masked(
    messages: Sequence[Message],
    preset: Preset | None,
    tags: TagSettings,
    *,
    cut: bool = False,
    untrained: Container[int] = (),
) -> list[Masked]:
    """Return a conversation in the form of `tags`, with what is trained of each message.

    Without a preset nothing is, and nothing is cut. A general conversation keeps its text: it has
    no actions, and its words about tags are about others.
    """
    trained = loss_mask(messages, preset) if preset else [False] * len(messages)
    general = not of_agent(messages)
    done = []
    for number, (message, chosen) in enumerate(zip(messages, trained, strict=True)):
        role, text = message["role"], message["content"]
        ours = chosen and number not in untrained
        if general:
            done.append(Masked(role, text, len(text) if ours else 0))
            continue
        own = own_part(text) if ours else 0
        if cut and 0 < own < len(text):
            shorter = ended(text)
            text, own = (text, 0) if shorter is None or len(shorter) != own else (shorter, own)
        if own:
            done.append(Masked(role, *rewritten_at(text, own, tags)))
        else:
            done.append(Masked(role, rewritten(text, tags), 0))
    return done


_PRESETS: dict[Preset, Callable[[Sequence[Message]], list[bool]]] = {
    "all": _all,
    "worked": _worked,
    "successful_tail": _successful_tail,
    "last": _last,
}


def _failed(messages: Sequence[Message]) -> list[bool]:
    """Whether each message is a turn that failed; the last has no answer that could say so."""
    if not of_agent(messages):
        return [False] * len(messages)
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
