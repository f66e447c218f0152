"""Reads trajectories line by line: published ``results.jsonl`` trees and our own run folders.

What cannot be read comes out as `Unreadable` in its place, so that a caller can count it and go
on. `codeact.recordings.episodes` reads the same files whole, for replay.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Generic, NamedTuple, TypeVar

import msgspec
from isal import isal_zlib

from codeact.episode.effects import Counts, Usage
from codeact.episode.record import LONGEST_LINE
from codeact.exceptions import Cause, ConfigError
from codeact.recordings.episodes import Imported, parse_path, recording_files
from codeact.recordings.run_folder import CONFIG
from codeact.recordings.trajectory import (
    Experiment,
    SourceLine,
    TaskKey,
    Tokens,
    Trajectory,
    Unreadable,
)

_GZIP = 31
"""zlib's word for gzip's own format."""
_COMPRESSED, _PLAIN = 1 << 14, 1 << 18
"""Bytes read at once: transcripts shrink to a tenth and less."""

Content = TypeVar("Content")
Rename = Callable[[str], str]
"""From a model's recorded name to the one that it goes by."""
TaskTypeOf = Callable[[str], str]
"""From a family's name to its task type; raises `ConfigError` for an unknown name."""


def as_recorded(model: str) -> str:
    """Keep a model's name."""
    return model


def source_files(sources: Iterable[str]) -> list[Path]:
    """Every recorded file of the sources, in path order within each; raises `RecordingError`."""
    files = [path for source in sources for path in recording_files(source)]
    return list({path.resolve(): path for path in files}.values())


def is_run(path: Path) -> bool:
    """Whether a recorded file belongs to one of our run folders."""
    return path.name.startswith("episodes.jsonl")


def read_trajectories(
    path: Path, task_type_of: TaskTypeOf, rename: Rename = as_recorded
) -> Iterator[Trajectory | Unreadable]:
    """Read a file one line at a time, every line of it: redone and uncounted episodes too.

    `task_type_of` is asked where a record of a run folder does not say its task's type. Raises
    `RecordingError` where a published path does not say what was recorded.
    """
    return _read_run(path, task_type_of, rename) if is_run(path) else _read_published(path, rename)


# The published format


class _Spent(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _State(msgspec.Struct):
    history: list[msgspec.Raw]
    success: bool
    agent_action_count: Counts
    token_counter: _Spent | None = None


class _Task(msgspec.Struct):
    task_id: str | int
    reference: msgspec.Raw = msgspec.Raw(b"null")


class _Published(msgspec.Struct):
    state: _State
    task: _Task


_PUBLISHED = msgspec.json.Decoder(_Published)


def _read_published(path: Path, rename: Rename) -> Iterator[Trajectory | Unreadable]:
    where = parse_path(path)
    experiment = Experiment(
        rename(where.model), where.feedback_model, where.feedback_kind, where.turn_setting
    )
    for found in decoded_lines(path, _PUBLISHED.decode, "recorded episode"):
        if isinstance(found, Unreadable):
            yield found
            continue
        place, record = found
        state = record.state
        if not state.history:
            yield Unreadable(place, "has an empty history")
            continue
        spent = state.token_counter
        yield Trajectory(
            task=TaskKey(where.task_type, where.task_name, str(record.task.task_id)),
            experiment=experiment,
            split=where.split,
            history=state.history,
            success=state.success,
            counts=state.agent_action_count,
            reference=record.task.reference,
            tokens=Tokens(spent.prompt_tokens, spent.completion_tokens) if spent else None,
            place=place,
        )


# Our own run folders


class _Outcome(msgspec.Struct):
    success: bool
    cause: Cause | None = None


class _Extra(msgspec.Struct):
    mint: Imported = Imported()


class _Episode(msgspec.Struct):
    """The part of an `EpisodeRecord` that training data needs."""

    id: str
    task_name: str
    task_id: str
    settings_digest: str
    sample: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
    model: str
    turn_setting: str
    feedback: str
    messages: list[msgspec.Raw]
    counts: Counts
    outcome: _Outcome
    usage: Usage = Usage()
    reference: msgspec.Raw = msgspec.Raw(b"null")
    extra: _Extra = msgspec.field(default_factory=_Extra)


_EPISODE = msgspec.json.Decoder(_Episode)


def _read_run(
    path: Path, task_type_of: TaskTypeOf, rename: Rename
) -> Iterator[Trajectory | Unreadable]:
    task_types = TaskTypes(path.with_name(CONFIG), task_type_of)
    # A killed run leaves a torn last line, and redoes its episode.
    for found in decoded_lines(path, _EPISODE.decode, "episode record", torn=True):
        if isinstance(found, Unreadable):
            yield found
            continue
        place, record = found
        try:
            task_type = record.extra.mint.task_type or task_types[record.task_name]
        except ConfigError as error:
            yield Unreadable(place, f"is of a task of unknown type: {error}")
            continue
        if not record.messages:
            yield Unreadable(place, "has no messages")
            continue
        feedback_model, _, kind = record.feedback.rpartition("/")
        yield Trajectory(
            task=TaskKey(task_type, record.task_name, record.task_id),
            experiment=Experiment(
                rename(record.model),
                feedback_model,
                kind if feedback_model else "",
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
            tokens=Tokens(record.usage.prompt, record.usage.completion),
            place=place,
        )


class TaskTypes(dict[str, str]):
    """The task type of every data set of a run, looked up once each.

    A data set may go by another name than its family's; the run's own configuration says which.
    """

    def __init__(self, config: Path, task_type_of: TaskTypeOf) -> None:
        super().__init__()
        self._config = config
        self._task_type_of = task_type_of

    def __missing__(self, task_name: str) -> str:
        self[task_name] = found = self._task_type_of(self._family(task_name))
        return found

    def _family(self, task_name: str) -> str:
        from omegaconf import OmegaConf

        try:
            found = OmegaConf.select(OmegaConf.load(self._config), f"task.sets.{task_name}.family")
            return str(found or task_name)
        except Exception:  # a folder without its configuration, whatever it lacks or holds instead
            return task_name


class Decoded(NamedTuple, Generic[Content]):
    """What a line holds, and where it stands."""

    place: SourceLine
    content: Content


def decoded_lines(
    path: Path, decode: Callable[[bytes], Content], kind: str, *, torn: bool = False
) -> Iterator[Decoded[Content] | Unreadable]:
    """Every line that holds something; a `torn` last one is passed over where there may be one.

    `kind` says what a line was to be, for messages.
    """
    file = str(path)
    for line in read_lines(path):
        place = SourceLine(file, line.number)
        if isinstance(line, End):
            yield Unreadable(place, line.reason)
            continue
        try:
            yield Decoded(place, decode(line.content))
        except (ValueError, RecursionError) as error:
            if line.ended or not torn:
                yield Unreadable(place, f"is no {kind}: {error}")


class Line(NamedTuple):
    """A line without its newline; `ended` says that there was one."""

    number: int
    content: bytes
    ended: bool = True


class End(NamedTuple):
    """Why a file cannot be read any further."""

    number: int
    reason: str


def read_lines(path: Path) -> Iterator[Line | End]:
    """Every line with something in it; what stops the reading comes last.

    A line of more than `LONGEST_LINE` bytes comes with its beginning alone, which nothing decodes.
    """
    number, rest, held = 0, [b""], 0
    try:
        for chunk in _chunks(path):
            # Joined once a line, not once a piece: a long line has thousands of them.
            first, *others = chunk.split(b"\n")
            if held <= LONGEST_LINE:
                rest.append(first)
                held += len(first)
            if not others:
                continue
            lines = [b"".join(rest), *others]
            rest = [lines.pop()]
            held = len(rest[0])
            for line in lines:
                number += 1
                if line and not line.isspace():
                    yield Line(number, line)
    except EOFError:
        yield End(number + 1, "the compressed file is cut short here; fetch or write it again")
    except (OSError, isal_zlib.error) as error:  # type: ignore[misc]  # its stub is wrong
        yield End(number + 1, f"cannot be read from here on: {error}")
    else:
        last = b"".join(rest)
        if last and not last.isspace():
            yield Line(number + 1, last, ended=False)


def _chunks(path: Path) -> Iterator[bytes]:
    """The content in pieces; all that there is comes before an `EOFError`.

    A file object for gzip would keep the last piece of a file that is cut short to itself.
    """
    with path.open("rb") as file:
        if path.suffix != ".gz":
            yield from iter(partial(file.read, _PLAIN), b"")
            return
        decoder = isal_zlib.decompressobj(_GZIP)
        while compressed := file.read(_COMPRESSED):
            while compressed:
                if decoder.eof:  # another archive follows in the same file
                    decoder = isal_zlib.decompressobj(_GZIP)
                yield decoder.decompress(compressed)
                compressed = decoder.unused_data.lstrip(b"\0")
        if not decoder.eof:
            raise EOFError
