"""The settings of the config group `prompt`."""

from typing import Any, ClassVar, Self

from pydantic import model_validator

from codeact.episode.settings import Settings

RECORDED_PROMPTS = "recorded"
DIRECT_PROMPT = "direct"


class PromptSettings(Settings):
    """Which prompt strategy (docs/formats.md), and what all of ours can do with or without."""

    incidental: ClassVar[frozenset[str]] = frozenset({"source"})

    strategy: str
    """The prompt strategy: `code`, `code_fenced`, `code_tool`, `tool_calls`, `json`, `json_code`,
    `text`, `direct`, `recorded`, or the name of a plug-in's."""
    source: str | None = None
    """The recordings that `recorded` takes instruction and example from: a run folder, a
    `results.jsonl`, or a tree of either."""
    example: bool = True
    """Whether the policy is shown a worked example."""
    thought: bool = True
    """Whether the policy is asked to think before it acts."""
    system: bool = False
    """Whether the instruction is a system message."""

    @model_validator(mode="after")
    def _source_is_for_recorded(self) -> Self:
        if (self.strategy == RECORDED_PROMPTS) == (self.source is None):
            raise ValueError(
                "prompt=recorded and prompt.source=RECORDINGS go together: give both or neither"
            )
        if self.source is not None and not self.usual:
            raise ValueError(
                "prompt=recorded has the recorded words: leave out prompt.example, prompt.thought "
                "and prompt.system"
            )
        return self

    @property
    def usual(self) -> bool:
        """Whether the style is that of runs from before there were others."""
        return self.example and self.thought and not self.system

    def identity(self) -> dict[str, Any]:
        identity = super().identity()
        for name in ("example", "thought", "system"):
            if identity[name] == type(self).model_fields[name].default:
                del identity[name]  # runs from before there were these keys stay the same
        return identity
