"""What a task family is: one data set, its prompt, its graders and its correct answers."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from codeact.episode.task import Task, ToolSpec
from codeact.exceptions import ConfigError
from codeact.graders.base import Grader, Mode

TaskType = Literal["reasoning", "code_generation", "tabular", "decision_making"]
Row = Mapping[str, Any]
Check = Callable[[Any], str]
"""Returns what is wrong with a field's value, or an empty text."""

REASONING_TOOLS = ("wikipedia_search",)


class NoAnswer(NamedTuple):
    """Why no correct answer to a task is known."""

    why: str


class Walkthrough(NamedTuple):
    """How a task is solved: by a program that prints the answer, and by calls one after another.

    Where `answer` is None, what the last call returns is the answer.
    """

    program: str
    calls: tuple[tuple[str, Mapping[str, Any]], ...]
    answer: str | None


class RowError(ValueError):
    """One row of a task file is unusable; says which field, why and what would do."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"field {name!r} {reason}")
        self.field = name
        self.reason = reason


def text(value: Any) -> str:
    """Demand a string with something in it."""
    if not isinstance(value, str):
        return f"must be text in quotes, but is {kind(value)}"
    if not value.strip():
        return "is empty: give it a text"
    return ""


def any_text(value: Any) -> str:
    """Demand a string, which may be empty."""
    return "" if isinstance(value, str) else f"must be text in quotes, but is {kind(value)}"


def identifier(value: Any) -> str:
    """Demand a whole number or a word."""
    if isinstance(value, int) and not isinstance(value, bool):
        return ""
    if isinstance(value, str) and value.strip():
        return ""
    return f"must be a whole number or a word, but is {kind(value)}"


def numeral(value: Any) -> str:
    """Demand a number written in quotes, as the published task files have it."""
    problem = text(value)
    if problem:
        return problem
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    return "" if math.isfinite(number) else f"must be a number in quotes, but is {value[:40]!r}"


def kind(value: Any) -> str:
    """Name a JSON value's type in plain words."""
    if value is None:
        return "null"
    names = {bool: "true/false", int: "a number", float: "a number", str: "text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")


def own_prompt(row: Row) -> str:
    """Take the row's prompt as it stands."""
    return str(row["prompt"])


def stripped_prompt(row: Row) -> str:
    """Take the row's prompt without white space at its ends."""
    return str(row["prompt"]).strip()


def own_reference(row: Row) -> Any:
    """Take the row's reference as it stands."""
    return row["reference"]


def reference_as_text(task: Task) -> str:
    """Return the reference as the answer."""
    return str(task.reference)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One data set.

    `fields` are checked in every row, `kept` go on to the graders in the task's metadata.
    `correct_answer` makes an answer that must pass, or says why none is known; `extra_check` looks
    at a row as a whole.
    `called` gives the file's own names of our fields, where they differ (``id``: ``problem_id``).
    `setup` writes trusted code that fills the session's namespace before the first cell. `split` is
    a part of published paths, empty where the tasks are of no split of their own. Where a task is
    `solved_by_tools`, no answer is right; its correct answer is a cell that solves it.

    A family may bring tools of its own, which its `setup` defines in the session: `own_tools`
    describes them by name, and `row_tools` says which of them a row has. `make` makes all rows of a
    seed. `example` is what a task's metadata has as its own worked example, and `walkthrough` is
    what ``codeact validate`` plays in every action format.
    """

    name: str
    task_type: TaskType
    graders: Mapping[Mode, Grader]
    reference: Check = text
    fields: Mapping[str, Check] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    prompt: Callable[[Row], str] = own_prompt
    read_reference: Callable[[Row], Any] = own_reference
    correct_answer: Callable[[Task], str | NoAnswer | None] = reference_as_text
    extra_check: Callable[[Row], None] | None = None
    tools: tuple[str, ...] = ()
    own_tools: Callable[[], Mapping[str, ToolSpec]] | None = None
    row_tools: Callable[[Row], tuple[str, ...]] | None = None
    make: Callable[[int], Iterable[Row]] | None = None
    example: Callable[[Row], Mapping[str, Any]] | None = None
    walkthrough: Callable[[Task], Walkthrough] | None = None
    called: Mapping[str, str] = field(default_factory=dict)
    setup: Callable[[Row], str] | None = None
    split: str = ""
    solved_by_tools: bool = False

    def task(self, row: Row) -> Task:
        """Make a task of a row; raises `RowError`."""
        if self.called:
            row = self._renamed(row)
        checks = {"id": identifier, "prompt": text, "reference": self.reference, **self.fields}
        for name, check in checks.items():
            own = self.called.get(name, name)
            if name not in row:
                raise RowError(own, "is missing: every row of this family needs it")
            if problem := check(row[name]):
                raise RowError(own, problem)
        if self.extra_check is not None:
            self.extra_check(row)
        metadata = {name: row[name] for name in self.kept}
        if self.example is not None:
            metadata["example"] = self.example(row)
        return Task(
            name=self.name,
            id=str(row["id"]),
            prompt=self.prompt(row),
            reference=self.read_reference(row),
            metadata=metadata,
            setup=self.setup(row) if self.setup else "",
            tools=self.row_tools(row) if self.row_tools else self.tools,
        )

    def _renamed(self, row: Row) -> Row:
        """Give fields our names; a row that has them already (a written-back one) keeps them."""
        ours = {name: row[own] for name, own in self.called.items() if own in row}
        return {**row, **ours}

    def grader(self, mode: Mode) -> Grader:
        """Look up the grader of a mode."""
        try:
            return self.graders[mode]
        except KeyError:
            known = ", ".join(sorted(self.graders))
            raise ConfigError(
                f"task {self.name} has no grading mode {mode!r}; it has {known}"
            ) from None
