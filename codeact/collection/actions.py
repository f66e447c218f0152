"""The parts of a model's turn: its actions, what follows them, and invented environment text.

A turn should hold one action, end with it, and leave the environment's words to the environment.
Everything here reads text in linear time.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from codeact.episode.messages import Message

TAGS = ("execute", "solution")
_OBSERVED = "Observation:\n"


class TaggedAction(NamedTuple):
    """One ``<tag>…</tag>`` of a text, from the first character of its tags to after the last."""

    tag: str
    start: int
    end: int


def actions(text: str) -> list[TaggedAction]:
    """Return every action in order, as the protocol finds them; unclosed tags are none."""
    found: list[TaggedAction] = []
    for tag in TAGS:
        opened, closed, position = f"<{tag}>", f"</{tag}>", 0
        while (start := text.find(opened, position)) >= 0:
            end = text.find(closed, start + len(opened))
            if end < 0:
                break
            position = end + len(closed)
            found.append(TaggedAction(tag, start, position))
    return sorted(found, key=lambda one: one.start)


def of_agent(messages: Sequence[Message]) -> bool:
    """Tell whether a conversation is of an agent: it names a tag of ours, or has an observation."""
    return any(
        one["content"].startswith(_OBSERVED)
        if one["role"] == "user"
        else "<execute>" in one["content"] or "<solution>" in one["content"]
        for one in messages
        if one["role"] != "tool"
    )


def own_part(text: str) -> int:
    """Return how many characters of a turn, from its start, a model may be trained on.

    It ends with the first action, or earlier where the model wrote in the environment's place. It
    is 0 if one action lies within another, because the intended one is unclear.
    """
    found = actions(text)
    if len(found) > 1 and found[1].start < found[0].end:
        return 0
    end = found[0].end if found else len(text)
    invented = invented_at(text, found)
    return end if invented is None else min(end, invented)


def ended(text: str) -> str | None:
    """Return a turn that ends with its action; None if the environment may have answered more.

    Text after the action got no answer if it has no part of an action.
    """
    found = actions(text)
    if not found:
        return text
    rest = text[found[0].end :]
    if len(found) > 1 or any(f"<{tag}>" in rest for tag in TAGS):
        return None
    return text[: found[0].end]


_NO_WORDS = re.compile(r"</?thought>|Assistant[:：]")


def trailing_text(text: str) -> str:
    """Return the text after the first action; a full stop or a closing fence does not count."""
    found = actions(text)
    if not found:
        return ""
    rest = _NO_WORDS.sub("", text[found[0].end :]).strip()
    return rest if any(map(str.isalnum, rest)) else ""


_MARGIN = r"^(?:Assistant[:：])?[ \t*#>_\[(]*(?:</?thought>[ \t]*)?"
_SPEAKER = r"(?:(?:User|Human|Environment|System|INST)[\]:*_ \t]+)?"
_COLON = r"[ \t]*\d*[*_ \t]*[:：]"
_LEFT = (
    r"(?:no|-?\d+) (?:more )?(?:steps?|chances?|turns?) "
    r"(?:left|and|to (?:propose|interact)|in all)"
)
_ENVIRONMENT = re.compile(
    rf"{_MARGIN}(?:"
    rf"{_SPEAKER}(?:Observation|OBSERVATION|Expert feedback|EXPERT FEEDBACK){_COLON}"
    rf"|You have {_LEFT}"
    r"|You should take the last step to propose"
    r"|Your answer is wrong\."
    r"|I don't understand your input\."
    r"|Executed Successfully with No Output\]"
    r"|Out\[\d+\]:"
    r"|Task:[ \t]*$"
    r")",
    re.MULTILINE,
)
"""Starts of lines that only the environment writes: headings, count-downs, verdicts."""
_HEADING_IN_CODE = re.compile(r"^(?:Observation|Expert feedback):[ \t]*$", re.MULTILINE)
"""A line of its own, which is no Python: it is invented although an action seems to go on."""
_OUTCOME = re.compile(
    rf"{_MARGIN}(?:(?:Output|Result)s?{_COLON}|I (?:now )?have {_LEFT})", re.MULTILINE
)
"""Before an action this may be a plan; after one only the environment can tell it."""


def invented_at(text: str, found: list[TaggedAction] | None = None) -> int | None:
    """Return where the model begins to write the environment's text; None if nowhere.

    Code and solutions may say anything but the headings that cannot belong to them.
    """
    found = actions(text) if found is None else found
    prose = blanked(text, found)
    places = [_ENVIRONMENT.search(prose), _HEADING_IN_CODE.search(text)]
    if found:
        places.append(_OUTCOME.search(prose, found[0].end))
    return min((one.start() for one in places if one), default=None)


def blanked(text: str, found: list[TaggedAction]) -> str:
    """Return the text with its actions blanked out, so that everything else keeps its position."""
    pieces, position = [], 0
    for one in found:
        if one.start >= position:
            pieces += [text[position : one.start], "\0" * (one.end - one.start)]
            position = one.end
    return "".join([*pieces, text[position:]])
