"""95 % intervals of rates and means: which kind depends on what is independent of what.

One episode of each task: Wilson's score interval (`codeact.statistics.wilson`). Several samples of
a task, or tasks in clusters: the cluster-robust standard error (Miller, arXiv 2411.00640, section
2.2) with t quantiles. From 8 to 29 clusters a bootstrap of clusters instead, bias-corrected and
accelerated, with tails widened for the small number (Hesterberg, arXiv 1411.5279, section 5.3).
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codeact.statistics.wilson import LEVEL, Interval, wilson

FEW_CLUSTERS = 30
"""Below so many clusters their bootstrap is taken."""
LEAST_CLUSTERS = 8
"""Below so many there is too little to draw from, and t quantiles cover better: of five clusters'
bootstraps 88 to 93 % hold the rate, of their t intervals 92 to 94 % (``benchmarks/statistics.py``).
"""
MANY_CLUSTERS = 2_000
"""Above so many, amounts of any distribution have a mean that is normal."""
RESAMPLES = 4_000
FEWER_RESAMPLES = 2_000
"""Of amounts, of which a comparison has many."""
SEED = 1927
"""Of every bootstrap, so that the same episodes always give the same interval."""

Floats = NDArray[np.float64]


def rate_interval(successes: ArrayLike, trials: ArrayLike, level: float = LEVEL) -> Interval | None:
    """Return the interval of a success rate over clusters (tasks, or groups of them).

    `successes` of `trials` are those of each cluster; the rate is all successes over all trials.
    Clusters without a trial do not count. None where no cluster has one.
    """
    won, tried = np.asarray(successes, float), np.asarray(trials, float)
    won, tried = won[tried > 0], tried[tried > 0]
    if not len(won):
        return None
    if (tried == 1).all():
        return wilson(int(won.sum()), len(won), level)
    if won.sum() in (0, tried.sum()):
        # All alike: no spread to estimate an error from. Each cluster counts as one trial.
        whole = wilson(int(won.sum() > 0) * len(won), len(won), level)
        assert whole is not None
        return whole
    found = ratio_of_sums(won, tried, level)
    return found._replace(low=max(0.0, found.low), high=min(1.0, found.high))


def mean_interval(
    values: ArrayLike, clusters: Sequence[object] | None = None, level: float = LEVEL
) -> Interval | None:
    """Return the interval of a mean of values, which are independent or in named clusters."""
    sums, sizes = by_cluster(values, clusters)
    if len(sums) < 2:
        return None
    return ratio_of_sums(sums, sizes, level)


def share_interval(
    values: ArrayLike, clusters: Sequence[object] | None = None, level: float = LEVEL
) -> Interval | None:
    """Return the interval of a mean of shares, which are between 0 and 1."""
    found = np.asarray(values, float)
    if len(found) and not np.ptp(found) and found[0] in (0, 1):
        # All alike: no spread to estimate an error from. Each cluster counts as one episode.
        count = len(found) if clusters is None else len(set(clusters))
        return wilson(int(found[0]) * count, count, level)
    interval = mean_interval(found, clusters, level)
    return interval and interval._replace(low=max(0.0, interval.low), high=min(1.0, interval.high))


def by_cluster(values: ArrayLike, clusters: Sequence[object] | None) -> tuple[Floats, Floats]:
    """Return the sum and the number of values of each cluster, in the order of first mention."""
    found = np.asarray(values, float)
    if clusters is None:
        return found, np.ones(len(found))
    places: dict[object, int] = {}
    codes = [places.setdefault(name, len(places)) for name in clusters]
    sizes = np.bincount(codes, minlength=len(places)).astype(float)
    return np.bincount(codes, found, len(places)).astype(float), sizes


def ratio_error(sums: Floats, sizes: Floats) -> float:
    """Return the cluster-robust standard error of ``sums.sum() / sizes.sum()``.

    Miller's formula, with the factor ``C / (C - 1)`` by which it is the usual standard error of a
    mean where every cluster has one value. NaN for fewer than two clusters.
    """
    count = len(sums)
    if count < 2:
        return math.nan
    residuals = sums - sizes * (sums.sum() / sizes.sum())
    return math.sqrt(count / (count - 1) * float(residuals @ residuals)) / float(sizes.sum())


def ratio_of_sums(sums: Floats, sizes: Floats, level: float = LEVEL) -> Interval:
    """Return the interval of ``sums.sum() / sizes.sum()`` over two or more clusters."""
    center, error, count = sums.sum() / sizes.sum(), ratio_error(sums, sizes), len(sums)
    if math.isnan(error):
        return Interval(-math.inf, math.inf, "t", count)
    if LEAST_CLUSTERS <= count < FEW_CLUSTERS and error > 0:
        return bootstrap(sums, sizes, level)
    reach = t_quantile(level, count - 1) * error
    return Interval(float(center - reach), float(center + reach), "t", count)


def t_quantile(level: float, freedom: float) -> float:
    """Return how many standard errors a two-sided interval reaches."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def widened(level: float, count: int) -> float:
    """Return the level whose bootstrap interval of `count` values reaches as far as t does."""
    return 2 * NormalDist().cdf(t_quantile(level, max(1, count - 1))) - 1


def bootstrap(
    sums: Floats, sizes: Floats, level: float = LEVEL, resamples: int = RESAMPLES
) -> Interval:
    """Return the BCa interval of ``sums.sum() / sizes.sum()`` by resampling clusters."""
    return bootstrap_of((sums, sizes), _ratio, level, resamples)


def bootstrap_of(
    columns: Sequence[Floats], statistic: object, level: float = LEVEL, resamples: int = RESAMPLES
) -> Interval:
    """Return the BCa interval of a statistic of paired columns, a row being a cluster.

    `statistic` takes the columns and ``axis``, as scipy has it. Where BCa has no answer (hardly
    any values differ), the percentiles of the same resamples are taken.
    """
    import warnings

    from scipy.stats import bootstrap as of_scipy

    count = len(columns[0])
    keep = {"paired": True, "vectorized": True, "confidence_level": widened(level, count)}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of degenerate data, which is looked for here
        for method in ("BCa", "percentile"):
            found = of_scipy(
                columns,
                statistic,
                n_resamples=resamples,
                method=method,
                batch=max(1, 1_000_000 // count),
                rng=np.random.default_rng(SEED),
                **keep,
            ).confidence_interval
            if math.isfinite(found.low) and math.isfinite(found.high):
                break
    return Interval(float(found.low), float(found.high), "bootstrap", count)


def _ratio(sums: Floats, sizes: Floats, axis: int = -1) -> Floats:
    found: Floats = sums.sum(axis=axis) / sizes.sum(axis=axis)
    return found
