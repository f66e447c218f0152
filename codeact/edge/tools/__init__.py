"""Host side of the functions in the REPL's namespace."""

from codeact.edge.tools.base import Delays, Tool, ToolBox
from codeact.edge.tools.registry import open_toolbox
from codeact.edge.tools.search import SearchSettings

__all__ = ["Delays", "SearchSettings", "Tool", "ToolBox", "open_toolbox"]
