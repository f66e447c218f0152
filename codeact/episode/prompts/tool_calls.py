"""The `tool_calls` strategy: function calling with one function for each tool of the task."""

import re
from typing import Any

from codeact.episode.messages import RequestOptions, ToolCall, ToolSchema
from codeact.episode.prompts.calling import ANSWER, CallingFormat
from codeact.episode.prompts.calls import SETUP, code_of_call, read_arguments, refuse_long
from codeact.episode.prompts.worked import Step
from codeact.episode.schemas import tool_schema
from codeact.episode.settings import TurnSettings
from codeact.episode.task import ToolSpec
from codeact.exceptions import ConfigError

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What the APIs take as the name of a function."""
_ACTING = """\
You solve tasks with the help of functions.

In every turn, {think}call functions, whose results you then read. Calls of one message are \
performed in their order. With answer(value) you give your final answer, in the form that the task \
asks for.
"""
_ANSWERING = """\
You solve tasks step by step.

{Think}call answer(value) with your final answer, in the form that the task asks for.
"""


class ToolCallsStrategy(CallingFormat):
    """A function for each tool of the task, and ``answer(value)``; a task without has only that."""

    name = "tool_calls"
    acts_by = "tools"
    reserved = (ANSWER, "call_tool")
    setup = SETUP
    how_to_go_on = "Call a function, or answer(value) to answer."

    def instruction(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        return self.thinking(_ACTING if turns.use_tools and tools else _ANSWERING)

    def functions(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> list[ToolSchema]:
        return [tool_schema(tool) for tool in tools]

    def options(
        self, turns: TurnSettings, tools: tuple[ToolSpec, ...], *, plain: bool
    ) -> RequestOptions:
        for tool in tools:
            if not _NAME.fullmatch(tool.name):
                raise ConfigError(
                    f"prompt={self.name}: the tool {tool.name!r} cannot be a function of the "
                    "API, whose names are of 1 to 64 letters of ASCII, digits, _ and -"
                )
        return super().options(turns, tools, plain=plain)

    def call(self, step: Step) -> tuple[str, dict[str, Any]]:
        return step.tool, dict(step.arguments)

    def performed(self, name: str, call: ToolCall, tools: tuple[ToolSpec, ...]) -> str:
        refuse_long(call["arguments"])
        return code_of_call(name, read_arguments(call["arguments"]), tools)
