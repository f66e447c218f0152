"""Connections to the servers of a model: their key, their transport, and how exchanges fail."""

import os
from typing import Literal

from codeact import web
from codeact.exceptions import ConfigError
from codeact.models.remote.exchange import Deadlines, HttpTransport, Response
from codeact.models.remote.settings import RemoteSettings
from codeact.plugins import resolve

_MAX_WORDS = 300

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


class Connections:
    """One pool of connections to all servers of a model; bound to the loop of its first use."""

    def __init__(self, settings: RemoteSettings) -> None:
        self._settings = settings
        self._transport: HttpTransport | None = None
        self._key = ""

    def read_key(self) -> None:
        """Read the key from the environment; raises `ConfigError` where one is needed."""
        name = self._settings.credential_env
        key = os.environ.get(name, "").strip() if name else ""
        remote = [url for url in self._settings.addresses if not web.is_loopback(url)]
        if name and not key and remote:
            setting = self._settings.credential_key
            raise ConfigError(
                f"the environment variable {name} is not set, and {remote[0]} "
                f"wants its key from there: set it, or set {setting} to null if no key is needed"
            )
        if not key.isascii() or not key.isprintable():
            raise ConfigError(f"the key in {name} holds characters that no header can carry")
        self._key = key

    async def post(self, url: str, body: bytes) -> Response:
        """Send a request; raises `RequestFailed` if no whole response comes back."""
        import aiohttp  # slow, and not every command needs it

        try:
            return await self._open().send("POST", url, body)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            words = self.words(f"{type(error).__name__}: {error}")
            raise RequestFailed(words, "unreachable") from error
        except TimeoutError as error:
            limit = self._settings.timeout.total
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

    async def fetch(self, url: str, seconds: float, body: bytes | None = None) -> Response:
        """Get, or post `body`, through connections of its own: the run may use another event loop.

        Raises aiohttp's errors, and `RequestFailed` for a response of absurd length.
        """
        transport = self._new_transport(Deadlines(connect=seconds / 2, total=seconds))
        try:
            return await transport.send("GET" if body is None else "POST", url, body)
        except web.TooLong as error:
            raise RequestFailed(str(error)) from None
        finally:
            await transport.close()

    def _open(self) -> HttpTransport:
        if self._transport is None:
            self.read_key()
            timeout = self._settings.timeout
            self._transport = self._new_transport(Deadlines(timeout.connect, timeout.total))
        return self._transport

    def _new_transport(self, deadlines: Deadlines) -> HttpTransport:
        # Each imports what is slow: aiohttp, and the vendor's package.
        if self._settings.transport == "sdk":
            found: HttpTransport = resolve(self._settings.sdk_class)(
                self._settings, self._key, deadlines
            )
            return found
        from codeact.models.remote.lean import LeanTransport

        return LeanTransport(self._settings, self._key, deadlines)

    def words(self, text: str) -> str:
        """Shorten text of a server for a message: one line, no key, no control characters."""
        if self._key:
            text = text.replace(self._key, "[key]")
        text = " ".join(text.split())
        text = "".join(c if c.isprintable() else "�" for c in text[: _MAX_WORDS + 1])
        return text if len(text) <= _MAX_WORDS else f"{text[:_MAX_WORDS]}…"

    async def close(self) -> None:
        """Close what is open."""
        if self._transport is not None:
            await self._transport.close()
            self._transport = None
