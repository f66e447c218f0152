"""Verdicts on TheoremQA, by the type of answer that a task asks for.

Strictly: integers exactly; floats to 0.5 % (constants and roundings on the way), or to half of the
reference's last decimal if that is more; lists in the order asked for; truth values and options by
commitment. As published: the answer is normalised into a Python expression by linear string
handling here on the host. Numbers, lists of them and truth values are read here; any other
expression is evaluated in a session.
"""

import math
import re
from fractions import Fraction
from typing import Any

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders import choice, evaluation, truth
from codeact.graders.commitment import commitment
from codeact.graders.mathematics import committed_number
from codeact.graders.numbers import agrees, number_list, shown
from codeact.sandboxes.base import Sandbox

Value = str | int | float | list[Any]

_PUBLISHED_TOLERANCE = 0.04
_SECONDS = 10.0
_UNQUOTED = str.maketrans("", "", "`$°")
_POWER_OF_TEN = re.compile(r"10\^(-?\d+)")
_OPTION = re.compile(r"\([abcd]\)")
_AT_END = re.compile(r"[\d,]*+(?:\.++\d++)?")
_SIGNED_AT_END = re.compile(r"[-+]?+[\d,]*+(?:\.++\d++)?")
_WORD = re.compile(r"[^0-9 ]+")
_PLAIN_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,300}|[0-9]{1,300}\.[0-9]{0,300})")
_LONGEST = 100_000
_LONGEST_LITERAL = 10_000
_TOLERANCE = Fraction(5, 1000)


async def strict(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade by the one value that the answer commits to."""
    kind = str(task.metadata["answer_type"])
    if kind == "bool":
        said = truth.committed_truth(answer, task.prompt)
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


# As published


async def mint(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade as published: normalise, evaluate in a session what is no literal, compare."""
    if len(answer) > _LONGEST:
        return Verdict(False, "the answer is longer than any number or list")
    expression = normalise(answer)
    value = plain_value(expression)
    if value is None:
        outcome = await evaluation.evaluate(sandbox, _source(expression), seconds=_SECONDS)
        if not outcome.ok:
            return evaluation.wrong(outcome)
        value = evaluation.decode_plain(outcome.value)
    if value is None:
        return Verdict(False, "the answer is neither a number, a list nor a truth value")
    return Verdict(_agrees(task.reference, str(task.metadata.get("answer_type")), value))


def normalise(answer: str) -> str:
    """Turn an answer into the Python expression that the published grader evaluated."""
    text = answer
    for sign in ("=", "≈"):
        if sign in text:
            text = text.rsplit(sign, 1)[-1].strip()
    text = text.translate(_UNQUOTED)
    if text in ("true", "yes", "false", "no"):
        text = "True" if text in ("true", "yes") else "False"
    if "True" in text or "False" in text:
        text = "True" if "True" in text else "False"
    if "approximately" in text:
        text = text.replace("approximately", "").strip()
    text = text.split(" or ", 1)[0]
    for bare in (_before_unit, _after_word, _before_mark, _after_mark):
        text = bare(text)
    text = _POWER_OF_TEN.sub(r"math.pow(10, \1)", text)
    text = text.replace(" x ", "*").replace(" × ", "*")
    if _is_number(text.replace(",", "")):
        text = text.replace(",", "")
    return _as_option(text) or "0"


def plain_value(expression: str) -> Value | None:
    """Read an expression that is one literal of a kind met often; None if it is anything else."""
    if len(expression) > _LONGEST_LITERAL:
        return None
    if expression in ("True", "False"):
        return expression == "True"
    if len(expression) == 5 and expression[0] == expression[-1] == '"':
        return expression[1:-1]
    if expression.startswith("[") and expression.endswith("]"):
        items = [_plain_number(item.strip()) for item in expression[1:-1].split(",")]
        return None if None in items else items
    return _plain_number(expression)


def _plain_number(text: str) -> int | float | None:
    if not _PLAIN_NUMBER.fullmatch(text):
        return None
    return float(text) if "." in text else int(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number_at_end(text: str, *, signed: bool) -> bool:
    r"""Whether `text` is ``[\d,]*\.*\d+``, with a sign allowed in front or not; in linear time."""
    pattern = _SIGNED_AT_END if signed else _AT_END
    return text[-1:].isdecimal() and pattern.fullmatch(text) is not None


def _word(text: str) -> bool:
    return _WORD.fullmatch(text) is not None


def _before_unit(text: str) -> str:
    """``5 metres`` -> ``5``."""
    number, space, unit = text.partition(" ")
    return number if space and _word(unit) and _number_at_end(number, signed=True) else text


def _after_word(text: str) -> str:
    """``about 5`` -> ``5``."""
    word, space, number = text.partition(" ")
    number = number.removesuffix("\n")
    return number if space and _word(word) and _number_at_end(number, signed=True) else text


def _before_mark(text: str) -> str:
    """``5%`` -> ``5``."""
    bare = text.removesuffix("\n")
    for line in (text, bare):
        for marks in (1, 2):
            number, mark = line[:-marks], line[-marks:]
            if (
                len(mark) == marks
                and not any(map(str.isdecimal, mark))
                and _number_at_end(number, signed=True)
            ):
                return number
    return text


def _after_mark(text: str) -> str:
    """``€5`` -> ``5``; two characters are tried first, so ``x.5`` -> ``5``."""
    bare = text.removesuffix("\n")
    for marks in (2, 1):
        mark, number = bare[:marks], bare[marks:]
        if (
            len(mark) == marks
            and not any(character in "+-" or character.isdecimal() for character in mark)
            and _number_at_end(number, signed=False)
        ):
            return number
    return text


def _as_option(text: str) -> str:
    for letter in "abcd":
        if f"{letter})" in text or f"{letter} )" in text or _alone(text) == letter:
            text = f"({letter})"
    found = _OPTION.search(text)
    return f'"{found.group()}"' if found else text


def _alone(text: str) -> str:
    bare = text.strip()
    return bare.lower() if len(bare) == 1 else ""


def _source(expression: str) -> str:
    return f"""
import ast, re
import numpy as np
from sympy import Rational
value = eval({expression!r}, {{"np": np, "re": re, "ast": ast, "Rational": Rational}})
if isinstance(value, (set, tuple)):
    value = list(value)
    if isinstance(value[0], complex):
        value = [item.real for item in value]
    elif isinstance(value[0], Rational):
        value = [float(item) for item in value]
elif isinstance(value, np.ndarray):
    value = value.tolist()
elif isinstance(value, complex):
    value = value.real
elif isinstance(value, Rational):
    value = float(value)
{evaluation.ENCODE_PLAIN}
RESULT = encode_plain(value)
"""


def _agrees(reference: Any, answer_type: str, value: Value) -> bool:
    if answer_type in ("bool", "option", "Option"):
        return value in (f"({reference})", reference)
    if answer_type in ("integer", "float"):
        return not isinstance(value, str | list) and _close(value, reference)
    if not isinstance(value, list) or not isinstance(reference, list):
        return False
    if len(value) != len(reference) or any(isinstance(item, str | list) for item in value):
        return False
    return all(map(_close, sorted(value), sorted(reference)))


def _close(value: float, reference: float) -> bool:
    if not math.isfinite(value):
        return False
    if isinstance(reference, int):
        return round(value) == reference
    return abs(value - reference) <= _PUBLISHED_TOLERANCE * abs(reference)
