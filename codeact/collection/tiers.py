"""Duplicates, complete experiments and tiers, decided over rows of numbers."""

from enum import IntEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codeact.collection.scan import Scan
from codeact.collection.settings import TIER_NAMES, SelectionSettings
from codeact.jsonl import SourceLine
from codeact.recordings.trajectory import Experiment, TaskKey


class Label(IntEnum):
    """What a record is: one of the tiers, or the reason why it is in none."""

    EASY = 0
    MEDIUM = 1
    STRONG = 2
    DUPLICATE = 3
    INCOMPLETE = 4
    FAILED = 5
    STRONG_SHORT = 6

    @property
    def word(self) -> str:
        return self.name.lower()


TIERS = tuple(Label[name.upper()] for name in TIER_NAMES)


class DuplicateEpisode(NamedTuple):
    """Two records of one file for the same episode; the first one counts."""

    place: SourceLine
    first: SourceLine


class Tiers(NamedTuple):
    """A label for every row. `unsolved` (the hard tier) are positions in the table of tasks."""

    labels: NDArray[np.uint8]
    strong: NDArray[np.bool_]
    """For every experiment, whether a strong model played it."""
    complete: NDArray[np.bool_]
    """For every experiment, whether it met every task."""
    unsolved: list[int]
    repeats: list[DuplicateEpisode]


def decide(scan: Scan, settings: SelectionSettings) -> Tiers:
    """Give every record its tier, or the reason why it has none.

    The tasks are those of any record. A complete experiment has all of them. A task is unsolved if
    no counted experiment of a weaker model solved it.
    """
    rows = scan.rows
    first = _first_of_each(scan)
    duplicate = first != np.arange(len(rows))
    strong = np.array([is_strong(one, settings) for one in scan.experiments], np.bool_)
    complete = _complete(scan, ~duplicate)
    by_strong = strong[rows["experiment"]]
    counts = ~duplicate & ~by_strong
    if settings.complete_only:
        counts &= complete[rows["experiment"]]
    short = rows["turns"] <= settings.easy_turns
    labels = np.select(
        [duplicate, ~by_strong & ~counts, ~rows["success"], by_strong & short, by_strong, short],
        [
            Label.DUPLICATE,
            Label.INCOMPLETE,
            Label.FAILED,
            Label.STRONG_SHORT,
            Label.STRONG,
            Label.EASY,
        ],
        Label.MEDIUM,
    ).astype(np.uint8)
    solved = np.zeros(len(scan.tasks), np.bool_)
    solved[rows["task"][counts & rows["success"]]] = True
    unsolved = sorted(np.flatnonzero(~solved).tolist(), key=lambda task: by_name(scan.tasks[task]))
    return Tiers(labels, strong, complete, unsolved, _repeats(scan, first, duplicate))


def is_strong(experiment: Experiment, settings: SelectionSettings) -> bool:
    """Whether the model is one of the strong ones."""
    return any(fnmatchcase(experiment.model, pattern) for pattern in settings.strong)


def by_name(task: TaskKey) -> tuple[str, str, int, str]:
    """Sort tasks by data set, with numbers as numbers."""
    number = int(task.task_id) if task.task_id.isdecimal() else 0
    return (task.task_type, task.task_name, number, task.task_id)


def _first_of_each(scan: Scan) -> NDArray[np.intp]:
    """Return for every row the first row of the same task, experiment and sample."""
    rows = scan.rows
    key = rows["task"].astype(np.uint64) * max(len(scan.experiments), 1) + rows["experiment"]
    key = key * (int(rows["sample"].max(initial=0)) + 1) + rows["sample"]
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    found: NDArray[np.intp] = first[group]
    return found


def _complete(scan: Scan, distinct: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether each experiment has every task."""
    rows = scan.rows[distinct]
    met = np.unique(rows["experiment"].astype(np.uint64) * max(len(scan.tasks), 1) + rows["task"])
    experiments = (met // max(len(scan.tasks), 1)).astype(np.intp)
    per_experiment = np.bincount(experiments, minlength=len(scan.experiments))
    complete: NDArray[np.bool_] = per_experiment == len(scan.tasks)
    return complete


def _repeats(
    scan: Scan, first: NDArray[np.intp], duplicate: NDArray[np.bool_]
) -> list[DuplicateEpisode]:
    rows = scan.rows
    within = duplicate & (rows["file"][first] == rows["file"])
    return [
        DuplicateEpisode(scan.place(rows[row]), scan.place(rows[first[row]]))
        for row in np.flatnonzero(within).tolist()
    ]
