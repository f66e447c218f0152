"""The world of an ALFWorld task: a household of its own, got ready ahead where that is known."""

import asyncio
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact.episode.task import Task
from codeact.exceptions import ConfigError, ToolFailure
from codeact.sandboxes.base import HostTool
from codeact.tools.alfworld.functions import FUNCTIONS, SPECS, ToCommand
from codeact.tools.alfworld.processes import ENGINE, HouseholdProcess, HouseholdServer
from codeact.tools.alfworld.settings import AlfworldSettings, Success
from codeact.tools.base import held_up

PUBLISHED_STEPS = 50
"""The published environment ended after so many commands, and its end counted as success."""
_GRACE = 1.0
"""Seconds that an answer may take before the cell's time is not its own any more."""


class AlfworldHousehold:
    """The household of one episode.

    It is solved once the game reports that the goal is reached. By the ``published`` rule it is
    also solved after `PUBLISHED_STEPS` commands. A solved household stands still: whatever is done
    then, it says again what it said last.
    """

    def __init__(self, opening: "asyncio.Task[HouseholdProcess]", success: Success) -> None:
        self._opening = opening
        self._success = success
        self._one_at_a_time = asyncio.Lock()
        self._steps = 0
        self._said = ""
        self.solved = False
        self.calls: Mapping[str, HostTool] = {
            name: _call(self, function) for name, function in FUNCTIONS.items()
        }

    async def ready(self) -> None:
        """Wait until the game is loaded; raises `ToolFailure`."""
        await asyncio.shield(self._opening)

    async def command(self, text: str) -> str:
        """Do something, and return what happens; raises `ToolFailure`.

        The answer is taken in even when the call is cancelled: what was done was done.
        """
        with held_up("an ALFWorld game had not answered yet", grace=_GRACE):
            step = asyncio.ensure_future(self._step(text))
            step.add_done_callback(_looked_at)
            return await asyncio.shield(step)

    async def _step(self, text: str) -> str:
        household = await asyncio.shield(self._opening)
        async with self._one_at_a_time:
            if not self.solved:
                answer = await household.command(text)
                self._steps += 1
                self._said = answer.text
                used_up = self._success == "published" and self._steps >= PUBLISHED_STEPS
                self.solved = answer.won or used_up
            return self._said

    def close(self) -> None:
        """End the game."""
        self._opening.add_done_callback(_closed)
        self._opening.cancel()


class AlfworldHouseholds:
    """Makes a household for each episode; a few are loaded ahead for the tasks that come next."""

    specs = SPECS

    def __init__(self, settings: AlfworldSettings, success: Success, engine: Path = ENGINE) -> None:
        self._settings = settings
        self._success = success
        self._engine = engine
        self._server = HouseholdServer(settings, engine)
        self._ready: dict[str, asyncio.Task[HouseholdProcess]] = {}
        """Loaded ahead, or about to be, by the digests of their tasks."""

    def require(self) -> None:
        """Raise `ConfigError` if the games' engine is not installed."""
        modules = ("textworld", "fast_downward", "alfworld") if self._engine == ENGINE else ()
        if missing := [name for name in modules if importlib.util.find_spec(name) is None]:
            raise ConfigError(
                f"task=alfworld needs the games' engine, which is not installed ({missing[0]} is "
                "missing): pip install 'codeact[alfworld]' builds it with g++, make and cmake"
            )

    def announce(self, task: Task) -> None:
        """Load the game of a task whose episode begins soon, if there is room for it."""
        if len(self._ready) < self._settings.ready and task.digest not in self._ready:
            self._ready[task.digest] = self._begin(task)

    def open(self, task: Task) -> AlfworldHousehold:
        """Take the game that was loaded ahead, or begin to load one."""
        opening = self._ready.pop(task.digest, None)
        if opening is None or (opening.done() and _has_failed(opening)):
            opening = self._begin(task)
        return AlfworldHousehold(opening, self._success)

    async def probe(self) -> None:
        """Start a process for a game, if there has been one; raises `ToolFailure`."""
        if self._server.started:
            (await self._server.household()).close()

    async def close(self) -> None:
        """End all households."""
        for opening in self._ready.values():
            opening.cancel()
            opening.add_done_callback(_closed)
        await asyncio.gather(*self._ready.values(), return_exceptions=True)
        self._ready.clear()
        await self._server.close()

    def _begin(self, task: Task) -> "asyncio.Task[HouseholdProcess]":
        opening = asyncio.ensure_future(self._load(task))
        opening.add_done_callback(_looked_at)
        return opening

    async def _load(self, task: Task) -> HouseholdProcess:
        household = await self._server.household()
        try:
            _compare(task, await household.load(str(task.metadata["game"])))
        except BaseException:
            household.close()
            raise
        return household


def _compare(task: Task, first: str) -> None:
    if not task.prompt.endswith(first):
        raise ToolFailure(
            f"the game of {task.key} begins with other words than its prompt ends with: "
            f"{first[:200]!r}; prepare the task file anew"
        )


def _call(household: AlfworldHousehold, function: ToCommand) -> HostTool:
    async def call(*args: Any, **kwargs: Any) -> str:
        return await household.command(function(*args, **kwargs))

    call.__doc__ = function.__doc__
    return call


def _has_failed(opening: "asyncio.Task[HouseholdProcess]") -> bool:
    return opening.cancelled() or opening.exception() is not None


def _looked_at(task: "asyncio.Task[Any]") -> None:
    """Keep asyncio from complaining of a failure that nobody waited for."""
    if not task.cancelled():
        task.exception()


def _closed(opening: "asyncio.Task[HouseholdProcess]") -> None:
    if not _has_failed(opening):
        opening.result().close()
