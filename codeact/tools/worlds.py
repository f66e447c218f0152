"""What a world is: something that the tools of one episode act on, and that can be solved."""

from collections.abc import Mapping
from typing import Protocol

from codeact.episode.task import Task, ToolSpec
from codeact.sandboxes.base import HostTool


class World(Protocol):
    """The world of one episode. It is kept on the host, so a cell can only act on it by tools."""

    @property
    def calls(self) -> Mapping[str, HostTool]:
        """The tools that act on it, by name; they raise `ToolFailure` when it is broken."""
        ...

    @property
    def solved(self) -> bool:
        """Whether it has reported the task as solved; once that is true, it stays true."""
        ...

    async def ready(self) -> None:
        """Wait until it can be acted on; raises `ToolFailure` if it does not come up."""
        ...

    def close(self) -> None:
        """End it. Never raises."""
        ...


class WorldKind(Protocol):
    """One kind of world, such as ALFWorld's households: makes one for each episode."""

    specs: tuple[ToolSpec, ...]
    """The tools of such a world, as the policy reads them; a task with all of them plays in one."""

    def require(self) -> None:
        """Raise `ConfigError` if something has to be installed first."""
        ...

    def announce(self, task: Task) -> None:
        """Hear of a task whose episode begins soon, to get its world ready."""
        ...

    def open(self, task: Task) -> World:
        """Begin to make the world of an episode; its `ready` waits for that."""
        ...

    async def probe(self) -> None:
        """Try whether worlds can be made now; raises `ToolFailure`."""
        ...

    async def close(self) -> None:
        """End every world."""
        ...
