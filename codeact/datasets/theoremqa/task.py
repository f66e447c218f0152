"""TheoremQA: numbers, lists, truth values and options from university theorems."""

from collections.abc import Callable
from typing import Any

from codeact.datasets.family import REASONING_TOOLS, Family, Row, RowError, kind
from codeact.episode.task import Task
from codeact.graders import theorem

_PREFIX = "Answer the following question with a number, a list of numbers or True or False. "


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_number, value))


_FITS: dict[str, Callable[[Any], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "integer": _number,
    "float": _number,
    "list of integer": _numbers,
    "list of float": _numbers,
    "option": lambda value: isinstance(value, str) and bool(value.strip()),
    "Option": lambda value: isinstance(value, str) and bool(value.strip()),
}


def _answer_type(value: Any) -> str:
    if isinstance(value, str) and value in _FITS:
        return ""
    return f"must be one of {', '.join(_FITS)}, but is {value!r:.40}"


def _fits(row: Row) -> None:
    if not _FITS[row["answer_type"]](row["reference"]):
        what = kind(row["reference"])
        raise RowError("reference", f"is {what}, but answer_type is {row['answer_type']!r}")


def _prefixed(row: Row) -> str:
    return _PREFIX + str(row["prompt"])


def _answer(task: Task) -> str:
    return str(task.reference)


FAMILY = Family(
    name="theoremqa",
    task_type="reasoning",
    reference=lambda _value: "",
    fields={"answer_type": _answer_type},
    kept=("answer_type",),
    extra_check=_fits,
    prompt=_prefixed,
    correct_answer=_answer,
    graders={"mint": theorem.mint, "strict": theorem.strict},
    tools=REASONING_TOOLS,
)
