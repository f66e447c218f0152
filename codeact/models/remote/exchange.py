"""One exchange with a server: what every transport offers, lean or by a vendor's package."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

MAX_BODY = 64 * 2**20
"""The longest answer that is read, in bytes after decompression."""
KEEPALIVE = 4.0
"""Below the 5 s after which uvicorn, and so vLLM, closes an idle connection."""

Method = Literal["GET", "POST"]


class Response(NamedTuple):
    """A server's response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Deadlines(NamedTuple):
    """Seconds to connect, and for a whole exchange."""

    connect: float
    total: float


class HttpTransport(Protocol):
    """A pool of connections, bound to the loop of its first use."""

    async def send(self, method: Method, url: str, body: bytes | None = None) -> Response:
        """Send a request as it is and return the whole response, whatever its status.

        Follows no redirect, which would carry prompts and key to an address that nobody configured.
        Raises aiohttp's errors, `OSError`, `TimeoutError`, and `codeact.web.TooLong`.
        """
        ...

    async def close(self) -> None:
        """Close the connections; the transport is not used afterwards."""
        ...
