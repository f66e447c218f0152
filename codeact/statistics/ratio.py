"""What a success costs: a ratio of means, whose interval may have no upper end."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from codeact.statistics.intervals import (
    FEWER_RESAMPLES,
    LEAST_CLUSTERS,
    MANY_CLUSTERS,
    Floats,
    bootstrap_of,
    t_quantile,
)
from codeact.statistics.wilson import LEVEL, Interval


class Ratio(NamedTuple):
    """A ratio of two means, infinite without a success, and its interval."""

    value: float
    interval: Interval


def ratio_of_means(amounts: ArrayLike, successes: ArrayLike, level: float = LEVEL) -> Ratio | None:
    """Return amount per success over clusters, with Fieller's interval (Fieller 1954).

    Both are sums of each cluster. Where the number of successes is not surely above zero, the
    interval has no upper end. None without a cluster.
    """
    x, y = np.asarray(amounts, float), np.asarray(successes, float)
    count = len(x)
    if not count:
        return None
    top, bottom = float(x.mean()), float(y.mean())
    value = top / bottom if bottom else math.inf
    if count < 2:
        return Ratio(value, Interval(0.0, math.inf, "fieller", count))
    covariances = np.cov(x, y) / count
    of_top, of_both, of_bottom = covariances[0, 0], covariances[0, 1], covariances[1, 1]
    square = t_quantile(level, count - 1) ** 2
    a = bottom * bottom - square * of_bottom
    b = top * bottom - square * of_both
    c = top * top - square * of_top
    inside = b * b - a * c
    if a <= 0 or inside < 0:
        # What fits lies outside two roots; the larger is a lower end where the value is above it.
        low = (b - math.sqrt(inside)) / a if inside >= 0 and a else 0.0
        low = max(0.0, float(low)) if low <= value else 0.0
        return Ratio(value, Interval(low, math.inf, "fieller", count))
    ends = [(b + sign * math.sqrt(inside)) / a for sign in (-1, 1)]
    return Ratio(value, Interval(float(ends[0]), float(ends[1]), "fieller", count))


def difference_of_ratios(
    amounts: tuple[Floats, Floats], successes: tuple[Floats, Floats], level: float = LEVEL
) -> tuple[float, Interval] | None:
    """Return how much more a success costs in the second run.

    The interval is a bootstrap of pairs; of very few or very many pairs the delta method's.

    None where either run has no success, or there are fewer than two clusters.
    """
    count = len(amounts[0])
    if count < 2 or not all(one.sum() > 0 for one in successes):
        return None
    columns = (*amounts, *successes)
    value = float(_more(*columns))
    if LEAST_CLUSTERS <= count <= MANY_CLUSTERS:
        return value, bootstrap_of(columns, _more, level, FEWER_RESAMPLES)
    # How much each cluster moves its run's ratio, to the first order.
    moved = [
        (amount - won * (amount.sum() / won.sum())) / won.mean()
        for amount, won in zip(amounts, successes, strict=True)
    ]
    error = float((moved[1] - moved[0]).std(ddof=1)) / math.sqrt(count)
    reach = t_quantile(level, count - 1) * error
    return value, Interval(value - reach, value + reach, "t", count)


def _more(x: Floats, y: Floats, won: Floats, also: Floats, axis: int = -1) -> Floats:
    found: Floats = y.sum(axis=axis) / also.sum(axis=axis) - x.sum(axis=axis) / won.sum(axis=axis)
    return found
