"""HumanEval: complete a Python function whose head and docstring are given."""

from codeact.datasets.family import Family, Row, any_text, text
from codeact.episode.task import Task
from codeact.graders import code

_PREFIX = "Complete the following code:\n\n"


def _prefixed(row: Row) -> str:
    return _PREFIX + str(row["prompt"])


def _canonical(task: Task) -> str:
    # The task files have lost the line break between the docstring and the body.
    body = str(task.metadata["canonical_solution"])
    return _given(task) + "\n" + body.lstrip("\n")


def _given(task: Task) -> str:
    return task.prompt.removeprefix(_PREFIX)


def _entry(task: Task) -> str:
    return str(task.metadata["entry_point"])


def _head(task: Task) -> str:
    """Take the imports and helpers that the prompt defines ahead of the function asked for."""
    return _given(task).partition(f"def {_entry(task)}(")[0]


FAMILY = Family(
    name="humaneval",
    task_type="code_generation",
    fields={"canonical_solution": any_text, "entry_point": text},
    kept=("canonical_solution", "entry_point"),
    prompt=_prefixed,
    correct_answer=_canonical,
    graders={
        "mint": code.mint,
        "strict": code.CodeGrader(_canonical, head=_head, entry=_entry, whole_prompt=_given),
    },
)
