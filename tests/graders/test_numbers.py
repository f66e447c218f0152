"""Numbers as answers state them: one, a list, and how close a reference lets them be."""

from fractions import Fraction
from typing import Any

import pytest

from codeact.graders.numbers import agrees, number_list, shown, single_number

HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("minus 5", -5),
        ("negative $5", -5),
        ("−5", -5),
        ("1,234.5", Fraction("1234.5")),
        (".5", HALF),
        ("1/2", HALF),
        ("1/0", None),
        ("\\frac{1}{2}", HALF),
        ("2e3", 2000),
        ("2 x 10^3", 2000),
        ("2 × 10^{-3}", Fraction("0.002")),
        ("1e400", 10**400),
        ("1e401", None),
        ("5 km", 5),
        ("5 m^2", 5),
        ("5%", 5),
        ("$5.", 5),
        ("It is 5.", 5),
        ("x = 5", 5),
        ("x = 2 = 5", 5),
        ("x ≈ 5", 5),
        ("The total of 3 and 9 is 12", 12),
        ("There are 3 and the total is 12", None),
        ("5 and 6", None),
        ("5, 6", None),
        ("5 or 5", None),
        ("5; 6", None),
        ("5 5", 5),
        ("1\n2", None),
        ("First 3.\n5", 5),
        ("3x", None),
        ("3 x", None),
        ("3 xylophones", 3),
        ("2*3", None),
        ("2(3)", None),
        ("n + 1", None),
        ("3pi", None),
        ("3 pies", 3),
        ("3_4", None),
        ("2 million", None),
        ("3 dozen", None),
        ("sqrt(2)", None),
        ("2^3", None),
        ("√2", None),
        ("7-3", None),
        ("= -3", -3),
        ("", None),
        ("none", None),
        ("5" + " " * 1999, 5),
        ("5" + " " * 2000, None),
        ("1" * 400, int("1" * 400)),
        ("1" * 401, None),
    ],
)
def test_one_number(text: str, value: Any) -> None:
    assert single_number(text) == (None if value is None else Fraction(value))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[1, 2]", [1, 2]),
        ("(1, 2)", [1, 2]),
        ("{1, 2}", [1, 2]),
        ("x = [1, 2] metres", [1, 2]),
        ("the roots are 1 and 2", [1, 2]),
        ("1, 2 and 3", [1, 2, 3]),
        ("1, 2, and 3", None),
        ("5", [5]),
        ("$1, $2", [1, 2]),
        ("[1, two]", None),
        ("[1] or [2]", None),
        ("[1] or 2]", None),
        ("]1, 2[", None),
        ("[]", None),
    ],
)
def test_a_list_of_numbers(text: str, values: list[int] | None) -> None:
    assert number_list(text) == values


@pytest.mark.parametrize(
    ("number", "reference", "close"),
    [
        ("2", "2", True),
        ("2.01", "2", True),
        ("1.99", "2", True),
        ("2.02", "2", False),
        ("1.98", "2", False),
        # Half of the last decimal, if that is more.
        ("0.25", "0.3", True),
        ("0.35", "0.3", True),
        ("0.36", "0.3", False),
        ("0.24", "0.3", False),
        # A reference without decimals was not rounded.
        ("2.4", "2.0", False),
        ("-2.01", "-2", True),
        ("2", "-2", False),
    ],
)
def test_close_is_a_share_or_half_of_the_last_decimal(
    number: str, reference: str, close: bool
) -> None:
    assert agrees(Fraction(number), reference, relative=Fraction(5, 1000)) is close


@pytest.mark.parametrize(
    ("number", "words"), [(Fraction(5), "5"), (HALF, "0.5"), (Fraction(10**80), "1" + "0" * 59)]
)
def test_a_number_is_shown_short(number: Fraction, words: str) -> None:
    assert shown(number) == words
