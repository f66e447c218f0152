"""Conversations as the Messages API has them: blocks of content, users and assistants by turns.

The API refuses text blocks that are blank, results of no call, and calls without a result. It wants
thinking blocks back as it sent them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from codeact.episode.messages import JSON, Message, ToolCall, ToolSchema
from codeact.models.remote.conversation import (
    History,
    answered_calls,
    as_name,
    as_object,
    places_with_reasoning,
)

THOUGHTS = ("thinking", "redacted_thinking")


class SentConversation(NamedTuple):
    """A conversation for a request; every block but those of a model's reasoning is new."""

    system: list[JSON]
    messages: list[JSON]


def sent_conversation(messages: Sequence[Message], history: History) -> SentConversation:
    """Return a conversation as the API takes it.

    System messages in front become the request's own `system`; later ones stay where they are.
    Consecutive messages of one role are one message, as the API counts them.
    """
    opening = next((at for at, one in enumerate(messages) if one["role"] != "system"), 0)
    system = [block for one in messages[:opening] for block in _text_blocks(one["content"])]
    seen = places_with_reasoning(messages, history)
    sent: list[JSON] = []
    unanswered: set[str] = set()
    for place, message in enumerate(messages[opening:], opening):
        role = message["role"]
        if role == "assistant":
            unanswered = answered_calls(messages, place)
            details = message.get("reasoning_details", []) if place in seen else []
            calls = [call for call in message.get("tool_calls", ()) if call["id"] in unanswered]
            unanswered = {call["id"] for call in calls}
            _add(sent, role, _assistant_blocks(details, message["content"], calls))
        elif role == "tool":
            _add(sent, "user", _result_blocks(message, unanswered))
        else:
            _add(sent, role, _text_blocks(message["content"]))
    for one in sent:
        if one["role"] == "user":
            # The API wants the results of calls before any text that goes with them.
            one["content"].sort(key=lambda block: block["type"] != "tool_result")
    _end_in_text(sent)
    return SentConversation(system, sent)


def _add(sent: list[JSON], role: str, blocks: list[JSON]) -> None:
    if not blocks:
        return
    if sent and sent[-1]["role"] == role:
        before = sent[-1]["content"]
        if before[0]["type"] not in THOUGHTS:
            # An answer's thoughts come first, or not at all.
            blocks = [block for block in blocks if block["type"] not in THOUGHTS]
        before += blocks
    else:
        sent.append({"role": role, "content": blocks})


def _text_blocks(text: str) -> list[JSON]:
    return [{"type": "text", "text": text}] if text.strip() else []


def _result_blocks(message: Message, unanswered: set[str]) -> list[JSON]:
    """Return the result of a call; as text where there is no such call, or it has its result."""
    name = message.get("tool_call_id", "")
    if name not in unanswered:
        return _text_blocks(message["content"])
    unanswered.discard(name)
    result = {"type": "tool_result", "tool_use_id": as_name(name)}
    if message["content"].strip():
        result["content"] = message["content"]
    return [result]


def _assistant_blocks(details: list[Any], text: str, calls: list[ToolCall]) -> list[JSON]:
    """Put together what an answer consisted of, in the order that its details tell."""
    blocks: list[JSON] = []
    texts, left = _text_blocks(text), {call["id"]: call for call in calls}
    for detail in details:
        kind = detail.get("type") if isinstance(detail, dict) else None
        if kind == "text":
            blocks += texts
            texts = []
        elif kind == "tool_use":
            if (call := left.pop(detail.get("id"), None)) is not None:
                blocks.append(_call_block(call))
        elif isinstance(kind, str) and "." not in kind:
            # Other APIs' details have kinds such as reasoning.text, which this one does not know.
            blocks.append(detail)
    return [*blocks, *texts, *map(_call_block, left.values())]


def _call_block(call: ToolCall) -> JSON:
    return {
        "type": "tool_use",
        "id": as_name(call["id"]),
        "name": as_name(call["name"]),
        "input": as_object(call),
    }


def _end_in_text(sent: list[JSON]) -> None:
    """Make an assistant's last message one that the API continues: no thought, no blank end."""
    if not sent or sent[-1]["role"] != "assistant":
        return
    blocks = sent[-1]["content"]
    while blocks and blocks[-1]["type"] in THOUGHTS:
        blocks.pop()
    if not blocks:
        sent.pop()
    elif blocks[-1]["type"] == "text":
        blocks[-1]["text"] = blocks[-1]["text"].rstrip()


def sent_tools(tools: Sequence[ToolSchema]) -> list[JSON]:
    """Return functions as the API offers them."""
    return [
        {"name": one.name, "description": one.description, "input_schema": one.parameters}
        for one in tools
    ]
