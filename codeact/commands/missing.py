"""``missing=skip``: go on with the data sets whose files are there, and name the others."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar

from codeact.experiment.config.tasks import Missing, TaskSettings
from codeact.experiment.plan import tasks_there


class NamesTasks(Protocol):
    """A configuration with task files, of which some may be skipped."""

    @property
    def task(self) -> TaskSettings | None: ...

    @property
    def missing(self) -> Missing: ...

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self: ...


Config = TypeVar("Config", bound=NamesTasks)


def without_missing(configs: Sequence[Config]) -> list[Config]:
    """Take out the data sets that each configuration skips; says once on stderr which they are.

    Raises `TaskFileError` where nothing is left.
    """
    found, notices = [], []
    for config in configs:
        if config.task is None:
            found.append(config)
            continue
        there = tasks_there(config.task, config.missing)
        notices += there.notices
        found.append(config.model_copy(update={"task": there.task}))
    for notice in dict.fromkeys(notices):
        sys.stderr.write(f"{notice}\n")
    return found
