"""APPS: whole programs from standard input to output, and functions to complete."""

import json
from typing import Any

from codeact.datasets.family import Family, NoAnswer, any_text, text
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


def _first_solution(task: Task) -> str | NoAnswer:
    """The first recorded solution."""
    text = str(task.metadata["solutions"])
    if not text.strip():
        return NoAnswer("field 'solutions' is empty: the data set has none for this problem")
    try:
        known = json.loads(text)
    except ValueError:
        known = None
    if not isinstance(known, list):
        return NoAnswer("field 'solutions' is no JSON list of programs")
    return str(known[0]) if known else NoAnswer("field 'solutions' is a list without a program")


FAMILY = Family(
    name="apps",
    task_type="code_generation",
    called={"id": "problem_id"},
    reference=_cases,
    fields={"solutions": any_text},
    kept=("solutions",),
    correct_answer=_first_solution,
    graders={"mint": cases.mint, "strict": cases.strict},
    split="train",
)
