"""MBPP: write a Python function from one sentence and an example assertion."""

from typing import Any

from codeact.datasets.family import Family, Row, kind, text
from codeact.episode.task import Task
from codeact.graders import code


def _unquoted(row: Row) -> str:
    return str(row["prompt"]).replace('"""', "").strip()


def _source(task: Task) -> str:
    return str(task.metadata["code"])


def _tests(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(test, str) for test in value):
        return ""
    return f"must be a list of texts, but is {kind(value)}"


FAMILY = Family(
    name="mbpp",
    task_type="code_generation",
    fields={"code": text, "test_list": _tests},
    kept=("code",),
    prompt=_unquoted,
    correct_answer=_source,
    graders={"mint": code.mint, "strict": code.CodeGrader(_source)},
)
