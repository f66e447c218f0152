"""Messages in every format: what a policy writes to run code, to call a tool or to answer.

They are written out here, not taken from the formats, so that a format that misreads its own words
is found.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from codeact.episode.effects import Completion
from codeact.episode.messages import ToolCall
from codeact.episode.prompts import ActionFormat
from codeact.experiment.strategies import STRATEGIES

FORMATS = tuple(sorted(STRATEGIES.ours))
BY_CODE = ("code", "code_verbatim", "code_fenced", "code_tool", "json_code")
BY_TOOLS = ("json", "text", "tool_calls")
BY_TEXT = tuple(name for name in FORMATS if name not in ("code_tool", "tool_calls"))


class Run(NamedTuple):
    """Code to run."""

    code: str


class Call(NamedTuple):
    """A tool to call."""

    tool: str
    arguments: Mapping[str, Any]


class Say(NamedTuple):
    """An answer."""

    answer: str


Act = Run | Call | Say


def format_of(name: str) -> ActionFormat:
    found = STRATEGIES.get(name)
    assert isinstance(found, ActionFormat)
    return found


def calls(*made: tuple[str, Any], text: str = "") -> Completion:
    """A message of function calls; arguments that are no text are written as JSON."""
    return Completion(
        text,
        tool_calls=tuple(
            ToolCall(
                id=f"c{number}",
                name=name,
                arguments=given if isinstance(given, str) else json.dumps(given),
            )
            for number, (name, given) in enumerate(made)
        ),
    )


def written(name: str, act: Act) -> Completion:
    """What a policy writes for an act in a format, with a thought where there is room for one."""
    if name in ("code_tool", "tool_calls"):
        match act:
            case Run(code):
                return calls(("python", {"code": code}), text="Next.")
            case Call(tool, arguments):
                return calls((tool, dict(arguments)), text="Next.")
            case Say(answer):
                return calls(("answer", {"value": answer}), text="So.")
    return Completion(_text(name, act))


def _text(name: str, act: Act) -> str:  # noqa: PLR0911 (a table)
    match name, act:
        case (("code" | "code_verbatim"), Run(code)):
            return f"<thought> Next. </thought>\n<execute> {code} </execute>"
        case (("code" | "code_verbatim" | "direct"), Say(answer)):
            return f"So it is <solution> {answer} </solution>"
        case "code_fenced", Run(code):
            return f"Next.\n```python\n{code}\n```"
        case "code_fenced", Say(answer):
            return f"So.\nANSWER:{_answer(answer, fence=True)}"
        case "json_code", Run(code):
            return json.dumps({"thought": "Next.", "code": code})
        case "json", Call(tool, arguments):
            return json.dumps({"thought": "Next.", "tool": tool, "arguments": dict(arguments)})
        case (("json" | "json_code"), Say(answer)):
            return json.dumps({"thought": "So.", "answer": answer})
        case "text", Call(tool, arguments):
            given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
            return f"Thought: Next.\nAction: {tool}({given})"
        case "text", Say(answer):
            return f"Thought: So.\nAnswer:{_answer(answer, fence=False)}"
    raise ValueError(f"{name} has no such act: {act}")


def _answer(answer: str, *, fence: bool) -> str:
    if "\n" not in answer:
        return f" {answer}"
    return f"\n```python\n{answer}\n```" if fence else f"\n{answer}"
