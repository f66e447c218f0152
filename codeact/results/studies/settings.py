"""The settings of ``codeact study``."""

from typing import Literal

from pydantic import Field, field_validator

from codeact.episode.settings import Settings
from codeact.results.comparison.settings import Difference, as_list

Over = Literal["turns", "feedback", "prompt", "model"]
TableName = Literal["turns", "feedback", "formats", "failures"]


class StudySettings(Settings):
    """A study: which runs it plays, and what it shows of them."""

    title: str
    """The head of its report."""
    question: str
    """What it answers, in a sentence."""
    over: Over
    """The group of settings that is under study; all else is equal within a comparison."""
    options: list[str] = Field(min_length=1)
    """The options of that group that are played, in the order of tables and plots."""
    baseline: str
    """What the other runs are compared with."""
    tables: list[TableName] = Field(default_factory=list)
    """Tables besides rates and paired differences."""

    @field_validator("options")
    @classmethod
    def _each_once(cls, options: list[str]) -> list[str]:
        if len(set(options)) < len(options):
            raise ValueError("options: give each option once")
        return options


class StudyConfig(Settings):
    """``codeact study NAME``: the runs of a study, or recorded ones, as one report."""

    study: StudySettings
    source: str | list[str] = Field(default_factory=list)
    """Run folders or published trees that are taken instead of playing."""
    out: str | None = None
    """The folder of runs/ and the report. Null writes no report, and needs `source`."""
    cluster: str | None = None
    """A field of the tasks' metadata; tasks with the same value are not independent."""
    margin: float | None = Field(default=None, gt=0, lt=1)
    """A difference in success up to this one counts as none; null never calls runs equal."""
    accept: Difference | list[Difference] = Field(default_factory=list)
    """Compare although runs have different `tasks` (differences are over those of both), or were
    graded in different modes (`grading`)."""

    @property
    def sources(self) -> list[str]:
        return as_list(self.source)
