"""Reasoning as servers write it: which settings there are, and how it is read out of a message.

Servers return it apart, in `reasoning` (vLLM, OpenRouter, Groq) or `reasoning_content` (older vLLM,
DeepSeek, Kimi, GLM), with or without `reasoning_details`; models behind a server without a parser
write it into their text, between think tags.
"""

import re
from typing import Any, Literal, NamedTuple

from pydantic import Field

from codeact.episode.settings import Settings
from codeact.models.remote.conversation import History

Spelling = Literal["reasoning", "reasoning_content", "think"]
"""How an earlier turn's reasoning is sent: in a field of the message, or in its text in tags."""

OPEN, CLOSE = "<think>", "</think>"
_ON_A_LINE = re.compile(r"^[ \t]*<think>", re.MULTILINE)
_HERE = re.compile(r"\s*<think>")

_APART = ("reasoning", "reasoning_content")
_TEXT_KEYS = ("text", "thinking", "reasoning", "content", "summary")
THOUGHT_PARTS = {"thinking", "reasoning"}
"""Kinds of parts of a content that are no text to act on (Mistral's form)."""
_DEEPEST = 8
"""Levels of lists in lists in which text is looked for."""


class ReasoningSettings(Settings):
    """What is asked of a model's reasoning, and what becomes of it. Records always keep it."""

    incidental = frozenset({"spelling"})

    history: History = "drop"
    """What later turns see of earlier reasoning: nothing, all of it, or that of the last message
    alone."""
    tags: Literal["think"] | None = None
    """`think` splits text between think tags off the content; null leaves the content as it is."""
    effort: str | None = Field(default=None, pattern=r"^[a-z]+$")
    """How much the model is to reason, sent as `reasoning_effort`: `low`, `medium`, `high` or what
    else the model knows. Null sends nothing."""
    spelling: Spelling | None = None
    """How earlier reasoning is sent: as `reasoning`, as `reasoning_content`, or in the text between
    tags (`think`). Null is as the server writes it."""

    def identity(self) -> dict[str, Any]:
        """What decides the answers, where it is not the default."""
        defaults = type(self).model_fields
        found = super().identity()
        return {name: value for name, value in found.items() if value != defaults[name].default}


class ReadReasoning(NamedTuple):
    """What a message says of its reasoning; `spelling` is how, None where there is no text."""

    text: str | None = None
    details: tuple[Any, ...] = ()
    spelling: Spelling | None = None


def read_reasoning(message: dict[str, Any]) -> ReadReasoning:
    """Read reasoning that is apart from a message's text.

    Two different texts are both kept, the one in `reasoning` first; one that is part of the other
    is not said twice. The text of `reasoning_details` counts where there is no other.
    """
    details = message.get("reasoning_details")
    kept = tuple(details) if isinstance(details, list) else ()
    said = {name: plain_text(message.get(name)) for name in _APART}
    texts = [*said.values(), _thoughts(message.get("content"))]
    if not any(texts):
        texts = [plain_text(list(kept))]
    spelling = next((name for name in _APART if said[name]), None)
    return ReadReasoning(joined(texts), kept, spelling)  # type: ignore[arg-type]


def _thoughts(content: object) -> str:
    if not isinstance(content, list):
        return ""
    return plain_text([part for part in content if is_thought(part)])


def is_thought(part: object) -> bool:
    """Whether a part of a content is reasoning."""
    return isinstance(part, dict) and part.get("type") in THOUGHT_PARTS


def plain_text(value: object, depth: int = 0) -> str:
    """Return the text of a string, of a part, or of a list of them; empty for anything else."""
    if isinstance(value, str):
        return value
    if depth > _DEEPEST:
        return ""
    if isinstance(value, list):
        return "".join(plain_text(part, depth + 1) for part in value)
    if isinstance(value, dict):
        texts = (plain_text(value.get(key), depth + 1) for key in _TEXT_KEYS)
        return next((text for text in texts if text), "")
    return ""


def joined(texts: list[str]) -> str | None:
    """Join different texts by newlines; None if there is none."""
    kept: list[str] = []
    for text in texts:
        if text and not any(text in other for other in kept):
            kept = [*(other for other in kept if other not in text), text]
    return "\n".join(kept) or None


def split_think(text: str) -> tuple[str, str]:
    """Split a text into what stands between think tags, and the rest.

    A block begins where its tag begins a line, or follows another block; so a tag in the middle of
    a line of code is no block. Text in front of a closing tag that has no opening one is a block
    whose tag the prompt has opened. A block that is not closed takes all that follows. Several
    blocks are joined by newlines.
    """
    thoughts: list[str] = []
    rest: list[str] = []
    position = 0
    closed, first = text.find(CLOSE), _ON_A_LINE.search(text)
    if closed >= 0 and (first is None or first.start() > closed):
        thoughts.append(text[:closed])
        position = closed + len(CLOSE)
    while found := (_HERE.match(text, position) if thoughts else None) or _ON_A_LINE.search(
        text, position
    ):
        rest.append(text[position : found.start()])
        end = text.find(CLOSE, found.end())
        thoughts.append(text[found.end() : end if end >= 0 else len(text)])
        position = end + len(CLOSE) if end >= 0 else len(text)
    rest.append(text[position:])
    if rest and not rest[0].strip():
        del rest[0]
    return "\n".join(thought for thought in thoughts if thought.strip()), "".join(rest)


def with_tags(reasoning: str, content: str) -> str:
    """Return a text that begins with its reasoning, as a model writes it that has no parser."""
    return f"{OPEN}{reasoning}{CLOSE}{content}"
