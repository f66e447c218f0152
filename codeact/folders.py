"""Output folders that are there whole or not at all: written under a hidden name, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codeact.exceptions import ConfigError, RecordingError

_HIDDEN = ".unfinished-"
UNFINISHED = f"**/{_HIDDEN}*"
"""Finds what a process that was killed has left beneath a folder."""


@contextmanager
def whole_folder(path: Path, *, last: str = "") -> Iterator[Path]:
    """A folder to write into, which becomes `path` if all went well; raises `ConfigError`.

    Where nothing is at `path`, one rename makes all of it appear at once. A folder that is there
    stays, as it may be a mount, and so does what others have put into it: each entry takes the
    place of the one of its name by a rename of its own. Whoever is killed between two of these
    leaves old and new ones side by side; so an old entry called `last` is removed before the
    first, and the new one comes after all others: where it is, the rest is whole.
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
    """The file that an error is about, where it is none of those that are being written."""
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
