"""The server of the page: on this machine alone, and for who has its token."""

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.resources import files

from aiohttp import web

from codeact.collection.settings import ConversionSettings
from codeact.exceptions import ConfigError, RecordingError
from codeact.recordings.index import Index
from codeact.view.api import Api
from codeact.view.guard import Guard
from codeact.view.runs import ViewedRuns

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
    guard, api = Guard(), Api(runs, conversion)

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


def prepare_search(runs: ViewedRuns) -> threading.Event:
    """Take in the words of all messages, in a thread of its own, until the event is set.

    The first search then need not wait. It has connections of its own, so that nobody waits for it.
    """
    ended = threading.Event()
    sources = [index.source for index in runs.indexes() if index.file is not None]

    def take_in() -> None:
        for source in sources:
            with suppress(RecordingError), Index.open(source) as index:
                while not ended.is_set() and index.index_texts():
                    pass

    threading.Thread(target=take_in, daemon=True).start()
    return ended
