"""Servers started in advance, for an executor that gives each session its own."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from codeact.sandboxes.server import Server

_STARTS_AT_ONCE = 4
"""Starting a container needs the processor, so more starts at a time delay each other."""


class ServerPool:
    """Keeps `spare` servers ready or starting; replaces those taken in the background."""

    def __init__(self, launch: Callable[[], Awaitable[Server]], spare: int) -> None:
        self._launch = launch
        self._spare = spare
        self._starts: deque[asyncio.Task[Server]] = deque()
        self._ends: set[asyncio.Task[None]] = set()
        self._limit = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._closed = False

    def fill(self) -> None:
        """Start what is missing."""
        while not self._closed and len(self._starts) < self._spare:
            self._starts.append(asyncio.create_task(self._start()))

    async def take(self) -> Server:
        """Return a live server, which the caller then owns; raises what starting one raises."""
        while True:
            self._drop_failures()
            self.fill()
            start = self._next()
            self.fill()
            try:
                server = await asyncio.shield(start)
            except asyncio.CancelledError:
                if not start.cancelled():
                    self._starts.appendleft(start)
                raise
            if server.alive:
                return server
            self.retire(server)

    def put_back(self, server: Server) -> None:
        """Return an unused server, to be given out next."""

        async def ready() -> Server:
            return server

        self._starts.appendleft(asyncio.create_task(ready()))

    def retire(self, server: Server) -> None:
        """End a server in the background."""
        end = asyncio.create_task(server.close())
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)

    async def close(self) -> None:
        """End every server that was not taken, and wait for those that are ending."""
        self._closed = True
        starts = list(self._starts)
        self._starts.clear()
        for result in await asyncio.gather(*starts, return_exceptions=True):
            if isinstance(result, Server):
                self.retire(result)
        await asyncio.gather(*self._ends, return_exceptions=True)

    def _next(self) -> "asyncio.Task[Server]":
        """Prefer a server that is ready to one that is starting."""
        if not self._starts:
            return asyncio.create_task(self._start())
        chosen = next((start for start in self._starts if start.done()), self._starts[0])
        self._starts.remove(chosen)
        return chosen

    def _drop_failures(self) -> None:
        """Forget failed starts: the engine may be back by now."""
        self._starts = deque(s for s in self._starts if not (s.done() and _failed(s)))

    async def _start(self) -> Server:
        async with self._limit:
            return await self._launch()


def _failed(start: "asyncio.Task[Server]") -> bool:
    return start.cancelled() or start.exception() is not None
