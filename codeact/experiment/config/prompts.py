"""The settings of the config group `prompt`."""

from typing import Any, ClassVar, Self

from pydantic import model_validator

from codeact.episode.settings import Settings

RECORDED_PROMPTS = "recorded"
DIRECT_PROMPT = "direct"
_STYLE = {"example": True, "thought": True, "system": False, "response_format": True}
"""Keys that all formats of ours have, with the values of runs from before there were these keys."""


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
    response_format: bool = True
    """Whether `json_code` has the server keep the text to its form; false for servers that refuse
    that."""

    @model_validator(mode="after")
    def _source_is_for_recorded(self) -> Self:
        if (self.strategy == RECORDED_PROMPTS) == (self.source is None):
            raise ValueError(
                "prompt=recorded and prompt.source=RECORDINGS go together: give both or neither"
            )
        if self.source is not None and not self.usual:
            raise ValueError(
                "prompt=recorded has the recorded words: leave out prompt.example, prompt.thought, "
                "prompt.system and prompt.response_format"
            )
        return self

    @property
    def usual(self) -> bool:
        """Whether the style is that of runs from before there were others."""
        return all(getattr(self, name) == usual for name, usual in _STYLE.items())

    def identity(self) -> dict[str, Any]:
        identity = super().identity()
        for name, usual in _STYLE.items():
            if identity[name] == usual:
                del identity[name]  # runs from before there were these keys stay the same
        return identity
