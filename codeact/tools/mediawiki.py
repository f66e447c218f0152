"""Live search through a MediaWiki API: patient with the service, and honest about its failures."""

import asyncio
import json
import math
import random
import time
from collections import OrderedDict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from codeact import web
from codeact.exceptions import ToolFailure
from codeact.tools.base import held_up
from codeact.tools.settings import NOTHING_FOUND, PAGES_SHOWN, WikipediaSearch, render

if TYPE_CHECKING:
    import aiohttp

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
_LONGEST_QUERY = 1000
"""Characters; MediaWiki itself takes 300, and says so."""
_MAX_BODY = 4 * 2**20
_CACHE_ENTRIES, _CACHE_CHARACTERS = 10_000, 64 * 2**20
_SLOW = 5.0
"""Seconds after which an answer is late."""
_PASSING_STATUS = {408, 425, 429}
_REFUSED_QUERY = {400, 413, 414, 431}
"""A query may be the reason of these: the policy is told."""
_PASSING_ERRORS = (
    "maxlag",
    "ratelimited",
    "readonly",
    "timeout",
    "internal_api_error",
    "search-error",
    "cirrussearch-backend-error",
    "cirrussearch-too-busy-error",
)
_OURS_TO_MEND = (
    "readapidenied",
    "permissiondenied",
    "blocked",
    "autoblocked",
    "unknown_",
    "assert",
    "mwoauth",
    "search-text-disabled",
    "gsrsearch-text-disabled",
)
"""How the API's codes begin for what another attempt may not meet, and for a wrong address."""


class _Fault(Exception):
    """An attempt failed; `wait` is what the service asks for, in seconds."""

    def __init__(self, why: str, wait: float | None = None, *, passing: bool = True) -> None:
        super().__init__(why)
        self.wait = wait
        self.passing = passing


class MediaWiki:
    """Looks queries up, one request each: a full-text search with the pages' introductions.

    All episodes share its connections, its answers and its patience: what the service says of
    waiting is obeyed by all. Bound to the event loop of its first use.
    """

    def __init__(self, settings: WikipediaSearch) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(settings.connections)
        self._answers: OrderedDict[str, str] = OrderedDict()
        self._characters = 0
        self._closed_until = 0.0
        self._trouble = "it is slow"

    async def __call__(self, query: str) -> str:
        """Return the best pages as text.

        Raises `ValueError` for what is wrong with the query, `ToolFailure` for the service.
        """
        wanted = _plain(query)
        if not wanted:
            return NOTHING_FOUND
        if len(wanted) > _LONGEST_QUERY:
            raise ValueError(f"the query is too long: {len(wanted)} characters")
        if (kept := self._kept(wanted)) is not None:
            return kept
        return await self._patiently(wanted)

    async def probe(self) -> None:
        """Ask once, and again as for any query; raises `ToolFailure`."""
        await self._patiently("encyclopaedia", fresh=True)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _patiently(self, query: str, *, fresh: bool = False) -> str:
        deadline = time.monotonic() + self._settings.patience
        attempts = 0
        while True:
            await self._take_place(deadline, attempts)
            try:
                await self._reopened(deadline)
                if not fresh and (kept := self._kept(query)) is not None:
                    return kept
                attempts += 1
                late = _SLOW if attempts == 1 else 0.0
                with held_up(f"{self._settings.url}: {self._trouble}", grace=late):
                    answer = await self._ask(query, max(0.001, deadline - time.monotonic()))
                return self._keep(query, answer)
            except _Fault as fault:
                self._trouble = str(fault)
                if not fault.passing or attempts > self._settings.retries:
                    raise self._failure(attempts) from fault
                self._pause(attempts, fault.wait)
            finally:
                self._places.release()

    async def _take_place(self, deadline: float, attempts: int) -> None:
        try:
            async with asyncio.timeout_at(_loop_time(deadline)):
                with held_up(f"{self._settings.url} is busy with other queries"):
                    await self._places.acquire()
        except TimeoutError:
            raise self._failure(attempts) from None

    async def _reopened(self, deadline: float) -> None:
        """Wait as long as the service asked to; not at all where that is beyond the deadline."""
        while (now := time.monotonic()) < self._closed_until:
            if self._closed_until > deadline:
                raise ToolFailure(
                    f"{self._settings.url} wants no question for "
                    f"{math.ceil(self._closed_until - now)} s, and search.patience is "
                    f"{self._settings.patience:g} s; it said: {self._trouble}"
                )
            with held_up(f"{self._settings.url} wants to be left alone: {self._trouble}"):
                await asyncio.sleep(self._closed_until - now)

    def _pause(self, attempts: int, wait: float | None) -> None:
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempts - 1, 10))
        pause = longest * random.uniform(0.5, 1.0) if wait is None else wait  # noqa: S311
        self._closed_until = max(self._closed_until, time.monotonic() + pause)

    def _failure(self, attempts: int) -> ToolFailure:
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        return ToolFailure(
            f"{self._settings.url} gave no answer in {times} (search.retries, search.patience, "
            f"search.connections); the last: {self._trouble}"
        )

    async def _ask(self, query: str, seconds: float) -> str:
        """Make one request; raises `_Fault`, or `ValueError` for what the query is refused for."""
        import aiohttp

        url = self._settings.url
        limit = min(self._settings.timeout, seconds)
        try:
            async with self._open().get(
                url,
                params=_parameters(query),
                timeout=aiohttp.ClientTimeout(total=limit),
                proxy=web.proxy_of(url),
            ) as response:
                body = await web.read(response, _MAX_BODY)
                return self._read(response.status, response.headers, body)
        except TimeoutError:
            raise _Fault(f"no answer in {limit:.0f} s") from None
        except (aiohttp.ClientError, OSError, web.TooLong) as error:
            raise _Fault(_shown(f"{type(error).__name__}: {error}")) from None

    def _read(self, status: int, headers: Any, body: bytes) -> str:
        wait = web.retry_after(headers)
        if status in _PASSING_STATUS or status >= 500:
            raise _Fault(_shown(web.seen(status, headers, body)), wait)
        if status in _REFUSED_QUERY:
            raise ValueError(f"the query was refused (HTTP {status})")
        try:
            answer = json.loads(body) if status == 200 else None
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            what = _shown(web.seen(status, headers, body))
            raise _Fault(f"{what}; is search.url a MediaWiki API?", passing=False)
        error = answer.get("error")
        if error is not None:
            raise _refused(error if isinstance(error, dict) else {}, wait)
        return _pages(answer)

    def _open(self) -> "aiohttp.ClientSession":
        if self._session is None or self._session.closed:
            import aiohttp

            contact = f" ({self._settings.contact})" if self._settings.contact else ""
            agent = f"codeact/{version('codeact')}{contact} aiohttp/{aiohttp.__version__}"
            self._session = aiohttp.ClientSession(
                headers={"User-Agent": agent, "Accept-Encoding": "gzip"},
                connector=aiohttp.TCPConnector(limit=self._settings.connections),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _kept(self, query: str) -> str | None:
        if query in self._answers:
            self._answers.move_to_end(query)
            return self._answers[query]
        return None

    def _keep(self, query: str, answer: str) -> str:
        """Cache a result, and drop the least recently used ones."""
        self._characters += len(answer) - len(self._answers.pop(query, ""))
        self._answers[query] = answer
        while len(self._answers) > _CACHE_ENTRIES or self._characters > _CACHE_CHARACTERS:
            self._characters -= len(self._answers.popitem(last=False)[1])
        return answer


def _plain(query: str) -> str:
    """A query as it can be sent: one line, valid Unicode, nothing that is no text."""
    text = query.encode(errors="replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _parameters(query: str) -> dict[str, str]:
    return {
        "action": "query",
        "format": "json",
        "formatversion": "2",
        "maxlag": "5",
        "generator": "search",
        "gsrsearch": query,
        "gsrlimit": str(PAGES_SHOWN),
        "prop": "extracts",
        "exintro": "1",
        "explaintext": "1",
        "exlimit": "max",
    }


def _pages(answer: dict[str, Any]) -> str:
    """The pages that were found, best first; anything that is none is passed over."""
    found = answer.get("query")
    pages = found.get("pages") if isinstance(found, dict) else None
    known = [page for page in pages or [] if isinstance(page, dict) and "title" in page]
    known.sort(key=lambda page: page["index"] if isinstance(page.get("index"), int) else 0)
    texts = [render(str(page["title"]), str(page.get("extract") or "")) for page in known]
    return "\n\n".join(texts) or NOTHING_FOUND


def _refused(error: dict[str, Any], wait: float | None) -> Exception:
    """Tell a fault of the service from what is wrong with the query."""
    code, info = str(error.get("code")), _shown(str(error.get("info")))
    if code.startswith(_PASSING_ERRORS):
        return _Fault(f"{code}: {info}", wait)
    if code.startswith(_OURS_TO_MEND):
        return _Fault(f"{code}: {info}; is search.url right?", passing=False)
    return ValueError(info)


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:300])


def _loop_time(deadline: float) -> float:
    """A time of the monotonic clock, on the clock of the running loop."""
    return asyncio.get_running_loop().time() + deadline - time.monotonic()
