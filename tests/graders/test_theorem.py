"""TheoremQA as published: what an answer becomes, and what is read of it without a session."""

from typing import Any, cast

import pytest

from codeact.episode.task import Task
from codeact.graders import theorem
from codeact.sandboxes.base import Sandbox


@pytest.mark.parametrize(
    ("answer", "expression"),
    [
        ("5", "5"),
        ("x = 5", "5"),
        ("x ≈ 5", "5"),
        ("a = b ≈ 5", "5"),
        ("`$5$`", "5"),
        ("yes", "True"),
        ("true", "True"),
        ("no", "False"),
        ("It is True", "True"),
        ("It is False", "False"),
        ("True or False", "True"),
        ("approximately 5", "5"),
        ("5 or 6", "5"),
        ("5 metres", "5"),
        ("-5 metres", "-5"),
        ("+5 metres", "+5"),
        ("5 m2", "5 m2"),
        ("x5 metres", "x5 metres"),
        ("about 5", "5"),
        ("about -5", "-5"),
        ("about 5\n", "5"),
        ("5 6", "5 6"),
        ("5%", "5"),
        ("-5%", "-5"),
        ("5%\n", "5"),
        ("5cm", "5"),
        ("5cmm", "5cmm"),
        ("€5", "5"),
        ("x.5", "5"),
        ("-5", "-5"),
        ("--5", "--5"),
        ("€-5", "€-5"),
        ("2*10^3", "2*math.pow(10, 3)"),
        ("10^-3", "math.pow(10, -3)"),
        ("2 x 3", "2*3"),
        ("2 × 3", "2*3"),
        ("1,234", "1234"),
        ("1,234x5678", "1,234x5678"),
        ("(a)", '"(a)"'),
        ("b)", '"(b)"'),
        ("c )", '"(c)"'),
        ("D", '"(d)"'),
        (" a ", '"(a)"'),
        ("ab", "ab"),
        ("e", "e"),
        ("", "0"),
    ],
)
def test_an_answer_becomes_an_expression(answer: str, expression: str) -> None:
    assert theorem.normalise(answer) == expression


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("05", None),
        ("5.25", 5.25),
        ("1e5", None),
        ("True", True),
        ("False", False),
        ('"(a)"', "(a)"),
        ('"(ab)"', None),
        ('x(a)"', None),
        ('"(a)x', None),
        ("[1, 2.5]", [1, 2.5]),
        ("[1, x]", None),
        ("[1", None),
        ("1]", None),
        ("x", None),
        ("[" + "1," * 4999 + "1]", None),
        ("[" + "1," * 4998 + "1]", [1] * 4999),
    ],
)
def test_a_literal_is_read_on_the_host(expression: str, value: Any) -> None:
    found = theorem.plain_value(expression)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "reference", "answer", "correct"),
    [
        ("bool", True, "yes", True),
        ("bool", True, "no", False),
        ("option", "(a)", "a", True),
        ("option", "a", "(a)", True),
        ("option", "(b)", "a", False),
        ("integer", 5, "5", True),
        ("integer", 5, "5.4", True),
        ("integer", 5, "5.6", False),
        ("integer", 5, "[5]", False),
        ("float", 2.0, "2.07", True),
        ("float", 2.0, "1.93", True),
        ("float", 2.0, "2.09", False),
        ("float", 2.0, "1.91", False),
        ("float", -2.0, "-2.07", True),
        ("list of integer", [1, 2], "[2, 1]", True),
        ("list of integer", [1, 2], "[1, 3]", False),
        ("list of integer", [1, 2], "[1, 2, 3]", False),
        ("list of integer", [1, 2], "1", False),
    ],
)
async def test_the_published_verdict(kind: str, reference: Any, answer: str, correct: bool) -> None:
    task = Task(
        name="theoremqa",
        id="1",
        prompt="How much?",
        reference=reference,
        metadata={"answer_type": kind},
    )
    # None of these needs a session.
    verdict = await theorem.mint(task, answer, cast(Sandbox, None))
    assert verdict.correct is correct
