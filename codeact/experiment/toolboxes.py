"""The tools of a command: those that run on the host, and those that its data sets bring."""

from collections.abc import Collection

from codeact.datasets import get
from codeact.episode.task import ToolSpec
from codeact.exceptions import ConfigError
from codeact.experiment.config.schema import ToolSettings
from codeact.tools import ToolBox, open_toolbox
from codeact.tools.settings import SearchSettings


def toolbox_of(config: ToolSettings, search: SearchSettings) -> ToolBox:
    """Open the tools that a configuration asks for; raises `ConfigError`."""
    families = {chosen.family for chosen in config.task.sets.values()}
    return open_toolbox(search, config.alfworld, config.success, tools_of(families))


def tools_of(families: Collection[str]) -> dict[str, ToolSpec]:
    """Describe the tools that families bring; raises `ConfigError` where two differ in one name."""
    found: dict[str, ToolSpec] = {}
    for name in sorted(families):
        own = get(name).own_tools
        for tool, spec in (own() if own else {}).items():
            if found.setdefault(tool, spec) != spec:
                raise ConfigError(
                    f"the tasks of {name} have a tool {tool!r}, and so have other tasks of this "
                    "run, but another one: play them in runs of their own"
                )
    return found
