"""Messages of a conversation, what a model writes in one, and what it is offered to write.

A message has the chat APIs' own shape, with two differences. Tool calls are flat (`id`, `name`,
`arguments`), and the text that a model reasoned in is `reasoning`, whatever a server calls it.
"""

from typing import Any, Literal, NotRequired, TypedDict

import msgspec

JSON = dict[str, Any]


class ToolCall(TypedDict):
    """A function that a model calls; `arguments` is the text that it wrote, JSON or not."""

    id: str
    name: str
    arguments: str


def chat_call(call: ToolCall) -> JSON:
    """Return a call in the chat APIs' own shape."""
    function = {"name": call["name"], "arguments": call["arguments"]}
    return {"id": call["id"], "type": "function", "function": function}


class Message(TypedDict):
    """One message of a conversation.

    An assistant's message may have `reasoning`, `reasoning_details` (a server's own form of it,
    which it wants back unchanged) and `tool_calls`. A tool's message says by `tool_call_id` which
    call it is the result of.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    reasoning: NotRequired[str]
    reasoning_details: NotRequired[list[Any]]
    tool_calls: NotRequired[list[ToolCall]]
    tool_call_id: NotRequired[str]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a model wrote in one turn: its text, and apart from it its reasoning and its calls."""

    text: str = ""
    reasoning: str | None = None
    reasoning_details: tuple[Any, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


class ToolSchema(msgspec.Struct, frozen=True):
    """A function that a model may call by the API; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: JSON


class RequestOptions(msgspec.Struct, frozen=True):
    """What a request carries beside its messages.

    `tools` are functions that the model may call, and `response_format` is the form that its text
    has to have, as the API words it; None leaves it free.
    """

    stop: tuple[str, ...] = ()
    tools: tuple[ToolSchema, ...] = ()
    response_format: JSON | None = None


def assistant_message(answer: Answer, content: str) -> Message:
    """Return an answer as a message whose text is `content`."""
    message: Message = {"role": "assistant", "content": content}
    if answer.reasoning is not None:
        message["reasoning"] = answer.reasoning
    if answer.reasoning_details:
        message["reasoning_details"] = list(answer.reasoning_details)
    if answer.tool_calls:
        message["tool_calls"] = list(answer.tool_calls)
    return message


def answer_of(message: Message, text: str) -> Answer:
    """Return the answer that an assistant's message records; `text` is as the model wrote it."""
    return Answer(
        text=text,
        reasoning=message.get("reasoning"),
        reasoning_details=tuple(message.get("reasoning_details", ())),
        tool_calls=tuple(message.get("tool_calls", ())),
    )


def arguments_of(call: ToolCall) -> JSON | None:
    """Return a call's arguments; None where what the model wrote is no JSON object."""
    try:
        found = msgspec.json.decode(call["arguments"])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def as_text(message: Message) -> str:
    """Return a message's content and calls as one text, without reasoning: for who reads along."""
    calls = [f"{call['name']}({call['arguments']})" for call in message.get("tool_calls", ())]
    return "\n".join(part for part in [message["content"], *calls] if part)
