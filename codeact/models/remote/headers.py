"""Reads rate-limit headers: when there is room for the next request."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from codeact.web import number

_WINDOWS = tuple(
    (pattern.format(counted, "remaining"), pattern.format(counted, "reset"))
    for pattern, counted in (
        ("x-ratelimit-{1}-{0}", "requests"),  # OpenAI, Groq, Azure, Together, Mistral
        ("x-ratelimit-{1}-{0}", "tokens"),
        ("anthropic-ratelimit-{0}-{1}", "requests"),
        ("anthropic-ratelimit-{0}-{1}", "tokens"),
        ("anthropic-ratelimit-{0}-{1}", "input-tokens"),
        ("anthropic-ratelimit-{0}-{1}", "output-tokens"),
    )
)


def reset_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return for how many seconds the rate-limit headers leave no room for another request.

    None if there is room, or if they cannot be read.
    """
    waits = [
        _duration(headers.get(reset, ""), now)
        for remaining, reset in _WINDOWS
        if (left := headers.get(remaining)) is not None and number(left) == 0
    ]
    return max((wait for wait in waits if wait is not None), default=None)


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")


def _duration(value: str, now: datetime | None) -> float | None:
    """Read ``1m30.5s``, ``20ms``, a number of seconds, or a date (Anthropic's are RFC 3339)."""
    if (seconds := number(value)) is not None:
        return seconds
    if _PARTS.sub("", value) == "" and value:
        return sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(value))
    try:
        date = datetime.fromisoformat(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
