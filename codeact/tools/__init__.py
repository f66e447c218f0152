"""Host side of the functions in the REPL's namespace."""

from codeact.tools.alfworld.settings import AlfworldSettings, Success
from codeact.tools.base import Delays, OpenTools, Tool, ToolBox
from codeact.tools.registry import open_toolbox
from codeact.tools.settings import SearchSettings

__all__ = [
    "AlfworldSettings",
    "Delays",
    "OpenTools",
    "SearchSettings",
    "Success",
    "Tool",
    "ToolBox",
    "open_toolbox",
]
