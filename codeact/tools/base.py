"""What a tool is: words for the prompt and a coroutine on the host."""

import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

from codeact.episode.task import Task, ToolSpec
from codeact.exceptions import ConfigError, ToolFailure
from codeact.sandboxes.base import HostTool
from codeact.tools.worlds import World, WorldKind

_SHARE = 0.25
"""How much of a cell's time its tools may have waited before its end counts as their fault."""
_OURS = {"wikipedia_search"}
"""Tools that a run may choose to be without (search=none)."""


class Tool(NamedTuple):
    """A function that the policy may call; `call` takes and gives JSON values.

    What `call` raises is an observation, except `ToolFailure`: the service behind the tool is at
    fault, which ends the episode and is not the policy's. While it waits for that service longer
    than an answer takes, it says so by `held_up`. `probe` asks whether the service works now, and
    raises `ToolFailure`; `close` closes connections.
    """

    spec: ToolSpec
    call: HostTool
    probe: Callable[[], Awaitable[None]] | None = None
    close: Callable[[], Awaitable[None]] | None = None


class Delays:
    """How long an episode's tools have waited for their services, and the latest reason."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._since: float | None = None
        self._why = ""

    @contextmanager
    def during(self, why: str, grace: float) -> Iterator[None]:
        """Count the time of the context beyond its first `grace` seconds."""
        self._why = why
        self._since = time.monotonic() + grace
        try:
            yield
        finally:
            self._seconds += self._open
            self._since = None

    @property
    def _open(self) -> float:
        return 0.0 if self._since is None else max(0.0, time.monotonic() - self._since)

    def forget(self) -> None:
        """Reset, for the next cell."""
        self._seconds = 0.0

    def blame(self, seconds: float) -> None:
        """Raise `ToolFailure` if a cell ran out of its `seconds` because its tools waited."""
        held = self._seconds + self._open
        if self._open or held > _SHARE * seconds:
            raise ToolFailure(
                f"a cell ran out of time after {seconds:.0f} s, of which its tools waited "
                f"{held:.0f} s: {self._why}"
            )


_DELAYS: ContextVar[Delays | None] = ContextVar("delays", default=None)


@contextmanager
def held_up(why: str, *, grace: float = 0.0) -> Iterator[None]:
    """Count the time inside as waiting for the service; `why` says what for.

    The first `grace` seconds do not count: a normal response may take them.
    """
    delays = _DELAYS.get()
    with nullcontext() if delays is None else delays.during(why, grace):
        yield


class OpenTools:
    """The tools of one episode by name, and the world that they act on, if there is one."""

    def __init__(self, calls: Mapping[str, HostTool], world: World | None) -> None:
        self.calls = calls
        self._world = world

    @property
    def solved(self) -> bool:
        """Whether the world reports the task as solved."""
        return self._world is not None and self._world.solved

    async def ready(self) -> None:
        """Wait for the world, outside the time of any cell; raises `ToolFailure`."""
        if self._world is not None:
            await self._world.ready()

    def close(self) -> None:
        """End the world."""
        if self._world is not None:
            self._world.close()


class ToolBox:
    """The tools that this run has, and the kinds of worlds; a task names the tools it wants."""

    def __init__(
        self,
        tools: dict[str, Tool],
        broken: Mapping[str, ConfigError] | None = None,
        worlds: Sequence[WorldKind] = (),
        in_session: Mapping[str, ToolSpec] | None = None,
    ) -> None:
        self._tools = tools
        self._in_session = in_session or {}
        """Tools that the setup of their tasks defines in the session, by name."""
        self._broken = broken or {}
        """Plug-ins that could not be loaded, by the names of their entry points."""
        self._worlds = [(frozenset(spec.name for spec in kind.specs), kind) for kind in worlds]
        """Each with the names of its tools: a task with all of them plays in such a world."""

    def require(self, wanted: Collection[str]) -> None:
        """Raise `ConfigError` if tools of these names cannot be had.

        A world may need an installation. A tool may come from a broken plug-in: one whose entry
        point has the tool's name, or any broken one if no other has it.
        """
        others = set(wanted) - self._in_session.keys()
        for names, kind in self._worlds:
            if names.issubset(wanted):
                kind.require()
                others -= names
        for name in sorted(others):
            if name in self._broken:
                raise self._broken[name]
            if self._broken and name not in self._tools and name not in _OURS:
                reasons = "; ".join(map(str, self._broken.values()))
                raise ConfigError(f"a task wants the tool {name!r}, which nobody has: {reasons}")

    def specs(self, task: Task) -> tuple[ToolSpec, ...]:
        """How the task's tools are described to the policy; a tool the run lacks is left out."""
        specs = {name: tool.spec for name, tool in self._tools.items()} | dict(self._in_session)
        if (kind := self._world_of(task)) is not None:
            specs |= {spec.name: spec for spec in kind.specs}
        return tuple(specs[name] for name in task.tools if name in specs)

    def calls(self, task: Task) -> dict[str, HostTool]:
        """The task's tools that run on the host and act on no world, by name."""
        return {name: self._tools[name].call for name in task.tools if name in self._tools}

    def open(self, task: Task, delays: Delays) -> OpenTools:
        """Open the tools of one episode; `delays` counts what they wait for their services."""
        calls, world = self.calls(task), None
        if (kind := self._world_of(task)) is not None:
            world = kind.open(task)
            calls |= world.calls
        return OpenTools({name: _watched(call, delays) for name, call in calls.items()}, world)

    def announce(self, task: Task) -> None:
        """Hear of a task whose episode begins soon, to get its world ready."""
        if (kind := self._world_of(task)) is not None:
            kind.announce(task)

    def has_world(self, task: Task) -> bool:
        """Whether the task's tools act on a world, which alone can report it as solved."""
        return self._world_of(task) is not None

    def _world_of(self, task: Task) -> WorldKind | None:
        return next((kind for names, kind in self._worlds if names.issubset(task.tools)), None)

    async def probe(self) -> None:
        """Ask whether what is behind the tools works; raises `ToolFailure`."""
        for _, kind in self._worlds:
            await kind.probe()
        for tool in self._tools.values():
            if tool.probe is not None:
                await tool.probe()

    async def close(self) -> None:
        """Close connections, and end all worlds."""
        for _, kind in self._worlds:
            await kind.close()
        for tool in self._tools.values():
            if tool.close is not None:
                await tool.close()


def _watched(call: HostTool, delays: Delays) -> HostTool:
    async def watched(*args: Any, **kwargs: Any) -> Any:
        # Each call is served by a task of its own, so nobody else sees this.
        _DELAYS.set(delays)
        return await call(*args, **kwargs)

    watched.__doc__ = call.__doc__
    return watched
