"""Reads raw files in place, plain or gzipped, and keeps their digests.

A broken line is reported to the journal's `refuse`, with file and line, and left out; a file that
cannot be read at all ends the command.
"""

import csv
import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from codeact.exceptions import RawFilesMissing, TaskFileError
from codeact.jsonl import LONGEST_LINE, End, Seen, blocks, read_lines

Refuse = Callable[[str, str], None]

HUB = "hub:"


class Record(NamedTuple):
    """One raw record and where it stands: ``file, line 3`` or ``file, item 3``."""

    where: str
    value: dict[str, Any]


class Raw:
    """A folder of raw files, a single raw file, or (see `hub.py`) a data set on a hub."""

    def __init__(self, path: Path, refuse: Refuse) -> None:
        self.path = path
        self.refuse = refuse
        self.digests: dict[str, str] = {}
        if not path.exists():
            raise RawFilesMissing(
                f"raw={path} is not there; give the folder of the raw files, or fetch them with "
                "download=true"
            )

    @property
    def label(self) -> str:
        """What the card calls this."""
        return self.path.name

    def find(self, *patterns: str) -> list[Path]:
        """The files that match any pattern, sorted by path; raises `RawFilesMissing` if none do."""
        if self.path.is_file():
            return [self.path]
        found = {path for pattern in patterns for path in self.path.glob(pattern)}
        if not found:
            raise RawFilesMissing(
                f"raw={self.path} has no {' or '.join(patterns)}; give the folder that holds it"
            )
        return sorted(found)

    def first(self, *patterns: str) -> Path:
        """The first file of the first pattern that matches; raises `RawFilesMissing`."""
        if self.path.is_dir():
            for pattern in patterns:
                if found := sorted(self.path.glob(pattern)):
                    return found[0]
        return self.find(*patterns)[0]

    def has(self, pattern: str) -> bool:
        """Whether any file matches."""
        return self.path.is_dir() and any(self.path.glob(pattern))

    def records(self, *patterns: str) -> Iterator[Record]:
        """Records of one JSON or JSONL file: the first pattern's that is there."""
        path = self.first(*patterns)
        whole = path.name.removesuffix(".gz").endswith(".json")
        return self.items(path) if whole else self.lines(path)

    def lines(self, path: Path) -> Iterator[Record]:
        """Stream the JSON objects of a file that has one on each line."""
        with self._digested(path) as seen:
            for line in read_lines(path, seen=seen):
                where = f"{path}, line {line.number}"
                if isinstance(line, End):
                    raise _unreadable(path, line.error) from line.error
                if not line.whole:
                    self.refuse(where, f"is longer than {LONGEST_LINE:,} bytes")
                elif (value := self._decoded(line.content, where)) is not None:
                    yield Record(where, value)

    def items(self, path: Path) -> Iterator[Record]:
        """The objects of a file that is one JSON list."""
        try:
            # Decoded one by one: HotpotQA's file has 566 MB, of which little is asked for.
            values = msgspec.json.decode(self.content(path), type=list[msgspec.Raw])
        except msgspec.ValidationError as error:
            raise TaskFileError(f"{path}: expected a JSON list of records") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TaskFileError(f"{path} is not valid JSON ({error}); fetch it again") from error
        for number, value in enumerate(values, start=1):
            where = f"{path}, item {number}"
            if (record := self._decoded(value, where)) is not None:
                yield Record(where, record)

    def one(self, path: Path) -> Record | None:
        """The object that a file is."""
        value = self._decoded(self.content(path), str(path))
        return None if value is None else Record(str(path), value)

    def folders(self, pattern: str, *names: str) -> Iterator[Record]:
        """Records that are a folder each: the JSON object in the file that matches `pattern`.

        The files `names` beside it, those that are there, are fields without their endings.
        """
        for path in self.find(pattern):
            beside = [path.with_name(name) for name in names]
            texts = {file.stem: self.text(file) for file in beside if file.exists()}
            if (record := self.one(path)) is not None:
                yield Record(str(path.parent), {**record.value, **texts})

    def table(self, path: Path) -> Iterator[tuple[str, list[str]]]:
        """The rows of a CSV file with where each begins."""
        reader = csv.reader(io.StringIO(self.text(path), newline=""), strict=True)
        begin = 1
        try:
            for row in reader:
                yield f"{path}, line {begin}", row
                begin = reader.line_num + 1
        except csv.Error as error:
            self.refuse(f"{path}, line {begin}", f"is no CSV from here on: {error}")

    def text(self, path: Path) -> str:
        """A whole file as text; raises `TaskFileError` if it is not UTF-8."""
        try:
            return self.content(path).decode("utf-8")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise TaskFileError(f"{path}, line {line}: not UTF-8 ({error.reason})") from error

    def content(self, path: Path) -> bytes:
        """A whole file, unpacked; raises `TaskFileError`."""
        with self._digested(path) as seen:
            try:
                return b"".join(blocks(path, seen=seen))
            except (OSError, EOFError) as error:
                raise _unreadable(path, error) from error

    @contextmanager
    def _digested(self, path: Path) -> Iterator[Seen]:
        """Keep the digest of the file that is read inside, once it was read to its end."""
        digest = hashlib.sha256()
        yield digest.update
        self.digests[self._name(path)] = digest.hexdigest()

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.path)) if self.path.is_dir() else path.name

    def _decoded(self, text: bytes | msgspec.Raw, where: str) -> dict[str, Any] | None:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.refuse(where, f"is not valid JSON: {error}")
            return None
        if not isinstance(value, dict):
            self.refuse(where, "is no JSON object")
            return None
        return value


def _unreadable(path: Path, error: OSError | EOFError) -> TaskFileError:
    if isinstance(error, gzip.BadGzipFile | EOFError):
        return TaskFileError(f"{path} is not a whole gzip file: {error}")
    return TaskFileError(f"{path} cannot be read: {error.strerror or error}")


def missing(record: Record, *fields: str) -> str:
    """Return which text field a record lacks, for the journal; empty if none."""
    for name in fields:
        if name not in record.value:
            return f"field {name!r} is missing"
        if not isinstance(record.value[name], str):
            return f"field {name!r} is no text"
    return ""
