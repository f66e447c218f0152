"""Mathematics that needs no session: what is read on the host, and what is not worth parsing."""

from fractions import Fraction
from typing import cast

import pytest

from codeact.episode.task import Task
from codeact.graders import mathematics
from codeact.graders.commitment import NO_VALUE
from codeact.sandboxes.base import Sandbox


class AskedForASession(Exception):
    """The text would have been parsed."""


class Closed:
    """A sandbox that gives no session."""

    async def session(self, **_: object) -> None:
        raise AskedForASession


NO_SESSION = cast(Sandbox, Closed())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain words only",
        "1_000 + 1",
        "١ + ٢",
        "2^3 and 2^4",
        "2^3, 2^4",
        "2^3; 2^4",
        "some 2^3 words",
        "k + n",
        "2^" + "3" * 1999,
    ],
)
async def test_what_is_no_expression_is_not_parsed(text: str) -> None:
    found = await mathematics.committed_number(text, "8", "", NO_SESSION)
    assert (found.value, found.problem) == (None, NO_VALUE)


@pytest.mark.parametrize(
    "text", ["2^3", "x = 2^3", "\\sqrt{64}", "π", "e", "E/2", "2^" + "3" * 1998, "$2^3$."]
)
async def test_an_expression_is_parsed_in_a_session(text: str) -> None:
    with pytest.raises(AskedForASession):
        await mathematics.committed_number(text, "8", "", NO_SESSION)


@pytest.mark.parametrize(
    ("reference", "answer", "correct"),
    [
        ("8", "8", True),
        ("8", "8.000000008", True),
        ("8", "8.00000001", False),
        ("8", "8.1", False),
        ("0.33", "0.333", True),
        ("0.33", "0.34", False),
        ("x+1", "x+1", True),
        ("x+1", "__x__+1", False),
        ("x+1", "", False),
    ],
)
async def test_a_verdict_that_needs_no_session(reference: str, answer: str, correct: bool) -> None:
    task = Task(name="math", id="1", prompt="How much?", reference=reference)
    assert (await mathematics.strict(task, answer, NO_SESSION)).correct is correct


async def test_a_number_is_read_as_it_is_written() -> None:
    found = await mathematics.committed_number("It is 1,000.5.", "1", "", NO_SESSION)
    assert found.value == Fraction("1000.5")
