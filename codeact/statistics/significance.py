"""Tests of whether two runs differ: exact McNemar, sign flips of clusters, and Holm over many."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

EXACT = 16
"""Up to so many clusters that differ, every flip of signs is looked at."""
DRAWS = 20_000
_SEED = 1945
_ROUND = 9
"""Decimals to which cluster sums are equal: means of samples are sums of thirds and the like."""


class Significance(NamedTuple):
    """A two-sided p-value, and how it came about."""

    p: float
    method: str
    odds: float | None = None
    """Of the flips: tasks won for each lost. None where none was lost."""


def mcnemar(won: int, lost: int) -> Significance:
    """Return the exact McNemar test: the binomial test of the pairs that differ.

    Without any such pair p is 1.
    """
    odds = won / lost if lost else None
    if not won + lost:
        return Significance(1.0, "no pair differs", odds)
    # What scipy.stats.binomtest gives, whose import takes longer than a whole comparison.
    from scipy.special import bdtr

    return Significance(
        min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5))), "exact McNemar", odds
    )


def sign_flips(sums: ArrayLike) -> Significance:
    """Return the permutation test of clusters' summed differences, each with either sign.

    Exact for up to 2^16 flips, else by 20,000 seeded draws, with one added to both counts. Clusters
    of the same size of sum are drawn together, as a binomial number of them keeps its sign, so that
    a hundred thousand clusters take no longer than a hundred.
    """
    sizes = np.abs(np.round(np.asarray(sums, float), _ROUND))
    sizes = sizes[sizes > 0]
    seen = abs(np.round(np.asarray(sums, float), _ROUND).sum())
    if not len(sizes):
        return Significance(1.0, "no cluster differs")
    edge = seen - 1e-9 * max(1.0, seen)
    if len(sizes) <= EXACT:
        flipped = np.zeros(1)
        for size in sizes:
            flipped = np.concatenate([flipped + size, flipped - size])
        p = float((np.abs(flipped) >= edge).mean())
        return Significance(p, f"sign flips of {len(sizes)} clusters, all 2^{len(sizes)}")
    generator = np.random.default_rng(_SEED)
    drawn = np.zeros(DRAWS)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        drawn += size * (2 * generator.binomial(count, 0.5, DRAWS) - count)
    p = (int((np.abs(drawn) >= edge).sum()) + 1) / (DRAWS + 1)
    return Significance(p, f"sign flips of {len(sizes)} clusters, {DRAWS:,} draws")


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values adjusted for all of them (Holm 1979), in the same order."""
    adjusted, least = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        least = max(least, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = least
    return adjusted
