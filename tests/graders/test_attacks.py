"""No forged solution passes the strict verdict of any HumanEval or MBPP task.

The tasks are the sample's, and the whole published ones where they are at hand. Each is attacked,
each attack is made on several tasks, and each task's own solution passes; CODEACT_SLOW_TESTS=1
makes every attack on every task.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from codeact.datasets import get, load_tasks
from codeact.episode.task import Task
from codeact.graders import code
from codeact.graders.code import CodeGrader
from codeact.sample import tasks_path
from codeact.sandboxes.base import Sandbox
from tests.helpers.forgeries import FORGERIES, solution
from tests.helpers.sandboxes import started

DATA = Path(__file__).parents[3] / "shared" / "data" / "mint_tasks"
FAMILIES = ("humaneval", "mbpp")
WHOLE = "CODEACT_SLOW_TESTS" in os.environ
ATTACKS_EACH = 2
AT_ONCE = 4

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(3600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = await started("local", preload=("numpy",), memory_mb=512)
    yield sandbox
    await sandbox.close()


def sample_tasks() -> list[Task]:
    return [task for name in FAMILIES for task in load_tasks(get(name), tasks_path(name))]


def published_tasks() -> list[Task]:
    if not DATA.is_dir():
        pytest.skip("the published tasks in ../shared are not here")
    return [task for name in FAMILIES for task in load_tasks(get(name), DATA / f"{name}.jsonl")]


TASKS = {"sample": sample_tasks, "published": published_tasks}


def grader_of(task: Task) -> CodeGrader:
    grader = get(task.name).grader("strict")
    assert isinstance(grader, CodeGrader)
    return grader


def names_of(task: Task) -> list[str]:
    grader = grader_of(task)
    head = grader._head(task) if grader._head else ""
    return [*code._program(str(task.reference), grader._solution(task), head).names]


def attacks_on(tasks: list[Task]) -> list[tuple[Task, str]]:
    """Rotate the attacks over the tasks: at least two on each, and each on at least two."""
    if WHOLE:
        return [(task, attack) for task in tasks for attack in FORGERIES]
    attacks = list(FORGERIES)
    count = max(ATTACKS_EACH * len(tasks), 2 * len(attacks))
    # The shift keeps each round from meeting the same tasks with the same attacks.
    pairs = [
        (tasks[(n + n // len(attacks)) % len(tasks)], attacks[n % len(attacks)])
        for n in range(count)
    ]
    assert {task.key for task, _ in pairs} == {task.key for task in tasks}
    assert all(len({t.key for t, name in pairs if name == attack}) > 1 for attack in attacks)
    return pairs


@pytest.mark.parametrize("source", TASKS)
async def test_no_forgery_passes_and_every_task_can_be_passed(
    sandbox: Sandbox, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = TASKS[source]()
    assert all(names_of(task) for task in tasks)
    free = asyncio.Semaphore(AT_ONCE)

    async def is_right(task: Task, answer: str) -> bool:
        async with free:
            verdict = await grader_of(task)(task, answer, sandbox)
        assert len(verdict.detail) <= 3000
        return verdict.correct

    right = await asyncio.gather(*[is_right(t, grader_of(t)._solution(t)) for t in tasks])
    assert [task.key for task, ok in zip(tasks, right, strict=True) if not ok] == []
    # What never ends is given up soon: nothing here is to be right.
    monkeypatch.setattr(code, "SECONDS", 0.2)
    monkeypatch.setattr(code, "WALL", 3.0)
    attacks = attacks_on(tasks)
    passed = await asyncio.gather(
        *[is_right(t, solution(name, names_of(t))) for t, name in attacks]
    )
    assert [(t.key, name) for (t, name), ok in zip(attacks, passed, strict=True) if ok] == []
