"""A local full-text index of pages: one SQLite file, ranked by BM25 (FTS5), read-only once made.

The same index gives the same pages in the same order: pages of equal rank stand as they were added.
"""

import hashlib
import os
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from codeact.exceptions import ConfigError, ToolFailure
from codeact.tools.settings import NOTHING_FOUND, PAGES_SHOWN, render

FORMAT = 1
"""Of the file; kept as its `user_version`."""
_APPLICATION = 0x636F6465
_TITLE_WEIGHT = 5.0
"""How much more a word of the title counts; docs/data.md has the measurement."""
_MOST_WORDS = 64
_LONGEST_QUERY = 10_000
_SCHEMA = """
CREATE TABLE page(id INTEGER PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL);
CREATE VIRTUAL TABLE word USING fts5(title, text, content='page', content_rowid='id',
    tokenize='porter unicode61 remove_diacritics 2');
"""
_FIND = """
SELECT page.title, page.text FROM
    (SELECT rowid AS id, bm25(word, ?, 1.0) AS rank FROM word WHERE word MATCH ?
     ORDER BY rank, rowid LIMIT ?) AS found
    JOIN page USING (id) ORDER BY found.rank, found.id
"""
_FREQUENT = {
    *("a", "about", "an", "and", "are", "as", "at", "be", "been", "being", "both", "by", "did"),
    *("do", "does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "in", "into"),
    *("is", "it", "its", "not", "of", "on", "or", "same", "she", "than", "that", "the", "their"),
    *("then", "there", "these", "they", "this", "those", "to", "was", "were", "what", "when"),
    *("where", "which", "who", "whom", "whose", "why", "with"),
}
"""Left out of a query that has other words: they are in nearly every page, and tell none apart."""


class Page(NamedTuple):
    """One page of a corpus."""

    title: str
    text: str


def build_corpus(pages: Iterable[Page], path: Path) -> int:
    """Write an index of pages, each once; returns how many.

    The file appears when it is whole. Raises `OSError`, or `sqlite3.Error` of a full disk, say.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        connection = sqlite3.connect(temporary, isolation_level=None)
        try:
            count = _fill(connection, pages)
        finally:
            connection.close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _fill(connection: sqlite3.Connection, pages: Iterable[Page]) -> int:
    # Nobody reads the file before it is whole, so nothing has to survive a crash.
    connection.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
    connection.executescript(f"PRAGMA application_id={_APPLICATION}; PRAGMA user_version={FORMAT};")
    connection.executescript(_SCHEMA)
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO page(title, text) VALUES (?, ?)", _once(pages))
    connection.execute("INSERT INTO word(word) VALUES ('rebuild')")
    connection.execute("INSERT INTO word(word) VALUES ('optimize')")
    connection.execute("COMMIT")
    return int(connection.execute("SELECT count(*) FROM page").fetchone()[0])


def _once(pages: Iterable[Page]) -> Iterator[Page]:
    """Leave out pages that were there before; a dump has too many of them to be kept."""
    seen: set[bytes] = set()
    for page in pages:
        digest = hashlib.blake2b(repr(page).encode(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield page


class Corpus:
    """An index, opened anew by each thread that asks it."""

    def __init__(self, path: Path) -> None:
        """Check the file; raises `ConfigError` where it is missing or no index of ours."""
        self._path = path
        self._threads = threading.local()
        if not path.exists():
            raise ConfigError(
                f"search.path: {path} is not there; make it by codeact prepare "
                f"corpus={path.name.partition('.')[0]} raw=PAGES out={path.parent}"
            )
        try:
            connection = self._connection()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            raise ConfigError(f"search.path: {path} is no index of pages ({error})") from error
        if (application, version) != (_APPLICATION, FORMAT):
            raise ConfigError(
                f"search.path: {path} is no index of pages in the format {FORMAT}; make it by "
                "codeact prepare corpus=NAME"
            )

    async def __call__(self, query: str) -> str:
        """Return the best pages as text; raises `ToolFailure` if the file is damaged."""
        import asyncio  # reading a configuration does without

        found = await asyncio.to_thread(self.find, query)
        return "\n\n".join(render(page.title, page.text) for page in found) or NOTHING_FOUND

    def find(self, query: str, count: int = PAGES_SHOWN) -> list[Page]:
        """Return the best pages, best first; raises `ToolFailure`."""
        words = _words(query)
        if not words:
            return []
        wanted = " OR ".join(f'"{word}"' for word in words)
        try:
            rows = self._connection().execute(_FIND, (_TITLE_WEIGHT, wanted, count))
            return [Page(*row) for row in rows]
        except sqlite3.Error as error:
            raise ToolFailure(f"the corpus {self._path} cannot be read: {error}") from error

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if found is None:
            address = f"{self._path.resolve().as_uri()}?mode=ro&immutable=1"
            found = self._threads.connection = sqlite3.connect(address, uri=True)
        return found


def _words(query: str) -> list[str]:
    """List what is looked for: each word once, without those that every page has."""
    words = list(dict.fromkeys(re.findall(r"\w+", query[:_LONGEST_QUERY].lower())))
    return ([word for word in words if word not in _FREQUENT] or words)[:_MOST_WORDS]
