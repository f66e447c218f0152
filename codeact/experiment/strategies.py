"""Finds prompt strategies by name: ours, and plug-ins' by the entry point ``codeact.prompts``."""

from importlib.metadata import entry_points

from codeact.episode.prompts import CodeStrategy, PromptStrategy
from codeact.exceptions import ConfigError
from codeact.wording import nearest

_OURS: dict[str, PromptStrategy] = {CodeStrategy.name: CodeStrategy()}


def strategy(name: str) -> PromptStrategy:
    """The strategy of that name; raises `ConfigError` with the nearest one."""
    if name in _OURS:
        return _OURS[name]
    plugins = {entry.name: entry for entry in entry_points(group="codeact.prompts")}
    if name not in plugins:
        hint = nearest(name, [*_OURS, *plugins])
        raise ConfigError(f"prompt.strategy: there is no strategy {name!r} ({hint})")
    found: PromptStrategy = plugins[name].load()()
    return found
