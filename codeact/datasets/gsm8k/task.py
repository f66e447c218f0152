"""GSM8K: school mathematics with a whole number as the answer."""

from codeact.datasets.family import REASONING_TOOLS, Family, numeral, stripped_prompt
from codeact.graders import numbers

FAMILY = Family(
    name="gsm8k",
    task_type="reasoning",
    reference=numeral,
    prompt=stripped_prompt,
    graders={"mint": numbers.mint, "strict": numbers.strict},
    tools=REASONING_TOOLS,
)
