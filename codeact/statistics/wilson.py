"""The score interval of a rate of independent episodes; without numpy, as every run ends with it.

At small numbers the normal approximation is wrong (Bowyer et al., arXiv 2503.01747).
"""

import math
from statistics import NormalDist
from typing import Literal, NamedTuple

LEVEL = 0.95
Kind = Literal["wilson", "bonett-price", "t", "bootstrap", "fieller"]


class Interval(NamedTuple):
    """A confidence interval; an infinite end is one that the data do not bound."""

    low: float
    high: float
    kind: Kind
    clusters: int
    """How many independent units it rests on."""

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def wilson(successes: int, trials: int, level: float = LEVEL) -> Interval | None:
    """Return the score interval of a rate (Wilson 1927); None without any trial.

    Written out because importing scipy's takes longer than all else that ends a run. A test holds
    it to ``binomtest(...).proportion_ci(method="wilson")``.
    """
    if not trials:
        return None
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate, spread = successes / trials, z * z / trials
    center = (rate + spread / 2) / (1 + spread)
    reach = z / (1 + spread) * math.sqrt(rate * (1 - rate) / trials + spread / trials / 4)
    low = 0.0 if successes == 0 else max(0.0, center - reach)
    high = 1.0 if successes == trials else min(1.0, center + reach)
    return Interval(low, high, "wilson", trials)
