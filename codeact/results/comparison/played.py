"""The episodes of one run as columns of numbers: what a comparison reads of it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codeact.statistics.intervals import Floats

METRICS = (
    "turns",
    "tokens",
    "feedback tokens",
    "USD",
    "seconds",
    "invalid actions",
    "erred executions",
    "provider retries",
)
"""What is compared besides success, in this order."""
PER_SUCCESS = ("tokens", "USD")
COLUMNS = (
    *("task_digest", "task_name", "task_id", "sample", "success", "counted", "edited", "cause"),
    *("turns", "prompt", "completion", "feedback_prompt", "feedback_completion", "cost"),
    *("feedback_cost", "seconds", "invalid", "erred", "retries", "line"),
)
"""Of the index, in the order in which `Episodes.of` takes them; then ``file`` where it differs."""


class Episodes(NamedTuple):
    """Columns of one run, sorted by task digest and sample.

    `counts` says whether the outcome is the policy's own. A metric that was not recorded is NaN.
    """

    digest: NDArray[np.str_]
    task_name: NDArray[np.object_]
    task_id: NDArray[np.object_]
    sample: NDArray[np.int64]
    success: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    edited: NDArray[np.bool_]
    cause: NDArray[np.object_]
    file: NDArray[np.object_]
    line: NDArray[np.int64]
    metrics: Mapping[str, Floats]

    @classmethod
    def of(cls, rows: list[tuple[object, ...]], file: str | None = None) -> "Episodes":
        """Make columns of an index's rows of `COLUMNS`; `file` is that of all, if it is one."""
        names = COLUMNS if file is not None else (*COLUMNS, "file")
        raw = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}
        take: Callable[[str], tuple[object, ...]] = lambda name: raw.get(name, ())  # noqa: E731
        number = {name: np.array(take(name), np.float64) for name in COLUMNS[8:]}
        number["sample"] = np.array(take("sample"), np.float64)
        digest = np.array(take("task_digest"), np.str_)
        counted, edited = np.array(take("counted"), bool), np.array(take("edited"), bool)
        cost = _sum_of_known(number["cost"], number["feedback_cost"])
        metrics = {
            "turns": number["turns"],
            "tokens": number["prompt"] + number["completion"],
            "feedback tokens": number["feedback_prompt"] + number["feedback_completion"],
            "USD": cost,
            "seconds": number["seconds"],
            "invalid actions": number["invalid"],
            "erred executions": number["erred"],
            "provider retries": number["retries"],
        }
        order = np.lexsort((number["sample"], digest))
        return cls(
            digest[order],
            _objects(take("task_name"))[order],
            _objects(take("task_id"))[order],
            number["sample"].astype(np.int64)[order],
            np.array(take("success"), bool)[order],
            (counted & ~edited)[order],
            edited[order],
            _objects(take("cause"))[order],
            _objects(take("file") if file is None else (file,) * len(rows))[order],
            number["line"].astype(np.int64)[order],
            {name: values[order] for name, values in metrics.items()},
        )

    def __len__(self) -> int:
        return len(self.digest)


def _objects(values: tuple[object, ...]) -> NDArray[np.object_]:
    found = np.empty(len(values), np.object_)
    found[:] = values
    return found


def _sum_of_known(one: Floats, other: Floats) -> Floats:
    unknown = np.isnan(one) & np.isnan(other)
    return np.where(unknown, np.nan, np.nan_to_num(one) + np.nan_to_num(other))


class TaskValues(NamedTuple):
    """A run task by task, sorted by digest: tasks of which an outcome counts, and all others.

    `first` is the place of a task's first episode; `played` its episodes, `samples` those that
    count and `successes` theirs. `means` are over the episodes that count.
    """

    digest: NDArray[np.str_]
    first: NDArray[np.intp]
    played: NDArray[np.int64]
    samples: NDArray[np.int64]
    successes: NDArray[np.int64]
    means: Mapping[str, Floats]
    solved_in: Callable[[int], Floats]
    """The share of a task's samples that were solved in at most so many turns."""

    @property
    def rate(self) -> Floats:
        """The share of each task's samples that succeeded; NaN where none counts."""
        with np.errstate(invalid="ignore"):
            return self.successes / self.samples


def task_values(episodes: Episodes) -> TaskValues:
    """Sum a run's episodes up by task."""
    digest, first, place = np.unique(episodes.digest, return_index=True, return_inverse=True)
    size = len(digest)

    def total(weights: NDArray[np.float64] | NDArray[np.bool_]) -> Floats:
        return np.bincount(place, weights, size).astype(np.float64)

    samples = total(episodes.counts)
    won = episodes.success & episodes.counts
    means = {}
    with np.errstate(invalid="ignore"):
        for name, values in episodes.metrics.items():
            known = episodes.counts & ~np.isnan(values)
            means[name] = total(np.where(known, values, 0)) / total(known)
    taken = episodes.metrics["turns"]

    def solved_in(most: int) -> Floats:
        with np.errstate(invalid="ignore"):
            return total(won & (taken <= most)) / samples

    return TaskValues(
        digest,
        first,
        np.bincount(place, minlength=size),
        samples.astype(np.int64),
        total(won).astype(np.int64),
        means,
        solved_in,
    )
