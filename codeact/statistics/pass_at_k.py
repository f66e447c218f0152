"""What several samples of a task tell: pass@k, pass^k and majority@k, averaged over tasks."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cache
from math import comb
from typing import NamedTuple

from codeact.statistics.wilson import LEVEL, Interval

OfTask = Callable[[int, int, int], float]
"""Gives what is meant for the samples of a task, the successes among them, and k."""


class SampleRate(NamedTuple):
    """A mean over tasks, its interval, and how many tasks have so many samples."""

    value: float
    interval: Interval
    tasks: int


@cache
def pass_at_k(samples: int, successes: int, k: int) -> float:
    """Return the chance that one of `k` samples succeeds, without bias.

    ``1 - C(n-c, k) / C(n, k)`` for c successes of n samples (Chen et al., arXiv 2107.03374).
    Raises `ValueError` for a `k` beyond the samples.
    """
    _check(samples, successes, k)
    return 1 - comb(samples - successes, k) / comb(samples, k)


@cache
def pass_hat_k(samples: int, successes: int, k: int) -> float:
    """Return the chance that all of `k` samples succeed: ``C(c, k) / C(n, k)``.

    Raises `ValueError` for a `k` beyond the samples.
    """
    _check(samples, successes, k)
    return comb(successes, k) / comb(samples, k)


def _check(samples: int, successes: int, k: int) -> None:
    if not (1 <= k <= samples and 0 <= successes <= samples):
        raise ValueError(f"{successes} successes of {samples} samples say nothing of k={k}")


def majority(answers: Sequence[tuple[Hashable, bool]]) -> float:
    """Return whether the answer given most often is right; a tie counts by its right share.

    Each sample has a key, the same for equal answers, and whether it succeeded. Samples without
    an answer have the key None: they have no say unless all are so.
    """
    given = [(key, right) for key, right in answers if key is not None]
    if not given:
        return 0.0
    votes = Counter(key for key, _ in given)
    most = max(votes.values())
    # Equal answers may have got unequal verdicts, from a grader that failed on one of them.
    right = [_share(right for other, right in given if other == key) for key in votes]
    leaders = [share for share, count in zip(right, votes.values(), strict=True) if count == most]
    return sum(leaders) / len(leaders)


def _share(rights: Iterable[bool]) -> float:
    found = list(rights)
    return sum(found) / len(found)


def over_tasks(
    samples: Sequence[int],
    successes: Sequence[int],
    of_task: OfTask,
    clusters: Sequence[object] | None = None,
    level: float = LEVEL,
) -> Mapping[int, SampleRate]:
    """Return `pass_at_k` or `pass_hat_k` by k, each over the tasks with so many samples or more.

    Nothing where no task has two.
    """
    import numpy as np

    from codeact.statistics.intervals import share_interval

    most, found = max(samples, default=0), {}
    for k in range(1, most + 1) if most > 1 else ():
        places = [place for place, one in enumerate(samples) if one >= k]
        values = np.array([of_task(samples[place], successes[place], k) for place in places])
        names = None if clusters is None else [clusters[place] for place in places]
        if (interval := share_interval(values, names, level)) is not None:
            found[k] = SampleRate(float(values.mean()), interval, len(places))
    return found
