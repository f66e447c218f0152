"""MATH's training problems of every subject: answers are LaTeX, not numbers only."""

from codeact.datasets.family import REASONING_TOOLS, Family, stripped_prompt
from codeact.graders import equivalence, mint_math

FAMILY = Family(
    name="math_train",
    task_type="reasoning",
    called={"prompt": "question", "reference": "answer"},
    prompt=stripped_prompt,
    graders={"mint": mint_math.grade, "strict": equivalence.equivalent},
    tools=REASONING_TOOLS,
)
