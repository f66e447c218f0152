"""What a tool is: words for the prompt and a coroutine on the host."""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

from codeact.episode.task import Task, ToolSpec
from codeact.exceptions import ConfigError, ToolFailure
from codeact.sandboxes.base import HostTool

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


class ToolBox:
    """The tools that this run has; a task names those it wants."""

    def __init__(
        self, tools: dict[str, Tool], broken: Mapping[str, ConfigError] | None = None
    ) -> None:
        self._tools = tools
        self._broken = broken or {}
        """Plug-ins that could not be loaded, by the names of their entry points."""

    def require(self, names: Iterable[str]) -> None:
        """Raise `ConfigError` if one of these tools should come from a broken plug-in.

        That is one whose entry point has the tool's name, or any broken one if no other has it.
        """
        for name in names:
            if name in self._broken:
                raise self._broken[name]
            if self._broken and name not in self._tools and name not in _OURS:
                reasons = "; ".join(map(str, self._broken.values()))
                raise ConfigError(f"a task wants the tool {name!r}, which nobody has: {reasons}")

    def specs(self, task: Task) -> tuple[ToolSpec, ...]:
        """How the task's tools are described to the policy; a tool the run lacks is left out."""
        return tuple(self._tools[name].spec for name in task.tools if name in self._tools)

    def calls(self, task: Task, delays: Delays | None = None) -> dict[str, HostTool]:
        """The task's tools by name; `delays` counts what they wait for their services."""
        calls = {name: self._tools[name].call for name in task.tools if name in self._tools}
        if delays is None:
            return calls
        return {name: _watched(call, delays) for name, call in calls.items()}

    async def probe(self) -> None:
        """Ask whether the services behind the tools work; raises `ToolFailure`."""
        for tool in self._tools.values():
            if tool.probe is not None:
                await tool.probe()

    async def close(self) -> None:
        """Close connections."""
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
