"""Tool calls of messages in the shape of the chat APIs, and in that of chat templates."""

from collections.abc import Sequence
from typing import Any

import msgspec

from codeact.episode.messages import JSON, ToolCall, arguments_of, chat_call


def of_template(calls: Sequence[ToolCall]) -> list[JSON]:
    """Return calls as chat templates take them, with an object of arguments.

    Raises `ValueError` where the model wrote something else.
    """
    made = [chat_call(call) for call in calls]
    for call, one in zip(calls, made, strict=True):
        if (arguments := arguments_of(call)) is None:
            raise ValueError(
                f"it calls {call['name']} with arguments that are no JSON object, which is all "
                "that chat templates take"
            )
        one["function"]["arguments"] = arguments
    return made


def flat(calls: Any, number: int) -> list[ToolCall]:
    """Return the calls of message `number` of any of these shapes; raises `ValueError`."""
    if not isinstance(calls, list):
        raise ValueError(f"the tool_calls of its message {number} are no list")  # noqa: TRY004
    return [_flat(call, number) for call in calls]


def _flat(call: Any, number: int) -> ToolCall:
    function = call.get("function", call) if isinstance(call, dict) else {}
    if not isinstance(function, dict) or not isinstance(name := function.get("name"), str):
        raise ValueError(f"a tool call of its message {number} has no name")  # noqa: TRY004
    arguments = function.get("arguments", "")
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    found = call.get("id")
    return ToolCall(id=found if isinstance(found, str) else "", name=name, arguments=arguments)
