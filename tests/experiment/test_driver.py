"""When an episode's REPL starts and ends, whose clock counts, and whose fault a failure is."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
import pytest

from codeact.episode.causes import is_counted, should_retry
from codeact.episode.effects import Completion, Execution, Verdict
from codeact.episode.prompts.base import Action
from codeact.episode.prompts.code import CodeStrategy
from codeact.episode.settings import FeedbackSettings
from codeact.episode.task import Task
from codeact.exceptions import ModelFailure, ProviderFailure
from codeact.experiment.budget import Account
from codeact.experiment.compute.local import environment
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.config.validation import validated
from codeact.experiment.driver import Assignment, Environment, play_episode
from codeact.experiment.plan import make_plan
from codeact.experiment.resources import Resources
from codeact.models.base import Request
from codeact.models.scripted import ScriptedModel
from codeact.sandboxes.base import HostTool, Sandbox, Session
from codeact.sandboxes.sandbox import GuestSandbox
from tests.helpers.sandboxes import NoSandbox

pytestmark = pytest.mark.usefixtures("local_sandbox")

CELL, PROPOSAL = "<execute> 6 * 7 </execute>", "<solution> 42 </solution>"


class Ready(NamedTuple):
    """An episode that could be played, and the sandbox that it would be played in."""

    assignment: Assignment
    environment: Environment
    sandbox: GuestSandbox


@asynccontextmanager
async def ready(*words: str) -> AsyncIterator[Ready]:
    """One episode of a task of our own."""
    invocation = Invocation(
        "run",
        (
            "model=scripted",
            "task=gsm8k",
            "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl",
            "executor.preload=[]",
            "limit=1",
            *words,
        ),
    )
    config = validated(RunConfig, compose_config(invocation))
    plan = make_plan(config)
    async with Resources() as resources:
        shared = await environment(
            config,
            plan.keys,
            plan.tools,
            Account(config.budget),
            resources,
            strategy=plan.strategy,
        )
        assert isinstance(shared.sandbox, GuestSandbox)
        yield Ready(plan.assignments[0], shared, shared.sandbox)


class Watched:
    """A sandbox that says when it is asked for a session."""

    def __init__(self, sandbox: GuestSandbox) -> None:
        self._sandbox = sandbox
        self.asked = asyncio.Event()

    async def session(
        self, *, setup: str = "", tools: Mapping[str, HostTool] | None = None
    ) -> Session:
        self.asked.set()
        return await self._sandbox.session(setup=setup, tools=tools)

    async def close(self) -> None:
        """It is the other's to close."""


class Patient(ScriptedModel):
    """A policy that thinks until there is what it waits for."""

    awaited: asyncio.Event

    async def complete(self, request: Request) -> Completion:
        async with asyncio.timeout(20):
            await self.awaited.wait()
        return await super().complete(request)


async def test_the_repl_starts_while_the_policy_thinks_of_its_first_action() -> None:
    async with ready() as (assignment, shared, sandbox):
        watched, policy = Watched(sandbox), Patient([CELL, PROPOSAL])
        policy.awaited = watched.asked
        record = await play_episode(assignment, shared._replace(policy=policy, sandbox=watched))
    assert record.turns[0].observation == "Out[1]: 42"
    assert record.outcome.cause is None


async def test_an_episode_of_one_turn_starts_one_for_a_cell_alone() -> None:
    async with ready("turns=max1_p1") as (assignment, shared, sandbox):
        for text in (PROPOSAL, CELL):
            watched = Watched(sandbox)
            policy = ScriptedModel([text])
            await play_episode(assignment, shared._replace(policy=policy, sandbox=watched))
            assert watched.asked.is_set() == (text is CELL)


@pytest.mark.parametrize("latency", [0.0, 0.002, 0.5])
async def test_a_repl_that_nobody_used_is_gone_with_its_episode(latency: float) -> None:
    async with ready() as (assignment, shared, sandbox):

        def fail(request: Request) -> str:
            raise ProviderFailure("no answer today")

        policy = ScriptedModel(fail, latency=latency)
        record = await play_episode(assignment, shared._replace(policy=policy))
        assert record.outcome.cause == "provider"
        async with asyncio.timeout(20):
            while sandbox.live:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)


async def test_a_repl_that_cannot_start_matters_to_cells_alone() -> None:
    async with ready() as (assignment, shared, _):
        broken = shared._replace(sandbox=NoSandbox())
        proposing = broken._replace(policy=ScriptedModel(["What now?", "What now?"]))
        assert (await play_episode(assignment, proposing)).outcome.cause is None
        acting = broken._replace(policy=ScriptedModel([CELL]))
        record = await play_episode(assignment, acting)
    assert record.outcome.cause == "sandbox"
    assert "there is none" in (record.outcome.error or "")


@pytest.mark.parametrize("failure", [ModelFailure("too long"), ProviderFailure("overloaded")])
async def test_what_the_feedback_model_fails_at_is_the_users_failure(failure: Exception) -> None:
    """The policy's context is not full when the other's is: the episode does not count."""

    def fail(request: Request) -> str:
        assert request.role == "feedback"
        raise failure

    words = ("feedback=textual", "model@feedback.model=scripted")
    async with ready(*words) as (assignment, shared, _):
        critic, policy = ScriptedModel(fail), ScriptedModel(["What now?"])
        record = await play_episode(assignment, shared._replace(policy=policy, critic=critic))
    assert record.outcome.cause == "user"
    assert record.outcome.error == f"the feedback model: {failure}"
    assert not is_counted(record)
    assert should_retry(record)


LAZY = 1e-3
"""Seconds that every effect below takes at least, whatever it claims."""


def claiming(seconds: float) -> ScriptedModel:
    def answer(request: Request) -> Completion:
        time.sleep(LAZY)
        return Completion([CELL, PROPOSAL][min(request.turn, 1)], seconds=seconds)

    return ScriptedModel(answer)


@pytest.mark.parametrize("claimed", [float("nan"), float("inf"), -1e9, 1e9])
async def test_how_long_an_effect_took_is_for_our_own_clock_to_say(claimed: float) -> None:
    async def grader(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
        await asyncio.sleep(LAZY)
        return Verdict(correct=False, seconds=claimed)

    async with ready("limits.max_seconds=600.0", "turns=max2_p2") as (assignment, shared, sandbox):
        lying = shared._replace(
            policy=claiming(claimed), critic=claiming(claimed), sandbox=Claiming(sandbox, claimed)
        )
        settings = lying.settings.model_copy(update={"feedback": FeedbackSettings(kind="textual")})
        record = await play_episode(
            assignment._replace(grader=grader), lying._replace(settings=settings)
        )
    assert record.outcome.terminate_reason == "max_steps"
    times = [seconds for turn in record.turns for seconds in turn.seconds.values()]
    assert {effect for turn in record.turns for effect in turn.seconds} == {
        *("model", "sandbox", "grader", "feedback")
    }
    assert all(LAZY <= seconds < 600 for seconds in times)
    assert record.seconds == pytest.approx(sum(times), abs=1e-3)


class Claiming:
    """A sandbox whose sessions say of themselves how long they took."""

    def __init__(self, sandbox: GuestSandbox, seconds: float) -> None:
        self._sandbox = sandbox
        self._seconds = seconds

    async def session(
        self, *, setup: str = "", tools: Mapping[str, HostTool] | None = None
    ) -> Session:
        session = await self._sandbox.session(setup=setup, tools=tools)
        honest = session.execute

        async def execute(code: str, *, seconds: float | None = None) -> Execution:
            await asyncio.sleep(LAZY)
            return msgspec.structs.replace(await honest(code), seconds=self._seconds)

        session.execute = execute  # type: ignore[method-assign]
        return session

    async def close(self) -> None:
        """It is the other's to close."""


@pytest.mark.parametrize("limit", ["null", "600.0"])
async def test_a_time_out_within_an_effect_is_not_the_episodes_own(limit: str) -> None:
    def late(request: Request) -> str:
        raise TimeoutError("the server took its time")

    async def grader(task: Task, answer: str, sandbox: Sandbox) -> Verdict:
        raise TimeoutError

    async with ready(f"limits.max_seconds={limit}") as (assignment, shared, _):
        ends = [
            await play_episode(assignment, shared._replace(policy=ScriptedModel(late))),
            await play_episode(
                assignment._replace(grader=grader),
                shared._replace(policy=ScriptedModel([PROPOSAL])),
            ),
            await play_episode(
                assignment,
                shared._replace(policy=ScriptedModel([CELL]), sandbox=LateSandbox()),
            ),
        ]
    assert [end.outcome.cause for end in ends] == ["provider", "grader", "sandbox"]
    assert {end.outcome.terminate_reason for end in ends} == {"error"}
    assert "the server took its time" in ends[0].outcome.error


class LateSandbox(NoSandbox):
    """An executor that gives up by itself."""

    async def session(
        self, *, setup: str = "", tools: Mapping[str, HostTool] | None = None
    ) -> Session:
        raise TimeoutError


async def test_a_fault_in_a_plug_ins_words_is_one_failed_episode() -> None:
    class Broken(CodeStrategy):
        def actions(self, *_: object) -> list[Action]:
            raise LookupError("no such action")

    class Speechless(CodeStrategy):
        def first_message(self, *_: object) -> str:
            raise LookupError("no words")

    async with ready() as (assignment, shared, _):
        for strategy, what in ((Broken(), "no such action"), (Speechless(), "no words")):
            record = await play_episode(assignment, shared._replace(strategy=strategy))
            assert record.outcome.cause == "harness"
            assert what in record.outcome.error
            assert record.task_digest == assignment.task.digest
