"""The lean transport: aiohttp alone, for a quarter of a package's CPU time."""

import aiohttp

from codeact import web
from codeact.models.remote.exchange import KEEPALIVE, MAX_BODY, Deadlines, Method, Response
from codeact.models.remote.settings import RemoteSettings


class LeanTransport:
    """Connections to all servers of a model through aiohttp."""

    def __init__(self, settings: RemoteSettings, key: str, deadlines: Deadlines) -> None:
        self._use_proxy = settings.use_proxy
        self._proxies: dict[str, str | None] = {}
        self._session = aiohttp.ClientSession(
            headers={"Content-Type": "application/json", **settings.headers(key)},
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
