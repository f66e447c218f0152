"""Preference pairs: a solved and an unsolved trajectory that began with the same message.

Continuations of a recorded episode began with the same turns, which are part of the prompt.

Pairs are chosen over an index of all trajectories, so memory grows with their number: by 210 bytes
for each, and 390 while the index is made (27,542 published ones: 11 MB). Texts stay on disk: a pair
costs two positions, however long the texts are.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import msgspec

from codeact.collection.conversations import conversation_files, read_conversations
from codeact.collection.conversion import (
    Conversation,
    convert,
    first_own_message,
    shared_messages,
)
from codeact.collection.filters import FILTERS, HABITS
from codeact.collection.scan import renaming
from codeact.collection.settings import SelectionSettings
from codeact.datasets import task_type_of
from codeact.exceptions import RecordingError
from codeact.jsonl import SourceLine, Unreadable
from codeact.recordings.files import source_files
from codeact.recordings.trajectory import Problem, Trajectory, read_trajectories


class _Row(NamedTuple):
    """What is kept of a trajectory between the two times that it is read."""

    opening: bytes
    model: str
    turns: int
    success: bool
    place: SourceLine


class _PreferencePair(NamedTuple):
    number: int
    chosen: SourceLine
    rejected: SourceLine


class _Side(NamedTuple):
    """One of a pair: a conversation, and how many of its messages are the prompt."""

    conversation: Conversation
    shared: int


class _Spool:
    """Conversations by source line, on disk, so that memory does not grow."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._at: dict[SourceLine, tuple[int, int, int]] = {}
        self._end = 0

    def add(self, place: SourceLine, one: _Side) -> None:
        content = msgspec.json.encode(one.conversation)
        self._file.write(content)
        self._at[place] = (self._end, len(content), one.shared)
        self._end += len(content)

    def flush(self) -> None:
        self._file.flush()

    def get(self, place: SourceLine) -> _Side | None:
        if place not in self._at:
            return None
        start, length, shared = self._at[place]
        content = os.pread(self._file.fileno(), length, start)
        return _Side(msgspec.json.decode(content, type=Conversation), shared)


def write_pairs(
    sources: Sequence[str],
    out: Path,
    *,
    settings: SelectionSettings,
    most: int,
    reform: Callable[[Conversation], str],
    problems: list[Problem],
) -> int:
    """Write ``{id, prompt, chosen, rejected}`` lines, at most `most` of a task; answers how many.

    All three are messages; the prompt is the instruction, the task and the restored turns. Shorter
    solutions are chosen first, and rejected is an episode of the same model where there is one.
    Every trajectory is in one pair at most. `reform` gives a conversation its form, and says why
    where it cannot. What cannot be read or converted is added to `problems`. Raises
    `RecordingError` where no pair can be made, with the reason.
    """
    files = _recordings(sources)
    rows = _rows(files, settings, problems)
    pairs = _paired(rows, most)
    if not pairs and not problems:
        raise RecordingError(f"{', '.join(sources)}: gives no pair: {_why_none(rows, settings)}")
    with TemporaryFile(dir=out.parent) as temporary, out.open("wb") as file:
        spool = _Spool(temporary)
        _keep_conversations(files, settings, pairs, spool, problems)
        written = 0
        for pair in pairs:
            chosen, rejected = spool.get(pair.chosen), spool.get(pair.rejected)
            if chosen is None or rejected is None:
                continue
            if reason := reform(chosen.conversation) or reform(rejected.conversation):
                problems.append(Problem(f"{pair.chosen}, {pair.rejected}", reason))
                continue
            line = {
                "id": f"{chosen.conversation.id}/{pair.number}",
                "prompt": chosen.conversation.conversations[: chosen.shared],
                "chosen": chosen.conversation.conversations[chosen.shared :],
                "rejected": rejected.conversation.conversations[rejected.shared :],
            }
            file.write(msgspec.json.encode(line) + b"\n")
            written += 1
    return written


def _recordings(sources: Sequence[str]) -> list[Path]:
    """The recorded files of the sources; raises `RecordingError`, also for conversations."""
    found: list[Path] = []
    for source in sources:
        with suppress(RecordingError):
            # A tree of recordings has nothing of the kind right in it, or files of other lines.
            for file in conversation_files([source]):
                if next(read_conversations(file.path, []), None) is not None:
                    found.append(file.path)
    if found:
        raise RecordingError(
            f"{found[0]}: is of conversations, which are selected from solved episodes alone; a "
            "preference pair needs an unsolved one of the same task, too: give the recordings "
            "that they were selected from (run folders or results.jsonl)"
        )
    return source_files(list(sources))


def _why_none(rows: Sequence[_Row], settings: SelectionSettings) -> str:
    """Why these trajectories, which can all be read, make no pair."""
    only = " without feedback (selection.feedback=none)" if settings.feedback == "none" else ""
    solved = sum(row.success for row in rows)
    counts = f"{len(rows)} episodes count{only}, {solved} of them solved"
    if solved in (0, len(rows)):
        return f"{counts}; a pair is a solved and an unsolved episode of one task"
    return f"{counts}, but none of these tasks has both a solved and an unsolved episode"


def _rows(
    files: Sequence[Path], settings: SelectionSettings, problems: list[Problem]
) -> list[_Row]:
    """The trajectories that count; a later record of an episode replaces an earlier one."""
    rename = renaming(settings)
    found: dict[tuple[str, str], _Row] = {}
    for path in files:
        for one in read_trajectories(path, task_type_of, rename):
            if isinstance(one, Unreadable):
                problems.append(Problem.of(one))
                continue
            record = (str(path), one.record or str(one.place.line))
            found.pop(record, None)
            try:
                if _counts(one, settings):
                    found[record] = _Row(
                        _opening(one),
                        one.experiment.model,
                        one.turns,
                        one.success,
                        one.place,
                    )
            except ValueError as error:
                problems.append(Problem(str(one.place), f"holds what is no message: {error}"))
    return list(found.values())


def _counts(one: Trajectory, settings: SelectionSettings) -> bool:
    if settings.feedback == "none" and one.experiment.feedback_model:
        return False
    if not one.counted or one.task.task_name in settings.excluded_tasks:
        return False
    habits = [name for name in settings.filters if name in HABITS]
    return not one.success or all(FILTERS[name].keeps(one, settings) for name in habits)


def _opening(one: Trajectory) -> bytes:
    """A digest of the task and of all that the model saw first, restored turns included."""
    seen = one.messages[: first_own_message(one)]
    more = [{k: v for k, v in each.items() if k not in ("role", "content")} for each in seen]
    said = [message["content"] for message in seen]
    content = msgspec.json.encode([*one.task, *said, [each for each in more if each]])
    return blake2b(content, digest_size=16).digest()


def _paired(rows: Sequence[_Row], most: int) -> list[_PreferencePair]:
    by_opening: dict[bytes, tuple[list[_Row], list[_Row]]] = {}
    for row in rows:
        by_opening.setdefault(row.opening, ([], []))[row.success].append(row)
    pairs: list[_PreferencePair] = []
    for unsolved, solved in by_opening.values():
        for number, chosen in enumerate(sorted(solved, key=lambda row: row.turns)[:most], 1):
            if not unsolved:
                break
            rejected = next((row for row in unsolved if row.model == chosen.model), unsolved[0])
            unsolved.remove(rejected)
            pairs.append(_PreferencePair(number, chosen.place, rejected.place))
    return pairs


def _keep_conversations(
    files: Sequence[Path],
    settings: SelectionSettings,
    pairs: Sequence[_PreferencePair],
    spool: _Spool,
    problems: list[Problem],
) -> None:
    wanted = {place for pair in pairs for place in (pair.chosen, pair.rejected)}
    named = {place.file for place in wanted}
    rename = renaming(settings)
    for path in files:
        if str(path) not in named:
            continue
        for one in read_trajectories(path, task_type_of, rename):
            if isinstance(one, Unreadable) or one.place not in wanted:
                continue
            try:
                made = convert(one, settings.conversion)
                spool.add(one.place, _Side(made, shared_messages(one, made)))
            except ValueError as error:
                problems.append(Problem(str(one.place), f"has no form as a conversation: {error}"))
    spool.flush()
