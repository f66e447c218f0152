"""The transport of OpenAI's own package, which knows OpenAI's and Azure's addresses and headers.

It sends the bytes that it is given and returns the answer unread, so that one reader (`wire`) sees
what either transport brings. That also spares three fifths of the package's CPU time, which goes
into models of requests and answers. Importing this module takes a second.
"""

import asyncio
import ssl
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai

from codeact import web
from codeact.models.openai.exchange import KEEPALIVE, MAX_BODY, Deadlines, Method, Response
from codeact.models.openai.settings import AzureSettings, EndpointSettings

_NO_KEY = "none"
"""The SDK wants a key; where there is none, this one is kept out of the headers."""
_ACCOUNT = ("OpenAI-Organization", "OpenAI-Project")


class _HttpClient(openai.DefaultAioHttpClient):
    """The SDK's aiohttp client, which reads no more of an answer than `MAX_BODY`."""

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


class SdkTransport:
    """Connections to all servers of a model through the openai package, a client for each."""

    def __init__(self, settings: EndpointSettings, key: str, deadlines: Deadlines) -> None:
        self._settings = settings
        self._key = key
        self._deadlines = deadlines
        self._clients: dict[str, openai.AsyncOpenAI] = {}
        name = "api-key" if isinstance(settings, AzureSettings) else "Authorization"
        self._options: Any = {} if key else {"headers": {name: openai.Omit()}}

    async def send(self, method: Method, url: str, body: bytes | None = None) -> Response:
        client, path = self._route(url)
        try:
            async with asyncio.timeout(self._deadlines.total):
                if method == "GET":
                    answer = await client.get(path, cast_to=httpx2.Response, options=self._options)
                else:
                    answer = await client.post(
                        path, cast_to=httpx2.Response, content=body, options=self._options
                    )
        except openai.APIStatusError as refused:
            answer = refused.response
        except openai.APIConnectionError as error:
            raise _aiohttp_error(error) from None
        return Response(answer.status_code, answer.headers, answer.content)

    def _route(self, url: str) -> tuple[openai.AsyncOpenAI, str]:
        """Return the client of a URL's server, and the path as the SDK's own methods name it."""
        bases = [base for base in self._settings.addresses if url.startswith(f"{base}/")]
        base = max(bases, key=len)
        if base not in self._clients:
            self._clients[base] = self._client(base)
        return self._clients[base], url.removeprefix(base)

    def _client(self, base: str) -> openai.AsyncOpenAI:
        settings, key = self._settings, self._key
        # What would end an exchange or ask again is decided by our own rules.
        timeout = openai.Timeout(None, connect=self._deadlines.connect)
        if not isinstance(settings, AzureSettings):
            return openai.AsyncOpenAI(
                base_url=base,
                api_key=key or _NO_KEY,
                default_headers=_headers(base, key),
                timeout=timeout,
                max_retries=0,
                http_client=self._http_client(base),
            )
        has_token = bool(settings.token_env and key)
        return openai.AsyncAzureOpenAI(
            azure_endpoint=settings.endpoint_of(base),
            azure_deployment=settings.model_id,
            api_version=settings.api_version,
            api_key=None if has_token else key or _NO_KEY,
            azure_ad_token=key if has_token else None,
            # Said here, it is not what OPENAI_CUSTOM_HEADERS may say.
            default_headers={**_headers(base, ""), "Authorization": openai.Omit()},
            timeout=timeout,
            max_retries=0,
            http_client=self._http_client(base),
        )

    def _http_client(self, base: str) -> _HttpClient:
        """Make one that treats certificates, proxies and redirects as the lean transport does."""
        return _HttpClient(
            verify=_certificates(),
            trust_env=False,
            proxy=web.proxy_of(base) if self._settings.use_proxy else None,
            follow_redirects=False,
            limits=httpx2.Limits(
                max_connections=self._settings.concurrency, keepalive_expiry=KEEPALIVE
            ),
        )

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()


def _headers(base: str, key: str) -> dict[str, Any]:
    """Return the headers that say more than the SDK would, or less."""
    headers: dict[str, Any] = {}
    host = urlsplit(base).hostname or ""
    if host != "openai.com" and not host.endswith(".openai.com"):
        # The environment's organization and project are nobody else's business.
        headers |= dict.fromkeys(_ACCOUNT, openai.Omit())
    if key:
        # Said here, no header of OPENAI_CUSTOM_HEADERS takes its place.
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _aiohttp_error(error: BaseException) -> Exception:
    """Return what aiohttp said before two libraries renamed it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientError | OSError):
            return cause
        cause = cause.__cause__
    return aiohttp.ClientPayloadError(f"{type(error.__cause__).__name__}: {error.__cause__}")
