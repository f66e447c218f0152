"""Serves a fake server of a test from a thread, beside whole commands with loops of their own."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar


class FakeServer(Protocol):
    async def start(self) -> Any: ...

    async def stop(self) -> None: ...


AnyServer = TypeVar("AnyServer", bound=FakeServer)


@contextlib.contextmanager
def threaded(server: AnyServer) -> Iterator[AnyServer]:
    """Serve while the context is open."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
