"""HotpotQA: short answers over two Wikipedia articles."""

from codeact.datasets.family import REASONING_TOOLS, Family, stripped_prompt
from codeact.graders import mint, words

FAMILY = Family(
    name="hotpotqa",
    task_type="reasoning",
    prompt=stripped_prompt,
    graders={"mint": mint.close_or_contained, "strict": words.short_answer},
    tools=REASONING_TOOLS,
)
