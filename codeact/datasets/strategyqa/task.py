"""StrategyQA: yes or no, after several hidden steps."""

from typing import Any

from codeact.datasets.family import REASONING_TOOLS, Family, Row, kind, stripped_prompt
from codeact.graders import truth


def _yes_or_no(value: Any) -> str:
    if isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in truth.TRUTH):
        return ""
    shown = repr(value[:40]) if isinstance(value, str) else kind(value)
    return f"must be true or false, or one of {', '.join(truth.TRUTH)} in quotes, but is {shown}"


def _reference(row: Row) -> str:
    """Read the raw data set's true and false as the yes and no of task files."""
    value = row["reference"]
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


FAMILY = Family(
    name="strategyqa",
    task_type="reasoning",
    reference=_yes_or_no,
    read_reference=_reference,
    prompt=stripped_prompt,
    graders={"mint": truth.mint, "strict": truth.strict},
    tools=REASONING_TOOLS,
)
