"""What an index knows of a recorded file: how far it was read, and if it is still that file."""

import hashlib
import os
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple, Self

from codeact.episode.record import LONGEST_LINE
from codeact.jsonl import End, Line, blocks, read_lines

_BLOCK = 1 << 14
"""Bytes of the first and last block, whose digests tell a file that was written anew."""

_APPENDING_SECONDS = 0.05


class FileState(NamedTuple):
    """A file as it was last read: `indexed` bytes of it, which are `lines` whole lines.

    `size`, `changed` (nanoseconds) and `inode` are the file system's. `first` and `last` are the
    digests of the first block and of the one that ends with what was read.
    """

    path: str
    inode: int = 0
    size: int = 0
    changed: int = 0
    indexed: int = 0
    lines: int = 0
    first: bytes = b""
    last: bytes = b""

    def is_unchanged(self, file: Path) -> bool:
        """Whether nobody has touched the file since; raises `OSError`."""
        found = file.stat()
        return (found.st_ino, found.st_size, found.st_mtime_ns) == self[1:4]

    def is_grown(self, file: Path) -> bool:
        """Whether the file is what was read, and perhaps more behind it; raises `OSError`."""
        with file.open("rb") as stream:
            found = os.fstat(stream.fileno())
            if found.st_ino != self.inode or found.st_size < self.indexed:
                return False
            if found.st_size == self.size and found.st_mtime_ns != self.changed:
                # Perhaps a writer is just appending, which changes the time before the size.
                time.sleep(_APPENDING_SECONDS)
                if os.fstat(stream.fileno()).st_size == self.size:
                    return False
            return (self.first, self.last) == _digests(stream, self.indexed)

    def seen(self, file: Path) -> Self:
        """Return the state of a file that is about to be read; raises `OSError`.

        What is appended while it is read makes another size, so that the next update reads on.
        """
        found = file.stat()
        known = (found.st_ino, found.st_size, found.st_mtime_ns)
        return self._replace(inode=known[0], size=known[1], changed=known[2])

    def read(self, file: Path, indexed: int, lines: int) -> Self:
        """Return the state after the file was read up to a byte and a line; raises `OSError`."""
        with file.open("rb") as stream:
            first, last = _digests(stream, indexed)
        return self._replace(indexed=indexed, lines=lines, first=first, last=last)


def _digests(stream: IO[bytes], end: int) -> tuple[bytes, bytes]:
    first = os.pread(stream.fileno(), min(_BLOCK, end), 0)
    start = max(0, end - _BLOCK)
    last = os.pread(stream.fileno(), end - start, start)
    return hashlib.blake2b(first).digest()[:16], hashlib.blake2b(last).digest()[:16]


def new_lines(file: Path, state: FileState) -> Iterator[Line | End]:
    """Yield what is in a file behind the part that was read, numbered and placed in the file.

    Of an archive that is everything, since nothing can be appended to it.
    """
    if file.suffix == ".gz":
        yield from read_lines(file, longest=LONGEST_LINE)
        return
    with file.open("rb") as stream:
        stream.seek(state.indexed)
        for line in read_lines(stream, longest=LONGEST_LINE):
            number = line.number + state.lines
            if isinstance(line, End):
                yield line._replace(number=number)
            else:
                yield line._replace(number=number, start=line.start + state.indexed)


def bytes_at(file: Path, start: int, length: int) -> bytes:
    """Return a part of a file's content; an archive is unpacked up to there.

    Raises `OSError`, for a damaged archive `EOFError`, too.
    """
    if file.suffix == ".gz":
        found = file.stat()
        if found.st_size <= _KEPT_ARCHIVE:
            content = _unpacked(file, found.st_ino, found.st_size, found.st_mtime_ns)
            return content[start : start + length]
        return _unpacked_part(file, start, length)
    number = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(number, length, start)
    finally:
        os.close(number)


_KEPT_ARCHIVE = 4 << 20
"""Bytes of an archive up to which what was last unpacked is kept."""


@lru_cache(maxsize=1)
def _unpacked(file: Path, *_state: int) -> bytes:
    return b"".join(blocks(file))


def _unpacked_part(file: Path, start: int, length: int) -> bytes:
    parts, at = [], 0
    for block in blocks(file):
        parts.append(block[max(0, start - at) : max(0, start + length - at)])
        at += len(block)
        if at >= start + length:
            break
    return b"".join(parts)
