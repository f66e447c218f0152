"""The published verdicts, against those recorded with the published grader.

The code vectors are sampled by default; ``CODEACT_FULL_PARITY=1`` takes all 3,531 (minutes).
"""

import asyncio
import gzip
import json
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from codeact.edge.families import get, load_tasks
from codeact.edge.sandboxes.base import Sandbox
from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from tests.sandbox_helpers import started

DATA = Path(__file__).parents[2] / "shared" / "data"
REASONING = ("gsm8k", "math", "mmlu", "theoremqa", "hotpotqa")
CODE = ("humaneval", "mbpp")
AT_ONCE = 6

# mbpp/15 sums amicable numbers below 9999 by trial division: right or wrong, an answer to it runs
# for 4 to 12 s on an idle core, so that its verdict depends on the machine.
TOO_CLOSE_TO_THE_LIMIT = {("mbpp", 15)}

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not DATA.is_dir(), reason="the recorded verdicts in ../shared are not here"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = await started("local", preload=("numpy", "sympy"), memory_mb=1024)
    yield sandbox
    await sandbox.close()


def vectors(name: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / "expected" / f"grader_vectors_{name}.jsonl.gz") as lines:
        return [json.loads(line) for line in lines]


def tasks(names: tuple[str, ...]) -> dict[tuple[str, str], Task]:
    return {
        (name, task.id): task
        for name in names
        for task in load_tasks(get(name), DATA / "mint_tasks" / f"{name}.jsonl")
    }


async def verdicts(
    rows: list[dict[str, Any]], known: dict[tuple[str, str], Task], sandbox: Sandbox
) -> list[Verdict]:
    free = asyncio.Semaphore(AT_ONCE)

    async def grade(row: dict[str, Any]) -> Verdict:
        task = known[row["task"], str(row["task_id"])]
        async with free:
            return await get(row["task"]).grader("mint")(task, row["answer"], sandbox)

    return await asyncio.gather(*map(grade, rows))


@pytest.mark.parametrize("name", REASONING)
async def test_every_recorded_short_answer_gets_its_published_verdict(
    name: str, sandbox: Sandbox
) -> None:
    rows = [row for row in vectors("reasoning") if row["task"] == name]
    found = await verdicts(rows, tasks((name,)), sandbox)
    wrong = [
        (row["task_id"], row["answer"], row["mint_eab5ead"], verdict)
        for row, verdict in zip(rows, found, strict=True)
        if verdict.correct != (row["mint_eab5ead"] == "ok")
    ]
    assert rows
    assert not wrong


async def test_recorded_programs_get_their_published_verdicts(sandbox: Sandbox) -> None:
    rows = vectors("code")
    if not os.environ.get("CODEACT_FULL_PARITY"):
        # Every kind of pass is kept rare by nature, so the sample is of both verdicts.
        rows = random.Random(20261122).sample(rows, 300)
    found = await verdicts(rows, tasks(CODE), sandbox)
    differing = [
        (row["task"], row["task_id"], row["py311_result"], verdict.detail)
        for row, verdict in zip(rows, found, strict=True)
        if verdict.correct != row["py311"]
    ]
    unexplained = [item for item in differing if item[:2] not in TOO_CLOSE_TO_THE_LIMIT]
    assert not unexplained
    assert len(differing) <= 0.001 * len(rows) or all("Timed out" in item[3] for item in differing)
