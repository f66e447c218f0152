"""Reads what servers say of a failure, in the words and codes of the usual APIs; no I/O here."""

import json
import re
from typing import Any

import msgspec

from codeact.models.remote.encoding import InvalidResponse, decode


class ServerError(msgspec.Struct, frozen=True):
    """A server's own description of a failure; `param` is what it says is wrong, if it does."""

    message: str
    code: str = ""
    param: str = ""


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
    words = message if isinstance(message, str) else json.dumps(message)
    return ServerError(words, str(code), _param(inner, payload))


def _param(*parts: dict[str, Any]) -> str:
    """Return what an error says is wrong: OpenAI's ``param``, or the place that FastAPI names."""
    for part in parts:
        if isinstance(param := part.get("param"), str) and param:
            return param
        for key in ("detail", "message"):
            detail = part.get(key)
            first = detail[0] if isinstance(detail, list) and detail else None
            if isinstance(first, dict) and isinstance(place := first.get("loc"), list):
                return ".".join(str(one) for one in place if one != "body")
    return ""


_CONTEXT_CODES = {
    "context_length_exceeded",
    "exceed_context_size_error",
    "request_too_large",  # Anthropic, beyond 32 MB
    "string_above_max_length",
}
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


_NO_CREDIT = re.compile(r"credit balance is too low", re.IGNORECASE)  # Anthropic, by status 400


def is_out_of_quota(status: int, error: ServerError) -> bool:
    """Whether the server refused because the account may spend no more."""
    if status == 402 or (status == 429 and error.code == "insufficient_quota"):
        return True
    return status == 400 and _NO_CREDIT.search(error.message[:2000]) is not None


_LIMIT = re.compile(
    r"(?:context length|context window|model[ _]len\w*|context limit: \d+ \+ \d+)\D{0,20}(\d+)",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"(\d+) (?:in|from) (?:the|your) (?:messages|prompt|input)"
    r"|(?:at least |contains )(\d+) (?:input )?tokens"
    r"|(\d+) of text input"
    r"|context limit: (\d+) \+ \d+ >",  # Anthropic
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
