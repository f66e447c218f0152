"""Messages between our form and the chat API's: answers that are read, conversations that are sent.

What a model wrote is kept as it wrote it. Only what is sent back is made acceptable to servers:
arguments that are no JSON object, and names that no function can have.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Any

import msgspec

from codeact.episode.messages import Answer, Message, ToolCall, ToolSchema
from codeact.models.openai.reasoning import (
    ReasoningSettings,
    Spelling,
    is_thought,
    joined,
    read_reasoning,
    split_think,
    with_tags,
)

_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64
"""What OpenAI admits as the name of a function."""
INVALID_ARGUMENTS = "invalid_arguments"
"""The key under which arguments that are no JSON object are sent back."""


class ReadAnswer(Answer, frozen=True, kw_only=True):
    """An answer as a server sent it; `spelling` is how it wrote the reasoning."""

    spelling: Spelling | None = None


def read_answer(
    message: Mapping[str, Any], turn: int = 0, *, tags: str | None = None
) -> ReadAnswer:
    """Read an assistant's message; whatever is no text, reasoning or call is an empty text."""
    found = read_reasoning(dict(message))
    text, reasoning, spelling = content_text(message.get("content")), found.text, found.spelling
    if tags == "think":
        thoughts, text = split_think(text)
        reasoning = joined([reasoning or "", thoughts])
        spelling = spelling or ("think" if thoughts else None)
    return ReadAnswer(
        text=text,
        reasoning=reasoning,
        reasoning_details=found.details,
        tool_calls=_read_calls(message, turn),
        spelling=spelling,
    )


def content_text(content: object) -> str:
    """Return the text of a content: a string, or the parts of a list that are text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [
            part.get("text") for part in content if isinstance(part, dict) and not is_thought(part)
        ]
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _read_calls(message: Mapping[str, Any], turn: int) -> tuple[ToolCall, ...]:
    calls = message.get("tool_calls")
    if isinstance(calls, dict):
        calls = [calls]
    if not isinstance(calls, list) or not calls:
        legacy = message.get("function_call")
        calls = [legacy] if isinstance(legacy, dict) else []
    read: list[ToolCall] = []
    taken: set[str] = set()
    for call in calls:
        if isinstance(call, dict):
            name = call.get("id")
            if not isinstance(name, str) or not name or name in taken:
                name = _made_up(turn, len(read), taken)
            taken.add(name)
            read.append(_read_call(name, call))
    return tuple(read)


def _read_call(name: str, call: dict[str, Any]) -> ToolCall:
    inner = next(
        (call[key] for key in ("function", "custom") if isinstance(call.get(key), dict)), call
    )
    arguments = inner.get("arguments", inner.get("input"))
    called = inner.get("name")
    if not isinstance(arguments, str):
        arguments = "" if arguments is None else msgspec.json.encode(arguments).decode()
    return {
        "id": name,
        "name": called if isinstance(called, str) else "",
        "arguments": arguments,
    }


def _made_up(turn: int, place: int, taken: Collection[str]) -> str:
    """Return an id that no other call has, the same one each time.

    It has the nine letters and digits that Mistral insists on.
    """
    names = (f"call{turn:03d}{number:02d}" for number in count(place))
    return next(name for name in names if name not in taken)


def sent_messages(
    messages: Sequence[Message],
    settings: ReasoningSettings,
    spelling: Spelling,
    tools: Sequence[ToolSchema] = (),
) -> Sequence[Any]:
    """Return a conversation as the chat API has it.

    A call that no tool's message directly after it answers is left out, since no server takes it.
    """
    if all(len(message) == 2 for message in messages):
        return messages
    names = {tool.name for tool in tools}
    seen = _with_reasoning_seen(messages, settings.history)
    sent: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        match message["role"]:
            case "assistant":
                one = _sent_assistant(message, _answered(messages, place), names)
                if place in seen:
                    _add_reasoning(one, message, spelling)
            case "tool":
                one = {
                    "role": "tool",
                    "tool_call_id": message.get("tool_call_id", ""),
                    "content": message["content"],
                }
            case role:
                one = {"role": role, "content": message["content"]}
        sent.append(one)
    return sent


def _with_reasoning_seen(messages: Sequence[Message], history: str) -> Collection[int]:
    """Return the places of the messages whose reasoning is sent."""
    places = [
        place
        for place, message in enumerate(messages)
        if message["role"] == "assistant"
        and not {"reasoning", "reasoning_details"}.isdisjoint(message)
    ]
    if history == "keep":
        return places
    last = max((n for n, one in enumerate(messages) if one["role"] == "assistant"), default=-1)
    return [last] if history == "last" and last in places else []


def _answered(messages: Sequence[Message], place: int) -> set[str]:
    """Return the ids that tools' messages directly after this one answer."""
    found = set()
    for message in messages[place + 1 :]:
        if message["role"] != "tool":
            break
        found.add(message.get("tool_call_id", ""))
    return found


def _sent_assistant(message: Message, answered: set[str], names: set[str]) -> dict[str, Any]:
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {
                "name": _sent_name(call["name"], names),
                "arguments": _sent_arguments(call["arguments"]),
            },
        }
        for call in message.get("tool_calls", ())
        if call["id"] in answered
    ]
    if not calls:
        return {"role": "assistant", "content": message["content"]}
    # As OpenAI itself writes it; some servers refuse an empty text.
    return {"role": "assistant", "content": message["content"] or None, "tool_calls": calls}


def _add_reasoning(one: dict[str, Any], message: Message, spelling: Spelling) -> None:
    if (reasoning := message.get("reasoning")) is not None:
        if spelling == "think":
            one["content"] = with_tags(reasoning, one["content"] or "")
        else:
            one[spelling] = reasoning
    if details := message.get("reasoning_details"):
        one["reasoning_details"] = details


def _sent_name(name: str, names: set[str]) -> str:
    """Return a function's name; one that is not offered is made one that a server can read."""
    if name in names:
        return name
    return _NO_NAME.sub("_", name)[:_LONGEST_NAME] or "unknown"


def _sent_arguments(arguments: str) -> str:
    """Return arguments as a JSON object: servers read them for their chat templates.

    Other text is one, too, under the key `INVALID_ARGUMENTS`, so that the model still sees it.
    """
    if not arguments.strip():
        return "{}"
    try:
        if isinstance(msgspec.json.decode(arguments), dict):
            return arguments
    except (ValueError, RecursionError):
        pass
    return msgspec.json.encode({INVALID_ARGUMENTS: arguments}).decode()


def sent_tools(tools: Sequence[ToolSchema]) -> list[dict[str, Any]]:
    """Return functions as the chat API offers them."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            },
        }
        for tool in tools
    ]
