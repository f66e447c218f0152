"""Reads task files: JSON lines, plain or gzipped; a broken line is refused with its number."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from codeact.datasets.family import Family, RowError, kind
from codeact.episode.task import Task
from codeact.exceptions import TaskFileError
from codeact.jsonl import LONGEST_LINE, End, SourceLine, read_lines
from codeact.resources import resolve_path, seed_of


class TaskLine(NamedTuple):
    """A task, and the line of its file that it was read from."""

    task: Task
    line: bytes


def load_tasks(family: Family, path: Path | str) -> list[Task]:
    """Read every task of a file; raises `TaskFileError` with file, line, field and the remedy.

    A text may be ``pkg://package/file``, or ``seed://N`` for a family that makes its tasks.
    """
    return [found.task for found in read_tasks(family, path)]


def read_tasks(family: Family, path: Path | str) -> Iterator[TaskLine]:
    """Read every task with its line as it stands in the file; raises as `load_tasks` does."""
    first_seen: dict[str, int] = {}
    for number, line, row in _made_or_read(family, path):
        try:
            task = family.task(row)
        except RowError as error:
            raise TaskFileError(f"{path}, line {number}: {error}") from error
        if task.id in first_seen:
            own = family.called.get("id", "id")
            raise TaskFileError(
                f"{path}, line {number}: field {own!r} is {task.id!r}, which line "
                f"{first_seen[task.id]} has already; give every task its own"
            )
        first_seen[task.id] = number
        yield TaskLine(task, line)
    if not first_seen:
        raise TaskFileError(f"{path} holds no tasks: expected one JSON object a line")


def task_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every line's number and its object; raises `TaskFileError`."""
    for number, _, row in _rows(path):
        yield number, row


def _made_or_read(
    family: Family, path: Path | str
) -> Iterator[tuple[int, bytes, Mapping[str, Any]]]:
    if isinstance(path, Path):
        yield from _rows(path)
    elif (seed := seed_of(path)) is None:
        yield from _rows(resolve_path(path))
    elif family.make is None:
        raise TaskFileError(f"{path}: tasks of {family.name} are read from a file, not made")
    else:
        for number, row in enumerate(family.make(seed), 1):
            yield number, msgspec.json.encode(row), row


def _rows(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    for line in read_lines(path):
        if isinstance(line, End):
            raise TaskFileError(f"{SourceLine(str(path), line.number).in_words}: {line.reason}")
        if not line.whole:
            raise TaskFileError(
                f"{path}, line {line.number}: is longer than {LONGEST_LINE:,} bytes; "
                "a task has to be shorter"
            )
        try:
            row = msgspec.json.decode(line.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TaskFileError(
                f"{path}, line {line.number}: not valid JSON ({error}); "
                "expected one JSON object a line, in UTF-8"
            ) from error
        if not isinstance(row, dict):
            raise TaskFileError(
                f"{path}, line {line.number}: expected a JSON object, but it is {kind(row)}"
            )
        yield line.number, line.content, row
