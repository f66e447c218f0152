"""Tasks that a person typed, in ``codeact chat``: a prompt, and no reference."""

from codeact.datasets.family import REASONING_TOOLS, Family
from codeact.graders import typed

FAMILY = Family(
    name="typed",
    task_type="reasoning",
    reference=lambda value: "" if value is None else "must be null: only the person knows",
    graders={"mint": typed.mint, "strict": typed.strict},
    correct_answer=lambda task: None,
    tools=REASONING_TOOLS,
)
