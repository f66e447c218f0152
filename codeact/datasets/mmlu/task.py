"""MMLU: multiple choice, the options in the prompt as MINT writes them."""

from typing import Any

from codeact.datasets.family import REASONING_TOOLS, Family, Row, RowError, text
from codeact.graders import choice


def _letter(value: Any) -> str:
    problem = text(value)
    if not problem and value.strip().lower() not in set("abcd"):
        problem = f"must be one of a, b, c, d, but is {value[:40]!r}"
    return problem


def _has_options(row: Row) -> None:
    if row["reference"].strip().lower() not in choice.options(row["prompt"]):
        raise RowError(
            "prompt",
            "does not list the right option: end it with 'Options: A ) … , B ) … , C ) … , D ) …'",
        )


FAMILY = Family(
    name="mmlu",
    task_type="reasoning",
    reference=_letter,
    extra_check=_has_options,
    graders={"mint": choice.mint, "strict": choice.strict},
    tools=REASONING_TOOLS,
)
