"""Recorded episodes as training data needs them: one line at a time, messages undecoded."""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import msgspec

from codeact.episode.causes import HANDLING
from codeact.episode.effects import ActionKind, ActionRecord, Counts, Outcome, Usage
from codeact.episode.messages import Message
from codeact.episode.record import EpisodeOrigin, refuse_later
from codeact.exceptions import Cause, ConfigError
from codeact.jsonl import SourceLine, Unreadable
from codeact.recordings.lines import OfLine, recorded_lines
from codeact.recordings.published_lines import Imported, decode_published
from codeact.recordings.published_paths import PublishedPath, feedback_name, feedback_parts
from codeact.recordings.run_folder import CONFIG
from codeact.recordings.task_types import TaskTypeOf, TaskTypes
from codeact.recordings.transcript import policy_place

_MESSAGES = msgspec.json.Decoder(Message)


class _Role(msgspec.Struct):
    role: str


_ROLE = msgspec.json.Decoder(_Role)


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
        return feedback_name(self.feedback_model, self.feedback_kind)


class Problem(msgspec.Struct, frozen=True):
    """What is wrong in a source, and where."""

    place: str
    reason: str

    @classmethod
    def of(cls, line: Unreadable) -> Self:
        return cls(str(line.place), line.reason)


class Tokens(msgspec.Struct, frozen=True):
    """The policy's tokens, if they were recorded."""

    prompt: int = 0
    completion: int = 0


class PlayedTurn(msgspec.Struct, frozen=True):
    """The part of a `Turn` that training data needs; a test compares the two."""

    action: ActionKind
    content: str
    message: int | None = None
    actions: tuple[ActionRecord, ...] = ()
    observation: str = ""
    feedback: str | None = None


class Trajectory(msgspec.Struct, kw_only=True, dict=True):
    """One episode. `history` is its messages, undecoded until `messages` is asked for.

    `record` is the id within a run folder, by which a later line replaces an earlier one; it is
    empty in published recordings. The first `restored` turns are those of another episode, which
    this one continues: its own policy did not write them. `played` are the turns of a record that
    says which message is whose; where it is None, one message of the user stands in front, and then
    the policy and the environment take turns.
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
    restored: int = 0
    tokens: Tokens | None = None
    played: list[PlayedTurn] | None = None
    place: SourceLine

    @property
    def turns(self) -> int:
        """The number of turns: where no turn names its message, half of all messages."""
        return len(self.history) // 2 if self.played is None else len(self.played)

    @property
    def places(self) -> list[int]:
        """Where the policy's messages are in a history with `played` turns."""
        return [turn.message for turn in self.played or () if turn.message is not None]

    @property
    def counted(self) -> bool:
        """Whether the outcome is the policy's own, and not a failure of what it ran on."""
        return HANDLING[self.cause].counted

    @cached_property
    def messages(self) -> list[Message]:
        """The whole conversation; raises `msgspec.MsgspecError` where one is no message."""
        return [_MESSAGES.decode(message) for message in self.history]


Rename = Callable[[str], str]
"""Maps a model's recorded name to the name that it is counted under."""


def as_recorded(model: str) -> str:
    """Keep a model's name."""
    return model


def read_trajectories(
    path: Path, task_type_of: TaskTypeOf, rename: Rename = as_recorded
) -> Iterator[Trajectory | Unreadable]:
    """Read a file one line at a time, every line of it: redone and uncounted episodes too.

    `task_type_of` is called for records of run folders that do not name their task's type. Raises
    `RecordingError` where a published path does not say what was recorded.
    """
    task_types = TaskTypes(path.with_name(CONFIG), task_type_of)
    return recorded_lines(
        path, partial(_of_run, task_types, rename), partial(_of_published, rename)
    )


def trajectory_of(line: bytes, place: SourceLine, task_types: TaskTypes) -> Trajectory:
    """Read one line of a run folder; raises `ValueError` where it holds no episode."""
    return _of_run(task_types, as_recorded, line, place)


def _of_published(rename: Rename, where: PublishedPath) -> OfLine[Trajectory]:
    experiment = Experiment(
        rename(where.model), where.feedback_model, where.feedback_kind, where.turn_setting
    )
    return partial(_of_published_line, where, experiment)


def _of_published_line(
    where: PublishedPath, experiment: Experiment, content: bytes, place: SourceLine
) -> Trajectory:
    line = decode_published(content)
    state, spent = line.state, line.state.token_counter
    return Trajectory(
        task=TaskKey(where.task_type, where.task_name, str(line.task.task_id)),
        experiment=experiment,
        split=where.split,
        history=state.history,
        success=state.success,
        counts=state.agent_action_count,
        reference=line.task.reference,
        tokens=Tokens(spent.prompt_tokens, spent.completion_tokens) if spent else None,
        place=place,
    )


class _Extra(msgspec.Struct):
    mint: Imported = Imported()


class PartialRecord(msgspec.Struct):
    """The part of an `EpisodeRecord` that training data needs; a test compares the two.

    A table of samples holds 32 bits of each number.
    """

    id: str
    task_name: str
    task_id: str
    settings_digest: str
    sample: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
    model: str
    turn_setting: str
    feedback: str
    messages: list[msgspec.Raw]
    turns: msgspec.Raw
    counts: Counts
    outcome: Outcome
    version: int = 1
    usage: Usage = Usage()
    reference: msgspec.Raw = msgspec.Raw(b"null")
    extra: _Extra = msgspec.field(default_factory=_Extra)
    origin: EpisodeOrigin | None = None

    def __post_init__(self) -> None:
        refuse_later(self.version)

    def played(self) -> list[PlayedTurn] | None:
        """Its turns, if they name their messages; raises `ValueError` where one does not."""
        if self.version == 1 or not self.messages:
            return None
        turns = _TURNS.decode(self.turns)
        for number, turn in enumerate(turns, 1):
            policy_place(turn.message, number, len(self.messages), self._role)
        return turns

    def _role(self, place: int) -> str:
        return _ROLE.decode(self.messages[place]).role


_TURNS = msgspec.json.Decoder(list[PlayedTurn])
_RECORD = msgspec.json.Decoder(PartialRecord)


def _of_run(task_types: TaskTypes, rename: Rename, content: bytes, place: SourceLine) -> Trajectory:
    record = _RECORD.decode(content)
    try:
        task_type = record.extra.mint.task_type or task_types[record.task_name]
    except ConfigError as error:
        raise ValueError(f"its task is of unknown type: {error}") from error
    if not record.messages and HANDLING[record.outcome.cause].counted:
        raise ValueError("it has no messages")
    feedback_model, feedback_kind = feedback_parts(record.feedback)
    return Trajectory(
        task=TaskKey(task_type, record.task_name, record.task_id),
        experiment=Experiment(
            rename(record.model),
            feedback_model,
            feedback_kind,
            record.turn_setting,
            record.settings_digest,
        ),
        sample=record.sample,
        record=record.id,
        history=record.messages,
        success=record.outcome.success,
        counts=record.counts,
        reference=record.reference,
        cause=record.outcome.cause,
        restored=record.origin.turns if record.origin else 0,
        tokens=Tokens(record.usage.prompt, record.usage.completion),
        played=record.played(),
        place=place,
    )
