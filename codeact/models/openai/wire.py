"""Encodes requests for OpenAI-compatible servers and decodes responses; no I/O here."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from codeact.episode.effects import Usage
from codeact.episode.messages import Message
from codeact.episode.protocol import ASSISTANT_PREFIX
from codeact.web import number


class InvalidResponse(ValueError):
    """The server sent status 200 and something that is no completion."""


class ServerCompletion(msgspec.Struct, frozen=True):
    """A completion as the server sent it; `usage` is None if it reported none."""

    text: str
    finish_reason: str
    usage: Usage | None


class ServerError(msgspec.Struct, frozen=True):
    """A server's own description of a failure."""

    message: str
    code: str = ""


def render_plain(messages: Sequence[Message]) -> str:
    """Write a conversation as one text that the model continues as the assistant."""
    parts = []
    for message in messages:
        text = message["content"]
        if message["role"] == "assistant" and not text.lstrip().startswith(ASSISTANT_PREFIX):
            text = f"{ASSISTANT_PREFIX}\n{text}"
        parts.append(text.removesuffix("\n") + "\n\n")
    return "".join(parts) + ASSISTANT_PREFIX


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


def parse_completion(body: bytes) -> ServerCompletion:
    """Read a completion of either API; raises `InvalidResponse` for anything else.

    No text (null, or tool calls in its place) is an empty text: the protocol knows what that is.
    """
    payload = decode(body)
    choices = payload.get("choices")
    if choices is None and payload.get("error") is not None:
        raise InvalidResponse(f"an error came as an answer: {parse_error(body).message}")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise InvalidResponse("the answer has no choices")
    choice = choices[0]
    if isinstance(choice.get("message"), dict):
        content = choice["message"].get("content")
    elif "text" in choice:
        content = choice["text"]
    else:
        raise InvalidResponse("the answer's choice has neither message nor text")
    reason = choice.get("finish_reason")
    return ServerCompletion(
        text=clean(_text(content)),
        finish_reason=reason if isinstance(reason, str) else "unknown",
        usage=_usage(payload.get("usage")),
    )


def decode(body: bytes) -> dict[str, Any]:
    """Read a JSON object; raises `InvalidResponse` for anything else."""
    try:
        payload = msgspec.json.decode(body)
    except ValueError:
        # The standard library accepts what some servers send and msgspec refuses (surrogates, NaN).
        try:
            payload = json.loads(body.decode())
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


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    prompt = _count(usage.get("prompt_tokens"))
    cached = _count(cached if cached is not None else usage.get("prompt_cache_hit_tokens"))
    return Usage(
        prompt=prompt,
        completion=_count(usage.get("completion_tokens")),
        cached=min(cached, prompt),
    )


def reported_usage(body: bytes) -> Usage | None:
    """Return the usage in an answer that may be anything else; None if there is none."""
    try:
        return _usage(decode(body).get("usage"))
    except InvalidResponse:
        return None


def _count(value: object) -> int:
    if isinstance(value, int | float) and math.isfinite(value):
        return max(0, int(value))
    return 0


def parse_error(body: bytes) -> ServerError:
    """Read the server's error in any of the usual shapes, or take the whole body."""
    try:
        payload: Any = decode(body)
    except InvalidResponse:
        return ServerError(body.decode(errors="replace"))
    inner = payload.get("error", payload)
    if not isinstance(inner, dict):
        return ServerError(str(inner))
    message = inner.get("message") or inner.get("detail") or inner
    code = inner.get("code") or inner.get("type") or ""
    return ServerError(message if isinstance(message, str) else json.dumps(message), str(code))


_CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
_CONTEXT_WORDS = re.compile(
    r"maximum context length"  # OpenAI, vLLM, DeepSeek, Mistral
    r"|max(?:imum)? model (?:len|length)|max_model_len"  # vLLM, older and newer
    r"|model'?s? context length|context length (?:exceeded|of only)"  # SGLang, LM Studio
    r"|(?:exceeds?|overflows?) (?:the )?(?:available |model'?s? )?context"  # llama.cpp
    r"|context (?:window|limit|size)[^.]{0,60}\bexceed"
    r"|\bexceed[^.]{0,60}context (?:window|limit|size)"
    r"|`inputs` (?:tokens \+|must have less than)"  # TGI
    r"|(?:prompt|input) is too long|prompt too long"  # Anthropic, Bedrock, Fireworks
    r"|input (?:token count|length)[^.]{0,60}\bexceed"  # Gemini, Anthropic
    r"|reduce the length of (?:the|your) (?:messages|prompt|input)",  # Groq, OpenAI
    re.IGNORECASE,
)


def is_context_overflow(error: ServerError) -> bool:
    """Whether the server refused because the conversation and its answer do not fit."""
    return error.code in _CONTEXT_CODES or _CONTEXT_WORDS.search(error.message) is not None


_MODEL_CODES = {"model_not_found", "model_not_exist", "invalid_model", "model_not_available"}
_MODEL_WORDS = re.compile(
    r"\bmodels?\b[^.\n]{0,200}\b(?:does not exist|do not exist|doesn'?t exist|not exist|not found)"
    r"|\b(?:unknown|invalid|no such|unrecognized|unsupported) model\b"  # LiteLLM, Mistral
    r"|\bno model (?:named|called)\b"
    r"|\bmodel\b[^.\n]{0,120}\bis not (?:available|served|deployed|loaded)\b",
    re.IGNORECASE,
)


def is_wrong_model(error: ServerError) -> bool:
    """Whether the server refused because it has no model of that name."""
    return error.code in _MODEL_CODES or _MODEL_WORDS.search(error.message[:2000]) is not None


_LIMIT = re.compile(
    r"(?:context length|context window|model[ _]len\w*)\D{0,20}(\d+)", re.IGNORECASE
)
_PROMPT = re.compile(
    r"(\d+) (?:in|from) (?:the|your) (?:messages|prompt|input)"
    r"|(?:at least |contains )(\d+) (?:input )?tokens"
    r"|(\d+) of text input",
    re.IGNORECASE,
)


def context_limit(error: ServerError) -> int | None:
    """Return the size of the model's context in tokens, if the refusal has it."""
    limit = _LIMIT.search(error.message)
    return int(limit[1]) if limit else None


def room_left(error: ServerError) -> int | None:
    """Return how many tokens a completion may have, if the refusal gives both numbers."""
    limit, prompt = context_limit(error), _PROMPT.search(error.message)
    if limit is None or prompt is None:
        return None
    return limit - next(int(group) for group in prompt.groups() if group is not None)


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
