"""What difference a comparison can see, and how many tasks a given one needs."""

import math
from statistics import NormalDist
from typing import NamedTuple

from codeact.statistics.equivalence import ALPHA

POWER = 0.8
_EXACT_TASKS = 5_000
"""Up to so many tasks with one sample each, the exact power of McNemar's test is summed up."""
_MOST_TASKS = 10_000_000
_STEPS = 60


class Design(NamedTuple):
    """A planned comparison.

    `discordance` is how often single episodes of the two runs would differ on a task. `chance` is
    the share of it that is luck, so that averaging samples takes it away; the rest is between the
    tasks, and only more tasks help.
    """

    tasks: int
    samples: int = 1
    discordance: float = 0.2
    chance: float = 0.5

    @property
    def spread(self) -> float:
        """The mean square of a task's difference."""
        return self.discordance * (1 - self.chance + self.chance / self.samples)


def power(design: Design, difference: float, alpha: float = ALPHA) -> float:
    """Return the chance that a true `difference` is found significant."""
    spread = design.spread - difference * difference
    if abs(difference) > design.discordance or spread <= 0:
        return 1.0 if difference else alpha
    if design.samples == 1 and design.tasks <= _EXACT_TASKS:
        return _exact_power(design, abs(difference), alpha)
    # The test draws signs, so its own spread holds the difference too (Connor 1987 of McNemar's).
    normal = NormalDist()
    edge = normal.inv_cdf(1 - alpha / 2) * math.sqrt(design.spread)
    shift = abs(difference) * math.sqrt(design.tasks)
    return normal.cdf((shift - edge) / math.sqrt(spread))


def _exact_power(design: Design, difference: float, alpha: float) -> float:
    """Sum up, over the number of pairs that differ, the chance that the flips are significant."""
    import numpy as np
    from scipy.stats import binom

    differing = np.arange(design.tasks + 1)
    weights = binom.pmf(differing, design.tasks, design.discordance)
    counted = weights > 1e-12
    differing, weights = differing[counted], weights[counted]
    # The most losses of so many flips that are still significant; -1 where none are.
    most = binom.ppf(alpha / 2, differing, 0.5)
    most = np.where(binom.cdf(most, differing, 0.5) > alpha / 2, most - 1, most)
    won = (design.discordance + difference) / (2 * design.discordance)
    found = binom.cdf(most, differing, 1 - won) + binom.cdf(most, differing, won)
    return float(weights @ found)


def detectable_difference(
    design: Design, wanted: float = POWER, alpha: float = ALPHA
) -> float | None:
    """Return the smallest difference found with a chance of `wanted`.

    None where not even the largest that this discordance admits is found so often.
    """
    high = math.sqrt(design.spread) if design.samples > 1 else design.discordance
    low, high = 0.0, min(high, design.discordance)
    if not design.tasks or power(design, high, alpha) < wanted:
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if power(design, middle, alpha) < wanted:
            low = middle
        else:
            high = middle
    return high


def tasks_needed(
    difference: float, design: Design, wanted: float = POWER, alpha: float = ALPHA
) -> int | None:
    """Return how many tasks find a `difference` with a chance of `wanted`; None beyond 10 million.

    The tasks of the `design` do not matter.
    """
    low, high = 0, 1
    while power(design._replace(tasks=high), difference, alpha) < wanted:
        low, high = high, high * 2
        if high > _MOST_TASKS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if power(design._replace(tasks=middle), difference, alpha) < wanted:
            low = middle
        else:
            high = middle
    return high


def detectable_after(error: float, wanted: float = POWER, alpha: float = ALPHA) -> float:
    """Return the difference that a comparison with this standard error finds so often."""
    normal = NormalDist()
    return error * (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(wanted))
