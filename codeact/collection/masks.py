"""Which messages of a conversation are trained, and up to which character.

The model wrote on without seeing the result of an action. So nothing after a turn's first action is
trained, nor what it wrote in the environment's place.
"""

import re
from collections.abc import Callable, Container, Iterator, Sequence
from itertools import takewhile
from typing import Literal, NamedTuple

from codeact.collection.actions import ended, invented_at, of_agent, own_part
from codeact.collection.tags import TagSettings, rewritten, rewritten_at
from codeact.episode.messages import JSON, Message
from codeact.episode.protocol import WRONG_ANSWER

Preset = Literal["all", "worked", "successful_tail", "last"]

_RAISED = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Interrupt|Exit)(?::|$)", re.MULTILINE
)
"""The last line of a traceback: an exception's name, with or without words."""
_REFUSED = "I don't understand your input."
_WRONG = re.compile(rf"^{re.escape(WRONG_ANSWER)}$", re.MULTILINE)


def loss_mask(messages: Sequence[Message], preset: Preset) -> list[bool]:
    """Return whether each message is trained; only the model's own ones are.

    ``all``: every turn. ``worked``: all but failed turns. ``successful_tail``: the turns after the
    last failed one. ``last``: only the last turn. A turn failed if its proposal was not accepted,
    its code raised, or it had no action. In a general conversation, without any action, none did. A
    turn of tool calls failed if a result says so.
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
    """A message as it is written, and the number of its first characters that are trained.

    `more` are its other keys: `reasoning`, which comes before the text and is trained where any of
    that is, `tool_calls`, which come after it, and `tool_call_id`. `chosen` says whether anything
    of the message is trained, so that one of calls alone can be.
    """

    role: str
    content: str
    trained: int
    more: JSON = {}  # noqa: RUF012 - nothing changes it
    chosen: bool = False

    @property
    def whole(self) -> bool:
        """Whether all of it is trained."""
        return self.trained == len(self.content) and (self.trained > 0 or self.chosen)


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
        more: JSON = {key: message[key] for key in _MORE if key in message}  # type: ignore[literal-required]
        ours = chosen and number not in untrained
        if general:
            own = len(text) if ours else 0
        else:
            text, own = _of_agent(message, ours, tags, cut=cut)
        done.append(Masked(role, text, own, more, ours and bool(own or (more and not text))))
    return done


_MORE = ("reasoning", "tool_calls", "tool_call_id")


def _of_agent(message: Message, ours: bool, tags: TagSettings, *, cut: bool) -> tuple[str, int]:
    """A message's text in the form of `tags`, and how many characters of it are trained."""
    text, calls = message["content"], "tool_calls" in message
    own = 0
    if ours:
        # Where calls are the action, the text before them has none.
        own = _before_invented(text) if calls else own_part(text)
    if cut and 0 < own < len(text):
        shorter = None if calls else ended(text)
        text, own = (text, 0) if shorter is None or len(shorter) != own else (shorter, own)
    return rewritten_at(text, own, tags) if own else (rewritten(text, tags), 0)


def _before_invented(text: str) -> int:
    invented = invented_at(text, [])
    return len(text) if invented is None else invented


_PRESETS: dict[Preset, Callable[[Sequence[Message]], list[bool]]] = {
    "all": _all,
    "worked": _worked,
    "successful_tail": _successful_tail,
    "last": _last,
}


def _failed(messages: Sequence[Message]) -> list[bool]:
    """Whether each message is a turn that failed; the last has no answer that could say so."""
    if any("tool_calls" in message for message in messages):
        return [
            message["role"] == "assistant"
            and any(
                _says_failure(one) or _WRONG.search(one["content"])
                for one in _results(messages, number)
            )
            for number, message in enumerate(messages)
        ]
    if not of_agent(messages):
        return [False] * len(messages)
    following = [*messages[1:], None]
    return [
        message["role"] == "assistant" and answer is not None and _is_failure(message, answer)
        for message, answer in zip(messages, following, strict=True)
    ]


def _results(messages: Sequence[Message], number: int) -> Iterator[Message]:
    """What the environment said to a message."""
    return takewhile(lambda one: one["role"] != "assistant", messages[number + 1 :])


def _is_failure(message: Message, answer: Message) -> bool:
    content = message["content"]
    return "<solution>" in content or "<execute>" not in content or _says_failure(answer)


def _says_failure(answer: Message) -> bool:
    said = answer["content"].partition("\n\nExpert feedback:\n")[0]
    return bool(_RAISED.search(said) or _REFUSED in said)
