"""Whether two runs are equal within a margin, and the one word for what a comparison found."""

import math
from statistics import NormalDist
from typing import Literal

from codeact.statistics.paired import PairedDifference
from codeact.statistics.wilson import LEVEL

ALPHA = 0.05
Conclusion = Literal["better", "worse", "equal within the margin", "undecided"]


def equivalence(difference: PairedDifference, margin: float) -> float:
    """Return the p-value of two one-sided tests: that the difference is beyond the margin.

    Of single episodes, and where no pair differs, center and error are those of the interval, which
    knows that what was not seen may be there.
    """
    interval = difference.interval
    if interval.kind in ("bonett-price", "wilson"):
        normal = NormalDist()
        center, error = (interval.low + interval.high) / 2, interval.half_width
        error /= normal.inv_cdf((1 + LEVEL) / 2)
        return 1 - normal.cdf(min(margin + center, margin - center) / error)
    if difference.clusters < 2 or not difference.error > 0:
        return 1.0
    from scipy.special import stdtr

    nearest = min(margin + difference.value, margin - difference.value)
    return float(1 - stdtr(difference.freedom, nearest / difference.error))


def conclude(
    difference: PairedDifference | None, p: float, margin: float | None, alpha: float = ALPHA
) -> Conclusion:
    """Return what is to be said of a difference.

    With a margin, a difference that is surely within it is none, however sure its sign is; without
    one nothing is ever called equal.
    """
    if difference is None or math.isnan(difference.value):
        return "undecided"
    if margin is not None and equivalence(difference, margin) <= alpha:
        return "equal within the margin"
    if p <= alpha and difference.value:
        return "better" if difference.value > 0 else "worse"
    return "undecided"
