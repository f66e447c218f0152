"""APPS: whole programs from standard input to output, and functions to complete."""

import json
from typing import Any

from codeact.datasets.family import Family, any_text, text
from codeact.episode.task import Task
from codeact.graders import cases


def _cases(value: Any) -> str:
    if problem := text(value):
        return problem
    try:
        found = cases.read(value)
    except ValueError as error:
        return f"holds no test cases: {error}"
    return "" if found.pairs else "holds no test cases: give inputs and outputs"


def _first_solution(task: Task) -> str | None:
    """The first recorded solution; None for the problems that came without any."""
    try:
        known = json.loads(task.metadata["solutions"])
    except ValueError:
        return None
    return str(known[0]) if isinstance(known, list) and known else None


FAMILY = Family(
    name="apps",
    task_type="code_generation",
    called={"id": "problem_id"},
    reference=_cases,
    fields={"solutions": any_text},
    kept=("solutions",),
    correct_answer=_first_solution,
    graders={"mint": cases.mint, "strict": cases.strict},
)
