"""Finds prompt strategies by name: ours, and plug-ins' by the entry point ``codeact.prompts``."""

from typing import Any

from codeact.episode.prompts import PromptStrategy
from codeact.plugins import Registry


def _made(found: Any) -> PromptStrategy | None:
    made = found() if callable(found) else None
    return made if isinstance(made, PromptStrategy) else None


STRATEGIES = Registry(
    group="codeact.prompts",
    sort="prompt.strategy",
    wanted="a class with all that codeact.episode.prompts.PromptStrategy has",
    part=_made,
    ours={"code": "codeact.episode.prompts:CodeStrategy"},
)


def strategy(name: str) -> PromptStrategy:
    """Return the strategy of that name; raises `ConfigError` with the nearest one."""
    return STRATEGIES.get(name)
