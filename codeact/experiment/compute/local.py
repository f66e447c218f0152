"""Plays episodes in this process, all in one event loop."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from codeact.episode.messages import RequestOptions
from codeact.episode.prompts import PromptStrategy
from codeact.episode.protocol import FEEDBACK_STOP
from codeact.episode.record import EpisodeRecord
from codeact.exceptions import Cause
from codeact.experiment.attending import view_of
from codeact.experiment.booking import book_checks
from codeact.experiment.budget import Account
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.driver import Assignment, Environment, RunIdentity, play_episode
from codeact.experiment.plan import Plan
from codeact.experiment.probing import probe
from codeact.experiment.resources import Cache, Resources, naming_keys
from codeact.experiment.services import ServiceStats
from codeact.models.base import EpisodeKey, ModelClient, ModelSettings, Rehearsed
from codeact.models.person.editor import MessageEditor
from codeact.models.person.settings import PersonSettings
from codeact.sandboxes.base import Sandbox
from codeact.tools import ToolBox


class LocalBackend:
    """Plays every episode in this process."""

    def __init__(
        self,
        environments: Mapping[str, Environment],
        facts: Mapping[str, dict[str, Any]],
        resources: Resources,
    ) -> None:
        self._environments = environments
        self._resources = resources
        self.facts = facts

    async def play_episode(self, run: str, assignment: Assignment) -> EpisodeRecord:
        return await play_episode(assignment, self._environments[run])

    def announce(self, run: str, assignment: Assignment) -> None:
        self._environments[run].tools.announce(assignment.task)

    async def probe(self, run: str, cause: Cause) -> None:
        await probe(self._environments[run], cause)

    def stats(self) -> ServiceStats:
        return self._resources.stats()

    async def settle(self) -> None:
        """Do nothing: every request is booked in this process as it ends."""


async def open_local(
    plans: Mapping[str, Plan], accounts: Mapping[str, Account], resources: Resources
) -> LocalBackend:
    """Open what the runs need; refuses what cannot work before anything is spent."""
    environments = {
        name: await environment(
            plan.config, plan.keys, plan.tools, accounts[name], resources, strategy=plan.strategy
        )
        for name, plan in plans.items()
    }
    facts = {name: await resources.facts(plan.config.executor) for name, plan in plans.items()}
    return LocalBackend(environments, facts, resources)


async def environment(
    config: RunConfig,
    keys: list[EpisodeKey],
    tools: ToolBox,
    account: Account,
    resources: Resources,
    *,
    strategy: PromptStrategy,
    asked: RunConfig | None = None,
    rehearsed: bool = True,
) -> Environment:
    """Build what the episodes of a run share, checked for the episodes in `keys`.

    `asked` is the user's own configuration, where the models in `config` are already running ones.
    The models are `rehearsed`, unless the caller does that.
    """
    asked = asked or config

    def cache(settings: ModelSettings | None) -> Cache | None:
        # A person is asked anew: what they once wrote is in the record, and no model's answer.
        if asked.cache is None or settings is None or isinstance(settings, PersonSettings):
            return None
        return Cache(asked.cache, settings)

    # The sandbox starts while the models are asked; each may take seconds.
    async with _begun(resources.sandbox(config.executor)) as sandbox:
        critic = None
        if config.feedback.kind != "none" and config.feedback.model is not None:
            kept = cache(asked.feedback.model)
            critic = await resources.client(config.feedback.model, keys, "feedback", cache=kept)
        policy = await resources.client(config.model, keys, cache=cache(asked.model))
        if rehearsed:
            await rehearse(config, strategy, policy, critic)
        book_checks(account, [policy, critic])
        return Environment(
            identity=identity_of(config),
            settings=config.episode,
            strategy=strategy,
            policy=policy,
            critic=critic,
            sandbox=await sandbox,
            tools=resources.tools(config, tools),
            account=account,
            view=view_of(config),
            editor=MessageEditor() if config.person == "editor" else None,
        )


async def rehearse(
    config: RunConfig, strategy: PromptStrategy, policy: ModelClient, critic: ModelClient | None
) -> None:
    """Find out whether the models take what the run's requests carry: `ConfigError` if not."""
    if isinstance(critic, Rehearsed):
        assert config.feedback.model is not None
        with naming_keys(config.feedback.model, "feedback"):
            await critic.rehearse(RequestOptions(FEEDBACK_STOP), config.seed)
    if isinstance(policy, Rehearsed):
        options = strategy.options(config.turns, (), plain=policy.plain)
        with naming_keys(config.model, "policy"):
            await policy.rehearse(options, config.seed)


@asynccontextmanager
async def _begun(start: Coroutine[Any, Any, Sandbox]) -> AsyncIterator[asyncio.Task[Sandbox]]:
    """Have a sandbox start meanwhile; where it is not needed after all, nothing of it is left."""
    task = asyncio.create_task(start)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def identity_of(config: RunConfig) -> RunIdentity:
    """Return what the records of a run say about it."""
    return RunIdentity(config.model.name, config.feedback.label, config.digest)
