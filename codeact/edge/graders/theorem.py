"""Strict verdicts on TheoremQA, by the type of answer that a task asks for.

Integers exactly; floats to 0.5 % (constants and roundings on the way), or to half of the
reference's last decimal if that is more; lists in the order asked for; truth values and options by
commitment.
"""

from fractions import Fraction
from typing import Any

from codeact.edge.graders.choice import committed_option, full_options
from codeact.edge.graders.commitment import committed
from codeact.edge.graders.equivalence import number_of_expression
from codeact.edge.graders.numbers import agrees, number_list, shown, single_number
from codeact.edge.graders.words import truth
from codeact.edge.sandboxes.base import Sandbox
from codeact.episode.effects import Verdict
from codeact.episode.task import Task

_TOLERANCE = Fraction(5, 1000)


async def grade(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade one answer."""
    text = committed(answer)
    kind = str(task.metadata["answer_type"])
    if kind == "bool":
        said = truth(text)
        return Verdict(said is not None and said == task.reference, f"read as {said}")
    if kind.lower() == "option":
        letter = committed_option(answer, full_options(task.prompt))
        wanted = str(task.reference).strip().strip("()").lower()
        return Verdict(letter == wanted, f"read as {letter}")
    if kind.startswith("list"):
        numbers = number_list(text)
        return Verdict(numbers is not None and _same_list(numbers, task.reference))
    number = single_number(text)
    if number is None:
        number = await number_of_expression(text, sandbox)
    if number is None:
        return Verdict(False, "the answer does not commit to one number")
    return Verdict(_same_number(number, task.reference), f"read as {shown(number)}")


def _same_number(number: Fraction, reference: Any) -> bool:
    if isinstance(reference, int):
        return number == reference
    return agrees(number, reference, relative=_TOLERANCE)


def _same_list(numbers: list[Fraction], reference: list[Any]) -> bool:
    pairs = zip(numbers, reference, strict=False)
    return len(numbers) == len(reference) and all(_same_number(*pair) for pair in pairs)
