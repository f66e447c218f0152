"""One line of a published ``results.jsonl``: the fields that are read, and which are required.

Messages and other long values stay undecoded until they are asked for: a selection looks at few.
"""

from typing import Any

import msgspec

from codeact.episode.effects import Counts

MINT = "mint"
"""The published format's name, under which an imported record keeps its `Imported`."""


class TokenCounter(msgspec.Struct, frozen=True):
    """What the models of an episode took."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    feedback_prompt_tokens: int = 0
    feedback_completion_tokens: int = 0


class PublishedState(msgspec.Struct):
    """How an episode went. `terminate_reason` is null where the model failed."""

    history: list[msgspec.Raw]
    success: bool
    agent_action_count: Counts
    terminate_reason: str | msgspec.UnsetType | None = msgspec.UNSET
    token_counter: TokenCounter | None = None
    error: str | None = None


class PublishedTask(msgspec.Struct):
    """The task. Only its id is always there: the path names its data set."""

    task_id: str | int
    task_name: str | msgspec.UnsetType = msgspec.UNSET
    prompt: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    reference: msgspec.Raw = msgspec.Raw(b"null")
    metadata: msgspec.Raw = msgspec.Raw(b"null")


class PublishedLine(msgspec.Struct):
    """A recorded episode."""

    state: PublishedState
    task: PublishedTask


class Imported(msgspec.Struct, frozen=True):
    """What an `EpisodeRecord` has no place for: of a published file's path, and of its line.

    `line` is the JSON object without what the record's own fields say.
    """

    task_type: str = ""
    split: str = ""
    line: dict[str, Any] = {}


_LINE = msgspec.json.Decoder(PublishedLine)


def decode_published(content: bytes) -> PublishedLine:
    """Read one line; raises `ValueError` where it holds no episode."""
    line = _LINE.decode(content)
    if not line.state.history:
        raise ValueError("it has an empty history")
    return line
