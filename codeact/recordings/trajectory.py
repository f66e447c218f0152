"""A finished episode as training data sees it, wherever it was recorded."""

from functools import cached_property
from typing import NamedTuple, Self

import msgspec

from codeact.episode.causes import HANDLING
from codeact.episode.effects import Counts, Message
from codeact.exceptions import Cause

_MESSAGES = msgspec.json.Decoder(Message)


class TaskKey(NamedTuple):
    """What makes a task the same task."""

    task_type: str
    task_name: str
    task_id: str


class Experiment(NamedTuple):
    """What an episode was played with; `settings` is empty in published recordings."""

    model: str
    feedback_model: str
    feedback_kind: str
    turn_setting: str
    settings: str = ""

    @property
    def feedback(self) -> str:
        """``none``, or the feedback model and its kind, such as ``gpt-4-0613/no_GT-textual``."""
        return f"{self.feedback_model}/{self.feedback_kind}" if self.feedback_model else "none"


class SourceLine(NamedTuple):
    """Where a record stands, for messages; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Unreadable(NamedTuple):
    """A line, or the rest of a file from it on, that holds no trajectory."""

    place: SourceLine
    reason: str


class Problem(msgspec.Struct, frozen=True):
    """What is wrong in a source, and where."""

    place: str
    reason: str

    @classmethod
    def of(cls, line: Unreadable) -> Self:
        return cls(str(line.place), line.reason)


class Tokens(msgspec.Struct, frozen=True):
    """What the policy took, where the recording says so."""

    prompt: int = 0
    completion: int = 0


class Trajectory(msgspec.Struct, kw_only=True, dict=True):
    """One episode. `history` is its messages, undecoded until `messages` is asked for.

    `record` is the id within a run folder, by which a later line replaces an earlier one; it is
    empty in published recordings.
    """

    task: TaskKey
    experiment: Experiment
    split: str = ""
    sample: int = 0
    record: str = ""
    history: list[msgspec.Raw]
    success: bool
    counts: Counts
    reference: msgspec.Raw = msgspec.Raw(b"null")
    cause: Cause | None = None
    tokens: Tokens | None = None
    place: SourceLine

    @property
    def turns(self) -> int:
        """Half of the number of messages, rounded down (docs/selection.md, "Collecting records")."""
        return len(self.history) // 2

    @property
    def counted(self) -> bool:
        """Whether the outcome is the policy's own, and not a failure of what it ran on."""
        return HANDLING[self.cause].counted

    @cached_property
    def messages(self) -> list[Message]:
        """The whole conversation; raises `msgspec.MsgspecError` where one is no message."""
        return [_MESSAGES.decode(message) for message in self.history]
