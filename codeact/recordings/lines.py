"""Reads recorded files line by line: our run folders' and the published ones, by the same rules.

What a line becomes is the caller's: `codeact.recordings.trajectory` and
`codeact.recordings.episodes` are two views of the same lines.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from codeact.episode.record import LONGEST_LINE
from codeact.jsonl import Place, Unreadable, decoded_lines
from codeact.recordings.files import is_run
from codeact.recordings.published_paths import PublishedPath

View = TypeVar("View")
OfRun = Callable[[bytes, Place], View]
"""Makes what is wanted of a run's line; raises `ValueError` where it holds no episode."""
OfPublished = Callable[[PublishedPath, bytes, Place], View]
"""The same of a published line, whose path says a part of it."""


def recorded_lines(
    path: Path, of_run: OfRun[View], of_published: OfPublished[View]
) -> Iterator[View | Unreadable]:
    """Yield what every line of a recorded file becomes, or why it is `Unreadable`.

    Raises `RecordingError` where a published path does not say what was recorded.
    """
    if is_run(path):
        return run_lines(path, of_run)
    return published_lines(path, of_published)


def run_lines(path: Path, view: OfRun[View]) -> Iterator[View | Unreadable]:
    """Read a run's file. An unfinished last line is normal: its episode is played again."""
    return decoded_lines(path, view, "episode record", appended=True, longest=LONGEST_LINE)


def published_lines(path: Path, view: OfPublished[View]) -> Iterator[View | Unreadable]:
    """Read a published file; raises `RecordingError` where its path does not say enough."""
    where = PublishedPath.parse(path)
    return decoded_lines(path, partial(view, where), "recorded episode", longest=LONGEST_LINE)
