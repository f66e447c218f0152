"""A server on loopback that speaks Anthropic's Messages API, faults and prompt cache included.

It refuses what the API refuses, in the API's words, and counts what its cache holds: a prefix of
blocks is found where an earlier request had a breakpoint, at most 20 blocks in front of one of this
request's. A token of it is a letter of a block's JSON, so that counts are exact.

By itself: ``python -m tests.helpers.fake_anthropic --port 8000 --latency 0.5``.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.helpers.fake_api import FakeApi, Handler, Reply, Seen, main

_LOOKBACK = 20
_KNOWN = {
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "stop_sequences",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
}

_THOUGHTS = ("thinking", "redacted_thinking")


@dataclass(frozen=True)
class ClaudeReply(Reply):
    """An answer of these blocks, or of `text` where there are none."""

    blocks: list[Any] | None = None
    stop_reason: str = "end_turn"
    thinking_tokens: int = 0


class FakeAnthropic(FakeApi):
    """As `FakeApi`; `key` is the only one admitted, `output` the tokens that each answer counts."""

    routes = ("/v1/messages",)

    def __init__(
        self, replies: Sequence[Reply | str] | Handler = ("ok",), *, latency: float = 0.0
    ) -> None:
        super().__init__(replies, latency=latency)
        self.key: str | None = None
        self.output = 7
        self.cache: set[str] = set()
        self.usages: list[dict[str, Any]] = []
        """What each answer took by its own count."""

    def _next(self, seen: Seen) -> Reply:
        return self._worded(seen, self._refusal(seen) or super()._next(seen))

    def _rehearsed(self, seen: Seen) -> Reply:
        reply = self._refusal(seen) or super()._rehearsed(seen)
        if reply.usage == Reply().usage:
            reply = replace(reply, usage={"input_tokens": 11, "output_tokens": 1})
        return self._worded(seen, reply)

    def _worded(self, seen: Seen, reply: Reply) -> Reply:
        if reply.body is not None:
            return reply
        if reply.status != 200:
            body = error(reply.text or "", _KINDS.get(reply.status, "api_error"))
            return replace(reply, body=body)
        return replace(reply, body=json.dumps(self._message(seen, reply)).encode())

    def _refusal(self, seen: Seen) -> Reply | None:
        if "anthropic-version" not in seen.headers:
            return Reply(status=400, text="anthropic-version: header is required")
        given = {seen.headers.get("x-api-key"), seen.headers.get("Authorization")}
        if self.key is not None and not given & {self.key, f"Bearer {self.key}"}:
            return Reply(status=401, text="invalid x-api-key")
        why = next(faults_of(seen.body), None)
        return Reply(status=400, text=why) if why else None

    def _message(self, seen: Seen, reply: Reply) -> dict[str, Any]:
        blocks = getattr(reply, "blocks", None)
        if blocks is None:
            blocks = [{"type": "text", "text": reply.text}] if reply.text else []
        usage: dict[str, Any] | None = reply.usage
        if usage == Reply().usage:
            usage = self._usage(seen.body) | {"output_tokens": self.output}
            if thoughts := getattr(reply, "thinking_tokens", 0):
                usage["output_tokens_details"] = {"thinking_tokens": thoughts}
            self.usages.append(usage)
        return {
            "id": "msg_fake",
            "type": "message",
            "role": "assistant",
            "model": seen.body["model"],
            "content": blocks,
            "stop_reason": getattr(reply, "stop_reason", "end_turn"),
            "stop_sequence": None,
            "usage": usage,
        }

    def _usage(self, body: dict[str, Any]) -> dict[str, int]:
        """Count the prompt as the cache leaves it, and take in what this request writes."""
        counted = prefixes(body)
        marked = [at for at, (_, _, is_marked) in enumerate(counted) if is_marked]
        hits = (
            before
            for at in reversed(marked)
            for before in range(at, max(-1, at - _LOOKBACK), -1)
            if counted[before][0] in self.cache
        )
        hit = next(hits, None)
        last = marked[-1] if marked else None
        read = 0 if hit is None else counted[hit][1]
        written = 0 if last is None else counted[last][1]
        self.cache |= {counted[at][0] for at in marked}
        return {
            "input_tokens": counted[-1][1] - max(read, written),
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": max(0, written - read),
        }


_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error(message: str, kind: str) -> bytes:
    """An error as the API words it."""
    told = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return json.dumps(told).encode()


def prefixes(body: dict[str, Any]) -> list[tuple[str, int, bool]]:
    """For each block of a request, the digest and size of all up to it, and if it is marked."""
    found: list[tuple[str, int, bool]] = []
    digest, size = hashlib.sha256(body["model"].encode()), 0
    for place, block in _blocks(body):
        bare = {key: value for key, value in block.items() if key != "cache_control"}
        text = json.dumps(bare, sort_keys=True)
        digest.update(f"{place}{text}\0".encode())
        size += len(text)
        found.append((digest.copy().hexdigest(), size, "cache_control" in block))
    return found


def _blocks(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in ("tools", "system"):
        for block in body.get(key, ()):
            yield key, block
    for message in body["messages"]:
        for block in _content(message):
            yield message["role"], block


def _content(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def faults_of(body: dict[str, Any]) -> Iterator[str]:
    """What the API would refuse a request for."""
    if unknown := sorted(body.keys() - _KNOWN):
        yield f"{unknown[0]}: Extra inputs are not permitted"
    if not isinstance(body.get("max_tokens"), int):
        yield "max_tokens: Field required"
    if any(not one.strip() for one in body.get("stop_sequences", ())):
        yield "stop_sequences: each stop sequence must contain non-whitespace"
    if not body.get("messages"):
        yield "messages: at least one message is required"
        return
    blocks = list(_blocks(body))
    if sum("cache_control" in block for _, block in blocks) > 4:
        yield "A maximum of 4 blocks with cache_control may be provided."
    for _, block in blocks:
        if block.get("type") == "text" and not block["text"].strip():
            yield "messages: text content blocks must contain non-whitespace text"
        if block.get("type") in _THOUGHTS and "cache_control" in block:
            yield "cache_control: Extra inputs are not permitted"
    yield from _thinking_faults(body)
    yield from _message_faults(body["messages"])


def _thinking_faults(body: dict[str, Any]) -> Iterator[str]:
    thinking = body.get("thinking", {"type": "disabled"})
    if thinking["type"] == "disabled":
        return
    if body.get("temperature", 1) != 1:
        yield "`temperature` may only be set to 1 when thinking is enabled"
    if thinking["type"] == "enabled" and thinking["budget_tokens"] >= body["max_tokens"]:
        yield "`max_tokens` must be greater than `thinking.budget_tokens`"
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        yield "Thinking may not be enabled when tool_choice forces tool use."
    last = [one for one in body["messages"] if one["role"] == "assistant"][-1:]
    kinds = [block["type"] for one in last for block in _content(one)]
    if "tool_use" in kinds and kinds[0] not in _THOUGHTS:
        yield f"Expected `thinking` or `redacted_thinking`, but found `{kinds[0]}`"


def _message_faults(messages: list[dict[str, Any]]) -> Iterator[str]:
    owed: list[str] = []
    before = ""
    for at, message in enumerate(messages):
        kinds = [block["type"] for block in _content(message)]
        if message["role"] == before:
            # The API itself puts them together; a client that leaves that to it has not thought.
            yield f"messages.{at}: roles must alternate"
        before = message["role"]
        results = [one["tool_use_id"] for one in _content(message) if one["type"] == "tool_result"]
        if sorted(results) != sorted(owed) or kinds[: len(results)] != ["tool_result"] * len(
            results
        ):
            yield f"messages.{at}: `tool_use` ids without `tool_result` blocks: {', '.join(owed)}"
        owed = [block["id"] for block in _content(message) if block["type"] == "tool_use"]
        if len({*owed}) < len(owed):
            yield f"messages.{at}: `tool_use` ids must be unique"
        if any(not isinstance(one["input"], dict) for one in _content(message) if "input" in one):
            yield f"messages.{at}: tool_use.input: Input should be a valid dictionary"
        if set(kinds) & {*_THOUGHTS} and kinds[0] not in _THOUGHTS:
            yield f"messages.{at}: the first block must be thinking. Found {kinds[0]}."
    if messages[-1]["role"] == "assistant":
        last = _content(messages[-1])[-1]
        if last["type"] in _THOUGHTS:
            yield "The final block in an assistant message cannot be `thinking`."
        if last.get("text", "").rstrip() != last.get("text", ""):
            yield "messages: final assistant content cannot end with trailing whitespace"


if __name__ == "__main__":
    main(FakeAnthropic)
