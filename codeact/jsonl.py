"""Reads JSON Lines files: plain or gzipped, one line at a time, however large or broken.

All of codeact reads such files here. So line numbers, blank lines, lines cut off by a crash and
damaged archives mean the same everywhere.
"""

from collections.abc import Callable, Iterator
from functools import partial
from gzip import BadGzipFile
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

from isal import isal_zlib

LONGEST_LINE = 1 << 28
"""Bytes. Of a longer line only the beginning is read, so that memory is bounded."""
_GZIP = 31
"""The window size by which zlib selects the gzip format."""
_COMPRESSED, _PLAIN = 1 << 14, 1 << 18
"""Bytes per read: a gzipped transcript expands tenfold or more."""

Content = TypeVar("Content")
Seen = Callable[[bytes], object]
"""Is called with every block of a file as it is stored, for a digest of the whole file."""


class Line(NamedTuple):
    """A line without its newline; lines count from 1.

    `ended` is False for a last line without a newline, as a killed writer leaves it. `whole` is
    False for a line over the limit: `content` is its beginning. `start` counts the bytes in front
    of it, of an archive those of its content.
    """

    number: int
    content: bytes
    ended: bool = True
    whole: bool = True
    start: int = 0


class End(NamedTuple):
    """Why a file cannot be read from line `number` on; 0 where it could not be opened."""

    number: int
    reason: str
    error: OSError | EOFError


class SourceLine(NamedTuple):
    """The position of a line, for messages; lines count from 1, and 0 is the whole file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def in_words(self) -> str:
        """``FILE, line 3``, or the file alone."""
        return f"{self.file}, line {self.line}" if self.line else self.file


class Unreadable(NamedTuple):
    """A line that could not be decoded, or the rest of a file that could not be read."""

    place: SourceLine
    reason: str


def decoded_lines(
    path: Path,
    decode: Callable[[bytes, SourceLine], Content],
    kind: str,
    *,
    appended: bool = False,
    longest: int = LONGEST_LINE,
) -> Iterator[Content | Unreadable]:
    """Decode every line that is not blank; what cannot be decoded comes as `Unreadable`.

    `decode` raises a `ValueError` for a line that is not of its `kind`, a name for messages. In a
    file that a writer appends to, a line counts once its newline is there: with `appended`, a last
    line without one is left out silently.
    """
    for line in read_lines(path, longest=longest):
        if not (appended and isinstance(line, Line) and not line.ended):
            yield decoded(line, str(path), decode, kind, longest=longest)


def decoded(
    line: Line | End,
    file: str,
    decode: Callable[[bytes, SourceLine], Content],
    kind: str,
    *,
    longest: int = LONGEST_LINE,
) -> Content | Unreadable:
    """Decode one line of a file as `decoded_lines` does."""
    place = SourceLine(file, line.number)
    if isinstance(line, End):
        return Unreadable(place, line.reason)
    if not line.whole:
        return Unreadable(place, f"is no {kind}: it is longer than {longest:,} bytes")
    try:
        return decode(line.content, place)
    except (ValueError, RecursionError) as error:
        return Unreadable(place, f"is no {kind}: {error}")


def read_lines(
    source: Path | IO[bytes], *, longest: int = LONGEST_LINE, seen: Seen | None = None
) -> Iterator[Line | End]:
    """Yield every line that is not blank, and an `End` last where reading stops early.

    A path that ends in ``.gz`` is unpacked. Raises nothing: a missing file is an `End`, too.
    """
    number, held, start, opened = 0, 0, 0, False
    parts: list[bytes] = []
    try:
        for chunk in blocks(source, seen=seen):
            opened = True
            # Joined once a line, not once a block: a long line has thousands of blocks.
            first, *others = chunk.split(b"\n")
            if held <= longest:
                parts.append(first)
                held += len(first)
            if not others:
                continue
            lines = [b"".join(parts), *others]
            parts = [lines.pop()]
            held = len(parts[0])
            for line in lines:
                number += 1
                if line and not line.isspace():
                    yield (
                        Line(number, line, start=start)
                        if len(line) <= longest
                        else _cut(number, line, longest, start, ended=True)
                    )
                start += len(line) + 1
    except (OSError, EOFError) as error:
        is_missing = isinstance(error, OSError) and not isinstance(error, BadGzipFile)
        yield End(0 if is_missing and not opened else number + 1, _why(error), error)
    else:
        last = b"".join(parts)
        if last and not last.isspace():
            yield _cut(number + 1, last, longest, start, ended=False)


def _why(error: OSError | EOFError) -> str:
    match error:
        case FileNotFoundError():
            return "is not there; check the path"
        case BadGzipFile() | EOFError():
            return f"cannot be read to its end: not a whole gzip file ({error}); get it again"
        case _:
            return f"cannot be read: {error.strerror or error}"


def _cut(number: int, line: bytes, longest: int, start: int, *, ended: bool) -> Line:
    return Line(number, line[:longest], ended, len(line) <= longest, start)


def blocks(source: Path | IO[bytes], *, seen: Seen | None = None) -> Iterator[bytes]:
    """Yield a file's content in blocks, unpacked where the path ends in ``.gz``.

    Raises `OSError`; for an archive, after the last block that could be read, `EOFError` where it
    is cut short and `BadGzipFile` where it is damaged.
    """
    if not isinstance(source, Path):
        yield from _stored(source, _PLAIN, seen)
        return
    with source.open("rb") as file:
        if source.suffix == ".gz":
            yield from _unpacked(_stored(file, _COMPRESSED, seen))
        else:
            yield from _stored(file, _PLAIN, seen)


def _unpacked(stored: Iterator[bytes]) -> Iterator[bytes]:
    # A file object for gzip would keep the last block of a file that is cut short to itself.
    decoder = isal_zlib.decompressobj(_GZIP)
    try:
        for block in stored:
            rest = block
            while rest:
                if decoder.eof:  # another archive may follow in the same file, after padding
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    decoder = isal_zlib.decompressobj(_GZIP)
                yield decoder.decompress(rest)
                rest = decoder.unused_data
    except isal_zlib.error as error:  # type: ignore[misc]  # its stub is wrong
        raise BadGzipFile(str(error)) from error
    if not decoder.eof:
        raise EOFError("it is cut short")


def _stored(file: IO[bytes], size: int, seen: Seen | None) -> Iterator[bytes]:
    for block in iter(partial(file.read, size), b""):
        if seen is not None:
            seen(block)
        yield block
