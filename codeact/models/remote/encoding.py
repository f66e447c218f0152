"""Encodes requests and decodes responses, whatever their API; no I/O here."""

import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from codeact.episode.effects import Usage
from codeact.episode.messages import Answer
from codeact.episode.tokens import CompletionTokens


class InvalidResponse(ValueError):
    """The server sent status 200 and something that is no completion."""


class UnusableAnswer(ValueError):
    """The server sent a completion without what was asked for; it would do so again."""


class ServerCompletion(Answer, frozen=True, kw_only=True):
    """A completion as the server sent it; `usage` is None if it reported none.

    `tokens` are the exact ones, where they were asked for.
    """

    finish_reason: str
    usage: Usage | None
    tokens: CompletionTokens | None = None


def clean(text: str) -> str:
    """Replace lone surrogates, which no UTF-8 file can hold; pairs become their character."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def encode(body: dict[str, Any]) -> bytes:
    """Encode a request, lone surrogates replaced."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return clean(json.dumps(body, ensure_ascii=False)).encode()


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Cut a text at the first stop string, for servers that ignore them; True if it was cut."""
    ends = [at for word in stop if (at := text.find(word)) >= 0]
    return (text[: min(ends)], True) if ends else (text, False)


def decode(body: bytes) -> dict[str, Any]:
    """Read a JSON object; raises `InvalidResponse` for anything else.

    Lone surrogates in it are replaced, and numbers that are not finite are null: no record could
    hold them.
    """
    try:
        payload = msgspec.json.decode(body)
    except ValueError:
        # The standard library accepts what some servers send and msgspec refuses (surrogates, NaN).
        try:
            loose = json.loads(body.decode(), parse_constant=_no_number, parse_float=_finite)
            payload = json.loads(clean(json.dumps(loose, ensure_ascii=False)))
        except UnicodeDecodeError:
            raise InvalidResponse("the answer is not UTF-8") from None
        except (ValueError, RecursionError):
            raise InvalidResponse(f"the answer is not JSON: {_head(body)}") from None
    except RecursionError:
        raise InvalidResponse("the answer is nested too deeply") from None
    if not isinstance(payload, dict):
        raise InvalidResponse(f"the answer is no JSON object: {_head(body)}")
    return payload


def _head(body: bytes) -> str:
    return repr(body[:60].decode(errors="replace")) if body else "it is empty"


def _no_number(_: str) -> None:
    """NaN and the infinities are null."""


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def count(value: object) -> int:
    """Return a number of tokens as a server reports it; 0 for what is none."""
    if isinstance(value, int | float) and math.isfinite(value):
        return max(0, int(value))
    return 0
