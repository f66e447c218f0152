"""The difference of two runs on the same tasks, always of paired values."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from codeact.statistics.intervals import (
    FEWER_RESAMPLES,
    LEAST_CLUSTERS,
    MANY_CLUSTERS,
    Floats,
    bootstrap,
    by_cluster,
    ratio_error,
    ratio_of_sums,
)
from codeact.statistics.wilson import LEVEL, Interval, wilson


class PairedDifference(NamedTuple):
    """The mean of ``b - a`` over pairs (Miller, arXiv 2411.00640, section 4.2).

    `error` is its standard error, and `unpaired` what that would be without pairing. `freedom` is
    the number of clusters less one.
    """

    pairs: int
    clusters: int
    value: float
    error: float
    unpaired: float
    interval: Interval

    @property
    def narrower(self) -> float | None:
        """By what share pairing makes the interval narrower; None where neither has a width."""
        return 1 - self.error / self.unpaired if self.unpaired > 0 else None

    @property
    def freedom(self) -> int:
        return self.clusters - 1


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[object] | None = None,
    level: float = LEVEL,
    *,
    rates: bool = True,
) -> PairedDifference | None:
    """Return the difference of two runs' values for each task; None without a pair.

    `rates` says that values are between 0 and 1. Of single episodes the interval is Bonett and
    Price's, which agrees with McNemar's test where few pairs differ. Where no pair of other rates
    differs there is no spread to estimate an error from: the interval then reaches as far as so
    many pairs can differ by chance without one of them showing it (Wilson's limit of none of them).
    """
    first, second = np.asarray(a, float), np.asarray(b, float)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values and {len(second)} are no pairs")
    if not len(first):
        return None
    sums, sizes = by_cluster(second - first, clusters)
    value, error = float((second - first).mean()), ratio_error(sums, sizes)
    if rates and clusters is None and np.isin((first, second), (0, 1)).all():
        interval = bonett_price(int((sums > 0).sum()), int((sums < 0).sum()), len(sums), level)
    elif not np.any(sums) and rates:
        none = wilson(0, len(sums), level)
        assert none is not None
        interval = Interval(-none.high, none.high, "wilson", len(sums))
    else:
        interval = ratio_of_sums(sums, sizes, level)
        if rates:
            interval = interval._replace(low=max(-1.0, interval.low), high=min(1.0, interval.high))
    apart = [_error(values, clusters) for values in (first, second)]
    return PairedDifference(len(first), len(sums), value, error, math.hypot(*apart), interval)


def bonett_price(won: int, lost: int, pairs: int, level: float = LEVEL) -> Interval:
    """Return the interval of a difference of paired proportions (Bonett and Price 2012).

    The normal interval after one more pair was won and one more lost.
    """
    z, count = NormalDist().inv_cdf((1 + level) / 2), pairs + 2
    center, spread = (won - lost) / count, (won + lost + 2) / count
    reach = z * math.sqrt((spread - center * center) / count)
    return Interval(max(-1.0, center - reach), min(1.0, center + reach), "bonett-price", pairs)


def paired_means(
    a: ArrayLike, b: ArrayLike, clusters: Sequence[object] | None = None, level: float = LEVEL
) -> PairedDifference | None:
    """Return the difference of amounts (turns, tokens), which may be skewed, by a bootstrap.

    Over many clusters their mean is normal whatever they are, and t quantiles are taken.
    """
    found = paired_difference(a, b, clusters, level, rates=False)
    if (
        found is None
        or not LEAST_CLUSTERS <= found.clusters <= MANY_CLUSTERS
        or not found.error > 0
    ):
        return found
    sums, sizes = by_cluster(np.asarray(b, float) - np.asarray(a, float), clusters)
    return found._replace(interval=bootstrap(sums, sizes, level, FEWER_RESAMPLES))


def _error(values: Floats, clusters: Sequence[object] | None) -> float:
    return ratio_error(*by_cluster(values, clusters))
