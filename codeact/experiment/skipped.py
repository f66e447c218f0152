"""Recorded episodes that a command does not look at, counted by data set and reason."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from codeact.datasets import names


class SkippedEpisodes(NamedTuple):
    """How many episodes of a data set were skipped, and why."""

    task: str
    why: str
    episodes: int

    @property
    def in_words(self) -> str:
        plural = "" if self.episodes == 1 else "s"
        return f"skipped: {self.task}: {self.episodes:,} episode{plural}: {self.why}"


class Skipped:
    """Counts what is skipped."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, task: str, why: str) -> None:
        """Take one more skipped episode in."""
        self._counts[task, why] += 1

    def found(self) -> list[SkippedEpisodes]:
        """Return the counts, by data set and the most first."""
        ordered = sorted(self._counts.items(), key=lambda item: (item[0][0], -item[1]))
        return [SkippedEpisodes(task, why, count) for (task, why), count in ordered]


def nothing_belongs(
    source: str, what: str, asked: Collection[str], skipped: Sequence[SkippedEpisodes]
) -> str:
    """Say that a source has nothing for the data sets asked for, and what it has instead."""
    told = "".join(f"\n{one.in_words}" for one in skipped)
    return f"{source}: no recorded {what} belongs to the tasks {', '.join(asked)}{told}"


def not_asked_for(task: str, asked: Collection[str]) -> str:
    """Say why episodes of a data set that was not asked for are skipped, and what to do."""
    why = f"task asks for no data set of this name (it has {', '.join(asked)})"
    if task in names():
        return f"{why}; add it by task=[OPTION,{task}]"
    return f"{why}, and codeact has none"
