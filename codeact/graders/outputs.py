"""Compares what a program printed or returned with what a test case expects.

The published comparison takes numbers by value and lets 1e-5 pass; the strict one takes whole
numbers exactly, in plain digits, and lets 1e-5 pass only where the expected number has decimals.
"""

import math
import re
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

_RELATIVE, _ABSOLUTE = 1e-5, 1e-8
_DECIMAL = re.compile(
    r"[-+]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][-+]?[0-9]{1,9})?"
)
_WHOLE = re.compile(r"[-+]?[0-9]+")
_WORDS = re.compile(r"[^ \t\r\f\v]+")

Words = list[str]


def same_output(printed: str, expected: str) -> bool:
    """Compare as published: line by line, white space apart, words that are numbers by value."""
    return _same_lines(_lines(printed), _lines(expected), _same_word)


def same_output_strictly(printed: str, expected: str) -> bool:
    """Compare line by line, blank lines and white space apart, words to the letter.

    Only where the expected word is a number with decimals may it be another that is close to it.
    """
    return _same_lines(_plain_lines(printed), _plain_lines(expected), _same_word_strictly)


def same_value(value: Any, expected: Any) -> bool:
    """Compare JSON values as published: numbers by value, true and false only as such."""
    return _same_value(value, expected, _same_number)


def same_value_strictly(value: Any, expected: Any) -> bool:
    """Compare JSON values: a whole number is that and no float, one with decimals may be close."""
    return _same_value(value, expected, _same_number_strictly)


def _same_value(value: Any, expected: Any, same_number: Callable[[Any, Any], bool]) -> bool:
    waiting = [(value, expected)]
    while waiting:
        one, other = waiting.pop()
        if isinstance(one, bool) or isinstance(other, bool):
            same = one is other
        elif isinstance(one, int | float) and isinstance(other, int | float):
            same = same_number(one, other)
        elif isinstance(one, list) and isinstance(other, list):
            same = len(one) == len(other)
            waiting += zip(one, other, strict=False)
        elif isinstance(one, dict) and isinstance(other, dict):
            same = one.keys() == other.keys()
            waiting += [(one[key], other[key]) for key in one if same]
        else:
            same = type(one) is type(other) and bool(one == other)
        if not same:
            return False
    return True


def _same_number(value: float, expected: float) -> bool:
    return value == expected or (
        (isinstance(value, float) or isinstance(expected, float)) and _close(value, expected)
    )


def _same_number_strictly(value: float, expected: float) -> bool:
    if isinstance(expected, int):
        return isinstance(value, int) and value == expected
    return _close(value, expected)


def _lines(text: str) -> list[Words]:
    return [line.split() for line in text.splitlines() if line.strip()]


def _plain_lines(text: str) -> list[Words]:
    return [words for line in text.split("\n") if (words := _WORDS.findall(line))]


def _same_lines(
    printed: list[Words], expected: list[Words], same_word: Callable[[str, str], bool]
) -> bool:
    for one, other in zip_longest(printed, expected):
        if one == other:
            continue
        if one is None or other is None or len(one) != len(other):
            return False
        if not all(map(same_word, one, other)):
            return False
    return True


def _same_word(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        if "." in one + other or "e" in (one + other).lower():
            return _close(float(one), float(other))
        return int(one) == int(other)
    except (ValueError, OverflowError):
        return False


def _same_word_strictly(word: str, expected: str) -> bool:
    if word == expected:
        return True
    if _WHOLE.fullmatch(expected) or not _DECIMAL.fullmatch(expected):
        return False
    return _DECIMAL.fullmatch(word) is not None and _close(float(word), float(expected))


def _close(one: float, other: float) -> bool:
    try:
        return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    except OverflowError:
        return False
