"""Reads answers of the Messages API; no I/O here."""

from typing import Any

import msgspec

from codeact.episode.effects import Usage
from codeact.episode.messages import JSON, ToolCall
from codeact.models.remote.conversation import made_up_id
from codeact.models.remote.encoding import InvalidResponse, ServerCompletion, clean, count, decode
from codeact.models.remote.errors import parse_error

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""What other APIs call the same; one that is not listed (`pause_turn`) keeps its name."""


def parse_completion(body: bytes, turn: int = 0) -> ServerCompletion:
    """Read a completion; raises `InvalidResponse` for anything else.

    The text is that of all text blocks, the reasoning that of all thinking blocks. Thinking blocks
    and those of kinds that are not known here are the details, unchanged, and go back with the next
    request. Where one of them comes after text or a call, the details tell the order of these, too.
    """
    payload = decode(body)
    blocks = payload.get("content")
    if payload.get("type") == "error":
        raise InvalidResponse(f"an error came as an answer: {parse_error(body).message}")
    if not isinstance(blocks, list):
        raise InvalidResponse("the answer has no content")
    answer = _Blocks(turn)
    for block in blocks:
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise InvalidResponse("a block of the answer's content has no type")
        answer.take(block)
    reason = payload.get("stop_reason")
    return ServerCompletion(
        text=clean("".join(answer.texts)),
        reasoning=clean("\n".join(answer.thoughts)) or None,
        reasoning_details=answer.ordered_details(),
        tool_calls=tuple(answer.calls),
        finish_reason=_REASONS.get(reason, reason) if isinstance(reason, str) else "unknown",
        usage=read_usage(payload.get("usage")),
    )


class _Blocks:
    """The blocks of an answer, sorted; `details` has a mark for each text and each call."""

    def __init__(self, turn: int) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[ToolCall] = []
        self._details: list[tuple[JSON, bool]] = []
        self._turn = turn

    def take(self, block: JSON) -> None:
        kind = block["type"]
        if kind == "text":
            if not self.texts:
                self._details.append(({"type": "text"}, True))
            self.texts.append(_string(block, "text"))
        elif kind == "tool_use":
            call = self._call(block)
            self.calls.append(call)
            self._details.append(({"type": "tool_use", "id": call["id"]}, True))
        else:
            self._details.append((block, False))
            if kind == "thinking" and (thought := _string(block, "thinking")):
                self.thoughts.append(thought)

    def _call(self, block: JSON) -> ToolCall:
        taken = {call["id"] for call in self.calls}
        name = _string(block, "id")
        if not name or name in taken:
            name = made_up_id(self._turn, len(self.calls), taken)
        given = block.get("input")
        return {
            "id": name,
            "name": clean(_string(block, "name")),
            "arguments": given if isinstance(given, str) else msgspec.json.encode(given).decode(),
        }

    def ordered_details(self) -> tuple[JSON, ...]:
        """Return the details, with marks only in front of one that comes after text or a call."""
        last = max((at for at, (_, mark) in enumerate(self._details) if not mark), default=-1)
        return tuple(detail for detail, _ in self._details[: last + 1])


def _string(block: JSON, key: str) -> str:
    value = block.get(key)
    return value if isinstance(value, str) else ""


def read_usage(usage: object) -> Usage | None:
    """Read the tokens; the API counts those of the cache apart from the other input."""
    if not isinstance(usage, dict):
        return None
    cached = count(usage.get("cache_read_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    completion = count(usage.get("output_tokens"))
    details: Any = usage.get("output_tokens_details")
    thoughts = count(details.get("thinking_tokens")) if isinstance(details, dict) else 0
    return Usage(
        prompt=count(usage.get("input_tokens")) + cached + written,
        completion=completion,
        cached=cached,
        reasoning=min(thoughts, completion),
        cache_written=written,
    )
