"""Host side of the functions in the REPL's namespace."""

from codeact.edge.tools.base import Tool, ToolBox
from codeact.edge.tools.registry import open_toolbox
from codeact.edge.tools.search import SearchSettings

__all__ = ["SearchSettings", "Tool", "ToolBox", "open_toolbox"]
