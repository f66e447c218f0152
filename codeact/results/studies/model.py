"""What a study says, as data: the ``report.json`` of ``codeact study``."""

import msgspec

from codeact.episode.conduct import Conduct
from codeact.results.comparison.model import ComparisonReport

VERSION = 1
"""Of ``report.json``."""


class FormatReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the policy of one run kept to its format, and how its episodes ended.

    `episodes` are those that were looked at; `failures` counts the unsolved ones by class.
    """

    episodes: int
    conduct: Conduct
    failures: dict[str, int]


class StudyGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that differ in nothing but what is under study, against their baseline.

    Runs are named by their option. `formats` is there for studies that show it, by run.
    """

    name: str
    comparison: ComparisonReport
    formats: dict[str, FormatReport] = {}


class StudyReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of a study."""

    version: int = VERSION
    codeact: str
    title: str
    question: str
    over: str
    baseline: str
    groups: list[StudyGroup]
    notes: list[str]

    @property
    def compared(self) -> list[StudyGroup]:
        """The groups of several runs."""
        return [group for group in self.groups if len(group.comparison.runs) > 1]
