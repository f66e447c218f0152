"""All tools of a run: ours, and those that plug-ins bring by the entry point ``codeact.tools``."""

import logging
from collections.abc import Mapping
from typing import Any

from codeact.episode.task import ToolSpec
from codeact.exceptions import ConfigError
from codeact.plugins import Registry
from codeact.tools.alfworld.settings import AlfworldSettings, Success
from codeact.tools.base import Tool, ToolBox
from codeact.tools.search import open_search
from codeact.tools.settings import SearchSettings

log = logging.getLogger(__name__)


def _tool(found: Any) -> Tool | None:
    fits = isinstance(found, Tool) and isinstance(found.spec, ToolSpec) and callable(found.call)
    return found if fits else None


TOOLS = Registry(
    group="codeact.tools",
    sort="tool",
    wanted="a codeact.tools.Tool with its spec and the function to call",
    part=_tool,
)


def open_toolbox(
    search: SearchSettings,
    alfworld: AlfworldSettings | None = None,
    success: Success = "goal",
    in_session: Mapping[str, ToolSpec] | None = None,
) -> ToolBox:
    """Open our tools and those of plug-ins; `success` says when a household counts as solved.

    `in_session` describes the tools that the setup of their tasks defines in the session. Raises
    `ConfigError` where one of them has the name of another tool.

    A tool goes by the name in its spec, and a plug-in's tool replaces ours of the same name. A
    plug-in that is broken is told of and left out; `ToolBox.require` refuses tasks that need it.
    """
    tools: dict[str, Tool] = {}
    if wikipedia := open_search(search):
        tools[wikipedia.spec.name] = wikipedia
    plug_ins, broken = TOOLS.plug_ins()
    for tool in plug_ins:
        tools[tool.spec.name] = tool
    for error in broken.values():
        log.warning("left out: %s", error)
    for name in in_session or ():
        if name in tools:
            raise ConfigError(
                f"two tools are called {name!r}: one of a task, and one that runs on the host; "
                "take out the plug-in that brings it, or the tasks"
            )
    from codeact.tools.alfworld.households import AlfworldHouseholds  # brings asyncio

    households = AlfworldHouseholds(alfworld or AlfworldSettings(), success)
    return ToolBox(tools, broken, worlds=(households,), in_session=in_session)
