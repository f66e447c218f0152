"""Lines of conversation files, in the shapes that public data sets have.

Ours is ``{id, conversations: [{role, content}]}``. ShareGPT has ``{from, value}`` in place of role
and content, OpenAI's chat ``{messages: [{role, content}]}``, OpenOrca one question and response.
Ours and OpenAI's may have reasoning, tool calls and tools' results.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

import msgspec

from codeact.collection.calls import flat
from codeact.collection.conversion import Conversation
from codeact.episode.messages import Message, ToolCall
from codeact.jsonl import SourceLine

Role = Literal["system", "user", "assistant", "tool"]

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bing": "assistant",
    "bard": "assistant",
}
_TOOLS = {"function", "function_call", "function_response", "observation", "tool_calls", "tool"}


class _Said(msgspec.Struct):
    """One message of our own shape; a mask that it has holds."""

    role: Role
    content: str
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    loss: bool | None = None
    spans: list[list[int]] | None = None


class _Own(msgspec.Struct):
    """A line of our own shape."""

    id: str
    conversations: list[_Said]


_OWN = msgspec.json.Decoder(_Own)


def conversation_of(line: bytes, place: SourceLine) -> Conversation:
    """Return the conversation of a line; raises `ValueError` for a line of no known shape.

    A message that its line leaves out of training (``loss: false``, ``weight: 0``) stays out. A
    conversation without an id is called by its file and line.
    """
    try:
        own = _OWN.decode(line)
    except msgspec.ValidationError as error:
        return _general(msgspec.json.decode(line), place, error)
    messages = [_own_message(one) for one in own.conversations]
    untrained = [
        number
        for number, one in enumerate(own.conversations)
        if one.role == "assistant" and one.loss is False and not one.spans
    ]
    return Conversation(own.id, messages, untrained)


def _own_message(one: _Said) -> Message:
    message: Message = {"role": one.role, "content": one.content}
    if one.reasoning is not None:
        message["reasoning"] = one.reasoning
    if one.tool_calls:
        message["tool_calls"] = one.tool_calls
    if one.tool_call_id is not None:
        message["tool_call_id"] = one.tool_call_id
    return message


_OF_EPISODES = {"messages", "turns", "outcome"}
"""Keys of an episode's record, which is no conversation although it has messages."""


def _general(row: Any, place: SourceLine, error: msgspec.ValidationError) -> Conversation:
    if not isinstance(row, dict):
        raise error
    if row.keys() >= _OF_EPISODES:
        raise ValueError("it is a recorded episode; codeact select makes conversations of those")
    messages: list[Message] = []
    untrained: list[int] = []
    if isinstance(row.get("messages"), list):
        said = row["messages"]
        for number, one in enumerate(said, 1):
            messages.append(_chat_message(one, number))
            if one.get("weight") == 0:
                untrained.append(number - 1)
    elif isinstance(row.get("conversations"), list):
        messages = [
            _chat_message(one, number) if _has(one, "role") else _shared_message(one, number)
            for number, one in enumerate(row["conversations"], 1)
        ]
        if row.get("system"):
            messages.insert(0, _message("system", row["system"], 0))
    elif "question" in row and "response" in row:
        if row.get("system_prompt"):
            messages.append(_message("system", row["system_prompt"], 0))
        messages.append(_message("user", row["question"], 1))
        messages.append(_message("assistant", row["response"], 2))
    else:
        _refuse_shape(row)
    name = row.get("id")
    if name is None or name == "":
        name = f"{Path(place.file).name.partition('.')[0]}:{place.line}"
    return Conversation(str(name), messages, untrained)


def _refuse_shape(row: Mapping[str, Any]) -> NoReturn:
    keys = ", ".join(list(row)[:8]) or "none"
    raise ValueError(
        "its shape is unknown: it has neither conversations (ours, ShareGPT), nor messages "
        f"(OpenAI), nor question and response (OpenOrca); its keys are {keys}"
    )


def _has(one: Any, key: str) -> bool:
    return isinstance(one, dict) and key in one


def _shared_message(one: Any, number: int) -> Message:
    """A message of ShareGPT."""
    if not _has(one, "from") or "value" not in one:
        raise ValueError(f"its message {number} has neither role and content nor from and value")
    return _message(one["from"], one["value"], number)


def _chat_message(one: Any, number: int) -> Message:
    """A message of OpenAI's chat, whose content may be in parts."""
    if not _has(one, "role"):
        raise ValueError(f"its message {number} has no role")
    if one.get("function_call"):
        _refuse_tools(number)
    calls = flat(one.get("tool_calls") or [], number)
    content = one.get("content")
    if content is None and calls:
        content = ""
    if isinstance(content, list):
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in content):
            raise ValueError(f"its message {number} has parts that are no text")
        content = "".join(str(part.get("text", "")) for part in content)
    if one["role"] == "tool" and isinstance(content, str):
        called = one.get("tool_call_id")
        return {"role": "tool", "content": content, "tool_call_id": str(called or "")}
    message = _message(one["role"], content, number)
    if calls:
        message["tool_calls"] = calls
    if (reasoning := _reasoning(one, number)) is not None:
        message["reasoning"] = reasoning
    return message


def _reasoning(one: dict[str, Any], number: int) -> str | None:
    """The reasoning beside a message's text, by either name that servers have for it."""
    named = [one[key] for key in ("reasoning_content", "reasoning") if one.get(key) is not None]
    if not named:
        return None
    if not isinstance(named[0], str) or any(other != named[0] for other in named):
        raise ValueError(f"its message {number} has reasoning that is no text, or two of them")
    return named[0]


def _message(role: Any, content: Any, number: int) -> Message:
    name = role.lower() if isinstance(role, str) else ""
    if name in _TOOLS:
        _refuse_tools(number)
    if name not in _ROLES:
        raise ValueError(
            f"its message {number} is of the role {role!r}, which is none of "
            f"{', '.join(sorted(_ROLES))}"
        )
    if not isinstance(content, str):
        raise ValueError(f"its message {number} has no text")  # noqa: TRY004 - of the line's value
    return cast(Message, {"role": _ROLES[name], "content": content})


def _refuse_tools(number: int) -> NoReturn:
    raise ValueError(
        f"its message {number} calls a tool or is what one gave back in a shape without ids; "
        "OpenAI's tool_calls and tool messages are read"
    )
