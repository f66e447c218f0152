"""Files that are written whole or not at all, private folders, and digests."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
"""Modes before the umask, which may make them stricter still."""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[IO[bytes]]:
    """Write a file under a hidden name, which then replaces `path` if there was no error.

    Readers never see half of it, and after an error `path` is unchanged. A `private` file can be
    read by its owner only, unless the file that it replaces was open to others. Raises `OSError`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        number = os.open(temporary, flags, PRIVATE_FILE if private else 0o666)
        with os.fdopen(number, "wb") as file:
            if private:
                with suppress(FileNotFoundError):
                    os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def private_folder(path: Path) -> None:
    """Create a folder that only its owner can enter; an existing folder is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


def make_private(folder: Path) -> None:
    """Make files of another program private if they are in a private folder."""
    if folder.stat().st_mode & 0o077:
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            # What a link leads to may be somebody else's.
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o700)


def write_all(file: int, content: bytes) -> None:
    """Write all of a content to a descriptor; raises `OSError`, perhaps with a part written."""
    written = 0
    while written < len(content):
        written += os.write(file, content[written:])
