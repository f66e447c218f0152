"""What the page asks the server, answered by the indexes; names and shapes are `view/src/types.ts`.

Nothing here writes, and no path of a request is one of a file.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from codeact.collection.settings import ConversionSettings
from codeact.exceptions import ConfigError, RecordingError
from codeact.view.conversations import conversations_of
from codeact.view.guard import HEADERS
from codeact.view.pairs import FLIPS, side_by_side, task_pairs
from codeact.view.questions import EpisodeQuestion, number
from codeact.view.runs import RunState, ViewedRuns
from codeact.view.transcript import ViewedEpisode, transcript_of
from codeact.view.words import FEW

MOST_ROWS = 500
"""Rows that one answer has."""
MOST_CHOSEN = 10_000
"""Episodes that one request converts."""
_POLL_SECONDS, _QUIET_SECONDS = 0.5, 15.0
Answer = TypeVar("Answer")


class PageState(msgspec.Struct, frozen=True):
    """All that the page shows first; a `fixed` one does not change, and cannot convert."""

    runs: list[RunState]
    fixed: bool
    hint: str
    title: str


class _NotYet(Exception):
    """What was asked for is being made."""


class _Chosen(msgspec.Struct):
    run: str
    keys: list[str]


def state_of(runs: ViewedRuns, *, fixed: bool = False) -> PageState:
    """Return what is shown of all runs, and what to do where there are none."""
    where = ", ".join(runs.sources)
    hint = f"There are no recorded episodes in {where}. A run puts them there, such as this one:"
    found = [run.state() for run in runs]
    title = f"{found[0].name} · codeact" if len(found) == 1 else "codeact view"
    return PageState(found, fixed, hint, title)


class Api:
    """The requests that are answered, and those who follow a run."""

    def __init__(
        self, runs: ViewedRuns, conversion: ConversionSettings, is_preparing: Callable[[], bool]
    ) -> None:
        self._runs = runs
        self._conversion = conversion
        self._is_preparing = is_preparing
        self._changed = asyncio.Condition()
        self._number = 0
        self._following = 0

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, all below ``/api/``."""
        asked = {
            "state": self._state,
            "facets": self._facets,
            "rows": self._rows,
            "episode": self._episode,
            "pairs": self._pairs,
            "beside": self._beside,
        }
        return [
            *(web.get(f"/api/{name}", partial(_answer, act)) for name, act in asked.items()),
            web.get("/api/events", self._events),
            web.post("/api/conversations", self._conversations),
        ]

    def _state(self, _: web.Request) -> PageState:
        return state_of(self._runs)

    def _facets(self, request: web.Request) -> dict[str, list[tuple[str, int]]]:
        return self._runs[_given(request, "run")].facets()

    def _rows(self, request: web.Request) -> dict[str, Any]:
        question = EpisodeQuestion.of(request.query)
        offset, limit = _window(request)
        run = self._runs[_given(request, "run")]
        if question.text and self._is_preparing() and (left := run.index.texts_left()) > FEW:
            raise _NotYet(f"the search is being prepared: {left:,} episodes are left")
        total, rows = run.rows(question, offset, limit)
        return {"total": total, "rows": rows}

    def _episode(self, request: web.Request) -> ViewedEpisode:
        return self._transcript(_given(request, "run"), _given(request, "key"))

    def _transcript(self, run: str, key: str) -> ViewedEpisode:
        return transcript_of(self._runs[run].index.read(key), key)

    def _pairs(self, request: web.Request) -> Any:
        a, b = self._runs[_given(request, "a")], self._runs[_given(request, "b")]
        only = [one for one in request.query.get("only", "").split(",") if one]
        if unknown := [one for one in only if one not in FLIPS]:
            raise ConfigError(f"only={unknown[0]}: give some of {', '.join(FLIPS)}")
        offset, limit = _window(request)
        digest = request.query.get("digest", "")
        return task_pairs(a, b, only=only, digest=digest, offset=offset, limit=limit)

    def _beside(self, request: web.Request) -> Any:
        found = [
            self._transcript(_given(request, side), key)
            if (key := request.query.get(f"key_{side}"))
            else None
            for side in ("a", "b")
        ]
        return side_by_side(*found)

    async def _conversations(self, request: web.Request) -> web.StreamResponse:
        try:
            chosen = msgspec.json.decode(await request.read(), type=_Chosen)
        except msgspec.MsgspecError as error:
            return web.Response(status=400, text=f"a run and its keys are wanted: {error}")
        if len(chosen.keys) > MOST_CHOSEN:
            return web.Response(status=400, text=f"at most {MOST_CHOSEN:,} episodes at a time")

        def convert() -> web.Response:
            made = conversations_of(self._runs[chosen.run], chosen.keys, self._conversion)
            if not made.lines and made.left_out:
                raise ConfigError(f"no episode can be converted: {made.left_out[0]}")
            headers = {"X-Left-Out": str(len(made.left_out))}
            kind = "application/jsonl"
            return web.Response(body=made.lines, content_type=kind, headers=headers)

        return await _explained(convert)

    # Following

    async def follow(self) -> None:
        """Look for new episodes while anybody follows, until cancelled."""
        while True:
            if self._following:
                with suppress(RecordingError):
                    if await asyncio.to_thread(self._runs.refresh):
                        async with self._changed:
                            self._number += 1
                            self._changed.notify_all()
            await asyncio.sleep(_POLL_SECONDS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        response.headers.update(HEADERS)
        await response.prepare(request)
        self._following += 1
        seen, live = -1, b""
        try:
            while True:
                found = await asyncio.to_thread(lambda: msgspec.json.encode(state_of(self._runs)))
                if seen != self._number or found != live:
                    seen, live = self._number, found
                    await response.write(b"data: " + found + b"\n\n")
                else:
                    await response.write(b": still here\n\n")
                await self._wait(seen)
        except (ConnectionError, asyncio.CancelledError):
            return response
        finally:
            self._following -= 1

    async def _wait(self, seen: int) -> None:
        """Wait until something is new, at most for a while: a run may end without a new episode."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_QUIET_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self._number != seen)


async def _answer(act: Callable[[web.Request], Any], request: web.Request) -> web.StreamResponse:
    def encoded() -> web.Response:
        body = msgspec.json.encode(act(request))
        return web.Response(body=body, content_type="application/json")

    return await _explained(encoded)


async def _explained(act: Callable[[], web.Response]) -> web.Response:
    """Do something in a thread; what is wrong with a request is explained in words."""
    try:
        return await asyncio.to_thread(act)
    except _NotYet as error:
        return web.Response(status=503, text=str(error), headers={"Retry-After": "1"})
    except ConfigError as error:
        return web.Response(status=400, text=str(error))
    except RecordingError as error:
        return web.Response(status=404, text=str(error))


def _given(request: web.Request, name: str) -> str:
    value = request.query.get(name, "")
    if not value:
        raise ConfigError(f"{name} is not given")
    return value


def _window(request: web.Request) -> tuple[int, int]:
    offset = number(request.query.get("offset", "0"), "offset")
    return offset, number(request.query.get("limit", "100"), "limit", MOST_ROWS)
