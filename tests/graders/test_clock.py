"""The graders' clock and their sessions: no verdict depends on load, no grading keeps a slot."""

import asyncio
import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from codeact.datasets import get, load_tasks
from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.exceptions import SandboxFailure
from codeact.graders import cases, code, evaluation
from codeact.sandboxes.base import Sandbox
from codeact.sandboxes.sandbox import GuestSandbox
from tests.helpers.sandboxes import started

DATA = Path(__file__).parents[3] / "shared" / "data"
WHOLE = "CODEACT_SLOW_TESTS" in os.environ
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(3600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[GuestSandbox]:
    sandbox = await started("local", preload=("numpy", "sympy"), memory_mb=1024, slots=8)
    yield sandbox
    await sandbox.close()


def programming(answer: str) -> Task:
    tests = "assert f(1) == 42\nassert f(2) == 42"
    metadata = {"code": "def f(x):\n    return 42"}
    return Task(name="mbpp", id="0", prompt="Write f.", reference=tests, metadata=metadata)


def printing(answer: str) -> Task:
    reference = json.dumps({"inputs": ["1\n", "2\n"], "outputs": ["42\n", "42\n"]})
    row = {"problem_id": 1, "prompt": "Print.", "reference": reference, "solutions": ""}
    return get("apps").task(row)


def returning(answer: str) -> Task:
    reference = json.dumps({"inputs": [[1], [2]], "outputs": [42, 42], "fn_name": "f"})
    row = {"problem_id": 2, "prompt": "Return.", "reference": reference, "solutions": ""}
    return get("apps").task(row)


BODY = "def f(x):\n    {work}\n    return 42\n"
PROGRAM = BODY + "if __name__ == '__main__':\n    print(f(1))\n"
KINDS = {
    "code, strict": (programming, BODY, "strict"),
    "code, mint": (programming, BODY, "mint"),
    "program, strict": (printing, PROGRAM, "strict"),
    "program, mint": (printing, PROGRAM, "mint"),
    "function, strict": (returning, BODY, "strict"),
    "function, mint": (returning, BODY, "mint"),
}


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give every verdict so many seconds in place of ten."""

    def set_limit(seconds: float) -> None:
        for module in (code, cases):
            monkeypatch.setattr(module, "SECONDS", seconds)

    return set_limit


async def judge(kind: str, sandbox: Sandbox, work: str = "pass") -> Verdict:
    make, source, mode = KINDS[kind]
    answer = source.format(work=work)
    task = make(answer)
    return await get(task.name).grader(mode)(task, answer, sandbox)  # type: ignore[arg-type]


class Slow:
    """A sandbox whose sessions come late, and start to work late."""

    def __init__(self, sandbox: Sandbox, seconds: float) -> None:
        self.sandbox = sandbox
        self.seconds = seconds

    async def session(self, **how: Any) -> Any:
        await asyncio.sleep(self.seconds * random.uniform(0.5, 1.0))
        session = await self.sandbox.session(**how)
        evaluate = session.evaluate

        async def later(source: str, *, seconds: float) -> Any:
            await asyncio.sleep(self.seconds / 4)
            return await evaluate(source, seconds=seconds)

        session.evaluate = later  # type: ignore[method-assign]
        return session

    async def close(self) -> None:
        await self.sandbox.close()


class Broken:
    """A sandbox that gives so many sessions and then none."""

    def __init__(self, sandbox: Sandbox, good: int) -> None:
        self.sandbox = sandbox
        self.left = good

    async def session(self, **how: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise SandboxFailure("all slots of the sandbox were in use")
        return await self.sandbox.session(**how)

    async def close(self) -> None:
        await self.sandbox.close()


async def test_sessions_that_come_late_cost_the_answer_nothing(
    sandbox: GuestSandbox, limit: Callable[[float], None]
) -> None:
    limit(0.5)
    found = await asyncio.gather(*[judge(kind, Slow(sandbox, 1.0)) for kind in KINDS])
    assert [kind for kind, verdict in zip(KINDS, found, strict=True) if not verdict.correct] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_sandbox_that_gives_no_session_gives_no_verdict(
    sandbox: GuestSandbox, kind: str
) -> None:
    for good in (0, 1):
        if (good, kind) == (1, "code, mint"):
            continue  # It needs but one.
        with pytest.raises(SandboxFailure):
            await judge(kind, Broken(sandbox, good))
    await everything_ended(sandbox)


@pytest.mark.parametrize(
    "work",
    [
        "import time; time.sleep(1000)",
        "while True: pass",
        "import threading; threading.Event().wait()",
        "sum(range(10**12))",
        "pow(10, 10**9)",
        "import signal; signal.signal(14, signal.SIG_IGN); exec('while True: pass')",
        "import os; os.fork() and os.wait(); exec('while True: pass')",
    ],
)
async def test_what_never_ends_is_wrong(
    sandbox: GuestSandbox, work: str, limit: Callable[[float], None]
) -> None:
    limit(0.15)
    async with asyncio.timeout(300):
        found = await asyncio.gather(*[judge(kind, sandbox, work) for kind in KINDS])
    assert [kind for kind, verdict in zip(KINDS, found, strict=True) if verdict.correct] == []
    assert all(len(verdict.detail) <= evaluation.LONGEST_DETAIL + 100 for verdict in found)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep the processors busy meanwhile."""
    forever = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(forever) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


async def test_waiting_for_a_processor_is_not_the_answers_time(
    sandbox: GuestSandbox, limit: Callable[[float], None]
) -> None:
    """Each answer computes for half of its time, and gets a few hundredths of a processor."""
    limit(0.6)
    apart = ("program, strict", "function, strict")  # Their two cases have the time each.
    loop = "import time as t; e = t.process_time() + {}\n    while t.process_time() < e: pass"
    with busy_processes(6 * (os.cpu_count() or 1)):
        found = await asyncio.gather(
            *[judge(kind, sandbox, loop.format(0.3 if kind in apart else 0.15)) for kind in KINDS]
        )
    assert all(verdict.correct for verdict in found), found


# -- the owner of every session


async def everything_ended(sandbox: GuestSandbox) -> None:
    async with asyncio.timeout(60):
        while sandbox.live:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    sessions = [await sandbox.session() for _ in range(sandbox.settings.capacity)]
    assert sandbox.live == sandbox.settings.capacity
    await asyncio.gather(*[session.close() for session in sessions])


async def one_evaluation(sandbox: Sandbox) -> Any:
    return await evaluation.evaluate(sandbox, "RESULT = 1", seconds=5)


GRADINGS: dict[str, Callable[[Sandbox], Awaitable[Any]]] = {
    **{kind: lambda sandbox, kind=kind: judge(kind, sandbox) for kind in KINDS},  # type: ignore[misc]
    "an evaluation": one_evaluation,
}


@pytest.mark.parametrize("kind", GRADINGS)
async def test_a_grading_that_is_cancelled_keeps_no_session(
    sandbox: GuestSandbox, kind: str
) -> None:
    """It is cancelled after each of its first steps, and in steps of time until it is done."""
    finished = False
    for step in range(200):
        grading = asyncio.ensure_future(GRADINGS[kind](sandbox))
        if step < 30:
            for _ in range(step):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(0.0004 * 1.05 ** (step - 30))
        grading.cancel()
        (result,) = await asyncio.gather(grading, return_exceptions=True)
        finished = not isinstance(result, asyncio.CancelledError)
        if finished:
            break
    assert finished
    await everything_ended(sandbox)


# -- the same answers on an idle and on an overloaded machine


def recorded(count: int) -> list[tuple[Task, str]]:
    """Draw answers with every task among them, right and wrong."""
    if not DATA.is_dir():
        pytest.skip("the recorded answers in ../shared are not here")
    with gzip.open(DATA / "expected" / "grader_vectors_code.jsonl.gz") as lines:
        rows = [json.loads(line) for line in lines]
    known = {
        (name, task.id): task
        for name in ("humaneval", "mbpp")
        for task in load_tasks(get(name), DATA / "mint_tasks" / f"{name}.jsonl")
    }
    drawn = random.Random(5).sample(rows, count)
    return [(known[row["task"], str(row["task_id"])], row["answer"]) for row in drawn]


async def verdicts(sandbox: Sandbox, answers: list[tuple[Task, str]], mode: Any) -> list[bool]:
    free = asyncio.Semaphore(4)

    async def grade(task: Task, answer: str) -> bool:
        async with free:
            return (await get(task.name).grader(mode)(task, answer, sandbox)).correct

    return await asyncio.gather(*[grade(*pair) for pair in answers])


@pytest.mark.parametrize("mode", ["strict", "mint"])
async def test_the_same_answers_get_the_same_verdicts_on_an_overloaded_machine(
    sandbox: GuestSandbox, mode: str
) -> None:
    answers = recorded(500 if WHOLE else 40)
    before = await verdicts(sandbox, answers, mode)
    with busy_processes(8):
        loaded = await verdicts(sandbox, answers, mode)
    changed = [answers[n][0].key for n, ok in enumerate(before) if ok != loaded[n]]
    assert changed == []
    assert len(set(before)) == 2
