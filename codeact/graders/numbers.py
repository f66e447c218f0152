"""Verdicts on plain numbers, which are read on the host as exact fractions, from bounded text."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders.commitment import commitment, last_part
from codeact.graders.containment import close_or_contained
from codeact.sandboxes.base import Sandbox

_LONGEST_NUMERAL = 400
_LARGEST_EXPONENT = 400
_LONGEST_STATEMENT = 2000
_NUMERAL = re.compile(
    r"(?<![\w.,])(?P<sign>[-+−]?)\s?\$?(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+|(?=\.\d))"
    r"(?P<decimals>\.\d+)?(?P<exponent>[eE][-+]?\d+)?(?P<below>/\d+)?"
    r"(?:\s?(?:x|×|\*|·|\\times|\\cdot)\s?10\s?(?:\^|\*\*)\s?[({]?(?P<power>[-+−]?\d+)[)}]?)?",
    re.ASCII,
)
_NOT_PLAIN = re.compile(
    r"[\\√π∞±^!]|\*\*|(?<![a-z])(?:sqrt|log|ln|sin|cos|tan|exp|pi)(?![a-z])", re.IGNORECASE
)
_UNIT_POWER = re.compile(r"\b(mm|cm|km|m|ft|in|s|min|hr|h|units?)\^[({]?-?[1-4][)}]?")
_SCALES = (
    "hundred", "thousand", "million", "billion", "trillion", "dozen", "squared", "cubed",
    "factorial",
)  # fmt: skip
_FRACTION = re.compile(r"\\[dt]?frac\{(\d{1,50})\}\{(\d{1,50})\}")
_STATED = re.compile(r"\b(?:is|are|was|were)\s{0,3}\$?-?\d")
_SIGN_IN_WORDS = re.compile(r"(?i)\b(?:negative|minus) (?=\$?\d)", re.ASCII)
_MINUS = str.maketrans("‐‑‒–－﹣", "------")
_OPERATORS = "+-*/^×·−("
_HARMLESS_LATEX = {
    "\\times": "×",
    "\\cdot": "×",
    **dict.fromkeys(("\\$", "\\%", "\\,", "\\!", "\\ ", "\\text", "\\circ"), " "),
}
_SEPARATORS = (" and ", " or ", ";", ",", "|", "&")


async def mint(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade as published: a number that is 5 % off at most, or a text that contains it."""
    return close_or_contained(task, answer)


async def strict(task: Task, answer: str, _sandbox: Sandbox) -> Verdict:
    """Grade exactly: the one number that the answer commits to must be the reference, exactly."""
    wanted = Fraction(str(task.reference).strip().replace(",", ""))
    found = commitment(answer, single_number, question=task.prompt, bounds=True)
    if found.problem:
        return Verdict(False, found.problem)
    return Verdict(found.value == wanted, f"read as {shown(found.value)}")


def single_number(text: str) -> Fraction | None:
    """Read the one number that a text states; None if there is none, or more than one."""
    if len(text) > _LONGEST_STATEMENT:
        return None
    text = _SIGN_IN_WORDS.sub("-", text.translate(_MINUS))
    lines = text.split("\n")
    if len(lines) > 1 and all(_whole_number(line) is not None for line in lines if line.strip()):
        lines = [", ".join(lines)]  # several answers, and none of them is the last word
    last_line = lines[-1]
    for whole in (text, last_line, last_line.rpartition(". ")[2]):
        for part in (whole, _stated(whole), _right_hand_side(_stated(whole))):
            values = _values(part)
            if values is not None and len(values) == 1:
                return values.pop()
    return None


def number_list(text: str) -> list[Fraction] | None:
    """Read a list of plain numbers, in brackets or bare; None if there is more than one."""
    for opening, closing in ("[]", "()", "{}"):
        start, end = text.rfind(opening), text.rfind(closing)
        if 0 <= start < end:
            if any(bracket in text[:start] for bracket in (opening, closing)):
                return None
            text = text[start + 1 : end]
            break
    items = [_whole_number(item) for item in last_part(text).replace(" and ", ",").split(",")]
    return None if None in items else [item for item in items if item is not None]


def agrees(number: Fraction, reference: Any, *, relative: Fraction) -> bool:
    """Compare with a float as written: `relative`, or half of the last decimal it is given to.

    A reference without decimals, such as 2.0, was not rounded, so `relative` alone holds.
    """
    written = Decimal(str(reference))
    wanted = Fraction(written)
    allowed = abs(wanted) * relative
    if wanted.denominator != 1:
        allowed = max(allowed, Fraction(10) ** int(written.as_tuple().exponent) / 2)
    return abs(number - wanted) <= allowed


def shown(number: Fraction) -> str:
    """Write a number for a verdict's detail."""
    return str(number if number.denominator == 1 else float(number))[:60]


def _values(text: str) -> set[Fraction] | None:
    """Collect the different numbers in a text; None if it holds mathematics of another kind."""
    for shown_as, read_as in _HARMLESS_LATEX.items():
        text = text.replace(shown_as, read_as)
    text = _FRACTION.sub(r"\1/\2", _UNIT_POWER.sub(r"\1", text))
    if _NOT_PLAIN.search(_NUMERAL.sub(" ", text)):
        return None
    values: list[Fraction] = []
    for match in _NUMERAL.finditer(text):
        value = _value(match)
        if value is None or _is_term(text, match):
            return None
        values.append(value)
    if len(values) > 1 and _several(text):
        # A pair of equal numbers is still a pair.
        return set(values) if len(set(values)) > 1 else None
    return set(values)


def _several(text: str) -> bool:
    """Whether a text sets things side by side; the commas within numbers do not count."""
    between = _NUMERAL.sub(" ", text)
    return any(separator in between for separator in _SEPARATORS)


def _is_term(text: str, match: "re.Match[str]") -> bool:
    """Whether a numeral is part of a formula: ``3x``, ``2*pi``, ``n + 1``; a unit makes none."""
    rest = text[match.end() : match.end() + 12]
    before = text[max(0, match.start() - 3) : match.start()].rstrip()
    if rest[:1] == "," and rest[1:2].isdigit():
        return True
    if rest.lstrip()[:1] in set("*(/+×·√") or before[-1:] in set(_OPERATORS):
        return True
    if match["sign"] and before and before[-1] not in "=:$≈,[":
        glued = not text[match.start() - 1].isspace()
        if glued or match.group()[1].isspace():
            return True
    if rest.strip().lower().startswith(_SCALES):
        return True
    word = re.match(r"[^\W\d_]*", rest)
    letters = word.group() if word else ""
    if re.match(r" [xyz]\b", rest):
        return True
    return len(letters) == 1 or letters.startswith("pi") or rest[len(letters) :][:1] in ("_", "(")


def _value(match: "re.Match[str]") -> Fraction | None:
    if len(match.group()) > _LONGEST_NUMERAL:
        return None
    number = Fraction((match["whole"].replace(",", "") or "0") + (match["decimals"] or ""))
    for exponent in (match["exponent"] and match["exponent"][1:], match["power"]):
        if exponent:
            power = int(exponent.replace("−", "-"))
            if abs(power) > _LARGEST_EXPONENT:
                return None
            number *= Fraction(10) ** power
    if match["below"]:
        below = int(match["below"][1:])
        if below == 0:
            return None
        number /= below
    return -number if match["sign"] in ("-", "−") else number


def _whole_number(text: str) -> Fraction | None:
    match = _NUMERAL.fullmatch(text.strip().strip("$ "))
    return _value(match) if match else None


def _stated(text: str) -> str:
    """Take what a sentence says of its subject; nothing if it states two numbers."""
    part = last_part(text) if "\n" not in text else ""
    before = text[: text.rfind(part)] if part else ""
    return "" if _STATED.search(before) else part


def _right_hand_side(text: str) -> str:
    """Take what follows the last equals sign, unless several things are stated."""
    if _several(text):
        return ""
    for sign in ("=", "≈"):
        text = text.rpartition(sign)[2]
    return text
