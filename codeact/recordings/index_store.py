"""The SQLite file of an index: where it lies, its tables, and what becomes of a damaged one.

An index can always be made again from what it was made of, so nothing here is precious: a file of
another version, or a damaged one, is replaced.
"""

import hashlib
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from codeact.files import PRIVATE_FILE, private_folder
from codeact.recordings.index_rows import SPENT, TYPES

INDEX = "index.sqlite"
VERSION = 2
"""Of the tables and of what their values mean; a file of another one is made anew."""
_WAIT_SECONDS = 120.0
"""Another process may be making the index of a large folder just now."""
_COLUMNS = ", ".join(f"{name} {kind}" for name, kind in {**TYPES, **SPENT}.items())
_SCHEMA = f"""
CREATE TABLE files (
    file INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, inode INTEGER, size INTEGER,
    changed INTEGER, indexed INTEGER, lines INTEGER, first BLOB, last BLOB);
CREATE TABLE episodes (
    number INTEGER PRIMARY KEY, newest INTEGER, {_COLUMNS});
CREATE UNIQUE INDEX newest_lines ON episodes (key) WHERE newest;
CREATE TABLE records (number INTEGER PRIMARY KEY, record BLOB);
CREATE TABLE problems (file INTEGER, line INTEGER, reason TEXT);
CREATE TABLE told (upto INTEGER);
CREATE VIRTUAL TABLE texts USING fts5(
    text, content='', tokenize="unicode61 remove_diacritics 2 tokenchars '_'");
INSERT INTO told VALUES (0);
PRAGMA user_version = {VERSION};
"""  # noqa: S608


class Store:
    """The open file of an index, or one in memory where `path` is None."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.db = _connect(path)
        self._inode = _inode(path)

    @property
    def is_current(self) -> bool:
        """Whether the file is still the one that was opened: anybody may delete it."""
        return self.path is None or (self._inode is not None and _inode(self.path) == self._inode)

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self.db.close()


def open_store(candidates: list[Path]) -> Store:
    """Open the first file that can be written; one in memory if there is none."""
    for path in candidates:
        try:
            return Store(path)
        except (OSError, sqlite3.OperationalError):
            continue
    return Store(None)


def places(root: Path, *, beside: bool) -> list[Path]:
    """Return where the index of a source may lie, the best place first.

    `beside` the recordings is what a run folder has; else, and where that cannot be written, it is
    in the user's cache folder.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]
    in_cache = cache / "codeact" / "indexes" / f"{name}.sqlite"
    return [root / INDEX, in_cache] if beside else [in_cache]


def remove(path: Path) -> None:
    """Remove an index and what SQLite has beside it."""
    for name in (path.name, f"{path.name}-journal"):
        path.with_name(name).unlink(missing_ok=True)


def _connect(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return _with_tables(_opened(":memory:"))
    if not os.access(path.parent, os.W_OK):
        private_folder(path.parent)
    # SQLite itself would create it with the usual rights, and a run folder is private.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE))
    try:
        return _with_tables(_opened(str(path)))
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:  # it is no database, or a damaged one
        remove(path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE))
        return _with_tables(_opened(str(path)))


def _opened(name: str) -> sqlite3.Connection:
    db = sqlite3.connect(name, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA cache_size = -65536")
    db.execute("PRAGMA temp_store = MEMORY")
    return db


def _with_tables(db: sqlite3.Connection) -> sqlite3.Connection:
    """Create the tables where there are none, and anew where they are of another version."""
    try:
        if _version(db) == VERSION:
            return db
        db.execute("BEGIN IMMEDIATE")
        if _version(db) != VERSION:  # another process may have been quicker
            for (name,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' "
                "AND name NOT LIKE 'texts\\__%' ESCAPE '\\'"
            ).fetchall():
                db.execute(f'DROP TABLE IF EXISTS "{name}"')
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _version(db: sqlite3.Connection) -> int:
    (found,) = db.execute("PRAGMA user_version").fetchone()
    return int(found)


def _inode(path: Path | None) -> int | None:
    try:
        return None if path is None else path.stat().st_ino
    except OSError:
        return None
