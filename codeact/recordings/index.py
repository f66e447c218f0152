"""An index of recorded episodes, so that nobody has to read a file whole to list, sum or find them.

What was recorded stays the truth: the index has a row for each episode with the place of its newest
line, and may be deleted at any time. That of a run folder is ``index.sqlite`` in it; that of a
published tree, and of what cannot be written, is in the user's cache folder, and that of little is
in memory. It follows a run that is being written.

    with Index.open("runs/x") as index:
        index.update()                                  # takes in what was written since
        index.count({"success": True})                  # 407
        rows = index.rows({"task_name": ["gsm8k", "math"], "turns": Between(3, None)},
                          text="ZeroDivisionError", sort=["-seconds"], limit=50)
        index.columns(["task_digest", "success"])       # [("9f…", 1), …]: tuples for a sum
        record = index.read(rows[0].key)                # the whole `EpisodeRecord`, by one read
        line = index.raw(rows[0].key)                   # its bytes

An index can be used by several threads, one call at a time.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import msgspec

from codeact.episode.record import EpisodeRecord, decode
from codeact.episode.textless import TextlessRecord, decode_textless
from codeact.exceptions import ConfigError, RecordingError
from codeact.jsonl import SourceLine, Unreadable
from codeact.recordings import index_store
from codeact.recordings.files import EPISODES, is_run, recording_files
from codeact.recordings.index_files import bytes_at
from codeact.recordings.index_rows import COLUMNS, PLAYED, IndexRow, PlayedLine
from codeact.recordings.index_store import Store
from codeact.recordings.index_texts import PLACE, add_texts, query_of
from codeact.recordings.index_update import Update
from codeact.recordings.published import another_sample, to_record
from codeact.recordings.published_paths import PublishedPath
from codeact.wording import nearest

Value = str | int | float | bool | None


class Between(NamedTuple):
    """A condition on a column: not below `low` and not above `high`, where they are given."""

    low: float | None = None
    high: float | None = None


Where = Mapping[str, Value | Sequence[Value] | Between]
"""Conditions by column, all of which hold: equal to a value, to one of several, or `Between`."""


class IndexedLine(NamedTuple):
    """A line, and whether it is the newest one of its episode."""

    key: str
    record: TextlessRecord
    is_newest: bool


SMALL = 1 << 20
"""Bytes of recorded files up to which an index is made in memory, which is quicker than a file."""
_BATCH = 5000
"""Lines that are read at a time."""
_Result = TypeVar("_Result")


class Index:
    """The index of a run folder, of a published file, or of a tree of either."""

    def __init__(self, source: Path, store: Store) -> None:
        self.source = source
        """What was opened."""
        self._root = source if source.is_dir() else source.parent
        self._store = store
        self._lock = RLock()

    @classmethod
    def open(cls, source: str | Path, *, small: int = SMALL) -> Self:
        """Open an index, and bring it up to date.

        Up to `small` bytes of recordings are indexed in memory. Raises `RecordingError` where
        nothing was recorded, or where a path of a tree does not say what.
        """
        path = Path(source)
        if path.is_file() and path.name == EPISODES:
            path = path.parent
        files = recording_files(path)
        candidates = index_store.places(path, beside=files == [path / EPISODES])
        if not any(one.exists() for one in candidates) and _size(files) <= small:
            candidates = []
        index = cls(path, index_store.open_store(candidates))
        try:
            index.update()
        except BaseException:
            index.close()
            raise
        return index

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the index; its file stays for the next one."""
        self._store.close()

    @property
    def file(self) -> Path | None:
        """Where the index is kept; None in memory."""
        return self._store.path

    def update(self) -> int:
        """Take in what was written since; returns how many lines that were.

        A file that was written anew is read from its beginning. Raises `RecordingError`.
        """
        return self._guarded(self._update)

    def count(self, where: Where | None = None, *, text: str = "") -> int:
        """Return how many episodes fulfil the conditions, and have the words of `text`."""
        clause, values = self._clause(where, text)
        sql = f"SELECT count(*) FROM episodes WHERE {clause}"  # noqa: S608
        return int(self._guarded(lambda: self._store.db.execute(sql, values).fetchone()[0]))

    def rows(
        self,
        where: Where | None = None,
        *,
        text: str = "",
        sort: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[IndexRow]:
        """Return episodes, in the order of their writing or by columns: ``-`` in front turns one.

        Raises `ConfigError` for a column that there is not.
        """
        found = self.columns(COLUMNS, where, text=text, sort=sort, limit=limit, offset=offset)
        return msgspec.convert(found, list[IndexRow], strict=False)

    def search(self, text: str, *, limit: int | None = None, offset: int = 0) -> list[IndexRow]:
        """Return the episodes in whose messages all words are; see `index_texts.query_of`."""
        return self.rows(text=text, limit=limit, offset=offset)

    def columns(
        self,
        names: Sequence[str],
        where: Where | None = None,
        *,
        text: str = "",
        sort: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[tuple[Any, ...]]:
        """Return a tuple of columns for each episode, as `rows` chooses and sorts them.

        Truth values are 0 and 1.
        """
        chosen = ", ".join(_PATH if name == "file" else _column(name) for name in names)
        clause, values = self._clause(where, text)
        order = ", ".join([*map(_order, sort), "number"])
        sql = (
            f"SELECT {chosen} FROM episodes WHERE {clause} ORDER BY {order} "  # noqa: S608
            f"LIMIT {-1 if limit is None else int(limit)} OFFSET {int(offset)}"
        )
        return self._guarded(lambda: self._store.db.execute(sql, values).fetchall())

    def tally(
        self, names: Sequence[str], where: Where | None = None, *, text: str = ""
    ) -> list[tuple[Any, ...]]:
        """Return each combination of values in some columns, with its number of episodes last."""
        chosen = ", ".join(map(_column, names))
        clause, values = self._clause(where, text)
        sql = f"SELECT {chosen}, count(*) FROM episodes WHERE {clause} GROUP BY {chosen}"  # noqa: S608
        return self._guarded(lambda: self._store.db.execute(sql, values).fetchall())

    def read(self, key: str) -> EpisodeRecord:
        """Return an episode's record, by one read; raises `RecordingError`."""
        return self._guarded(lambda: self._found(key)[1])

    def raw(self, key: str) -> bytes:
        """Return an episode's newest line as it stands in its file; raises `RecordingError`."""
        return self._guarded(lambda: self._found(key)[0])

    def problems(self) -> list[Unreadable]:
        """Return the lines that hold no episode, in order."""
        sql = "SELECT path, line, reason FROM problems JOIN files USING (file) ORDER BY file, line"
        found = self._guarded(lambda: self._store.db.execute(sql).fetchall())
        return [
            Unreadable(SourceLine(str(self._root / path), line), reason)
            for path, line, reason in found
        ]

    @property
    def lines(self) -> int:
        """How many lines hold an episode, replaced ones among them."""
        return int(self._all("SELECT count(*) FROM episodes")[0][0])

    def every_line(self) -> Iterator[IndexedLine]:
        """Yield every line with its record, which has no texts.

        Lines come in the order of their writing, and replaced ones among them: what they took was
        spent.
        """
        sql = (
            "SELECT number, key, newest, record FROM episodes JOIN records USING (number) "
            "WHERE number > ? ORDER BY number LIMIT ?"
        )
        upto = 0
        while found := self._all(sql, upto, _BATCH):
            for upto, key, newest, record in found:  # noqa: B007
                yield IndexedLine(key, decode_textless(record), bool(newest))

    def played(self) -> Iterator[PlayedLine]:
        """Yield of every line what resuming a run asks for, in the order of their writing."""
        columns = ", ".join(PLAYED)
        sql = (
            f"SELECT number, {columns} FROM episodes "  # noqa: S608
            "WHERE number > ? ORDER BY number LIMIT ?"
        )
        upto = 0
        while found := self._all(sql, upto, _BATCH):
            for upto, *values in found:  # noqa: B007
                yield PlayedLine.of(*values)

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._guarded(lambda: self._store.db.execute(sql, values).fetchall())

    def index_texts(self) -> int:
        """Prepare a part of what `text` needs, and return how many episodes are left to do.

        Whoever searches does not have to call this: it lets the first search wait for less.
        """
        return self._guarded(lambda: add_texts(self._store.db, lambda *place: self._at(*place)[1]))

    def texts_left(self) -> int:
        """Return of how many episodes `text` would have to take in the words first."""
        sql = "SELECT count(*) FROM episodes WHERE number > (SELECT upto FROM told)"
        return int(self._guarded(lambda: self._store.db.execute(sql).fetchone()[0]))

    # Reading

    def _found(self, key: str) -> tuple[bytes, EpisodeRecord]:
        """Return an episode's newest line and its record."""
        sql = f"SELECT {PLACE} FROM episodes JOIN files USING (file) WHERE key = ? AND newest"  # noqa: S608
        for again in (False, True):
            row = self._store.db.execute(sql, (key,)).fetchone()
            if row is None:
                break
            try:
                return self._at(*row)
            except RecordingError:
                if again:
                    raise
                self._update()  # the file was written anew meanwhile
        raise RecordingError(f"{self.source}: holds no episode {key!r}")

    def _at(
        self, name: str, path: str, number: int, start: int, length: int
    ) -> tuple[bytes, EpisodeRecord]:
        """Return the line at a place, and its record; raises `RecordingError`."""
        place = SourceLine(f"{self._root}/{path}", number)
        try:
            line = bytes_at(Path(place.file), start, length)
            return line, _record(name, line, place)
        except (OSError, ValueError, EOFError) as error:
            raise RecordingError(f"{place.in_words}: cannot be read: {error}") from error

    # Asking

    def _clause(self, where: Where | None, text: str) -> tuple[str, list[Any]]:
        conditions, values = ["newest"], list[Any]()
        for name, wanted in (where or {}).items():
            _add_condition(conditions, values, _PATH if name == "file" else _column(name), wanted)
        if text and (query := query_of(text)):
            while self.index_texts():
                pass
            conditions.append("number IN (SELECT rowid FROM texts WHERE texts MATCH ?)")
            values.append(query)
        return " AND ".join(conditions), values

    def _guarded(self, act: Callable[[], _Result]) -> _Result:
        """Do something with the file of the index, which may turn out to be damaged or gone."""
        with self._lock:
            if not self._store.is_current:
                self._go_on_with(self._store.path)
            try:
                return act()
            except sqlite3.DatabaseError as error:
                kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
                if kind in _OF_THE_PLACE or self._store.path is None:
                    self._go_on_with(None)
                else:
                    index_store.remove(self._store.path)
                    self._go_on_with(self._store.path)
            return act()

    def _go_on_with(self, path: Path | None) -> None:
        """Go on with what is at a path, or with an index in memory."""
        self._store.close()
        self._store = index_store.open_store([path] if path is not None else [])
        self._update()

    # Updating

    def _update(self) -> int:
        found = recording_files(self.source)
        files = {path.relative_to(self._root).as_posix(): path for path in found}
        return Update(self._store.db, files).run()


_OF_THE_PLACE = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
)
"""Errors that a new file at the same place would have as well."""
_PATH = "(SELECT path FROM files WHERE files.file = episodes.file)"


def _record(name: str, line: bytes, place: SourceLine) -> EpisodeRecord:
    """Return the record of an episode's line; raises `ValueError` if it is of another one."""
    file = Path(place.file)
    if is_run(file):
        record = decode(line)
    else:
        record = to_record(PublishedPath.parse(file), line, place)
        if record.id != name:
            record = another_sample(record, int(name.rpartition("/")[2]))
    if record.id != name:
        raise ValueError(f"it is of episode {record.id} and not of {name}")
    return record


def _size(files: Sequence[Path]) -> int:
    try:
        # Of an archive what is in it: a transcript is a tenth of its size.
        return sum(one.stat().st_size * (10 if one.suffix == ".gz" else 1) for one in files)
    except OSError as error:
        raise RecordingError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _column(name: str) -> str:
    if name not in COLUMNS:
        raise ConfigError(f"there is no column {name!r} of episodes ({nearest(name, COLUMNS)})")
    return f'"{name}"'


def _order(name: str) -> str:
    turned = name.startswith("-")
    column = _column(name.removeprefix("-"))
    return f"{column} IS NULL, {column}{' DESC' if turned else ''}"


def _add_condition(conditions: list[str], values: list[Any], column: str, wanted: Any) -> None:
    if isinstance(wanted, Between):
        for sign, bound in ((">=", wanted.low), ("<=", wanted.high)):
            if bound is not None:
                conditions.append(f"{column} {sign} ?")
                values.append(bound)
        return
    several = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
    known = [one for one in several if one is not None]
    parts = [f"{column} IN ({', '.join('?' * len(known))})"] if known else []
    parts += [f"{column} IS NULL"] * (len(known) < len(several))
    conditions.append(f"({' OR '.join(parts) or '0'})")
    values += known
