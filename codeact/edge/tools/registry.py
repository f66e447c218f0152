"""All tools of a run: ours, and those that plug-ins bring by the entry point ``codeact.tools``."""

from importlib.metadata import entry_points

from codeact.edge.tools.base import Tool, ToolBox
from codeact.edge.tools.search import SearchSettings, open_search


def open_toolbox(search: SearchSettings) -> ToolBox:
    """Our tools and the plug-ins'.

    An entry point names a `Tool`; it goes by the name in its spec, and a plug-in's tool replaces
    ours of the same name.
    """
    tools: dict[str, Tool] = {}
    if wikipedia := open_search(search):
        tools[wikipedia.spec.name] = wikipedia
    for entry in entry_points(group="codeact.tools"):
        tool: Tool = entry.load()
        tools[tool.spec.name] = tool
    return ToolBox(tools)
