"""Verdicts on answers about tables: the same values in any order, each in its normal form.

The official WikiTableQuestions rule (grading.md): numbers and dates by value, texts without case,
accents, quotation marks, citations and trailing brackets. A list that a model wrote is parsed in a
session; the host only compares texts.
"""

import re
import unicodedata
from fractions import Fraction
from typing import Any, NamedTuple

from codeact.edge.graders.commitment import LONGEST, committed
from codeact.edge.graders.evaluation import evaluate
from codeact.edge.sandboxes.base import Sandbox
from codeact.episode.effects import Verdict
from codeact.episode.task import Task

_SECONDS = 10.0
_LIKE_A_QUOTE = str.maketrans("‘’´`“”‐‑‒–—−", "''''\"\"------")
_CITATIONS = re.compile(r"(?:(?<!^)\[[^\]]{0,200}\]|\[\d+\]|[•♦†‡*#+])\Z")
_BRACKETS = re.compile(r"(?<!^) \([^)]{0,1000}\)\Z")
_NUMBER = re.compile(r"[+-]?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300})(?:[eE][+-]?\d{1,3})?")
_DATE = re.compile(r"(\d{4}|xx(?:xx)?)-(\d{1,2}|xx)-(\d{1,2}|xx)")
_NEAR = Fraction(1, 10**6)
_PARSE = """
import ast
found = ast.literal_eval(TEXT)
RESULT = [str(value) for value in found] if isinstance(found, (list, tuple, set)) else None
"""


class Date(NamedTuple):
    """A date; None where the day, the month or the year is not given."""

    year: int | None
    month: int | None
    day: int | None


async def official(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade as published: the sets of values are the same, however often each is given."""
    return await _compare(task, answer, sandbox, repeats=False)


async def committed_denotation(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade the values that the answer commits to; each as often as in the reference."""
    return await _compare(task, committed(answer), sandbox, repeats=True)


def values_of(reference: str) -> list[str]:
    r"""Split a reference at ``|``, with ``\n``, ``\p`` and ``\\`` written out."""
    escapes = {"\\n": "\n", "\\p": "|", "\\\\": "\\"}
    return [
        re.sub(r"\\[np\\]", lambda found: escapes[found.group()], part)
        for part in reference.split("|")
    ]


def normal(value: str) -> str:
    """Write a text in its normal form."""
    decomposed = unicodedata.normalize("NFKD", value)
    text = "".join(mark for mark in decomposed if unicodedata.category(mark) != "Mn")
    text = text.translate(_LIKE_A_QUOTE)
    before = None
    while text != before:
        before = text
        text = _BRACKETS.sub("", _CITATIONS.sub("", text.strip()).strip()).strip()
        if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
            text = text[1:-1]
    return " ".join(text.removesuffix(".").split()).lower()


def same(one: str, other: str) -> bool:
    """Whether two values are the same text, number or date."""
    if normal(one) == normal(other):
        return True
    first, second = _typed(one), _typed(other)
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        return abs(first - second) < _NEAR
    return isinstance(first, Date) and first == second


def _typed(value: str) -> Fraction | Date | None:
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return Fraction(text)
    found = _DATE.fullmatch(normal(value))
    if found is None:
        return None
    year, month, day = (None if "x" in part else int(part) for part in found.groups())
    if year is month is day is None or not 1 <= (month or 1) <= 12 or not 1 <= (day or 1) <= 31:
        return None
    return Date(year, month, day)


async def _compare(task: Task, answer: str, sandbox: Sandbox, *, repeats: bool) -> Verdict:
    if len(answer) > LONGEST:
        return Verdict(False, "the answer is longer than any list of values")
    wanted = values_of(str(task.reference))
    given = await _given(answer.strip(), sandbox)
    if not repeats:
        wanted, given = _once(wanted), _once(given)
    if len(wanted) != len(given):
        return Verdict(False, f"{len(given)} values instead of {len(wanted)}")
    left = list(given)
    for value in wanted:
        match = next((item for item in left if same(value, item)), None)
        if match is None:
            return Verdict(False, f"no value is {value[:80]!r}")
        left.remove(match)
    return Verdict(True)


def _once(values: list[str]) -> list[str]:
    return list({normal(value): value for value in values}.values())


async def _given(answer: str, sandbox: Sandbox) -> list[str]:
    if not answer.startswith(("[", "(", "{")):
        return [_unquoted(answer)]
    outcome = await evaluate(sandbox, f"TEXT = {answer!r}\n{_PARSE}", seconds=_SECONDS)
    values: Any = outcome.value if outcome.ok else None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return [answer]
    return values[:LONGEST]


def _unquoted(answer: str) -> str:
    quoted = len(answer) > 1 and answer[0] == answer[-1] and answer[0] in "'\""
    return answer[1:-1] if quoted and answer[0] not in answer[1:-1] else answer
