"""What answers commit to, in every family that is graded by text: the table of cases."""

import ast
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from codeact.datasets import get
from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.graders.commitment import LONGEST, commitment
from codeact.sandboxes.base import Sandbox
from tests.helpers.commitment_cases import RIGHT, WRONG, Row
from tests.helpers.sandboxes import started

pytestmark = pytest.mark.asyncio(loop_scope="module")
KINDS = {"list": "list of integer", "bool": "bool"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = await started("local", preload=("numpy", "sympy", "math_verify"), memory_mb=1024)
    yield sandbox
    await sandbox.close()


async def verdicts(row: Row, sandbox: Sandbox) -> dict[str, Verdict]:
    name, written, prompt, answers = row
    reference = ast.literal_eval(written) if name == "theoremqa" else written
    metadata = {"answer_type": KINDS.get(prompt, "float")}
    task = Task(name=name, id="0", prompt=prompt, reference=reference, metadata=metadata)
    grade = get(name).grader("strict")
    return {answer: await grade(task, answer, sandbox) for answer in answers}


@pytest.mark.parametrize("row", RIGHT, ids=lambda row: f"{row[0]}-{row[1]}")
async def test_an_answer_that_commits_to_the_reference_is_right(row: Row, sandbox: Sandbox) -> None:
    found = await verdicts(row, sandbox)
    assert {answer: verdict for answer, verdict in found.items() if not verdict.correct} == {}


@pytest.mark.parametrize("row", WRONG, ids=lambda row: f"{row[0]}-{row[1]}")
async def test_denial_doubt_lists_and_corrections_are_wrong_and_say_why(
    row: Row, sandbox: Sandbox
) -> None:
    found = await verdicts(row, sandbox)
    assert {answer: verdict for answer, verdict in found.items() if verdict.correct} == {}
    assert [answer for answer, verdict in found.items() if not verdict.detail] == []


@pytest.mark.parametrize(
    ("reference", "answer", "correct"),
    [
        ("Ann|Bo", "['Ann', 'Bo']", True),
        ("Ann|Bo", "The answer is ['Bo', 'Ann'].", True),
        ("not out", "not out", True),
        ("no", "['no']", True),
        ("St. Ives|J. Day Jr.", '["St. Ives", "J. Day Jr."]', True),
        ("5", "5", True),
        ("1,000", "1,000", True),
        ("Ann", "Ann rather than Bo", True),
        ("5", "not 5", False),
        ("5", "5 or 6", False),
        ("5", "5?", False),
        ("Ann", "It isn't Ann", False),
        ("Bo", "Ann, not Bo", False),
        ("5", "~~5~~", False),
        ("Ann|Bo", "['Ann', 'Bo'] or ['Cy']", False),
        ("Ann", "['Ann', 'Ann']", False),
    ],
)
async def test_denotations_are_committed_to(
    reference: str, answer: str, correct: bool, sandbox: Sandbox
) -> None:
    row = ("wiki_table_questions", reference, "Which?", (answer,))
    assert (await verdicts(row, sandbox))[answer].correct == correct


@pytest.mark.parametrize("answer", ["x \\ne 3", "$x \\ne 3$"])
async def test_cue_words_of_the_reference_are_no_cues(answer: str, sandbox: Sandbox) -> None:
    found = await verdicts(("math_train", "x \\ne 3", "Solve.", (answer,)), sandbox)
    assert found[answer].correct
    other = await verdicts(("math_train", "x = 3", "Solve.", (answer,)), sandbox)
    assert not other[answer].correct


async def test_what_is_too_long_commits_to_nothing() -> None:
    found = commitment("5" + " " * LONGEST, lambda text: text)
    assert found.value is None
    assert "longer than" in found.problem
