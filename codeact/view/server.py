"""The server of the page: on this machine alone, and for who has its token."""

import asyncio
import errno
import multiprocessing
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

from codeact.collection.settings import ConversionSettings
from codeact.exceptions import ConfigError
from codeact.view.api import Api
from codeact.view.guard import Guard
from codeact.view.runs import ViewedRuns
from codeact.view.words import FEW, take_in_words

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

HOST, FIRST_PORT, _PORTS = "127.0.0.1", 7717, 10
_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
PAGE = ("index.html", "app.js", "app.css")
"""The files of the page, which `view/` is built into."""


def page_file(name: str) -> bytes:
    """Return a file of the page; raises `ConfigError` where the package lacks it."""
    try:
        return files("codeact.view").joinpath("page", name).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"codeact is incomplete: its page has no {name} ({error.strerror}); install it again"
        ) from error


@asynccontextmanager
async def serving(
    runs: ViewedRuns, conversion: ConversionSettings, port: int | None = None
) -> AsyncIterator[str]:
    """Serve while the context is open, and yield the page's address; raises `ConfigError`."""
    words = prepare_search(runs)
    guard, api = Guard(), Api(runs, conversion, lambda: words is not None and words.is_alive())

    @web.middleware
    async def guarded(request: web.Request, handler: Callable[..., object]) -> web.StreamResponse:
        return await guard(request, handler)  # type: ignore[arg-type]

    app = web.Application(middlewares=[guarded], client_max_size=1 << 22)
    app.add_routes([*api.routes(), *(_route(name) for name in PAGE)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    following = asyncio.create_task(api.follow())
    try:
        bound = await _bound(runner, port)
        yield f"http://{HOST}:{bound}/?token={guard.token}"
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await runner.cleanup()
        if words is not None:
            words.kill()


def _route(name: str) -> web.RouteDef:
    content = page_file(name)
    kind = _KINDS[name.rpartition(".")[2]]

    async def answer(request: web.Request) -> web.Response:
        del request
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return web.get("/" if name == "index.html" else f"/{name}", answer)


async def _bound(runner: web.AppRunner, port: int | None) -> int:
    """Listen at a port, or at the first that is free; returns it."""
    ports = [*range(FIRST_PORT, FIRST_PORT + _PORTS), 0] if port is None else [port]
    for one in ports:
        try:
            await web.TCPSite(runner, HOST, one, backlog=512).start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE and one != ports[-1]:
                continue
            raise ConfigError(f"port={one}: cannot be listened at ({error.strerror})") from error
        return int(runner.addresses[-1][1])
    raise AssertionError


def prepare_search(runs: ViewedRuns) -> "SpawnProcess | None":
    """Begin to take in the words of all messages, in a process of its own; None if they are.

    It ends with this one. The server neither waits for it nor needs its memory.
    """
    sources = [
        index.source
        for index in runs.indexes()
        if index.file is not None and index.texts_left() > FEW
    ]
    if not sources:
        return None
    process = multiprocessing.get_context("spawn").Process(
        target=take_in_words, args=(sources,), daemon=True
    )
    process.start()
    return process
