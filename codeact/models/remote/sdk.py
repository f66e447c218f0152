"""A transport by a vendor's own package, which knows its servers' addresses and headers.

It sends the bytes that it is given and returns the answer unread, so that one reader sees what
either transport brings. That also spares three fifths of the package's CPU time, which goes into
models of requests and answers. The packages are made by one generator and speak through httpx2.
"""

import asyncio
import ssl
from abc import ABC, abstractmethod
from functools import cache
from typing import Any, ClassVar

import aiohttp
import httpx2

from codeact import web
from codeact.models.remote.exchange import KEEPALIVE, MAX_BODY, Deadlines, Method, Response
from codeact.models.remote.settings import RemoteSettings


class BoundedReading(httpx2.AsyncClient):
    """Reads no more of an answer than `MAX_BODY`; goes before a package's own aiohttp client."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        response = await super().send(request, **{**options, "stream": True})
        try:
            body = await _read(response)
        finally:
            await response.aclose()
        # The body is decompressed by now.
        response.headers.pop("Content-Encoding", None)
        return httpx2.Response(
            response.status_code, headers=response.headers, content=body, request=request
        )


@cache
def _certificates() -> ssl.SSLContext:
    """Return the machine's certificates, read once: that takes 20 ms."""
    return ssl.create_default_context()


async def _read(response: httpx2.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            raise web.TooLong(f"the answer is longer than {MAX_BODY} bytes")
    return b"".join(chunks)


class PackageTransport(ABC):
    """Connections to all servers of a model through a vendor's package, a client for each."""

    refused: ClassVar[type[Exception]]
    """What the package raises for an answer of a status that is an error; it has the `response`."""
    broken: ClassVar[type[Exception]]
    """What it raises where no answer came."""

    def __init__(self, settings: RemoteSettings, key: str, deadlines: Deadlines) -> None:
        self._settings = settings
        self._key = key
        self._deadlines = deadlines
        self._clients: dict[str, Any] = {}
        self._options: dict[str, Any] = {}

    @abstractmethod
    def _client(self, base: str) -> Any:
        """Make the package's client of a server."""

    async def send(self, method: Method, url: str, body: bytes | None = None) -> Response:
        client, path = self._route(url)
        more: Any = {} if method == "GET" else {"content": body}
        ask = client.get if method == "GET" else client.post
        try:
            async with asyncio.timeout(self._deadlines.total):
                answer = await ask(path, cast_to=httpx2.Response, options=self._options, **more)
        except self.refused as refused:
            answer = refused.response  # type: ignore[attr-defined]
        except self.broken as error:
            raise _first_error(error) from None
        return Response(answer.status_code, answer.headers, answer.content)

    def _route(self, url: str) -> tuple[Any, str]:
        """Return the client of a URL's server, and the path as the SDK's own methods name it."""
        bases = [base for base in self._settings.addresses if url.startswith(f"{base}/")]
        base = max(bases, key=len)
        if base not in self._clients:
            self._clients[base] = self._client(base)
        return self._clients[base], url.removeprefix(base)

    def _http_options(self, base: str) -> dict[str, Any]:
        """Treat certificates, proxies and redirects as the lean transport does."""
        return {
            "verify": _certificates(),
            "trust_env": False,
            "proxy": web.proxy_of(base) if self._settings.use_proxy else None,
            "follow_redirects": False,
            "limits": httpx2.Limits(
                max_connections=self._settings.concurrency, keepalive_expiry=KEEPALIVE
            ),
        }

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()


def _first_error(error: BaseException) -> Exception:
    """Return what aiohttp or our own reading said before two libraries renamed it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientError | OSError | web.TooLong):
            return cause
        cause = cause.__cause__
    return aiohttp.ClientPayloadError(f"{type(error.__cause__).__name__}: {error.__cause__}")
