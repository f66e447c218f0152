"""Outputs and values of test cases: what counts as the same, as published and strictly."""

import json
from typing import Any

import pytest

from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders import cases
from codeact.graders.evaluation import WALL
from codeact.graders.outputs import (
    same_output,
    same_output_strictly,
    same_value,
    same_value_strictly,
)
from tests.helpers.telling import Telling


@pytest.mark.parametrize(
    ("printed", "expected", "published", "strictly"),
    [
        ("1 2\n3\n", "1 2\n3", True, True),
        ("1  2 \n\n3", "1 2\n3", True, True),
        ("1 2 3", "1 2\n3", False, False),
        ("1\n2", "1", False, False),
        ("1", "1\n2", False, False),
        ("1 2", "1", False, False),
        ("a b", "a c", False, False),
        ("Yes", "yes", False, False),
        # Numbers by value; strictly, whole numbers are digits and only decimals may be close.
        ("007", "7", True, False),
        ("7.0", "7", True, False),
        ("1e1", "10", True, False),
        ("10", "1e1", True, True),
        ("0.333333", "0.33333333", True, True),
        ("0.3334", "0.33333333", False, False),
        ("1000001.0", "1000000.0", True, True),
        ("1000001", "1000000", False, False),
        ("5", "5.0", True, True),
        ("x", "5.0", False, False),
        ("nan", "5.0", False, False),
        ("1e999", "1e999", True, True),
        ("1" * 5000, "1.0", False, False),
    ],
)
def test_outputs(printed: str, expected: str, published: bool, strictly: bool) -> None:
    assert same_output(printed, expected) is published
    assert same_output_strictly(printed, expected) is strictly


@pytest.mark.parametrize(
    ("value", "expected", "published", "strictly"),
    [
        (5, 5, True, True),
        (5, 6, False, False),
        (6, 5, False, False),
        (4, 5, False, False),
        (5.0, 5, True, False),
        (5, 5.0, True, True),
        (5.00001, 5.0, True, True),
        (5.1, 5.0, False, False),
        (4.9, 5.0, False, False),
        (10**400, 5.0, False, False),
        (True, True, True, True),
        (False, False, True, True),
        (True, False, False, False),
        (True, 1, False, False),
        (0, False, False, False),
        ("a", "a", True, True),
        ("a", "b", False, False),
        ("b", "a", False, False),
        ("1", 1, False, False),
        (None, None, True, True),
        (None, 0, False, False),
        ([], None, False, False),
        ([1, [2, 3]], [1, [2, 3]], True, True),
        ([1, [2, 3]], [1, [2, 4]], False, False),
        ([1, 2], [1], False, False),
        ([1], [1, 2], False, False),
        ({"a": 1}, {"a": 1}, True, True),
        ({"a": 1}, {"a": 2}, False, False),
        ({"a": 1, "b": 2}, {"a": 1}, False, False),
        ({"a": 1}, {"a": 1, "b": 2}, False, False),
        ({"a": 1}, {"b": 1}, False, False),
        ({"a": 1}, [1], False, False),
        (None, {"a": 1}, False, False),
    ],
)
def test_values(value: Any, expected: Any, published: bool, strictly: bool) -> None:
    assert same_value(value, expected) is published
    assert same_value_strictly(value, expected) is strictly


def test_a_reference_gives_its_cases() -> None:
    found = cases.read('{"inputs": [[1], "2"], "outputs": [3, "4"], "fn_name": "f"}')
    assert found == cases.Cases("f", [cases.Pair([1], 3), cases.Pair("2", "4")])
    assert cases.read('{"inputs": [], "outputs": []}').function is None


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("[]", "no JSON object with lists"),
        ('{"inputs": [1]}', "no JSON object with lists"),
        ('{"inputs": 1, "outputs": [1]}', "no JSON object with lists"),
        ('{"inputs": [1, 2], "outputs": [1]}', "2 inputs but 1 outputs"),
        ('{"inputs": [], "outputs": [], "fn_name": "f(x)"}', "fn_name is no name"),
        ('{"inputs": [], "outputs": [], "fn_name": 3}', "fn_name is no name"),
    ],
)
def test_a_reference_that_holds_no_cases_says_why(reference: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        cases.read(reference)


async def judged(
    expected: list[Any], telling: Telling, mode: str = "strict", answer: str = "def f(): ..."
) -> Verdict:
    reference = {"inputs": [1] * len(expected), "outputs": expected, "fn_name": "f"}
    task = Task(name="apps", id="1", prompt="?", reference=json.dumps(reference))
    grade = cases.strict if mode == "strict" else cases.mint
    return await grade(task, answer, telling.sandbox)


@pytest.mark.parametrize(
    ("said", "expected", "published", "strictly"),
    [
        ("5", 5, True, True),
        ("6", 5, False, False),
        # Many references wrap a value in a list of one.
        ("5", [5], True, True),
        ("[5]", [5], True, True),
        ("[5]", 5, False, False),
        ("5", [5, 6], True, False),
        ("6", [5, 6], False, False),
        ("[]", [], True, True),
        ("0", False, False, False),
        ("{", 5, False, False),
        ("[" * 100_000, 5, False, False),
        (5, 5, False, False),
        ('"' + "x" * 3_999_998 + '"', "x" * 3_999_998, True, True),
        ('"' + "x" * 3_999_999 + '"', "x" * 3_999_999, False, False),
    ],
    ids=range(14),
)
async def test_what_a_session_says_is_data(
    said: Any, expected: Any, published: bool, strictly: bool
) -> None:
    assert (await judged([expected], Telling(said), "mint")).correct is published
    assert (await judged([expected], Telling(said))).correct is strictly


async def test_the_first_case_that_fails_is_named() -> None:
    assert (await judged([1, 2, 3], Telling("1", "2", "4"))).detail == (
        "case 3 of 3: another value"
    )
    deep = await judged([1, 2], Telling("1", "[" * 100_000))
    assert deep.detail == "case 2 of 2: its value is no data"
    assert (await judged([1, 2], Telling("1", "2"))) == Verdict(True)


async def test_the_published_time_is_for_all_cases_and_the_strict_one_for_each() -> None:
    telling = Telling("1", "1", "1", took=(9.0, 1.0, 0.0))
    await judged([1, 1, 1], telling, "mint")
    assert telling.seconds == pytest.approx([10 * WALL, WALL, 0.05 * WALL])
    telling = Telling("1", "1", took=(9.0, 0.0))
    await judged([1, 1], telling)
    assert telling.seconds == [10 * WALL] * 2


@pytest.mark.parametrize("mode", ["strict", "mint"])
async def test_a_program_has_a_longest_length(mode: str) -> None:
    assert (await judged([1], Telling("1"), mode, "#" * 1_000_000)).correct
    verdict = await judged([1], Telling("1"), mode, "#" * 1_000_001)
    assert verdict == Verdict(False, "the answer is longer than any program")
