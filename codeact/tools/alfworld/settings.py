"""Bounds of ALFWorld's games, and how many are got ready ahead."""

from typing import Literal

from pydantic import Field

from codeact.episode.settings import Settings

Success = Literal["goal", "published"]
"""When a household counts as solved: at its goal, or as in the published runs."""


class AlfworldSettings(Settings):
    """The games of ``task=alfworld``. Each runs in a process of its own, within these bounds.

    They decide nothing about a game: one that reaches a bound fails its episode with the cause
    ``tool``, and the episode is played again.
    """

    ready: int = Field(default=2, ge=0)
    """How many games are loaded ahead, for the episodes that come next."""
    memory_mb: int = Field(default=1024, ge=256)
    """Address space of a game's process; it needs about 300."""
    cpu_seconds: int = Field(default=600, ge=10)
    """Processor time of a game, loading included."""
    step_seconds: float = Field(default=20.0, gt=0)
    """Wall time of one command; keep it below `executor.cell_seconds`."""
    start_seconds: float = Field(default=120.0, gt=0)
    """Wall time until a game is loaded, which takes half a second of a free processor."""
