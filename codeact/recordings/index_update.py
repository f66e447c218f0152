"""Brings an index up to date with the files that it is of."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath
from typing import Any

from codeact.episode.textless import TextlessRecord, as_textless, decode_whole, without_texts
from codeact.exceptions import RecordingError
from codeact.jsonl import Line, SourceLine, Unreadable, decoded
from codeact.recordings.files import is_run
from codeact.recordings.index_files import FileState, new_lines
from codeact.recordings.index_rows import COLUMNS, SPENT, Place, row_of, spent_of
from codeact.recordings.published import another_sample, to_record
from codeact.recordings.published_paths import PublishedPath

_BATCH = 500
"""Rows that are inserted at a time."""
_ROW = ("number", "newest", *COLUMNS, *SPENT)
_INSERT = f"INSERT INTO episodes ({', '.join(_ROW)}) VALUES ({', '.join('?' * len(_ROW))})"  # noqa: S608
_LARGEST = (1 << 63) - 1

OfLine = Callable[[bytes, SourceLine], TextlessRecord]


class Update:
    """One update of an index's tables; `files` are paths by their names below the root."""

    def __init__(self, db: sqlite3.Connection, files: Mapping[str, Path]) -> None:
        self._db = db
        self._files = files
        self._number = 0
        self._samples: Counter[str] = Counter()

    def run(self) -> int:
        """Take in what is new; returns how many lines that were. Raises `RecordingError`."""
        try:
            if self._is_current():
                return 0
            self._db.execute("BEGIN IMMEDIATE")
            try:
                read = self._take_in()
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except OSError as error:
            raise RecordingError(f"{error.filename}: cannot be read ({error.strerror})") from error
        return read

    def _known(self) -> dict[str, tuple[int, FileState]]:
        columns = ", ".join(FileState._fields)
        found = self._db.execute(f"SELECT file, {columns} FROM files")  # noqa: S608
        return {row[1]: (row[0], FileState(*row[1:])) for row in found}

    def _is_current(self) -> bool:
        known = self._known()
        return known.keys() == self._files.keys() and all(
            state.is_unchanged(self._files[name]) for name, (_, state) in known.items()
        )

    def _take_in(self) -> int:
        known = self._known()
        if not self._is_continued(known):
            for table in ("files", "episodes", "records", "problems"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608
            self._db.execute("INSERT INTO texts (texts) VALUES ('delete-all')")
            self._db.execute("UPDATE told SET upto = 0")
            known = {}
        (self._number,) = self._db.execute("SELECT ifnull(max(number), 0) FROM episodes").fetchone()
        return sum(
            self._read(name, path, known.get(name))
            for name, path in self._files.items()
            if name not in known or not known[name][1].is_unchanged(path)
        )

    def _is_continued(self, known: Mapping[str, tuple[int, FileState]]) -> bool:
        """Whether every known file is still there, and has perhaps grown.

        A published tree does not grow, and what is another sample depends on all of its files.
        """
        grows = all(map(is_run, self._files.values()))
        if not grows and known.keys() != self._files.keys():
            return False
        return all(
            name in self._files
            and (
                state.is_unchanged(self._files[name])
                or (grows and not name.endswith(".gz") and state.is_grown(self._files[name]))
            )
            for name, (_, state) in known.items()
        )

    def _read(self, name: str, path: Path, known: tuple[int, FileState] | None) -> int:
        number, state = known or (None, FileState(name))
        if number is None:
            added = self._db.execute("INSERT INTO files (path) VALUES (?)", (name,))
            number = int(added.lastrowid or 0)
        state = state.seen(path)
        indexed, lines, read = state.indexed, state.lines, 0
        batch = _Batch()
        of_line, prefix, kind = self._view(name, path)
        for line in new_lines(path, state):
            if isinstance(line, Line):
                if not line.ended and is_run(path):
                    continue
                lines, indexed = line.number, line.start + len(line.content) + line.ended
            elif isinstance(line.error, OSError) and not isinstance(line.error, BadGzipFile):
                raise line.error  # what lies on the disk may be read another time
            found = decoded(line, str(path), of_line, kind)
            read += 1
            if isinstance(found, Unreadable):
                problem = (number, found.place.line, found.reason)
                self._db.execute("INSERT INTO problems VALUES (?, ?, ?)", problem)
                continue
            assert isinstance(line, Line)
            place = Place(number, line.number, line.start, len(line.content))
            self._number += 1
            batch.add(self._number, prefix + found.id, place, found)
            if len(batch.rows) == _BATCH:
                batch.insert(self._db)
        batch.insert(self._db)
        if path.suffix == ".gz":
            indexed = state.size
        self._keep(number, state.read(path, indexed, lines))
        return read

    def _view(self, name: str, path: Path) -> tuple[OfLine, str, str]:
        """Return what a file's lines become, what is in front of their ids, and what they are."""
        if is_run(path):
            folder = PurePosixPath(name).parent
            prefix = "" if folder == PurePosixPath() else f"{folder}/"
            return (lambda content, _: decode_whole(content)), prefix, "episode record"
        where = PublishedPath.parse(path)
        prefix = f"{where.experiment}/"
        return partial(self._published, where, prefix), prefix, "recorded episode"

    def _published(
        self, where: PublishedPath, prefix: str, content: bytes, place: SourceLine
    ) -> TextlessRecord:
        """Return a published line's record; a task that comes again is another sample of it."""
        record = to_record(where, content, place)
        key = prefix + record.id
        if sample := self._samples[key]:
            record = another_sample(record, sample)
        self._samples[key] += 1
        return as_textless(record)

    def _keep(self, number: int, state: FileState) -> None:
        columns = ", ".join(f"{name} = ?" for name in FileState._fields)
        self._db.execute(f"UPDATE files SET {columns} WHERE file = ?", (*state, number))  # noqa: S608


class _Batch:
    """Lines that are inserted together."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {}
        self._replaced: list[list[Any]] = []
        self._records: list[tuple[int, bytes]] = []

    def add(self, number: int, key: str, place: Place, record: TextlessRecord) -> None:
        """Take a line in, whose texts are taken out of the record; it replaces earlier ones."""
        if (earlier := self.rows.pop(key, None)) is not None:
            self._replaced.append([earlier[0], 0, *earlier[2:]])
        self.rows[key] = [number, 1, *row_of(record, key, place), *spent_of(record)]
        self._records.append((number, without_texts(record)))

    def insert(self, db: sqlite3.Connection) -> None:
        """Insert the lines, and have no more of them."""
        db.executemany(
            "UPDATE episodes SET newest = 0 WHERE key = ? AND newest",
            ([key] for key in self.rows),
        )
        rows = [*self._replaced, *self.rows.values()]
        try:
            db.executemany(_INSERT, rows)
        except OverflowError:  # a line may hold any integer
            fitting = [[*map(_fitting, row)] for row in rows]
            db.executemany(_INSERT.replace("INSERT", "INSERT OR REPLACE", 1), fitting)
        db.executemany("INSERT INTO records VALUES (?, ?)", self._records)
        self.rows, self._replaced, self._records = {}, [], []


def _fitting(value: Any) -> Any:
    return max(-_LARGEST, min(value, _LARGEST)) if isinstance(value, int) else value
