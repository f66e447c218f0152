"""Finds prompt strategies by name: ours, and plug-ins' by the entry point ``codeact.prompts``."""

from collections.abc import Iterable
from typing import Any

from codeact.episode.prompts import PromptStrategy
from codeact.episode.task import Task
from codeact.exceptions import ConfigError
from codeact.experiment.config.schema import RECORDED_PROMPTS, RunConfig
from codeact.experiment.recorded_prompts import Wanted, read_strategy
from codeact.plugins import Registry


def _made(found: Any) -> PromptStrategy | None:
    made = found() if callable(found) else None
    return made if isinstance(made, PromptStrategy) else None


STRATEGIES = Registry(
    group="codeact.prompts",
    sort="prompt.strategy",
    wanted="a class with all that codeact.episode.prompts.PromptStrategy has",
    part=_made,
    ours={
        "code": "codeact.episode.prompts:CodeStrategy",
        "code_verbatim": "codeact.episode.prompts:VerbatimStrategy",
    },
)


def strategy(name: str) -> PromptStrategy:
    """Return the strategy of that name; raises `ConfigError` with the nearest one."""
    if name == RECORDED_PROMPTS:
        raise ConfigError("prompt=recorded is for codeact run: a replay has its own first messages")
    return STRATEGIES.get(name)


def run_strategy(config: RunConfig, tasks: Iterable[Task]) -> PromptStrategy:
    """Return the strategy of a run of these tasks; raises `ConfigError` or `RecordingError`."""
    source = config.prompt.source
    if source is None:
        return strategy(config.prompt.strategy)
    wanted = Wanted(
        sets={name: chosen.family for name, chosen in config.task.sets.items()},
        turn_setting=config.turns.name,
        feedback=config.feedback.kind != "none",
    )
    return read_strategy(source, wanted, tasks)
