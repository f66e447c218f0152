"""How often each task was solved, and what follows: the rate's interval, pass@k and pass^k."""

from collections.abc import Mapping
from typing import Any

from codeact.statistics.pass_at_k import (
    OfTask,
    SampleRate,
    over_tasks,
    pass_at_k,
    pass_hat_k,
)
from codeact.statistics.wilson import Interval, wilson

_SHIFT = 32


class TaskSamples:
    """Samples that count and successes of each task, in a number a task.

    Tasks are told apart by the hash of their digest, since many tables of a run hold them.
    """

    def __init__(self) -> None:
        self._tasks: dict[int, int] = {}
        self._episodes = 0
        self._successes = 0

    def add(self, digest: str, success: bool) -> None:
        """Take one more sample of a task in."""
        key = hash(digest)
        self._tasks[key] = self._tasks.get(key, 0) + 1 + (success << _SHIFT)
        self._episodes += 1
        self._successes += success

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the share of all samples that succeeded.

        Wilson's where each task has one sample, else one that is robust to tasks being clusters.
        """
        if len(self._tasks) == self._episodes:
            return wilson(self._successes, self._episodes)
        from codeact.statistics.intervals import rate_interval

        samples, successes = self._columns()
        return rate_interval(successes, samples)

    @property
    def pass_at_k(self) -> Mapping[int, SampleRate]:
        """By k, the chance that one of k samples succeeds; nothing of single samples."""
        return self._over_tasks(pass_at_k)

    @property
    def pass_hat_k(self) -> Mapping[int, SampleRate]:
        """By k, the chance that all of k samples succeed; nothing of single samples."""
        return self._over_tasks(pass_hat_k)

    def document(self) -> dict[str, Any]:
        """Return all of it as JSON data."""
        found: dict[str, Any] = {"success_interval": _ends(self.interval)}
        for name, rates in (("pass_at_k", self.pass_at_k), ("pass_hat_k", self.pass_hat_k)):
            if rates:
                found[name] = {
                    str(k): {"value": one.value, "tasks": one.tasks, **(_ends(one.interval) or {})}
                    for k, one in rates.items()
                }
        return found

    def _over_tasks(self, of_task: OfTask) -> Mapping[int, SampleRate]:
        if len(self._tasks) == self._episodes:
            return {}
        samples, successes = self._columns()
        return over_tasks(samples, successes, of_task)

    def _columns(self) -> tuple[list[int], list[int]]:
        counts = self._tasks.values()
        return [one & ((1 << _SHIFT) - 1) for one in counts], [one >> _SHIFT for one in counts]


def _ends(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {"low": interval.low, "high": interval.high, "kind": interval.kind}
