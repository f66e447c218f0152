"""`wikipedia_search`: from live Wikipedia, recorded answers, an index, or a file of pages."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeVar

import msgspec

from codeact.exceptions import ConfigError
from codeact.jsonl import Unreadable, decoded_lines
from codeact.resources import resolve_path
from codeact.tools.base import Tool
from codeact.tools.settings import (
    NOTHING_FOUND,
    PAGES_SHOWN,
    SPEC,
    CorpusSearch,
    PageSearch,
    RecordedSearch,
    SearchSettings,
    WikipediaSearch,
    render,
)


class _Page(msgspec.Struct):
    kind: ClassVar[str] = "page"

    title: str
    text: str


class _Answer(msgspec.Struct):
    kind: ClassVar[str] = "recorded result"

    query: str
    result: str


Entry = TypeVar("Entry", _Page, _Answer)


def open_search(settings: SearchSettings) -> Tool | None:
    """Open the tool and read its files; raises `ConfigError` where one cannot be read."""
    match settings:
        case PageSearch():
            return _tool(_Pages(_read(settings.path, _Page)))
        case CorpusSearch():
            from codeact.tools.corpus import Corpus  # brings sqlite3

            return _tool(Corpus(resolve_path(settings.path)))
        case RecordedSearch():
            return _tool(_Recorded(_read(settings.path, _Answer)))
        case WikipediaSearch():
            from codeact.tools.mediawiki import MediaWiki  # only a live search needs asyncio

            service = MediaWiki(settings)
            return _tool(service)._replace(probe=service.probe, close=service.close)
        case _:
            return None


def _tool(answer: Callable[[str], Awaitable[str]]) -> Tool:
    """What the policy calls: errors name the tool as it was shown, not what is behind it."""

    async def wikipedia_search(query: str) -> str:
        if not isinstance(query, str):
            raise TypeError(f"the query has to be text, not {type(query).__name__}")
        return await answer(query)

    return Tool(SPEC, wikipedia_search)


def _read(path: str, kind: type[Entry]) -> list[Entry]:
    file = resolve_path(path)
    decoder = msgspec.json.Decoder(kind)
    found: list[Entry] = []
    for one in decoded_lines(file, lambda line, _: decoder.decode(line), kind.kind):
        if isinstance(one, Unreadable):
            raise ConfigError(f"search.path: {one.place.in_words}: {one.reason}")
        found.append(one)
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


class _Pages:
    """Ranks pages by the query's words, those of the title counting more."""

    def __init__(self, pages: list[_Page]) -> None:
        self._pages = pages
        self._titles = [set(_words(page.title)) for page in pages]
        self._texts = [Counter(_words(page.text)) for page in pages]
        self._spread = Counter(
            word
            for title, text in zip(self._titles, self._texts, strict=True)
            for word in title | set(text)
        )

    async def __call__(self, query: str) -> str:
        words = {word for word in _words(query) if 0 < self._spread[word] <= len(self._pages) / 2}
        scores = [
            sum((3 * (w in title) + (w in text)) / self._spread[w] for w in words)
            for title, text in zip(self._titles, self._texts, strict=True)
        ]
        best = sorted(range(len(scores)), key=lambda i: -scores[i])[:PAGES_SHOWN]
        found = [self._pages[i] for i in best if scores[i] > 0]
        return "\n\n".join(render(p.title, p.text) for p in found) or NOTHING_FOUND


class _Recorded:
    """Returns the result that an earlier run got for the same query."""

    def __init__(self, answers: list[_Answer]) -> None:
        self._answers = {answer.query: answer.result for answer in answers}

    async def __call__(self, query: str) -> str:
        try:
            return self._answers[query]
        except KeyError:
            raise LookupError(f"no recorded answer for the query {query!r}") from None
