"""Validates task files: every reference must pass its own family's grader.

Where a task is solved by its tools, its reference is a cell that is run, and has to solve it.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from codeact.datasets.family import Family
from codeact.episode.effects import Verdict
from codeact.episode.task import Task
from codeact.exceptions import GraderFailure, ToolFailure
from codeact.graders.base import Grader, Mode
from codeact.sandboxes.base import Sandbox
from codeact.tools import Delays, ToolBox

_AT_ONCE = 4
_DETAIL = 500
_WALK_SECONDS = 600.0


class Unfit(msgspec.Struct, frozen=True):
    """A task whose own reference does not pass, and why."""

    task: str
    answer: str
    reason: str


class Unknown(msgspec.Struct, frozen=True):
    """A task for which no correct answer is known, so that nothing could be tried, and why."""

    task: str
    why: str


class ValidationReport(msgspec.Struct, frozen=True):
    """What a validation found."""

    family: str
    mode: Mode
    tasks: int
    unfit: tuple[Unfit, ...]
    unknown: tuple[Unknown, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every reference passes."""
        return not self.unfit


async def validate(
    family: Family,
    tasks: Sequence[Task],
    sandbox: Sandbox,
    mode: Mode,
    tools: ToolBox | None = None,
) -> ValidationReport:
    """Grade the correct answer of every task; raises `SandboxFailure` if the sandbox breaks.

    A family that is solved by tools needs `tools`.
    """
    grader = _by_tools(tools or ToolBox({})) if family.solved_by_tools else family.grader(mode)
    free = asyncio.Semaphore(_AT_ONCE)
    answers = {task.key: family.correct_answer(task) for task in tasks}

    async def check(task: Task) -> Unfit | None:
        answer = answers[task.key]
        if not isinstance(answer, str):
            return None
        async with free:
            try:
                verdict = await grader(task, answer, sandbox)
            except GraderFailure as failure:
                verdict = Verdict(False, f"the grader gives up: {failure}")
            except ToolFailure as failure:
                verdict = Verdict(False, str(failure))
        if verdict.correct:
            return None
        reason = verdict.detail or "the grader judges the reference wrong"
        return Unfit(task.key, answer[:_DETAIL], reason[:_DETAIL])

    found = await asyncio.gather(*(check(task) for task in tasks))
    unfit = tuple(item for item in found if item is not None)
    unknown = tuple(
        Unknown(task, answer.why if answer else f"the family {family.name} knows no answer to it")
        for task, answer in answers.items()
        if not isinstance(answer, str)
    )
    return ValidationReport(family.name, mode, len(tasks), unfit, unknown)


def _by_tools(tools: ToolBox) -> Grader:
    """Return what runs an answer as a cell, and asks the world of the task's tools."""

    async def run(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
        opened = tools.open(task, Delays())
        try:
            await opened.ready()
            async with await sandbox.session(setup=task.setup, tools=opened.calls) as session:
                execution = await session.execute(answer, seconds=_WALK_SECONDS)
        finally:
            opened.close()
        last = execution.output.strip().rpartition("\n")[2]
        return Verdict(opened.solved, f"the walkthrough does not solve it; it ends with: {last}")

    return run
