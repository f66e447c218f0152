"""The `text` strategy: act by one line ``Action: tool(key=value)``, answer by ``Answer: …``."""

import ast
import warnings
from typing import Any

from codeact.episode.messages import Answer
from codeact.episode.prompts.base import Action
from codeact.episode.prompts.calls import SETUP, code_of_call
from codeact.episode.prompts.format import ActionFormat
from codeact.episode.prompts.parsing import Fault, answer_after, marked_line
from codeact.episode.prompts.worked import Step
from codeact.episode.schemas import parameters_of
from codeact.episode.settings import TurnSettings
from codeact.episode.task import ToolSpec

ACTION, ANSWER = "Action:", "Answer:"
LONGEST_ACTION = 10_000
"""Characters of an action's line."""
_JSON_NAMES = {"true": True, "false": False, "null": None}
_ACTING = """\
You solve tasks with the help of tools.

In every turn, {think}do exactly one of these two things:

1) Call a tool by one line, and read its result, for example:
Action: add(first=12, second=30)
2) Give your final answer in the form that the task asks for, for example:
Answer: 42
An answer of several lines, such as a function, follows under a line with nothing but Answer:
"""
_ANSWERING = """\
You solve tasks step by step.

{think}give your final answer in the form that the task asks for, on a line of its own:
Answer: 42
An answer of several lines, such as a function, follows under a line with nothing but Answer:
"""


class TextStrategy(ActionFormat):
    """``Action: tool(key=value, …)`` or ``Answer: …`` at the start of a line."""

    name = "text"
    acts_by = "tools"
    reserved = ("call_tool",)
    setup = SETUP
    how_to_go_on = (
        "To call a tool, write one line Action: tool(key=value), whose values are literals. To "
        "answer, write a line that begins with Answer:"
    )
    how_to_answer = "write a line that begins with Answer:"

    def instruction(self, turns: TurnSettings, tools: tuple[ToolSpec, ...]) -> str:
        thinks = self.style.thought
        if turns.use_tools and tools:
            return _ACTING.format(think="write a line that begins with Thought: and then " * thinks)
        text = _ANSWERING.format(think="Write a line that begins with Thought: and then " * thinks)
        return text if thinks else text.replace("\n\ngive", "\n\nGive")

    def written(self, step: Step) -> str:
        thought = f"Thought: {step.thought}\n" if self.style.thought else ""
        if step.tool:
            given = ", ".join(f"{key}={value!r}" for key, value in step.arguments.items())
            return f"{thought}{ACTION} {step.tool}({given})"
        gap = "\n" if "\n" in step.answer else " "
        return f"{thought}{ANSWER}{gap}{step.answer}"

    def read(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Action]:
        """An answer wins over an action, and there is one action at most."""
        text = answer.text
        if (line := marked_line(text, ANSWER)) is not None:
            found = answer_after(text, line)
            return [Action("propose", found) if found else self.refused_answer(_EMPTY)]
        if (line := marked_line(text, ACTION)) is None:
            raise Fault("it has no line that begins with Action: or Answer:")
        if marked_line(text, ACTION, line.end) is not None:
            raise Fault("it has several lines that begin with Action:, and a turn is one action")
        name, arguments = _call(line.rest, tools)
        return [Action("execute", code_of_call(name, arguments, tools))]

    def acted_until(self, text: str) -> int | None:
        lines = [marked_line(text, mark) for mark in (ACTION, ANSWER)]
        return min((line.end for line in lines if line), default=None)


_EMPTY = "there is no answer after Answer:"


def _call(written: str, tools: tuple[ToolSpec, ...]) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments of a call, which is parsed and never evaluated."""
    if len(written) > LONGEST_ACTION:
        raise Fault(f"its action has more than {LONGEST_ACTION:,} characters")
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
            node = ast.parse(written, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise Fault("its action is no call such as tool(key=value)") from None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise Fault("its action is no call such as tool(key=value)")
    name = node.func.id
    spec = next((tool for tool in tools if tool.name == name), None)
    order = list(parameters_of(spec).get("properties") or {}) if spec else []
    if spec and len(node.args) > len(order):
        raise Fault(f"{name} takes fewer arguments without a name")
    pairs = list(zip(order, node.args, strict=False))
    pairs += [(keyword.arg or "", keyword.value) for keyword in node.keywords]
    arguments: dict[str, Any] = {}
    for key, value in pairs:
        if not key:
            raise Fault("its action has an argument with two stars; give each by its name")
        if key in arguments:
            raise Fault(f"its action gives the argument {key!r} twice")
        arguments[key] = _literal(value)
    return name, arguments


def _literal(node: ast.expr) -> Any:
    """Return the value of a literal, in the types of JSON; raises `Fault` for anything else."""
    match node:
        case ast.Constant(bool() | int() | float() | str() | None):
            return node.value
        case ast.Name(name) if name in _JSON_NAMES:
            return _JSON_NAMES[name]
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float())):
            return -node.operand.value  # type: ignore[attr-defined]
        case ast.List(items) | ast.Tuple(items):
            return [_literal(item) for item in items]
        case ast.Dict(keys, values):
            return {_key(key): _literal(one) for key, one in zip(keys, values, strict=True)}
    raise Fault(
        "a value of its action is no literal: give text in quotes, a number, True, False, None, "
        "a list or a dictionary"
    )


def _key(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise Fault("a key in its action is no text in quotes")
