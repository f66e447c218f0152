"""Toolbench: tasks over tools that live in the session, with a state for each episode."""

from collections.abc import Callable
from typing import Any

from codeact.datasets.family import Family, Walkthrough, kind, text
from codeact.datasets.toolbench.making import MAKERS, example_of, rows_of
from codeact.datasets.toolbench.tools import all_tools, names_of, opening_code
from codeact.episode.task import Task
from codeact.graders import toolbench


def _one_of(*known: str) -> Callable[[Any], str]:
    listed = ", ".join(known)
    return lambda value: "" if value in known else f"must be one of {listed}, not {value!r:.40}"


def _data(value: Any) -> str:
    return "" if isinstance(value, dict) else f"must be an object, but is {kind(value)}"


def _calls(value: Any) -> str:
    good = isinstance(value, list) and all(
        isinstance(one, dict) and one.keys() == {"tool", "arguments"} for one in value
    )
    return "" if good else "must be a list of objects with tool and arguments"


def _tolerance(value: Any) -> str:
    good = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return "" if good else f"must be a number from 0 on, but is {value!r:.40}"


def _reference(value: Any) -> str:
    good = isinstance(value, str | int | float | list) and not isinstance(value, bool)
    return "" if good else f"must be a number, a text or a list of texts, but is {kind(value)}"


def _correct_answer(task: Task) -> str:
    reference = task.reference
    return ", ".join(reference) if isinstance(reference, list) else str(reference)


def _walkthrough(task: Task) -> Walkthrough:
    calls = tuple((one["tool"], one["arguments"]) for one in task.metadata["calls"])
    answer = None if task.metadata["kind"] == "code" else _correct_answer(task)
    return Walkthrough(task.metadata["program"], calls, answer)


FAMILY = Family(
    name="toolbench",
    task_type="reasoning",
    reference=_reference,
    fields={
        "domain": _one_of(*MAKERS),
        "difficulty": text,
        "kind": _one_of(*toolbench.KINDS),
        "tolerance": _tolerance,
        "program": text,
        "calls": _calls,
        "data": _data,
    },
    kept=("domain", "difficulty", "kind", "tolerance", "program", "calls"),
    correct_answer=_correct_answer,
    setup=opening_code,
    own_tools=all_tools,
    row_tools=names_of,
    make=rows_of,
    example=lambda row: example_of(row["domain"]),
    walkthrough=_walkthrough,
    graders={"mint": toolbench.strict, "strict": toolbench.strict},
)
