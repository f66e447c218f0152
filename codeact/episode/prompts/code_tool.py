"""The `code_tool` strategy: function calling with one function that runs Python."""

from typing import Any

from codeact.episode.messages import ToolCall, ToolSchema
from codeact.episode.prompts.calling import CallingFormat
from codeact.episode.prompts.calls import encodable, read_arguments, shortened
from codeact.episode.prompts.parsing import Fault
from codeact.episode.prompts.worked import Step
from codeact.episode.settings import TurnSettings
from codeact.episode.task import ToolSpec

PYTHON = "python"
_PYTHON = ToolSchema(
    PYTHON,
    "Runs Python code and returns what it prints. Variables are kept from call to call.",
    {
        "type": "object",
        "properties": {"code": {"type": "string", "description": "The code to run."}},
        "required": ["code"],
        "additionalProperties": False,
    },
)
_ACTING = """\
You solve tasks with Python code that is run for you; variables are kept from turn to turn.

In every turn, {think}call a function:

1) python(code) runs code, and you read what it prints.
2) answer(value) gives your final answer, in the form that the task asks for.
"""
_ANSWERING = """\
You solve tasks step by step.

{Think}call answer(value) with your final answer, in the form that the task asks for.
"""


class CodeToolStrategy(CallingFormat):
    """``python(code)`` and ``answer(value)``."""

    name = "code_tool"
    acts_by = "code"
    how_to_go_on = "Call python(code) to run code, or answer(value) to answer."

    def instruction(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        return self.thinking(_ACTING if turns.use_tools else _ANSWERING)

    def functions(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> list[ToolSchema]:
        return [_PYTHON]

    def call(self, step: Step) -> tuple[str, dict[str, Any]]:
        return PYTHON, {"code": step.code}

    def performed(self, name: str, call: ToolCall, tools: tuple[ToolSpec, ...]) -> str:
        if name != PYTHON:
            raise Fault(f"there is no function {shortened(name)}; there are python and answer")
        arguments = read_arguments(call["arguments"])
        code = arguments.get("code")
        if set(arguments) != {"code"} or not isinstance(code, str) or not code.strip():
            raise Fault('the arguments of python are {"code": "…"}')
        return encodable(code)
