"""The units of the file of exact tokens: append-only, each a gzip member with a MessagePack map.

A unit is one attempt at an episode. It is written before the line of its record, which it is joined
to by the episode's id, the session and the attempt. So after a crash every record has its units,
and a unit without a record is of an episode that is played again. A member that a crash left
unfinished at the end is cut off when the run is resumed.

Measured with 300 recorded episodes of gpt-4 (520,577 ids of Qwen3's vocabulary, 138,210 of them
sampled) on one core, in bytes and million ids a second: JSON takes 10.3 bytes an id (37), 3.8
gzipped (13); packed numbers 5.1 (63), and 2.2 gzipped (32). Higher levels of gzip save a twentieth
for three times the time.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import msgspec
from isal import isal_zlib

from codeact.episode.tokens import PackedTurn
from codeact.exceptions import RunFolderError
from codeact.files import PRIVATE_FILE, write_all
from codeact.recordings.writing import not_written

TOKENS = "tokens.msgpack.gz"
LONGEST_UNIT = 1 << 28
"""The most bytes of a unit, unpacked, so that readers need bounded memory."""
_LEVEL = 1
_GZIP = 31
"""The window size by which zlib selects the gzip format."""
_BLOCK = 1 << 18


class UnitKey(NamedTuple):
    """What joins a unit to its record: no session plays an episode twice."""

    episode: str
    session: int | None
    attempt: int


class UnitHead(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a unit that says what it is of."""

    episode: str
    attempt: Annotated[int, msgspec.Meta(ge=0)]
    session: int | None

    @property
    def key(self) -> UnitKey:
        return UnitKey(self.episode, self.session, self.attempt)


class TokenUnit(UnitHead, frozen=True, kw_only=True):
    """One attempt at an episode, as it is stored."""

    model: str
    revision: str | None
    turns: list[PackedTurn]


class Member(NamedTuple):
    """A gzip member, unpacked; `start` and `end` are places in the file, in bytes."""

    start: int
    end: int
    content: bytes


_HEAD = msgspec.msgpack.Decoder(UnitHead)
_UNIT = msgspec.msgpack.Decoder(TokenUnit)


def read_units(path: Path) -> Iterator[tuple[int, TokenUnit]]:
    """Yield every whole unit of a file and its first byte's place; raises `RunFolderError`."""
    for member in _members(path):
        try:
            unit = _UNIT.decode(member.content)
        except ValueError as error:
            raise damage(path, member.start, f"is no unit of tokens: {error}") from None
        yield member.start, unit


def read_keys(path: Path) -> Iterator[tuple[int, UnitKey]]:
    """Yield the place and the key of every whole unit; raises `RunFolderError`."""
    for member in _members(path):
        yield member.start, _key(path, member)


def damage(path: Path, start: int, why: str) -> RunFolderError:
    """Return the error of a unit that cannot be read, with what to do about it."""
    return RunFolderError(
        f"{path}, at byte {start:,}: {why}; fetch the file from a copy, or cut it off there "
        f"(truncate --size={start}): the same command then plays the episodes without tokens again"
    )


def _members(path: Path) -> Iterator[Member]:
    """Yield every whole member; an unfinished last one is left out. Raises `RunFolderError`."""
    start = end = size = 0
    parts: list[bytes] = []
    decoder = isal_zlib.decompressobj(_GZIP)
    try:
        with path.open("rb") as file:
            rest = b""
            while block := rest or file.read(_BLOCK):
                part = decoder.decompress(block, LONGEST_UNIT + 1 - size)
                parts.append(part)
                size += len(part)
                if size > LONGEST_UNIT:
                    raise damage(path, start, f"a unit is longer than {LONGEST_UNIT:,} bytes")
                rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
                if decoder.eof:
                    end = file.tell() - len(rest)
                    yield Member(start, end, b"".join(parts))
                    start, size, parts = end, 0, []
                    decoder = isal_zlib.decompressobj(_GZIP)
    except isal_zlib.error as error:  # type: ignore[misc]  # its stub is wrong
        raise damage(path, start, f"the unit is damaged ({error})") from None
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from error


class TokenFile:
    """The file of a run that is being played, under the lock of its run folder.

    `units` are the keys of what was there when it was opened.
    """

    def __init__(self, path: Path, file: int, units: set[UnitKey]) -> None:
        self.path = path
        self.units = units
        self._file = file
        self._size = os.fstat(file).st_size

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Create the file, or go on with it, without an unfinished last unit.

        Raises `RunFolderError`.
        """
        path = folder / TOKENS
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            file = os.open(path, flags, PRIVATE_FILE)
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be written ({error.strerror})") from error
        try:
            end, units = 0, set()
            for member in _members(path):
                units.add(_key(path, member))
                end = member.end
            os.ftruncate(file, end)
            return cls(path, file, units)
        except BaseException:
            os.close(file)
            raise

    def append(self, units: Sequence[TokenUnit]) -> int:
        """Append the units of one episode; returns the size before, for `cut`.

        Raises `RunFolderError`, or `DiskFull`, and leaves no part of them behind.
        """
        packed = b"".join(
            isal_zlib.compress(msgspec.msgpack.encode(unit), _LEVEL, _GZIP) for unit in units
        )
        before = self._size
        try:
            write_all(self._file, packed)
        except OSError as error:
            self.cut(before)
            what = f"the tokens of episode {units[0].episode}"
            raise not_written(self.path, what, error) from error
        self._size += len(packed)
        return before

    def cut(self, size: int) -> None:
        """Take back what was appended behind a size: its record could not be written."""
        with suppress(OSError):
            os.ftruncate(self._file, size)
            self._size = size

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _key(path: Path, member: Member) -> UnitKey:
    try:
        return _HEAD.decode(member.content).key
    except ValueError as error:
        raise damage(path, member.start, f"is no unit of tokens: {error}") from None
