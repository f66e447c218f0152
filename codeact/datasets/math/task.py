"""MATH, the hundred problems with a numeric answer that MINT took."""

from codeact.datasets.family import REASONING_TOOLS, Family, stripped_prompt
from codeact.graders import equivalence, mint

FAMILY = Family(
    name="math",
    task_type="reasoning",
    prompt=stripped_prompt,
    graders={"mint": mint.close_or_contained, "strict": equivalence.equivalent},
    tools=REASONING_TOOLS,
)
