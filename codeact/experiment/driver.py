"""The one driver: performs the effects of an episode and turns every fault into data.

It belongs to no model, sandbox or store: it is handed an `Environment` and gives back a record.
"""

import asyncio
import time
import traceback
from typing import NamedTuple

import msgspec

from codeact.edge.families.base import Family
from codeact.edge.graders.base import Grader
from codeact.edge.models.base import EpisodeKey, ModelClient, Request, Role
from codeact.edge.sandboxes.base import Sandbox, Session
from codeact.edge.tools import Delays, ToolBox
from codeact.episode.effects import (
    Complete,
    Completion,
    Critique,
    Effect,
    Execute,
    Execution,
    Failure,
    Grade,
    Result,
)
from codeact.episode.machine import Episode
from codeact.episode.prompts import PromptStrategy
from codeact.episode.record import EpisodeRecord
from codeact.episode.settings import EpisodeSettings
from codeact.episode.task import Task
from codeact.exceptions import BudgetExhausted, EpisodeFailure, HarnessFailure
from codeact.experiment.budget import Account


class Identity(NamedTuple):
    """What a record says about the run it belongs to."""

    model: str
    feedback: str
    settings_digest: str


class Environment(NamedTuple):
    """All that episodes of one run share."""

    identity: Identity
    settings: EpisodeSettings
    strategy: PromptStrategy
    policy: ModelClient
    critic: ModelClient | None
    sandbox: Sandbox
    tools: ToolBox
    setup: str = ""
    """Trusted code that every session runs before the task's own."""
    account: Account | None = None
    """What the run may spend; None is as much as it likes."""


class Assignment(NamedTuple):
    """One episode to play; `seed` is already the sample's own."""

    task: Task
    family: Family
    grader: Grader
    sample: int
    seed: int | None = None

    @property
    def key(self) -> EpisodeKey:
        return EpisodeKey(self.task.name, self.task.id, self.sample)


async def play(assignment: Assignment, environment: Environment) -> EpisodeRecord:
    """Play one episode to its end.

    Only cancellation and `BudgetExhausted` get out of here as exceptions.
    """
    episode = Episode(
        assignment.task,
        assignment.family.task_type,
        environment.settings,
        environment.strategy,
        tools=environment.tools.specs(assignment.task),
        plain=environment.policy.plain,
    )
    async with _Player(assignment, environment) as player:
        while episode.pending is not None:
            episode.advance(await _bounded(player, episode))
    return record_of(assignment, environment.identity, episode)


async def _bounded(player: "_Player", episode: Episode) -> Result:
    """Perform the pending effect within what is left of the episode's wall time."""
    assert episode.pending is not None
    limit = episode.settings.limits.max_seconds
    left = None if limit is None else max(0.0, limit - episode.seconds)
    start = time.monotonic()
    try:
        async with asyncio.timeout(left):
            return await player.perform(episode.pending)
    except TimeoutError:
        taken = max(time.monotonic() - start, left or 0.0)
        return Failure("harness", f"the episode's {limit} seconds are used up", taken)
    except BudgetExhausted:
        raise
    except EpisodeFailure as error:
        return Failure(error.cause, str(error), time.monotonic() - start)
    except Exception as error:
        where = "".join(traceback.format_exception(error)[-3:])
        message = f"{type(error).__name__} in {type(episode.pending).__name__}: {where}"
        return Failure(HarnessFailure.cause, message, time.monotonic() - start)


class _Player:
    """Performs effects for one episode; holds its REPL.

    The REPL starts while the policy thinks of its first action: of many episodes that begin at
    once, none then waits for the sessions of all.
    """

    def __init__(self, assignment: Assignment, environment: Environment) -> None:
        self._assignment = assignment
        self._environment = environment
        self._opening: asyncio.Task[Session] | None = None
        self._delays = Delays()

    async def __aenter__(self) -> "_Player":
        if self._environment.settings.turns.max_steps > 1:
            self._open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        opening = self._opening
        if opening is None:
            return
        if not opening.done():
            opening.cancel()
            await asyncio.wait([opening])
        # One that did not open is nobody's fault if no cell has asked for it.
        if not opening.cancelled() and opening.exception() is None:
            opening.result().retire()

    async def perform(self, effect: Effect) -> Result:
        match effect:
            case Complete():
                return await self._ask(self._environment.policy, effect, "policy")
            case Critique():
                critic = self._environment.critic
                assert critic is not None, "the schema admits feedback only with a model"
                return await self._ask(critic, effect, "feedback")
            case Execute():
                return await self._execute(effect.code)
            case Grade():
                start = time.monotonic()
                verdict = await self._assignment.grader(
                    self._assignment.task, effect.answer, self._environment.sandbox
                )
                return msgspec.structs.replace(verdict, seconds=time.monotonic() - start)

    async def _ask(
        self, client: ModelClient, effect: Complete | Critique, role: Role
    ) -> Completion:
        assignment, account = self._assignment, self._environment.account
        if account is not None:
            account.admit()
        answer = await client.complete(
            Request(
                effect.messages,
                effect.stop,
                assignment.key,
                effect.turn,
                role=role,
                seed=assignment.seed,
            )
        )
        if account is not None:
            account.charge_for(answer)
        return answer

    async def _execute(self, code: str) -> Execution:
        session = await asyncio.shield(self._open())
        start = time.monotonic()
        self._delays.forget()
        execution = await session.execute(code)
        if execution.status == "timeout":
            # A service that keeps a tool waiting is no fault of the cell's.
            self._delays.blame(time.monotonic() - start)
        return execution

    def _open(self) -> "asyncio.Task[Session]":
        """Start the REPL, unless it has been."""
        if self._opening is None:
            task = self._assignment.task
            setup = "\n".join(part for part in (self._environment.setup, task.setup) if part)
            self._opening = asyncio.create_task(
                self._environment.sandbox.session(
                    setup=setup, tools=self._environment.tools.calls(task, self._delays)
                )
            )
        return self._opening


def record_of(assignment: Assignment, identity: Identity, episode: Episode) -> EpisodeRecord:
    """What is kept of a finished episode."""
    assert episode.outcome is not None
    task = assignment.task
    return EpisodeRecord(
        id=f"{task.key}/{identity.settings_digest}/{assignment.sample}",
        task_name=task.name,
        task_id=task.id,
        task_digest=task.digest,
        settings_digest=identity.settings_digest,
        sample=assignment.sample,
        model=identity.model,
        turn_setting=episode.settings.turns.name,
        feedback=identity.feedback,
        messages=episode.messages,
        turns=episode.turns,
        counts=episode.counts,
        outcome=episode.outcome,
        usage=episode.usage,
        feedback_usage=episode.feedback_usage,
        cost=episode.cost,
        feedback_cost=episode.feedback_cost,
        seconds=round(episode.seconds, 6),
        reference=task.reference,
    )
