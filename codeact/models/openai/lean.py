"""The lean transport: aiohttp alone, for a quarter of the CPU time that the SDK's takes."""

import aiohttp

from codeact import web
from codeact.models.openai.exchange import KEEPALIVE, MAX_BODY, Deadlines, Method, Response
from codeact.models.openai.settings import EndpointSettings


class LeanTransport:
    """Connections to all servers of a model through aiohttp."""

    def __init__(self, settings: EndpointSettings, key: str, deadlines: Deadlines) -> None:
        self._use_proxy = settings.use_proxy
        self._proxies: dict[str, str | None] = {}
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE),
            timeout=aiohttp.ClientTimeout(total=deadlines.total, sock_connect=deadlines.connect),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def send(self, method: Method, url: str, body: bytes | None = None) -> Response:
        if url not in self._proxies:
            self._proxies[url] = web.proxy_of(url) if self._use_proxy else None
        async with self._session.request(
            method, url, data=body, allow_redirects=False, proxy=self._proxies[url]
        ) as response:
            return Response(response.status, response.headers, await web.read(response, MAX_BODY))

    async def close(self) -> None:
        await self._session.close()
