"""Calls of tools by policies that write no code: checked as data, run as a cell in the session.

A cell holds a tool's name, which is one of the task's, and its arguments as literals of plain data.
Nothing that a model wrote is evaluated on the host, and nothing but the call runs in the sandbox.
"""

import json
import keyword
import math
from collections.abc import Mapping, Sequence
from typing import Any

from codeact.episode.prompts.parsing import Fault, json_object
from codeact.episode.schemas import misfit
from codeact.episode.task import ToolSpec

LONGEST_ARGUMENTS = 100_000
"""Characters of a call's arguments as they are written."""
DEEPEST = 50
"""Levels of lists and objects in an argument."""
_HELPER = "call_tool"
SETUP = f'''
def {_HELPER}(tool, /, **arguments):
    """Call a tool, and print what it returns: text as it is, other values as JSON, None not."""
    import json

    try:
        value = tool(**arguments)
        if value is not None and not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False, default=str)
    except Exception as error:
        shown = f"{{type(error).__name__}}: {{error}}"
        error._render_traceback_ = lambda: [shown]
        raise
    print("" if value is None else value, end="")
'''
"""What sessions run first. An exception is one line: the policy wrote none of the code."""


def code_of_call(name: str, arguments: Mapping[str, Any], tools: Sequence[ToolSpec]) -> str:
    """Return the cell that calls a tool with these values; raises `Fault`."""
    spec = next((tool for tool in tools if tool.name == name), None)
    if spec is None:
        there = ", ".join(tool.name for tool in tools) or "none"
        raise Fault(f"there is no tool {shortened(name)}; the tools are: {there}")
    for value in arguments.values():
        _check(value, 1)
    if wrong := misfit(spec, list(arguments)):
        raise Fault(wrong)
    if all(
        key.isidentifier() and key.isascii() and not keyword.iskeyword(key) for key in arguments
    ):
        given = "".join(f", {key}={value!r}" for key, value in arguments.items())
    else:
        given = f", **{dict(arguments)!r}" if arguments else ""
    return f"{_HELPER}({name}{given})"


def read_arguments(written: str) -> dict[str, Any]:
    """Return the arguments of an API's function call; none at all are an empty text.

    Raises `Fault`.
    """
    if not written.strip():
        return {}
    return json_object(written)


def refuse_long(written: str) -> None:
    """Raise `Fault` for arguments that are longer than a tool takes."""
    if len(written) > LONGEST_ARGUMENTS:
        raise Fault(
            f"its arguments have {len(written):,} characters, and {LONGEST_ARGUMENTS:,} are the "
            "most"
        )


def text_of(value: object, written: int) -> str:
    """Return an answer as the text that is graded: a text itself, any other value as JSON.

    `written` is how many characters it was written in. Raises `Fault`.
    """
    if isinstance(value, str):
        return encodable(value).strip()
    if written > LONGEST_ARGUMENTS:
        raise Fault(f"its answer is no text and has more than {LONGEST_ARGUMENTS:,} characters")
    try:
        return encodable(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        raise Fault("its answer is nested too deeply") from None


def encodable(text: str) -> str:
    """Return a text; raises `Fault` where it has half of a surrogate pair, which is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Fault("it holds half of a surrogate pair, which is no character") from None
    return text


def shortened(name: object) -> str:
    """Return a name as a policy wrote it, for a message."""
    shown = repr(name)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


_SHOWN = 80


def _check(value: object, depth: int) -> None:
    """Refuse what is no plain data of a finite size, or has no literal."""
    if depth > DEEPEST:
        raise Fault(f"its arguments are nested more than {DEEPEST} levels deep")
    if isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise Fault("a key of its arguments is no text")
            _check(item, depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Fault("a number of its arguments is too large")
    elif not isinstance(value, str | int | None):
        raise Fault(f"an argument is of the type {type(value).__name__}, which JSON does not have")
