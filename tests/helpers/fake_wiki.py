"""A server on loopback that speaks as much of the MediaWiki API as a search needs, faults included.

In a test::

    async with FakeWiki([Fault(status=429, headers={"Retry-After": "0"}), None]) as wiki:
        ... WikipediaSearch(url=wiki.url)
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web


@dataclass(frozen=True)
class Fault:
    """An answer that is none: a status, an error of the API's own, any body, or silence."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: str = ""
    body: bytes | None = None
    latency: float = 0.0
    hang: bool = False
    cut: bool = False


Faults = Sequence[Fault | None] | Callable[[str, int], Fault | None]
"""One for each request, the last for good; or a function of the query and the request's number."""


class FakeWiki:
    """Serves while its context is open. `asked` are the queries, `agents` the clients' names."""

    def __init__(self, faults: Faults = (None,)) -> None:
        self.faults = faults
        self.asked: list[str] = []
        self.times: list[float] = []
        self.agents: set[str] = set()
        self.connections: set[object] = set()
        self.in_flight = self.peak_in_flight = 0
        self.url = ""
        self._stop = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> Self:
        app = web.Application()
        app.router.add_get("/w/api.php", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/w/api.php"
        return self

    async def stop(self) -> None:
        self._stop.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        query, number = request.query["gsrsearch"], len(self.asked)
        self.asked.append(query)
        self.times.append(time.monotonic())
        self.agents.add(request.headers["User-Agent"])
        self.connections.add(request.transport)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            if callable(self.faults):
                fault = self.faults(query, number)
            else:
                fault = self.faults[min(number, len(self.faults) - 1)]
            return await self._answer(request, query, fault)
        finally:
            self.in_flight -= 1

    async def _answer(
        self, request: web.Request, query: str, fault: Fault | None
    ) -> web.StreamResponse:
        if fault is None:
            return web.json_response(found(query))
        await asyncio.sleep(fault.latency)
        if fault.hang:
            await self._stop.wait()
        if fault.cut and request.transport is not None:
            request.transport.close()
        if fault.error:
            return web.json_response(
                {"error": {"code": fault.error, "info": f"{fault.error}, it says"}},
                headers={"MediaWiki-API-Error": fault.error, **fault.headers},
            )
        if fault.body is None and fault.status == 200:
            return web.json_response(found(query), headers=fault.headers)
        return web.Response(
            body=fault.body or b"<!DOCTYPE html><title>Wikimedia Error</title>",
            status=fault.status,
            headers={"Content-Type": "text/html", **fault.headers},
        )


def found(query: str) -> dict[str, Any]:
    """What the API answers: nothing for ``nothing``, else two pages in no order."""
    if query == "nothing":
        return {"batchcomplete": True}
    pages = [
        {"pageid": 2, "ns": 0, "title": "Second", "index": 2, "extract": "two"},
        {"pageid": 1, "ns": 0, "title": query, "index": 1, "extract": "one"},
    ]
    return {"batchcomplete": True, "query": {"pages": pages}}
