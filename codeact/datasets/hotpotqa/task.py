"""HotpotQA: short answers over two Wikipedia articles."""

from codeact.datasets.family import REASONING_TOOLS, Family, stripped_prompt
from codeact.graders import text

FAMILY = Family(
    name="hotpotqa",
    task_type="reasoning",
    prompt=stripped_prompt,
    graders={"mint": text.mint, "strict": text.strict},
    tools=REASONING_TOOLS,
)
