"""Which tasks of two runs are pairs: by digest, never by position or bare id."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codeact.exceptions import ConfigError
from codeact.results.comparison.runs import PlayedRun
from codeact.statistics.intervals import Floats

_NAMED = 3


class Pairs(NamedTuple):
    """The pairs of two runs, by digest: the places of each one's task in the runs' `TaskValues`.

    `shared` are those that both have, graded or not. `rates` are of the pairs.
    """

    a: PlayedRun
    b: PlayedRun
    in_a: NDArray[np.intp]
    in_b: NDArray[np.intp]
    shared_a: NDArray[np.intp]
    shared_b: NDArray[np.intp]
    unpaired_a: list[str]
    unpaired_b: list[str]
    clusters: list[str] | None

    @property
    def rates(self) -> tuple[Floats, Floats]:
        return self.a.tasks.rate[self.in_a], self.b.tasks.rate[self.in_b]

    @property
    def single(self) -> bool:
        """Whether every pair is of one episode each, and by itself."""
        one = (self.a.tasks.samples[self.in_a] == 1) & (self.b.tasks.samples[self.in_b] == 1)
        return self.clusters is None and bool(one.all())

    def digests(self) -> list[str]:
        found: list[str] = self.a.tasks.digest[self.in_a].tolist()
        return found


def pair_up(
    a: PlayedRun, b: PlayedRun, accept: Collection[str], cluster: Mapping[str, str] | None = None
) -> Pairs:
    """Pair two runs up; raises `ConfigError` where they are not comparable.

    `cluster` names the cluster of a task by its digest; a task without a name is its own.
    """
    _refuse_other_grading(a, b, accept)
    _, shared_a, shared_b = np.intersect1d(
        a.tasks.digest, b.tasks.digest, assume_unique=True, return_indices=True
    )
    alone = _alone(a, shared_a), _alone(b, shared_b)
    if not len(shared_a):
        raise ConfigError(
            f"{a.name} and {b.name} have no task in common (tasks are compared by their digest: "
            "the same prompt, reference and metadata)"
        )
    if any(alone) and "tasks" not in accept:
        raise ConfigError(_unlike(a, b, alone, len(shared_a)))
    graded = (a.tasks.samples[shared_a] > 0) & (b.tasks.samples[shared_b] > 0)
    if not graded.any():
        raise ConfigError(
            f"{a.name} and {b.name}: no task has an outcome that counts in both; see their failures"
        )
    in_a, in_b = shared_a[graded], shared_b[graded]
    names = None
    if cluster is not None:
        names = [cluster.get(one, one) for one in a.tasks.digest[in_a].tolist()]
    return Pairs(a, b, in_a, in_b, shared_a, shared_b, *alone, names)


def _alone(run: PlayedRun, shared: NDArray[np.intp]) -> list[str]:
    """Name the tasks that only this run has."""
    rest = np.setdiff1d(np.arange(len(run.tasks.digest)), shared)
    return sorted(run.task_key(row) for row in run.tasks.first[rest])


def _refuse_other_grading(a: PlayedRun, b: PlayedRun, accept: Collection[str]) -> None:
    if a.grading != b.grading and "grading" not in accept:
        raise ConfigError(
            f"{a.name} was graded in mode {a.grading} and {b.name} in mode {b.grading}, so that "
            "their verdicts differ for equal answers; give one of them new verdicts by codeact "
            "regrade, or say accept=grading"
        )


def _unlike(a: PlayedRun, b: PlayedRun, alone: tuple[list[str], list[str]], shared: int) -> str:
    lines = [f"{a.name} and {b.name} are not over the same tasks: {shared:,} are in both"]
    for run, names in ((a, alone[0]), (b, alone[1])):
        if names:
            some = ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)
            lines.append(f"{len(names):,} only in {run.name} ({some})")
    if changed := sorted({*alone[0]} & {*alone[1]}):
        lines.append(
            f"{len(changed):,} of these have one name and two contents, such as {changed[0]}"
        )
    return "; ".join(lines) + "; accept=tasks compares those that are in both"
