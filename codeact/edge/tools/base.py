"""What a tool is: words for the prompt and a coroutine on the host."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from codeact.edge.sandboxes.base import HostTool
from codeact.episode.task import Task, ToolSpec
from codeact.exceptions import ConfigError

_OURS = {"wikipedia_search"}
"""Tools that a run may choose to be without (search=none)."""


class Tool(NamedTuple):
    """A function that the policy may call; `call` takes and gives JSON values."""

    spec: ToolSpec
    call: HostTool


class ToolBox:
    """The tools that this run has; a task names those it wants."""

    def __init__(
        self, tools: dict[str, Tool], broken: Mapping[str, ConfigError] | None = None
    ) -> None:
        self._tools = tools
        self._broken = broken or {}
        """Plug-ins that could not be loaded, by the names of their entry points."""

    def require(self, names: Iterable[str]) -> None:
        """Raise `ConfigError` if a broken plug-in was to bring one of these tools.

        That is one whose entry point has the tool's name, and any of them where nobody else has
        the tool.
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

    def calls(self, task: Task) -> dict[str, HostTool]:
        """The task's tools by name."""
        return {name: self._tools[name].call for name in task.tools if name in self._tools}
