"""Connections to OpenAI-compatible servers: key, proxies, one exchange, and its failures."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from codeact import web
from codeact.exceptions import ConfigError
from codeact.models.openai.settings import OpenAISettings

if TYPE_CHECKING:
    import aiohttp

_MAX_BODY = 64 * 2**20
_MAX_WORDS = 300
_KEEPALIVE = 4.0
"""Below the 5 s after which uvicorn, and so vLLM, closes an idle connection."""

FailureKind = Literal["unreachable", "broken", "busy", "rejected", "other"]


class RequestFailed(Exception):
    """An attempt failed and another may succeed; `wait` is the server's own request, in seconds.

    ``unreachable``: there was no connection. ``broken``: it answered 5xx, broke off or took too
    long. ``busy``: it asked for fewer requests (429). ``rejected``: it is the wrong server; if it
    `may_pass`, one more request is sent where there is no other server.
    """

    def __init__(
        self,
        reason: str,
        kind: FailureKind = "other",
        wait: float | None = None,
        *,
        may_pass: bool = True,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind
        self.wait = wait
        self.may_pass = may_pass


class Response(NamedTuple):
    """A server's response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """One pool of connections to all servers of a model; bound to the loop of its first use."""

    def __init__(self, settings: OpenAISettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[str, str | None] = {}
        self._key = ""

    def read_key(self) -> None:
        """Read the key from the environment; raises `ConfigError` where one is needed."""
        name = self._settings.api_key_env
        key = os.environ.get(name, "").strip() if name else ""
        remote = [url for url in self._settings.addresses if not web.is_loopback(url)]
        if name and not key and remote:
            raise ConfigError(
                f"the environment variable {name} is not set, and {remote[0]} "
                "wants its key from there: set it, or set api_key_env to null if no key is needed"
            )
        if not key.isascii() or not key.isprintable():
            raise ConfigError(f"the key in {name} holds characters that no header can carry")
        self._key = key

    async def post(self, url: str, body: bytes) -> Response:
        """Send a request; raises `RequestFailed` if no whole response comes back."""
        import aiohttp  # slow, and not every command needs it

        limit = self._settings.timeout.total
        try:
            async with self._post(url, body) as response:
                body = await web.read(response, _MAX_BODY)
                return Response(response.status, response.headers, body)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            words = self.words(f"{type(error).__name__}: {error}")
            raise RequestFailed(words, "unreachable") from error
        except TimeoutError as error:
            words = self.words(str(error) or f"no whole answer in {limit:g} s")
            raise RequestFailed(words, "broken") from None
        except web.TooLong as error:
            raise RequestFailed(str(error)) from None
        except aiohttp.ClientPayloadError:
            raise RequestFailed(
                "the connection broke in the middle of the answer", "broken"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise RequestFailed(self.words(f"{type(error).__name__}: {error}"), "broken") from error

    def _post(self, url: str, body: bytes) -> "aiohttp.client._RequestContextManager":
        session = self._open()
        # A redirect would carry prompts and key to an address that nobody configured.
        return session.post(url, data=body, allow_redirects=False, proxy=self._proxy(url))

    async def fetch(self, url: str, seconds: float, body: bytes | None = None) -> Response:
        """Get, or post `body`, in a session of its own: the run may use another event loop.

        Raises aiohttp's errors, and `RequestFailed` for a response of absurd length.
        """
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=seconds / 2)
        method = "GET" if body is None else "POST"
        proxy = self._proxy(url)
        async with (
            self._new_session() as session,
            session.request(
                method, url, data=body, timeout=timeout, allow_redirects=False, proxy=proxy
            ) as response,
        ):
            try:
                return Response(
                    response.status, response.headers, await web.read(response, _MAX_BODY)
                )
            except web.TooLong as error:
                raise RequestFailed(str(error)) from None

    def _proxy(self, url: str) -> str | None:
        if url not in self._proxies:
            self._proxies[url] = web.proxy_of(url) if self._settings.use_proxy else None
        return self._proxies[url]

    def _open(self) -> "aiohttp.ClientSession":
        if self._session is None:
            self.read_key()
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> "aiohttp.ClientSession":
        import aiohttp

        timeout = self._settings.timeout
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE),
            timeout=aiohttp.ClientTimeout(total=timeout.total, sock_connect=timeout.connect),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def words(self, text: str) -> str:
        """Shorten text of a server for a message: one line, no key, no control characters."""
        if self._key:
            text = text.replace(self._key, "[key]")
        text = " ".join(text.split())
        text = "".join(c if c.isprintable() else "�" for c in text[: _MAX_WORDS + 1])
        return text if len(text) <= _MAX_WORDS else f"{text[:_MAX_WORDS]}…"

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None
