"""MATH: the hundred problems with a number as answer that MINT took, and all training problems."""

from codeact.datasets.family import REASONING_TOOLS, Family, stripped_prompt
from codeact.graders import mathematics

FAMILY = Family(
    name="math",
    task_type="reasoning",
    prompt=stripped_prompt,
    graders={"mint": mathematics.mint, "strict": mathematics.strict},
    tools=REASONING_TOOLS,
)
TRAINING = Family(
    name="math_train",
    task_type="reasoning",
    called={"prompt": "question", "reference": "answer"},
    prompt=stripped_prompt,
    graders={"mint": mathematics.mint_latex, "strict": mathematics.strict},
    tools=REASONING_TOOLS,
    split="train",
)
"""Of every subject; an answer is LaTeX, and not only a number."""
