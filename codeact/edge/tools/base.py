"""What a tool is: words for the prompt and a coroutine on the host."""

from typing import NamedTuple

from codeact.edge.sandboxes.base import HostTool
from codeact.episode.task import Task, ToolSpec


class Tool(NamedTuple):
    """A function that the policy may call; `call` takes and gives JSON values."""

    spec: ToolSpec
    call: HostTool


class ToolBox:
    """The tools that this run has; a task names those it wants."""

    def __init__(self, tools: dict[str, Tool]) -> None:
        self._tools = tools

    def specs(self, task: Task) -> tuple[ToolSpec, ...]:
        """How the task's tools are described to the policy; a tool the run lacks is left out."""
        return tuple(self._tools[name].spec for name in task.tools if name in self._tools)

    def calls(self, task: Task) -> dict[str, HostTool]:
        """The task's tools by name."""
        return {name: self._tools[name].call for name in task.tools if name in self._tools}
