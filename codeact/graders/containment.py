"""The published rule for short answers: 5 % off at most, or a text that contains the reference.

Nothing here evaluates the answer; every step is a linear pass over its text.
"""

from codeact.episode.effects import Verdict
from codeact.episode.task import Task

_TOLERANCE = 0.05


def close_or_contained(task: Task, answer: str) -> Verdict:
    """Judge an answer by its number, or else by whether it contains the reference."""
    return Verdict(_close_or_contained(str(task.reference), answer))


def _close_or_contained(reference: str, answer: str) -> bool:
    wanted, given = reference.strip().lower(), answer.strip().lower()
    try:
        target, number = float(wanted), float(given)
    except ValueError:
        return wanted in given
    # Not abs(target): a negative reference never passes in the published runs.
    return abs(target - number) <= _TOLERANCE * target


def matches(wanted: str, given: str) -> bool:
    """Whether a lower-case answer is close to a whole number, or contains a text."""
    if wanted.isdigit() and given.isdigit():
        try:
            return abs(float(wanted) - float(given)) <= _TOLERANCE * float(wanted)
        except ValueError:  # a superscript is a digit to `isdigit` and no number
            return False
    return wanted in given
