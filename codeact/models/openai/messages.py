"""Messages between our form and the chat API's: answers that are read, conversations that are sent.

What a model wrote is kept as it wrote it. Only what is sent back is made acceptable to servers:
arguments that are no JSON object, and names that no function can have.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from codeact.episode.messages import (
    Answer,
    Message,
    ToolCall,
    ToolSchema,
    arguments_of,
    chat_call,
)
from codeact.models.openai.reasoning import (
    ReasoningSettings,
    Spelling,
    is_thought,
    joined,
    read_reasoning,
    split_think,
    with_tags,
)
from codeact.models.remote.conversation import (
    answered_calls,
    as_name,
    as_object,
    made_up_id,
    places_with_reasoning,
)


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
                name = made_up_id(turn, len(read), taken)
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
    seen = places_with_reasoning(messages, settings.history)
    sent: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        match message["role"]:
            case "assistant":
                one = _sent_assistant(message, answered_calls(messages, place), names)
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


def _sent_assistant(message: Message, answered: set[str], names: set[str]) -> dict[str, Any]:
    calls = [
        chat_call(_acceptable(call, names))
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


def _acceptable(call: ToolCall, names: set[str]) -> ToolCall:
    """Return a call whose arguments are a JSON object: servers read them for their templates."""
    arguments = call["arguments"]
    if arguments_of(call) is None:
        arguments = msgspec.json.encode(as_object(call)).decode()
    name = call["name"] if call["name"] in names else as_name(call["name"])
    return {"id": call["id"], "name": name, "arguments": arguments}


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
