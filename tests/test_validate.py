"""Validation lists exactly the tasks whose own reference does not pass."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from codeact.edge.families import get
from codeact.edge.sandboxes.base import Sandbox
from codeact.edge.validate import validate
from codeact.episode.task import Task
from tests.sandbox_helpers import started

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = await started("local")
    yield sandbox
    await sandbox.close()


def math_tasks(*references: str) -> list[Task]:
    rows = [{"id": n, "prompt": "x?", "reference": ref} for n, ref in enumerate(references)]
    return [get("math").task(row) for row in rows]


def program(number: int, code: str, tests: str = "assert f(1) == 2") -> Task:
    row: dict[str, Any] = {"id": number, "prompt": "f", "reference": tests, "code": code}
    return get("mbpp").task({**row, "test_list": [tests]})


async def test_negative_references_never_pass_in_mint_mode(sandbox: Sandbox) -> None:
    tasks = math_tasks("10.0", "-108.0", "0.0", "-1.0")
    report = await validate(get("math"), tasks, sandbox, "mint")
    assert (report.tasks, report.ok) == (4, False)
    assert [item.task for item in report.unfit] == ["math/1", "math/3"]
    assert (await validate(get("math"), tasks, sandbox, "strict")).ok


@pytest.mark.parametrize("mode", ["mint", "strict"])
async def test_a_solution_that_fails_its_tests_is_listed_with_the_reason(
    sandbox: Sandbox, mode: Any
) -> None:
    tasks = [program(0, "def f(x): return x + 1"), program(1, "def f(x): return x")]
    report = await validate(get("mbpp"), tasks, sandbox, mode)
    assert [(item.task, item.reason[:14]) for item in report.unfit] == [
        ("mbpp/1", "AssertionError")
    ]


async def test_tests_that_no_grader_can_run_are_listed_too(sandbox: Sandbox) -> None:
    tests = "class C: pass\nassert f(C()) is None"
    report = await validate(get("mbpp"), [program(0, "def f(x): pass", tests)], sandbox, "strict")
    assert "cannot cross" in report.unfit[0].reason
