"""What every HTTP client here shares: proxies, waiting times, and web pages in place of JSON."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import aiohttp

_SHOWN = 80


class TooLong(Exception):
    """An answer is longer than the limit."""


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for a URL; None for this machine.

    One without a scheme, such as ``proxy:3128``, is a plain one. Reads HTTP_PROXY, HTTPS_PROXY,
    ALL_PROXY and NO_PROXY, in lower case too. aiohttp's own ``trust_env`` also reads ``~/.netrc``,
    in a thread, for every request.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def is_loopback(url: str) -> bool:
    """Whether a URL is on this machine, where no key is needed and no proxy is used."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def read(response: "aiohttp.ClientResponse", most: int) -> bytes:
    """Read a body of at most `most` bytes; raises `TooLong`."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            response.close()
            raise TooLong(f"the answer is longer than {most} bytes")
    return b"".join(chunks)


def is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether an answer is a web page or other markup, which no API sends."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") or body[:200].lstrip()[:1] == b"<"


def seen(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Describe an answer by its status, content type and first bytes, for a message."""
    kind = headers.get("Content-Type", "no content type")
    start = " ".join(body[: 4 * _SHOWN].decode(errors="replace").split())[:_SHOWN]
    return f"HTTP {status}, {kind}, " + (f"beginning {start!r}" if start else "empty")


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a server asks to wait; None if it gives none that can be read."""
    if (milliseconds := number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After")
    if value is None or (seconds := number(value)) is not None:
        return None if value is None else seconds
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def number(value: str | None) -> float | None:
    """Return a header's number if it is finite and not negative, else None."""
    try:
        found = float(value or "")
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 else None
