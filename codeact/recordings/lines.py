"""Reads recorded files line by line: our run folders' and the published ones, by the same rules.

What a line becomes is the caller's: `codeact.recordings.trajectory` and
`codeact.recordings.episodes` are two views of the same lines.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from codeact.episode.record import LONGEST_LINE
from codeact.jsonl import SourceLine, Unreadable, decoded_lines
from codeact.recordings.files import is_run
from codeact.recordings.published_paths import PublishedPath

View = TypeVar("View")
OfLine = Callable[[bytes, SourceLine], View]
"""Makes what is wanted of a line; raises `ValueError` where it holds no episode."""
OfPath = Callable[[PublishedPath], OfLine[View]]
"""The same for the lines of a published file, whose path says a part of each."""


def recorded_lines(
    path: Path, of_run: OfLine[View], of_published: OfPath[View]
) -> Iterator[View | Unreadable]:
    """Yield what every line of a recorded file becomes, or why it is `Unreadable`.

    Raises `RecordingError` where a published path does not say what was recorded.
    """
    if is_run(path):
        return run_lines(path, of_run)
    return published_lines(path, of_published)


def run_lines(path: Path, view: OfLine[View]) -> Iterator[View | Unreadable]:
    """Read a run's file. An unfinished last line is normal: its episode is played again."""
    return decoded_lines(path, view, "episode record", appended=True, longest=LONGEST_LINE)


def published_lines(path: Path, view: OfPath[View]) -> Iterator[View | Unreadable]:
    """Read a published file; raises `RecordingError` where its path does not say enough."""
    of_line = view(PublishedPath.parse(path))
    return decoded_lines(path, of_line, "recorded episode", longest=LONGEST_LINE)
