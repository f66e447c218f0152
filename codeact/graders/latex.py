"""Verdicts on MATH's training problems: the same LaTeX, or the same expression to a CAS.

Grading.md, "math (training set)". The CAS works in a session, for ten seconds at most.
"""

import re

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders import equivalence
from codeact.sandboxes.base import Sandbox

_DROPPED = (
    "\\left",
    "\\right",
    "\\!",
    "\\,",
    "\\;",
    "\\ ",
    "^{\\circ}",
    "^\\circ",
    "\\%",
    "%",
    "\\$",
    "$",
)
_SAME = {
    "\\dfrac": "\\frac",
    "\\tfrac": "\\frac",
    "\\neq": "\\ne",
    "\\leq": "\\le",
    "\\geq": "\\ge",
}
_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textbf)\{([^{}]*)\}")
_UNBRACED = re.compile(r"\\frac(\w)(\w)")
_HALF_BRACED = re.compile(r"\\frac(\w)\{")
_ROOT = re.compile(r"\\sqrt(\w)")
_LONGEST = 2000


async def grade(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade one answer: normalised equality first, then the CAS."""
    if len(answer) <= _LONGEST and normalised(answer) == normalised(str(task.reference)):
        return Verdict(True, "the same LaTeX")
    return await equivalence.equivalent(task, answer, sandbox)


def normalised(latex: str) -> str:
    """Write LaTeX in one of the ways that mean the same: no spacing, no short forms."""
    text = latex.strip().rstrip(".")
    for piece in _DROPPED:
        text = text.replace(piece, "")
    for other, ours in _SAME.items():
        text = text.replace(other, ours)
    text = _TEXT.sub(r"\1", text)
    text = "".join(text.split())
    text = _UNBRACED.sub(r"\\frac{\1}{\2}", text)
    text = _HALF_BRACED.sub(r"\\frac{\1}{", text)
    text = _ROOT.sub(r"\\sqrt{\1}", text)
    return text.lower()
