"""Full-text search over the messages of an index's episodes.

Words are taken from the messages only when somebody searches, since that takes several times as
long as everything else. Instructions and examples in front of a task are left out: every episode
has them, so that they would find everything.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator

from codeact.episode.messages import Message
from codeact.episode.record import EpisodeRecord
from codeact.recordings.transcript import prompt_of

_BATCH = 1000
"""Episodes a transaction, so that other processes need not wait for long."""
_TERM = re.compile(r'"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+)')

PLACE = "id, path, line, start, length"
"""The columns by which an episode's line is found and known again."""
ReadPlace = Callable[[str, str, int, int, int], EpisodeRecord]


def text_of(record: EpisodeRecord) -> str:
    """Return what can be searched of an episode: its task, and all that was said after it."""
    opening = record.opening
    task = [prompt_of(opening[-1]["content"])] if opening else []
    return "\n".join([*task, *_said(record.messages[len(opening) :])])


def _said(messages: list[Message]) -> Iterator[str]:
    for message in messages:
        yield message.get("reasoning", "")
        yield message["content"]
        for call in message.get("tool_calls", ()):
            yield f"{call['name']} {call['arguments']}"


def query_of(text: str) -> str:
    """Return what FTS5 understands of a person's words; empty where there is nothing to search.

    All words have to be there, in any order; those in quotation marks one after another. A word
    that ends with a star stands for all that begin so.
    """
    terms = []
    for found in _TERM.finditer(text.replace("\0", " ")):
        words = found["phrase"] if found["word"] is None else found["word"]
        star = "*" if found["word"] and words.endswith("*") else ""
        if re.search(r"\w", words):
            terms.append(f'"{words}"{star}')
    return " ".join(terms)


def add_texts(db: sqlite3.Connection, read: ReadPlace) -> int:
    """Take in the words of the next episodes; returns how many are left after them."""
    (upto,) = db.execute("SELECT upto FROM told").fetchone()
    found = db.execute(
        f"SELECT number, {PLACE} FROM episodes JOIN files USING (file) "  # noqa: S608
        "WHERE number > ? AND newest ORDER BY number LIMIT ?",
        (upto, _BATCH),
    ).fetchall()
    if not found:
        return 0
    texts = [(number, text_of(read(*place))) for number, *place in found]
    db.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been quicker, and no number may come twice.
        if db.execute("SELECT upto FROM told").fetchone() == (upto,):
            db.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", texts)
            db.execute("UPDATE told SET upto = ?", (found[-1][0],))
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    (left,) = db.execute(
        "SELECT count(*) FROM episodes WHERE number > ? AND newest", (found[-1][0],)
    ).fetchone()
    return int(left)
