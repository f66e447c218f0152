"""Verdicts on answers about tables: the same values in any order, each in its normal form.

The official WikiTableQuestions rule: numbers and dates by value, texts without case,
accents, quotation marks, citations and trailing brackets. A list that a model wrote is parsed in a
session; the host only compares texts.
"""

import re
from fractions import Fraction
from typing import Any, NamedTuple

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders.commitment import LONGEST, commitment
from codeact.graders.evaluation import evaluate
from codeact.graders.unicode import without_marks
from codeact.sandboxes.base import Sandbox

_SECONDS = 10.0
_LIKE_A_QUOTE = str.maketrans("‘’´`“”‐‑‒–—−", "''''\"\"------")
_MARKS = frozenset("•♦†‡*#+")
_LONGEST_CITATION = 200
_LONGEST_BRACKET = 1000
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


async def mint(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade as published: the sets of values are the same, however often each is given."""
    return await _compare(task, answer, sandbox, repeats=False)


async def strict(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
    """Grade the values that the answer commits to; each as often as in the reference."""
    reference = " ".join(values_of(str(task.reference)))
    found = commitment(answer, _anything, own=lambda _: reference, question=task.prompt, whole=True)
    if found.problem:
        return Verdict(False, found.problem)
    return await _compare(task, found.value, sandbox, repeats=True)


def _anything(text: str) -> str | None:
    bracketed = text.startswith(("[", "(", "{"))
    return (text.removesuffix(".") if bracketed else text) or None


def values_of(reference: str) -> list[str]:
    r"""Split a reference at ``|``, with ``\n``, ``\p`` and ``\\`` written out."""
    escapes = {"\\n": "\n", "\\p": "|", "\\\\": "\\"}
    return [
        re.sub(r"\\[np\\]", lambda found: escapes[found.group()], part)
        for part in reference.split("|")
    ]


def normal(value: str) -> str:
    """Write a text in its normal form.

    Citations, brackets and quotation marks are cut off by moving the end, not by copying the text:
    very many of them take no longer than other text.
    """
    text = without_marks(value)[:LONGEST].translate(_LIKE_A_QUOTE).strip()
    start, end = 0, len(text)
    quote = text.find('"', 1)
    before = None
    while (start, end) != before:
        before = start, end
        end = _without_space(text, start, _without_citation(text, start, end))
        end = _without_space(text, start, _without_bracket(text, start, end))
        if end - start > 1 and text[start] == text[end - 1] == '"' and quote == end - 1:
            start, end = start + 1, end - 1
            while start < end and text[start].isspace():
                start += 1
            end = _without_space(text, start, end)
    return " ".join(text[start:end].removesuffix(".").split()).lower()


def _without_space(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1].isspace():
        end -= 1
    return end


def _without_citation(text: str, start: int, end: int) -> int:
    """Where a text ends without one citation: ``[a note]`` behind something, ``[1]``, or a mark."""
    if end > start and text[end - 1] in _MARKS:
        return end - 1
    if end - start < 2 or text[end - 1] != "]":
        return end
    if text[start] == "[" and text[start + 1 : end - 1].isdecimal():
        return start
    return _opening(text, "[", "]", max(start + 1, end - 2 - _LONGEST_CITATION), end)


def _without_bracket(text: str, start: int, end: int) -> int:
    """Where a text ends without one remark in brackets behind it."""
    if end - start < 3 or text[end - 1] != ")":
        return end
    return _opening(text, " (", ")", max(start + 1, end - 3 - _LONGEST_BRACKET), end)


def _opening(text: str, opening: str, closing: str, least: int, end: int) -> int:
    """Where the first opening is that nothing but the text's last character closes."""
    inner = text.rfind(closing, least, end - 1)
    found = text.find(opening, max(least, inner), end - 1)
    return end if found < 0 else found


class Value(NamedTuple):
    """One value of an answer, read once: its normal form, and what it is if it is no text."""

    normal: str
    typed: Fraction | Date | None

    def same(self, other: "Value") -> bool:
        """Whether two values are the same text, number or date."""
        if self.normal == other.normal:
            return True
        if isinstance(self.typed, Fraction) and isinstance(other.typed, Fraction):
            return abs(self.typed - other.typed) < _NEAR
        return isinstance(self.typed, Date) and self.typed == other.typed


def read(text: str) -> Value:
    """Read one value."""
    written, stripped = normal(text), text.strip()
    if _NUMBER.fullmatch(stripped):
        return Value(written, Fraction(stripped))
    return Value(written, _date(written))


_MONTHS = (None, *range(1, 13))
_DAYS = (None, *range(1, 32))


def _date(written: str) -> Date | None:
    found = _DATE.fullmatch(written)
    if found is None:
        return None
    year, month, day = (None if "x" in part else int(part) for part in found.groups())
    if year is month is day is None or month not in _MONTHS or day not in _DAYS:
        return None
    return Date(year, month, day)


async def _compare(task: Task, answer: str, sandbox: Sandbox, *, repeats: bool) -> Verdict:
    if len(answer) > LONGEST:
        return Verdict(False, "the answer is longer than any list of values")
    wanted = [read(value) for value in values_of(str(task.reference))]
    given = [read(value) for value in await _given(answer.strip(), sandbox)]
    if not repeats:
        wanted, given = _once(wanted), _once(given)
    if len(wanted) != len(given):
        return Verdict(False, f"{len(given)} values instead of {len(wanted)}")
    left = list(given)
    for value in wanted:
        match = next((item for item in left if value.same(item)), None)
        if match is None:
            return Verdict(False, f"no value is {value.normal[:80]!r}")
        left.remove(match)
    return Verdict(True)


def _once(values: list[Value]) -> list[Value]:
    return list({value.normal: value for value in values}.values())


async def _given(answer: str, sandbox: Sandbox) -> list[str]:
    if not answer.startswith(("[", "(", "{")):
        return [_unquoted(answer)]
    outcome = await evaluate(sandbox, f"TEXT = {answer!r}\n{_PARSE}", seconds=_SECONDS)
    values: Any = outcome.value if outcome.ok else None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return [answer]
    return values if len(values) + sum(map(len, values)) <= 2 * LONGEST else [answer]


def _unquoted(answer: str) -> str:
    quoted = len(answer) > 1 and answer[0] == answer[-1] and answer[0] in "'\""
    return answer[1:-1] if quoted and answer[0] not in answer[1:-1] else answer
