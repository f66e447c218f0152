"""Whether two runs are equal within a margin, and the one word for what a comparison found."""

import math
from typing import Literal

from codeact.statistics.paired import PairedDifference

ALPHA = 0.05
Conclusion = Literal["better", "worse", "equal within the margin", "undecided"]


def equivalence(difference: PairedDifference, margin: float) -> float:
    """Return the p-value of two one-sided tests: that the difference is beyond the margin.

    Where the interval is no t interval (few clusters, or no pair that differs) it decides instead:
    p is then 0 or 1, as the 90 % interval given lies within the margin or not.
    """
    from scipy.special import stdtr

    if difference.clusters < 2 or not difference.error > 0:
        return float(difference.interval.half_width > margin)
    lower = (difference.value + margin) / difference.error
    upper = (margin - difference.value) / difference.error
    return float(1 - stdtr(difference.freedom, min(lower, upper)))


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
