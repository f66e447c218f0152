"""Reads the pages of a corpus out of raw files: lines of pages, or HotpotQA's questions."""

import bz2
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from codeact.datasets.preparing.base import Journal
from codeact.datasets.preparing.raw import Raw, Record
from codeact.exceptions import TaskFileError

_PATTERNS = ("*.jsonl", "*.jsonl.gz", "*.json", "*.json.gz", "**/*.bz2", "**/wiki_*")


def read_pages(path: Path, journal: Journal) -> Iterator[tuple[str, str]]:
    """Read title and text of every page in a file, or in all files of a folder.

    A record is a page ``{"title", "text"}``, whose text may be a list of sentences, or a question
    of HotpotQA with its paragraphs in `context`. A ``.json`` file is a list of records, any other
    has one a line; ``.bz2`` is how HotpotQA's dump of Wikipedia is packed. The journal says which
    records are left out. Raises `TaskFileError`.
    """
    raw = Raw(path, journal.refuse)
    for file in raw.find(*_PATTERNS):
        for record in _records(raw, file, journal):
            found = list(_pages(record.value))
            if not found:
                journal.refuse(record.where, "has neither title and text nor a context of pages")
            for title, text in found:
                if title.strip() and text.strip():
                    yield title.strip(), text.strip()
                else:
                    journal.refuse(record.where, f"a page without title or text: {title!r:.60}")


def _records(raw: Raw, file: Path, journal: Journal) -> Iterator[Record]:
    if file.suffix == ".bz2":
        return _compressed(file, journal)
    is_list = file.name.removesuffix(".gz").endswith(".json")
    return raw.items(file) if is_list else raw.lines(file)


def _compressed(file: Path, journal: Journal) -> Iterator[Record]:
    try:
        with bz2.open(file) as lines:
            for number, line in enumerate(lines, start=1):
                where = f"{file}, line {number}"
                try:
                    value = msgspec.json.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    journal.refuse(where, f"is not valid JSON ({error})")
                    continue
                yield Record(where, value if isinstance(value, dict) else {})
    except (OSError, EOFError) as error:
        raise TaskFileError(f"{file} cannot be read ({error}); fetch it again") from error


def _pages(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    match value:
        case {"context": {"title": list(titles), "sentences": list(texts)}}:
            yield from zip(map(str, titles), map(_joined, texts), strict=False)
        case {"context": list(pairs)}:
            yield from ((str(title), _joined(text)) for title, text in _of_two(pairs))
        case {"title": str(title), "text": str() | list() as text}:
            yield title, _joined(text)


def _of_two(pairs: list[Any]) -> Iterator[list[Any]]:
    yield from (pair for pair in pairs if isinstance(pair, list) and len(pair) == 2)


def _joined(text: Any) -> str:
    """Some dumps give a text as the list of its sentences, or of its paragraphs' sentences."""
    return "".join(map(_joined, text)) if isinstance(text, list) else str(text)
