"""Verdicts on answers of toolbench: of the type that the task asks for, and exactly right."""

from fractions import Fraction
from typing import Any

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders.commitment import LONGEST, commitment
from codeact.graders.numbers import single_number
from codeact.sandboxes.base import Sandbox

KINDS = ("integer", "number", "text", "list", "code")
_QUOTES = "'\"`"
_BRACKETS = (("[", "]"), ("(", ")"))
_SHOWN = 200


async def strict(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade the one value that the answer commits to.

    A number may be off by the task's own tolerance, which is 0 for whole numbers. A text is the
    reference to the letter, but for quotation marks around it, and so is each item of a list.
    """
    kind = task.metadata["kind"]
    if kind in ("integer", "number"):
        return _number(task, answer)
    found = commitment(answer, _anything, own=lambda _: _words(task.reference), whole=True)
    if found.problem:
        return Verdict(False, found.problem)
    value = _items(found.value) if kind == "list" else _bare(found.value)
    return Verdict(value == task.reference, f"read as {value!r:.{_SHOWN}}")


def _number(task: Task, answer: str) -> Verdict:
    found = commitment(answer, single_number, question=task.prompt, bounds=True)
    if found.problem:
        return Verdict(False, found.problem)
    off = abs(found.value - Fraction(str(task.reference)))
    return Verdict(off <= Fraction(str(task.metadata["tolerance"])), f"read as {found.value}")


def _anything(text: str) -> str | None:
    return text.strip() or None


def _words(reference: Any) -> str:
    return ", ".join(reference) if isinstance(reference, list) else str(reference)


def _bare(text: str) -> str:
    """Take a pair of quotation marks off a text, and a full stop that ends a sentence."""
    text = text.strip().removesuffix(".")
    if len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES:
        return text[1:-1]
    return text


def _items(text: str) -> list[str]:
    """Return what stands between the commas of a list, with or without brackets around it."""
    text = text.strip().removesuffix(".")[:LONGEST]
    for opening, closing in _BRACKETS:
        if text.startswith(opening) and text.endswith(closing):
            text = text[1:-1]
    return [_bare(item) for item in text.split(",")]
