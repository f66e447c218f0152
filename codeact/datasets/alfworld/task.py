"""ALFWorld: the policy acts in a household by tools, and the game itself says when it is solved."""

import re
from typing import Any

from codeact.datasets.alfworld.pddl import KINDS
from codeact.datasets.family import Family, NoAnswer, any_text, text
from codeact.episode.protocol import between_tags
from codeact.episode.task import Task
from codeact.graders import unanswerable

TOOLS = (
    "put",
    "goto",
    "take_from",
    "open_receptacle",
    "toggle",
    "close_receptacle",
    "clean",
    "heat",
    "cool",
    "use",
    "look",
)
_OTHER_NAMES = {"open": "open_receptacle", "close": "close_receptacle", "take": "take_from"}
_STEP = re.compile(r"(\w+)(\(\"[^\"\\]*\"(?:, \"[^\"\\]*\")?\))")


def _kind(value: Any) -> str:
    known = KINDS.values()
    return "" if value in known else f"must be one of {', '.join(known)}, but is {value!r:.40}"


def _walkthrough(task: Task) -> str | NoAnswer:
    """The reference's steps as one cell.

    Published walkthroughs call some tools by shorter names.
    """
    steps = [_STEP.fullmatch(line) for line in between_tags(task.reference, "execute").split("\n")]
    cells = [f"{_OTHER_NAMES.get(step[1], step[1])}{step[2]}" for step in steps if step]
    return "\n".join(cells) or NoAnswer(
        "field 'reference' has no step: the game has no walkthrough"
    )


FAMILY = Family(
    name="alfworld",
    task_type="decision_making",
    reference=any_text,
    fields={"task_type": _kind, "game": text},
    kept=("task_type", "game"),
    correct_answer=_walkthrough,
    solved_by_tools=True,
    tools=TOOLS,
    graders={"mint": unanswerable.grade, "strict": unanswerable.grade},
)
