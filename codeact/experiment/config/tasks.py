"""The settings of task files: which data sets a command reads, and what becomes of missing ones."""

from typing import Literal

from pydantic import Field

from codeact.episode.settings import Settings

Missing = Literal["refuse", "skip"]
"""What becomes of data sets whose files are missing."""


class TaskSet(Settings):
    """One task file: `family` says how to read and grade it.

    `path` may be ``pkg://package/file`` for a file that a package ships. `limit` takes the first n
    tasks, `ids` only those named. `split` is a part of the paths that ``codeact export`` writes.
    """

    path: str
    """The task file; `pkg://package/file` is one that a package ships. `seed://N` is none: the
    family makes its tasks by the seed N."""
    family: str
    """The family that reads and grades its rows."""
    limit: int | None = Field(default=None, ge=1)
    """Take the first n tasks; null takes all."""
    ids: list[str] | None = None
    """Take only the tasks with these ids."""
    split: str | None = None
    """The split in exported paths, as in `APPS/train`; null is the family's own."""
    published: int | None = Field(default=None, ge=1)
    """How many tasks the published collection took of this set; a file with another number is
    pointed out, and played all the same. Null says nothing."""


class TaskSettings(Settings):
    """The task files of a run, by the name that records carry."""

    seed: int | None = Field(default=None, ge=0)
    """The seed of tasks that are made, in the options that have one."""
    sets: dict[str, TaskSet] = Field(min_length=1)
    """The task files of the run, by the name that records carry."""
