"""Finds prompt strategies by name: ours, and plug-ins' by the entry point ``codeact.prompts``."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from codeact.episode.prompts import ActionFormat, PromptStrategy, Style
from codeact.episode.task import Task, ToolSpec
from codeact.exceptions import ConfigError
from codeact.experiment.config.prompts import DIRECT_PROMPT, RECORDED_PROMPTS
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.recorded_prompts import Wanted, read_strategy
from codeact.plugins import Registry
from codeact.recordings.episodes import RecordedEpisode

ToolSpecs = tuple[ToolSpec, ...]


def _made(found: Any) -> PromptStrategy | None:
    made = found() if callable(found) else None
    return made if isinstance(made, PromptStrategy) else None


STRATEGIES = Registry(
    group="codeact.prompts",
    sort="prompt.strategy",
    wanted="a class with all that codeact.episode.prompts.PromptStrategy has",
    part=_made,
    ours={
        name: f"codeact.episode.prompts.{place}"
        for name, place in {
            "code": "code:CodeStrategy",
            "code_verbatim": "code:VerbatimStrategy",
            "code_fenced": "code_fenced:FencedCodeStrategy",
            "code_tool": "code_tool:CodeToolStrategy",
            "tool_calls": "tool_calls:ToolCallsStrategy",
            "json": "json_calls:JsonStrategy",
            "json_code": "json_code:JsonCodeStrategy",
            "text": "text_calls:TextStrategy",
            DIRECT_PROMPT: "direct:DirectStrategy",
        }.items()
    },
)


def strategy(name: str) -> PromptStrategy:
    """Return the strategy of that name; raises `ConfigError` with the nearest one."""
    if name == RECORDED_PROMPTS:
        raise ConfigError("prompt=recorded is for codeact run: a replay has its own first messages")
    return STRATEGIES.get(name)


def run_strategy(config: RunConfig, tasks: Iterable[Task]) -> PromptStrategy:
    """Return the strategy of a run of these tasks; raises `ConfigError` or `RecordingError`."""
    prompt = config.prompt
    style = Style(prompt.example, prompt.thought, prompt.system, prompt.response_format)
    source = prompt.source
    if source is None:
        return _styled(strategy(prompt.strategy), style)
    wanted = Wanted(
        sets={name: chosen.family for name, chosen in config.task.sets.items()},
        turn_setting=config.turns.name,
        feedback=config.feedback.kind != "none",
    )
    return read_strategy(source, wanted, tasks)


def _styled(found: PromptStrategy, style: Style) -> PromptStrategy:
    if style == Style():
        return found
    if not isinstance(found, ActionFormat):
        raise ConfigError(
            f"prompt.strategy={found.name} has words of its own: leave out prompt.example, "
            "prompt.thought, prompt.system and prompt.response_format"
        )
    return found.styled(style)


def strategy_of(episode: RecordedEpisode, otherwise: PromptStrategy) -> PromptStrategy:
    """Return the strategy by which an episode was recorded, as far as its record says.

    Raises `ConfigError` where it is a plug-in's that is not installed.
    """
    name = episode.record.prompt if episode.record is not None else ""
    return otherwise if name in ("", RECORDED_PROMPTS, otherwise.name) else strategy(name)


@cache
def format_named(name: str) -> ActionFormat | None:
    """Return the format of ours, or made of one of ours, that records name; None for any other."""
    try:
        found = STRATEGIES.get("code" if name in ("", RECORDED_PROMPTS) else name)
    except ConfigError:  # a plug-in's, which is not installed here
        return None
    return found if isinstance(found, ActionFormat) else None


def refuse_unfit(config: RunConfig, found: PromptStrategy, offered: Iterable[ToolSpecs]) -> None:
    """Raise `ConfigError` where a strategy is not for these tools, this model, or a person.

    `offered` are the tools of each task.
    """
    by_names = {tuple(tool.name for tool in tools): tools for tools in offered}
    for tools in by_names.values():
        options = found.options(config.turns, tools, plain=config.model.plain)
        if options.tools and config.person in ("policy", "editor"):
            asked = "model=person" if config.person == "policy" else "step=true"
            raise ConfigError(
                f"prompt={found.name} acts by function calling, and a person writes text "
                f"({asked}): choose another prompt, such as prompt=code"
            )
