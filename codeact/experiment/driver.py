"""The driver: performs the effects of an episode and turns every fault into data.

It depends on no particular model, sandbox or store: it takes an `Environment` and returns a record.
"""

import asyncio
import time
import traceback
from typing import NamedTuple

import msgspec

from codeact.datasets.family import Family, NoAnswer
from codeact.episode.effects import (
    Complete,
    Completion,
    Counts,
    Critique,
    Effect,
    Execute,
    Execution,
    Failure,
    Grade,
    Outcome,
    Result,
    Verdict,
)
from codeact.episode.machine import Episode
from codeact.episode.prompts import PromptStrategy, setup_of
from codeact.episode.record import EDITED, EpisodeOrigin, EpisodeRecord, episode_id
from codeact.episode.record import VERSION as RECORD_VERSION
from codeact.episode.settings import EpisodeSettings
from codeact.episode.task import Task
from codeact.exceptions import (
    BudgetExhausted,
    Cause,
    EpisodeFailure,
    HarnessFailure,
    ModelFailure,
    ProviderFailure,
    RunStopped,
    UserFailure,
)
from codeact.experiment.booking import PlayBook, enter
from codeact.experiment.budget import Account, BudgetSettings
from codeact.experiment.prefixes import TokenRecorder
from codeact.experiment.priming import primed
from codeact.experiment.restoring import Prefix, Restoration
from codeact.graders.base import Grader
from codeact.models.base import EpisodeKey, ModelClient, Request, Role
from codeact.models.person.editor import MessageEditor
from codeact.models.person.view import EpisodeView
from codeact.sandboxes.base import Sandbox, Session
from codeact.tools import Delays, OpenTools, ToolBox


class RunIdentity(NamedTuple):
    """What a record says about the run that it belongs to."""

    model: str
    feedback: str
    settings_digest: str


class Environment(NamedTuple):
    """What all episodes of one run share."""

    identity: RunIdentity
    settings: EpisodeSettings
    strategy: PromptStrategy
    policy: ModelClient
    critic: ModelClient | None
    sandbox: Sandbox
    tools: ToolBox
    setup: str = ""
    """Trusted code that every session runs before the task's own."""
    account: Account | None = None
    """What the run may spend and has spent; None is no bound."""
    view: EpisodeView | None = None
    """Shows the episode to a person who takes part in it; None if no person does."""
    editor: MessageEditor | None = None
    """Stops at each message of the policy, for a person to edit it."""


class Assignment(NamedTuple):
    """One episode to play; `seed` is already specific to the sample.

    One that continues a recorded episode has its first turns as a `prefix`. A worker gets the
    number of the `play`; elsewhere it is taken from the run's account as the play begins.
    """

    task: Task
    family: Family
    grader: Grader
    sample: int
    seed: int | None = None
    prefix: Prefix | None = None
    play: int | None = None

    @property
    def key(self) -> EpisodeKey:
        return EpisodeKey(self.task.name, self.task.id, self.sample)

    @property
    def answer(self) -> str | None:
        """A right answer, where one is known."""
        answer = self.family.correct_answer(self.task)
        return None if isinstance(answer, NoAnswer) else answer


async def play_episode(assignment: Assignment, environment: Environment) -> EpisodeRecord:
    """Play one episode to its end, and return its record.

    The only exceptions it raises are cancellation, `BudgetExhausted`, and `RunStopped` where a
    person takes part and has left.
    """
    prefix, view = assignment.prefix, environment.view
    if view is not None and view.left:
        raise RunStopped("the person who takes part has left")
    try:
        episode = Episode(
            assignment.task,
            assignment.family.task_type,
            environment.settings,
            environment.strategy,
            tools=environment.tools.specs(assignment.task),
            plain=environment.policy.plain,
            answer=assignment.answer if environment.critic else None,
            opening=prefix.opening if prefix else None,
        )
    except Exception as error:
        return unplayed(assignment, environment, _fault(error, "the first message"))
    async with _EffectHandler(assignment, environment) as handler:
        if view is not None:
            view.show(episode)
        while (effect := episode.pending) is not None:
            result = await _bounded(handler, episode)
            try:
                episode.advance(result)
            except Exception as error:
                # A prompt strategy may come from a plug-in.
                what = f"what followed {type(effect).__name__}"
                episode.advance(Failure(HarnessFailure.cause, _fault(error, what)))
            if view is not None:
                view.show(episode)
    record = record_of(assignment, environment.identity, episode)
    record.origin = handler.origin
    handler.tokens.keep(record)
    enter(record, handler.book.accounts)
    return record


async def _bounded(handler: "_EffectHandler", episode: Episode) -> Result:
    """Perform the pending effect within the episode's remaining wall time.

    Its seconds are measured here, whatever the result claims.
    """
    assert episode.pending is not None
    limit = episode.settings.limits.max_seconds
    left = None if limit is None else max(0.0, limit - episode.seconds)
    start = time.monotonic()
    try:
        async with asyncio.timeout(left) as scope:
            result = await handler.perform(episode.pending)
    except BudgetExhausted:
        raise
    except Exception as error:
        if scope.expired():
            why = f"the episode's {limit} seconds are used up"
            taken = max(time.monotonic() - start, left or 0.0)
            return Failure("harness", why, taken, out_of_time=True)
        return _failure(error, episode.pending, time.monotonic() - start)
    return msgspec.structs.replace(result, seconds=time.monotonic() - start)


def _failure(error: Exception, effect: Effect, seconds: float) -> Failure:
    """Return the failure that an exception stands for, with its cause."""
    if isinstance(error, EpisodeFailure):
        return Failure(error.cause, str(error), seconds, final=error.final)
    if isinstance(error, TimeoutError):
        # A time-out inside the effect; the episode's own is handled before this.
        words = str(error) or "it gave no reason"
        why = f"{type(effect).__name__} timed out by itself: {words}"
        return Failure(_OWNERS[type(effect)], why, seconds)
    return Failure(HarnessFailure.cause, _fault(error, type(effect).__name__), seconds)


_OWNERS: dict[type[Effect], Cause] = {
    Complete: "provider",
    Critique: "user",
    Execute: "sandbox",
    Grade: "grader",
}


def _fault(error: Exception, where: str) -> str:
    trace = "".join(traceback.format_exception(error)[-3:])
    return f"{type(error).__name__} in {where}: {trace}"


class _EffectHandler:
    """Performs effects for one episode, and holds its REPL and its tools.

    Both start while the policy generates its first message. So when many episodes begin at once,
    none of them waits for the sessions of all.
    """

    def __init__(self, assignment: Assignment, environment: Environment) -> None:
        self._assignment = assignment
        self._environment = environment
        self._opening: asyncio.Task[Session] | None = None
        self._tools: OpenTools | None = None
        self._delays = Delays()
        self.tokens = TokenRecorder(environment.policy)
        prefix = assignment.prefix
        self._restoration = Restoration(prefix, assignment.task.tools) if prefix else None
        self.book = _book(assignment, environment)

    @property
    def origin(self) -> EpisodeOrigin | None:
        """What the record says about the recorded episode that this one continues."""
        return self._restoration.origin if self._restoration else None

    async def __aenter__(self) -> "_EffectHandler":
        if self._environment.settings.turns.max_steps > 1:
            self._open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._tools is not None:
            self._tools.close()
        opening = self._opening
        if opening is None:
            return
        if not opening.done():
            opening.cancel()
            await asyncio.wait([opening])
        # A session that did not open does not matter if no cell needed it.
        if not opening.cancelled() and opening.exception() is None:
            opening.result().retire()

    async def perform(self, effect: Effect) -> Result:
        if (restoration := self._restoration) is None:
            return await self._perform(effect)
        if isinstance(effect, Complete) and (kept := restoration.completion(effect.turn)):
            return kept
        result = await self._perform(effect)
        if isinstance(effect, Execute) and isinstance(result, Execution):
            restoration.check_execution(effect.turn, effect.code, result)
        elif isinstance(effect, Grade) and isinstance(result, Verdict):
            restoration.check_grade(effect.turn, result)
        return result

    async def _perform(self, effect: Effect) -> Result:
        match effect:
            case Complete():
                return await self._ask_policy(effect)
            case Critique():
                critic = self._environment.critic
                assert critic is not None, "the schema admits feedback only with a model"
                try:
                    return await self._ask(critic, effect, "feedback")
                except (ModelFailure, ProviderFailure) as error:
                    raise UserFailure(f"the feedback model: {error}") from error
            case Execute():
                return await self._execute(effect.code)
            case Grade():
                return await self._assignment.grader(
                    self._assignment.task, effect.answer, self._environment.sandbox
                )

    async def _ask_policy(self, effect: Complete) -> Completion | Failure:
        view, editor = self._environment.view, self._environment.editor
        if view is not None and view.left:
            raise UserFailure(f"the person left in turn {effect.turn + 1}", final=True)
        completion = await self._ask(self._environment.policy, effect, "policy")
        if completion.tokens is not None:
            await self.tokens.add(effect.turn, completion.tokens)
        return completion if editor is None else await editor.edited(completion, effect.turn)

    async def _ask(
        self, client: ModelClient, effect: Complete | Critique, role: Role
    ) -> Completion:
        return await self.book.complete(
            client,
            Request(
                effect.messages,
                effect.options.stop,
                self._assignment.key,
                effect.turn,
                role=role,
                seed=self._assignment.seed,
                tools=effect.options.tools,
                response_format=effect.options.response_format,
            ),
        )

    async def _execute(self, code: str) -> Execution:
        session = await asyncio.shield(self._open())
        assert self._tools is not None
        await self._tools.ready()
        start = time.monotonic()
        self._delays.forget()
        execution = await session.execute(code)
        solved = self._tools.solved
        if execution.status == "timeout" and not solved:
            # The cell is not to blame when a service keeps a tool waiting.
            self._delays.blame(time.monotonic() - start)
        return msgspec.structs.replace(execution, solved=solved)

    def _open(self) -> "asyncio.Task[Session]":
        """Start the REPL, and the world of its tools, if that is not done yet."""
        if self._opening is None:
            task, prefix = self._assignment.task, self._assignment.prefix
            sandbox = self._environment.sandbox
            if prefix is not None and prefix.primed:
                sandbox = primed(sandbox)
            self._tools = self._environment.tools.open(task, self._delays)
            ours = self._environment.setup, setup_of(self._environment.strategy)
            setup = "\n".join(part for part in (*ours, task.setup) if part)
            self._opening = asyncio.create_task(
                sandbox.session(setup=setup, tools=self._tools.calls)
            )
        return self._opening


def _book(assignment: Assignment, environment: Environment) -> PlayBook:
    account = environment.account or Account(BudgetSettings())
    play = account.begin_play() if assignment.play is None else assignment.play
    task, digest = assignment.task, environment.identity.settings_digest
    return PlayBook(account, play, episode_id(task.name, task.id, digest, assignment.sample))


def record_of(assignment: Assignment, identity: RunIdentity, episode: Episode) -> EpisodeRecord:
    """Return the record of a finished episode."""
    assert episode.outcome is not None
    record = _record(assignment, identity, episode.settings, episode.outcome, episode.strategy)
    record.messages = episode.messages
    record.turns = episode.turns
    record.edited = sum(turn.original is not None for turn in episode.turns)
    if record.edited:
        record.model += EDITED
    record.counts = episode.counts
    record.seconds = round(episode.seconds, 6)
    return record


def unplayed(assignment: Assignment, environment: Environment, why: str) -> EpisodeRecord:
    """Return the record of an episode that could not begin."""
    cause = HarnessFailure.cause
    outcome = Outcome(success=False, terminate_reason="error", cause=cause, error=why)
    return _record(
        assignment, environment.identity, environment.settings, outcome, environment.strategy
    )


def _record(
    assignment: Assignment,
    identity: RunIdentity,
    settings: EpisodeSettings,
    outcome: Outcome,
    strategy: PromptStrategy,
) -> EpisodeRecord:
    task, digest = assignment.task, identity.settings_digest
    return EpisodeRecord(
        id=episode_id(task.name, task.id, digest, assignment.sample),
        task_name=task.name,
        task_id=task.id,
        task_digest=task.digest,
        settings_digest=digest,
        sample=assignment.sample,
        model=identity.model,
        turn_setting=settings.turns.name,
        feedback=identity.feedback,
        version=RECORD_VERSION,
        prompt=strategy.name,
        messages=[],
        turns=[],
        counts=Counts(),
        outcome=outcome,
        reference=task.reference,
    )
