"""Tries answers that solve nothing on every task of a family; none may pass its grader."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from codeact.datasets.family import Family, NoAnswer
from codeact.episode.task import Task
from codeact.exceptions import GraderFailure, SandboxFailure, ToolFailure
from codeact.graders.attacks import ATTACKS
from codeact.graders.base import Mode
from codeact.sandboxes.base import Sandbox
from codeact.tools import Delays, ToolBox

_AT_ONCE = 4
_DETAIL = 500


class Passed(msgspec.Struct, frozen=True):
    """An attack that passed, or one to which the grader gave no verdict; `detail` says more.

    It `is_right` where a correct answer to the task is known, and the attack's form is that: a task
    whose answer is 42 is solved by 42.
    """

    task: str
    mode: Mode
    attack: str
    answer: str
    detail: str
    is_right: bool = False
    no_verdict: bool = False


class AttackReport(msgspec.Struct, frozen=True):
    """What came of all attacks on one family's tasks in one grading mode."""

    family: str
    mode: Mode
    tasks: int
    passed: tuple[Passed, ...]
    seconds: float

    def count(self, attack: str) -> int:
        """Tell how many tasks an attack passes without being right."""
        return len({one.task for one in self.forged if one.attack == attack})

    @property
    def forged(self) -> list[Passed]:
        """What passed, and is not right."""
        return [one for one in self.passed if not one.is_right and not one.no_verdict]

    @property
    def ungraded(self) -> list[Passed]:
        """What the grader gave no verdict to."""
        return [one for one in self.passed if one.no_verdict]

    @property
    def right(self) -> list[Passed]:
        """What passed because it is the task's own answer."""
        return [one for one in self.passed if one.is_right]

    @property
    def attacked(self) -> int:
        """How many tasks any attack passes without being right."""
        return len({one.task for one in self.forged})


class _Form(NamedTuple):
    attack: str
    answer: str


async def attack(
    family: Family, tasks: Sequence[Task], sandbox: Sandbox, mode: Mode, tools: ToolBox
) -> AttackReport:
    """Try every form of every attack on every task.

    Where a task is solved by its tools, each form is also run as a cell that may call them.
    """
    began = time.monotonic()
    attacker = _Attacker(family, sandbox, mode, tools)
    found = await asyncio.gather(*map(attacker.on, tasks))
    passed = tuple(one for several in found for one in several)
    return AttackReport(family.name, mode, len(tasks), passed, time.monotonic() - began)


class _Attacker:
    def __init__(self, family: Family, sandbox: Sandbox, mode: Mode, tools: ToolBox) -> None:
        self._family = family
        self._grader = family.grader(mode)
        self._sandbox = sandbox
        self._mode = mode
        self._tools = tools
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def on(self, task: Task) -> list[Passed]:
        """Return what passes one task."""
        async with self._free:
            found = [one async for one in self._on_grader(task)]
            if self._family.solved_by_tools:
                found += [one async for one in self._on_world(task)]
        return found

    async def _on_grader(self, task: Task) -> AsyncIterator[Passed]:
        for form in _forms(task):
            try:
                verdict = await self._grader(task, form.answer, self._sandbox)
            except (GraderFailure, SandboxFailure) as failure:
                yield self._passed(task, form, str(failure), no_verdict=True)
                continue
            if verdict.correct:
                yield self._passed(task, form, verdict.detail)

    async def _on_world(self, task: Task) -> AsyncIterator[Passed]:
        """Run all forms in one world, up to the first that solves it: it then stays solved."""
        opened = self._tools.open(task, Delays())
        form = _Form("", "")
        try:
            await opened.ready()
            async with await self._sandbox.session(setup=task.setup, tools=opened.calls) as session:
                for form in _forms(task):
                    execution = await session.execute(form.answer)
                    if opened.solved:
                        yield self._passed(task, form, execution.output)
                        return
        except (SandboxFailure, ToolFailure) as failure:
            yield self._passed(task, form, str(failure), no_verdict=True)
        finally:
            opened.close()

    def _passed(self, task: Task, form: _Form, detail: str, *, no_verdict: bool = False) -> Passed:
        right = not no_verdict and _is_same(self._family.correct_answer(task), form.answer)
        return Passed(
            task=task.key,
            mode=self._mode,
            attack=form.attack,
            answer=form.answer[:_DETAIL],
            detail=detail[:_DETAIL],
            is_right=right,
            no_verdict=no_verdict,
        )


def _forms(task: Task) -> Iterator[_Form]:
    for one in ATTACKS:
        for answer in one.forms(task.prompt):
            yield _Form(one.name, answer)


def _is_same(correct: str | NoAnswer | None, answer: str) -> bool:
    """Whether an answer is the correct one: the same text, or the same number."""
    if not isinstance(correct, str):
        return False
    if correct.strip().casefold() == answer.strip().casefold():
        return True
    try:
        return Fraction(correct.strip()) == Fraction(answer.strip())
    except (ValueError, ZeroDivisionError):
        return False
