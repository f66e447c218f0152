"""Plays episodes of any format with a scripted policy in a sandbox of this machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from codeact.episode.prompts import PromptStrategy
from codeact.episode.settings import EpisodeSettings, TurnSettings
from codeact.experiment.driver import Environment, RunIdentity
from codeact.models.scripted import ScriptedModel
from codeact.sandboxes.base import Sandbox
from codeact.tools import ToolBox
from tests.helpers.sandboxes import started

MANY = EpisodeSettings(turns=TurnSettings(max_steps=12, max_propose_solution=2))


@asynccontextmanager
async def sandboxed() -> AsyncIterator[Sandbox]:
    sandbox = await started("local", preload=())
    try:
        yield sandbox
    finally:
        await sandbox.close()


def environment(
    strategy: PromptStrategy, policy: ScriptedModel, sandbox: Sandbox, tools: ToolBox
) -> Environment:
    return Environment(
        identity=RunIdentity("scripted", "none", "test"),
        settings=MANY,
        strategy=strategy,
        policy=policy,
        critic=None,
        sandbox=sandbox,
        tools=tools,
    )
