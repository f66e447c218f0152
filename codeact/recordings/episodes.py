"""Recorded episodes whole, for recorded models, `codeact replay`, `regrade` and `import`."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from codeact.episode.causes import is_counted
from codeact.episode.effects import Counts, Outcome
from codeact.episode.messages import Message
from codeact.episode.record import EpisodeRecord, decode
from codeact.exceptions import RecordingError
from codeact.jsonl import SourceLine, Unreadable
from codeact.recordings.files import is_run, recording_files
from codeact.recordings.lines import OfLine, recorded_lines
from codeact.recordings.published_lines import (
    MINT,
    Imported,
    PublishedLine,
    TokenCounter,
    decode_published,
)
from codeact.recordings.published_paths import PublishedPath, feedback_name, feedback_parts
from codeact.recordings.transcript import RecordedTurn, prompt_of, turns_of, turns_of_record

_TERMINATE_REASON = Outcome.__annotations__["terminate_reason"]
_MESSAGES = msgspec.json.Decoder(list[Message])


class RecordedEpisode(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded episode, whatever it was recorded with.

    `feedback_model` and `feedback_kind` are empty without feedback. `family` is the task name
    inside the record (``reasoning``, ``alfworld/put``). `prompt` is the task's text and `opening`
    all that the model saw first. `record` is the line of our own run folders.
    """

    model: str
    feedback_model: str = ""
    feedback_kind: str = ""
    turn_setting: str
    task_type: str = ""
    task_name: str
    split: str = ""
    family: str = ""
    task_id: str
    sample: int = 0
    prompt: str
    opening: tuple[Message, ...]
    reference: Any = None
    metadata: dict[str, Any] = {}
    turns: tuple[RecordedTurn, ...]
    counts: Counts
    outcome: Outcome
    tokens: TokenCounter = TokenCounter()
    record: EpisodeRecord | None = None
    place: str = ""
    """File and line, for messages."""

    @property
    def first_message(self) -> str:
        """The text of all that the model saw first."""
        return "\n".join(message["content"] for message in self.opening)

    @property
    def feedback(self) -> str:
        """``none``, or the feedback model and its kind, as in `Selection`."""
        return feedback_name(self.feedback_model, self.feedback_kind)


class Selection(msgspec.Struct, frozen=True):
    """Which part of a recorded source is meant; None is any."""

    model: str | None = None
    feedback: str | None = None
    """``none``, or the feedback model and its kind, such as ``gpt-4-0613/no_GT-textual``."""
    turn_setting: str | None = None
    task_names: frozenset[str] | None = None

    def accepts(self, recorded: RecordedEpisode | PublishedPath) -> bool:
        """Whether an episode is meant, or all episodes of a path."""
        return (
            self.model in (None, recorded.model)
            and self.feedback in (None, recorded.feedback)
            and self.turn_setting in (None, recorded.turn_setting)
            and (self.task_names is None or recorded.task_name in self.task_names)
        )


EVERYTHING = Selection()


def read_recordings(
    source: str | Path, selection: Selection = EVERYTHING
) -> Iterator[RecordedEpisode]:
    """Read every recorded episode of a file, a run folder, or a tree of either, in path order.

    Raises `RecordingError` with file and line for anything that cannot be read.
    """
    for path in recording_files(source):
        if not is_run(path) and not selection.accepts(PublishedPath.parse(path)):
            continue
        for found in recorded_lines(path, episode_of_run, _of_published):
            if isinstance(found, Unreadable):
                raise RecordingError(f"{found.place}: {found.reason}")
            if selection.accepts(found):
                yield found


def episode_of_run(line: bytes, place: SourceLine) -> RecordedEpisode:
    """Read a run's line; raises `ValueError` where it holds no episode."""
    record = decode(line)
    if not record.messages and is_counted(record):
        raise ValueError("it has no messages")
    feedback_model, feedback_kind = feedback_parts(record.feedback)
    opening = tuple(record.opening)
    first = "\n".join(message["content"] for message in opening)
    imported = msgspec.convert(record.extra.get(MINT, {}), Imported)
    task = imported.line.get("task", {})
    counter = imported.line.get("state", {}).get("token_counter") or {}
    return RecordedEpisode(
        model=record.model,
        feedback_model=feedback_model,
        feedback_kind=feedback_kind,
        turn_setting=record.turn_setting,
        task_type=imported.task_type,
        task_name=record.task_name,
        split=imported.split,
        family=task.get("task_name", ""),
        task_id=record.task_id,
        sample=record.sample,
        prompt=task.get("prompt", prompt_of(first)),
        opening=opening,
        reference=record.reference,
        metadata=task.get("metadata") or {},
        turns=turns_of_record(record),
        counts=record.counts,
        outcome=record.outcome,
        tokens=msgspec.convert(counter, TokenCounter),
        record=record,
        place=str(place),
    )


def _of_published(where: PublishedPath) -> OfLine[RecordedEpisode]:
    return partial(episode_of_published, where)


def episode_of_published(
    where: PublishedPath, content: bytes, place: SourceLine
) -> RecordedEpisode:
    """Read a published line; raises `ValueError` where it holds no episode."""
    line = decode_published(content)
    state, task = line.state, line.task
    history = _history(state.history)
    return RecordedEpisode(
        model=where.model,
        feedback_model=where.feedback_model,
        feedback_kind=where.feedback_kind,
        turn_setting=where.turn_setting,
        task_type=where.task_type,
        task_name=where.task_name,
        split=where.split,
        family=_given(task.task_name, "task.task_name"),
        task_id=str(task.task_id),
        prompt=msgspec.json.decode(_given(task.prompt, "task.prompt"), type=str),
        opening=(history[0],),
        reference=msgspec.json.decode(task.reference),
        metadata=msgspec.json.decode(task.metadata, type=dict[str, Any] | None) or {},
        turns=turns_of(history, state.agent_action_count.steps),
        counts=state.agent_action_count,
        outcome=_outcome(line),
        tokens=state.token_counter or TokenCounter(),
        place=str(place),
    )


def _history(messages: list[msgspec.Raw]) -> list[Message]:
    return _MESSAGES.decode(b"[" + b",".join(messages) + b"]")


def _outcome(line: PublishedLine) -> Outcome:
    reason = _given(line.state.terminate_reason, "state.terminate_reason") or "error"
    said = (line.state.error or "").strip().splitlines()
    return Outcome(
        success=line.state.success,
        terminate_reason=msgspec.convert(reason, _TERMINATE_REASON),
        cause="model" if reason == "error" else None,
        error=said[-1] if said else "",
    )


def _given(value: Any | msgspec.UnsetType, field: str) -> Any:
    """Return a field that a selection can do without, and an episode cannot."""
    if isinstance(value, msgspec.UnsetType):
        raise ValueError(f"its field {field} is missing")  # noqa: TRY004
    return value
