"""Encodes requests for OpenAI-compatible servers and decodes responses; no I/O here."""

from collections.abc import Sequence

from codeact.episode.effects import Usage
from codeact.episode.messages import Message
from codeact.episode.protocol import ASSISTANT_PREFIX
from codeact.models.remote.encoding import InvalidResponse, ServerCompletion, clean, count, decode
from codeact.models.remote.errors import parse_error


def render_plain(messages: Sequence[Message]) -> str:
    """Write a conversation as one text that the model continues as the assistant."""
    parts = []
    for message in messages:
        text = message["content"]
        if message["role"] == "assistant" and not text.lstrip().startswith(ASSISTANT_PREFIX):
            text = f"{ASSISTANT_PREFIX}\n{text}"
        parts.append(text.removesuffix("\n") + "\n\n")
    return "".join(parts) + ASSISTANT_PREFIX


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
    prompt = count(usage.get("prompt_tokens"))
    cached = count(cached if cached is not None else usage.get("prompt_cache_hit_tokens"))
    return Usage(
        prompt=prompt,
        completion=count(usage.get("completion_tokens")),
        cached=min(cached, prompt),
    )
