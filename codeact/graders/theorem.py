"""Strict verdicts on TheoremQA, by the type of answer that a task asks for.

Integers exactly; floats to 0.5 % (constants and roundings on the way), or to half of the
reference's last decimal if that is more; lists in the order asked for; truth values and options by
commitment.
"""

from fractions import Fraction
from typing import Any

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders import choice, words
from codeact.graders.commitment import commitment
from codeact.graders.equivalence import committed_number
from codeact.graders.numbers import agrees, number_list, shown
from codeact.sandboxes.base import Sandbox

_TOLERANCE = Fraction(5, 1000)


async def grade(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade one answer."""
    kind = str(task.metadata["answer_type"])
    if kind == "bool":
        said = words.committed_truth(answer, task.prompt)
        return Verdict(said.value is task.reference, said.problem or f"read as {said.value}")
    if kind.lower() == "option":
        return choice.verdict(task, answer)
    if kind.startswith("list"):
        found = commitment(answer, number_list, question=task.prompt, bounds=True)
        if found.problem:
            return Verdict(False, found.problem)
        return Verdict(_same_list(found.value, task.reference), "read as a list")
    number = await committed_number(answer, str(task.reference), task.prompt, sandbox)
    if number.problem:
        return Verdict(False, number.problem)
    return Verdict(_same_number(number.value, task.reference), f"read as {shown(number.value)}")


def _same_number(number: Fraction, reference: Any) -> bool:
    if isinstance(reference, int):
        return number == reference
    return agrees(number, reference, relative=_TOLERANCE)


def _same_list(numbers: list[Fraction], reference: list[Any]) -> bool:
    pairs = zip(numbers, reference, strict=False)
    return len(numbers) == len(reference) and all(_same_number(*pair) for pair in pairs)
