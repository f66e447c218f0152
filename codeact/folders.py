"""Output folders that are written whole or not at all: under a hidden name, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codeact.exceptions import ConfigError, RecordingError

_HIDDEN = ".unfinished-"
UNFINISHED = f"**/{_HIDDEN}*"
"""Finds what a killed process left under a folder."""


@contextmanager
def whole_folder(path: Path, *, last: str = "") -> Iterator[Path]:
    """Yield a folder to write into, which then becomes `path`; raises `ConfigError`.

    Without a folder at `path`, one rename makes everything appear at once. An existing folder
    stays, because it may be a mount, and so do the files that others put there: each new entry
    replaces the one of its name by a rename of its own. A process that is killed between two
    renames leaves old and new entries side by side. So an old entry named `last` is removed first,
    and the new one is renamed last: where it exists, the rest is complete.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.exists()
        with tempfile.TemporaryDirectory(
            prefix=f"{_HIDDEN}{path.name}-", dir=path if there else path.parent
        ) as temporary:
            folder = Path(temporary) / "new"
            folder.mkdir()  # with the usual rights, unlike a temporary one
            try:
                yield folder
            except OSError as error:
                if (other := _elsewhere(error, Path(temporary))) is None:
                    raise
                raise RecordingError(f"{other}: cannot be used ({error.strerror})") from error
            if there:
                _move_entries(folder, path, Path(temporary) / "old", last)
            else:
                folder.rename(path)
    except OSError as error:
        raise ConfigError(f"out={path}: cannot be written ({error.strerror})") from error


def _elsewhere(error: OSError, temporary: Path) -> Path | None:
    """Return the file that an error is about, if it is not one of those being written."""
    if not isinstance(error.filename, str | bytes):
        return None
    file = Path(os.fsdecode(error.filename))
    return None if file.absolute().is_relative_to(temporary.absolute()) else file


def _move_entries(folder: Path, path: Path, old: Path, last: str) -> None:
    if last:
        (path / last).unlink(missing_ok=True)
    old.mkdir()
    for entry in sorted(folder.iterdir(), key=lambda entry: (entry.name == last, entry.name)):
        target = path / entry.name
        if target.is_dir() and not target.is_symlink():
            target.rename(old / entry.name)  # a folder with something in it cannot be replaced
        entry.replace(target)
