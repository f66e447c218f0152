"""Values of tables: their normal form, what makes two the same, and how references write them."""

from typing import Any

import pytest

from codeact.episode.task import Task
from codeact.graders.denotation import Date, mint, normal, read, strict, values_of
from tests.helpers.telling import Telling


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  Two\n Words ", "two words"),
        ("Café", "cafe"),
        ("a – b", "a - b"),
        ("It’s", "it's"),
        ("end.", "end"),
        ("end..", "end."),
        ("a [1]", "a"),
        ("a[note]", "a"),
        ("a [1] [2]", "a"),
        ("[1]", ""),
        ("[x]", "[x]"),
        ("[note] a", "[note] a"),
        ("a]", "a]"),
        ("]", "]"),
        ("a*", "a"),
        ("a † ‡", "a"),
        ("*a", "*a"),
        ("a (b)", "a"),
        ("a (b) (c)", "a"),
        ("a (b) [1]*", "a"),
        ("a(b)", "a(b)"),
        ("(b)", "(b)"),
        ("()", "()"),
        ('"a"', "a"),
        ("“a”", "a"),
        ('"a" "b"', '"a" "b"'),
        ('"', '"'),
        ('""', ""),
        ('" a b "', "a b"),
        ('"a" (b)', "a"),
        ("a [" + "x" * 200 + "]", "a"),
        ("a [" + "x" * 201 + "]", "a [" + "x" * 201 + "]"),
        ("a (" + "x" * 1000 + ")", "a"),
        ("a (" + "x" * 1001 + ")", "a (" + "x" * 1001 + ")"),
        ("", ""),
    ],
)
def test_a_text_has_one_normal_form(text: str, form: str) -> None:
    assert normal(text) == form


@pytest.mark.parametrize(
    ("reference", "values"),
    [
        ("a", ["a"]),
        ("a|b", ["a", "b"]),
        ("a\\pb", ["a|b"]),
        ("a\\nb", ["a\nb"]),
        ("a\\\\nb", ["a\\nb"]),
        ("a\\qb", ["a\\qb"]),
    ],
)
def test_a_reference_is_split_at_bars(reference: str, values: list[str]) -> None:
    assert values_of(reference) == values


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A", "a", True),
        ("a", "b", False),
        ("5", "5.0", True),
        ("5", "5.0000001", True),
        ("5", "5.000001", False),
        ("5", "4.999", False),
        ("1e3", "1000", True),
        ("1,000", "1000", False),
        ("5", "five", False),
        ("2004-01-05", "2004-1-5", True),
        ("2004-01-05", "2004-1-6", False),
        ("xxxx-01-05", "xx-1-5", True),
        ("xxxx-01-05", "2004-1-5", False),
        ("2004-13-05", "2004-13-5", False),
        ("2004-12-32", "2004-012-32", False),
    ],
)
def test_two_values_are_the_same_text_number_or_date(one: str, other: str, same: bool) -> None:
    assert read(one).same(read(other)) is same
    assert read(other).same(read(one)) is same


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2004-12-31", Date(2004, 12, 31)),
        ("2004-1-1", Date(2004, 1, 1)),
        ("2004-xx-xx", Date(2004, None, None)),
        ("xxxx-1-xx", Date(None, 1, None)),
        ("xxxx-xx-1", Date(None, None, 1)),
        ("2004-0-1", None),
        ("2004-1-0", None),
        ("xxxx-xx-xx", None),
        ("2004-13-1", None),
        ("2004-1-32", None),
    ],
)
def test_a_date_may_lack_parts_but_has_one(text: str, date: Date | None) -> None:
    assert read(text).typed == date


@pytest.mark.parametrize(
    ("reference", "answer", "said", "published", "strictly"),
    [
        ("a|b", "['a', 'b']", ["a", "b"], True, True),
        ("a|b", "['b', 'a']", ["b", "a"], True, True),
        ("a|b", "['a']", ["a"], False, False),
        ("a|b", "['a', 'c']", ["a", "c"], False, False),
        ("a|b", "['a', 'b', 'b']", ["a", "b", "b"], True, False),
        ("a|a", "['a']", ["a"], True, False),
        ("1|2", "['1.0', '2']", ["1.0", "2"], True, True),
        # What is no list of texts is one value as it stands.
        ("(a)", "(a)", None, True, True),
        ("a", "['a']", [1], False, False),
        ("a", "['a']", "a", False, False),
        # No session is asked about these.
        ("a", "a", AssertionError, True, True),
        ("a", "'a'", AssertionError, True, True),
        ("a", '"a"', AssertionError, True, True),
        ("it's", "'it's'", AssertionError, False, False),
        ("a", "'a", AssertionError, False, False),
    ],
)
async def test_values_are_compared_in_any_order(
    reference: str, answer: str, said: Any, published: bool, strictly: bool
) -> None:
    task = Task(name="wiki_table_questions", id="1", prompt="Which?", reference=reference)
    values = () if said is AssertionError else (said,)
    assert (await mint(task, answer, Telling(*values).sandbox)).correct is published
    assert (await strict(task, answer, Telling(*values).sandbox)).correct is strictly
