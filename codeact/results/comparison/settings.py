"""The settings of ``codeact compare``."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from codeact.episode.settings import Settings

Difference = Literal["tasks", "grading"]


class CompareConfig(Settings):
    """``codeact compare``: runs of the same tasks against the first of them."""

    source: str | list[str] | None = None
    """Run folders, published trees, `wandb://ENTITY/PROJECT/RUN-OR-GROUP`, or one folder of several
    runs; the first run is the baseline. Null compares the two newest runs of this folder."""
    cluster: str | None = None
    """A field of the tasks' metadata; tasks with the same value are not independent."""
    margin: float | None = Field(default=None, gt=0, lt=1)
    """A difference in success up to this one counts as none; null never calls runs equal."""
    by: str | list[str] = Field(default_factory=list)
    """Fields of the tasks' metadata by whose values the difference is shown, too."""
    study: str | list[str] = Field(default_factory=list)
    """Groups of settings that are under study, such as `model`; a difference in others is pointed
    out. None means: whichever single group differs."""
    accept: Difference | list[Difference] = Field(default_factory=list)
    """Compare although the runs have different `tasks` (those of both are taken), or were graded in
    different modes (`grading`)."""
    flips: int = Field(default=10, ge=0)
    """How many tasks won and how many lost are listed; files have all."""
    out: str | None = None
    """The folder for report.md, report.json, report.html and plots; null writes none."""
    gate: float | None = Field(default=None, gt=-1, le=0)
    """Exit status 3 where a run is surely worse than this, 4 where that is undecided."""
    plan: bool = False
    """Say what a comparison would see, instead of comparing."""
    tasks: int = Field(default=500, ge=1)
    """Of the plan: how many tasks both runs play."""
    samples: int = Field(default=1, ge=1)
    """Of the plan: how many samples of each task."""
    discordance: float = Field(default=0.2, gt=0, le=1)
    """Of the plan: the share of tasks on which single samples of the two runs differ."""
    chance: float = Field(default=0.5, ge=0, le=1)
    """Of the plan: the share of that which is luck, and goes away as samples are averaged."""
    difference: float | None = Field(default=None, gt=0, le=1)
    """Of the plan: say how many tasks this difference needs; null takes 0.01 to 0.1."""

    @model_validator(mode="after")
    def _difference_is_possible(self) -> Self:
        if self.difference is not None and self.difference > self.discordance:
            raise ValueError(
                f"difference={self.difference} cannot be: runs that differ on "
                f"{self.discordance} of the tasks (discordance) differ by at most that"
            )
        return self

    @property
    def sources(self) -> list[str]:
        return as_list(self.source)


def as_list(value: str | Sequence[str] | None) -> list[str]:
    """Return one or several words, or none, as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
