"""The published verdicts on short answers, quirks and all: grading.md, "``mint`` mode".

Nothing here evaluates the answer; every step is a linear pass over its text.
"""

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders import choice
from codeact.sandboxes.base import Sandbox

_TOLERANCE = 0.05


async def close_or_contained(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade gsm8k, math, hotpotqa and strategyqa: 5 % off at most, or text that contains it."""
    return Verdict(_close_or_contained(str(task.reference), answer))


async def multiple_choice(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade mmlu: the letter, or the text of the right option and of no other."""
    given = answer.lower().strip()
    if "a)" in given or "a )" in given:
        given = "a"
    letter = str(task.reference)
    if _matches(letter, given):
        return Verdict(True)
    texts = choice.options(task.prompt)
    right = texts.get(letter.strip().lower())
    if right is None:
        return Verdict(False, "the right option is not in the prompt")
    if any(_matches(text, given) or text in given for text in _rivals(list(texts.values()), right)):
        return Verdict(False)
    return Verdict(_matches(right, given) or right in given)


def _close_or_contained(reference: str, answer: str) -> bool:
    wanted, given = reference.strip().lower(), answer.strip().lower()
    try:
        target, number = float(wanted), float(given)
    except ValueError:
        return wanted in given
    # Not abs(target): a negative reference never passes in the published runs.
    return abs(target - number) <= _TOLERANCE * target


def _matches(wanted: str, given: str) -> bool:
    if wanted.isdigit() and given.isdigit():
        try:
            return abs(float(wanted) - float(given)) <= _TOLERANCE * float(wanted)
        except ValueError:  # a superscript is a digit to `isdigit` and no number
            return False
    return wanted in given


def _rivals(texts: list[str], right: str) -> list[str]:
    """Return the options that may not be in a right answer.

    Texts within the right one are dropped while the same list is walked, so the neighbour of each
    dropped one is not looked at and stays: the published behaviour.
    """
    position = 0
    while position < len(texts):
        if texts[position] in right:
            del texts[position]
        position += 1
    return texts
