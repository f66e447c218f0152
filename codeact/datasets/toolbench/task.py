"""Toolbench: tasks over tools that live in the session, with a state for each episode."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from codeact.datasets.family import Family, Row, Walkthrough, kind, text
from codeact.datasets.toolbench.domains.base import Domain
from codeact.datasets.toolbench.making import MAKERS, example_of, rows_of
from codeact.episode.task import Task, ToolSpec
from codeact.graders import toolbench
from codeact.tools.typed import spec_of

_SETUP = """\
def _open_tools():
    import json, sys, types

    for name, source in {sources!r}:
        module = sys.modules[name] = types.ModuleType(name)
        exec(compile(source, "<tools>", "exec"), module.__dict__)
    domain = getattr(module, {domain!r})(json.loads({data!r}))
    for name, _ in {sources!r}:
        del sys.modules[name]
    return {{name: getattr(domain, name) for name in {tools!r}}}

globals().update(_open_tools())
del _open_tools
"""
"""What a session runs. The modules have their own names while they are loaded, and leave none."""


@cache
def _tools_of(domain: str) -> Mapping[str, ToolSpec]:
    """The public methods of a domain's class, in the order in which they are written."""
    tools = MAKERS[domain].domain
    names = [name for name in vars(tools) if not name.startswith("_")]
    empty = object.__new__(tools)
    return {name: spec_of(getattr(empty, name)) for name in names}


@cache
def _all_tools() -> Mapping[str, ToolSpec]:
    return {name: spec for domain in MAKERS for name, spec in _tools_of(domain).items()}


@cache
def _sources(domain: str) -> tuple[tuple[str, str], ...]:
    """The text of the modules that a domain's module needs, itself the last, by their names."""
    folder = files("codeact.datasets.toolbench.domains")
    return tuple(
        (name, folder.joinpath(f"{name.rpartition('.')[2]}.py").read_text("utf-8"))
        for name in (Domain.__module__, domain)
    )


def _setup(row: Row) -> str:
    domain = MAKERS[row["domain"]].domain
    return _SETUP.format(
        sources=_sources(domain.__module__),
        domain=domain.__name__,
        data=json.dumps(row["data"], ensure_ascii=False, separators=(",", ":")),
        tools=tuple(_tools_of(row["domain"])),
    )


def _domain(value: Any) -> str:
    return "" if value in MAKERS else f"must be one of {', '.join(MAKERS)}, but is {value!r:.40}"


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


def _answer_kind(value: Any) -> str:
    known = ", ".join(toolbench.KINDS)
    return "" if value in toolbench.KINDS else f"must be one of {known}, but is {value!r:.40}"


def _reference(value: Any) -> str:
    good = isinstance(value, str | int | float | list) and not isinstance(value, bool)
    return "" if good else f"must be a number, a text or a list of texts, but is {kind(value)}"


def _correct_answer(task: Task) -> str:
    reference = task.reference
    return ", ".join(reference) if isinstance(reference, list) else str(reference)


def _walkthrough(task: Task) -> Walkthrough:
    calls = task.metadata["calls"]
    return Walkthrough(
        task.metadata["program"],
        tuple((one["tool"], one["arguments"]) for one in calls),
        None if task.metadata["kind"] == "code" else _correct_answer(task),
    )


FAMILY = Family(
    name="toolbench",
    task_type="reasoning",
    reference=_reference,
    fields={
        "domain": _domain,
        "difficulty": text,
        "kind": _answer_kind,
        "tolerance": _tolerance,
        "program": text,
        "calls": _calls,
        "data": _data,
    },
    kept=("domain", "difficulty", "kind", "tolerance", "program", "calls"),
    correct_answer=_correct_answer,
    setup=_setup,
    own_tools=_all_tools,
    row_tools=lambda row: tuple(_tools_of(row["domain"])),
    make=rows_of,
    example=lambda row: example_of(row["domain"]),
    walkthrough=_walkthrough,
    graders={"mint": toolbench.strict, "strict": toolbench.strict},
)
