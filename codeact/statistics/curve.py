"""Success against the number of turns: the line through it, by least squares."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """Success rates by number of turns; the slope is in rate per turn.

    Without two numbers of turns there is no line, and where all rates are equal no r².
    """

    rates: dict[int, float]
    slope: float | None
    r_squared: float | None


def curve(rates: Mapping[int, float]) -> Curve:
    """Return the line through success rates, as the published benchmark has it.

    There each number of turns is a run of its own, with that many turns at most.
    """
    points = dict(sorted(rates.items()))
    if len(points) < 2:
        return Curve(points, None, None)
    turns, values = np.array(list(points), float), np.array(list(points.values()), float)
    apart, off = turns - turns.mean(), values - values.mean()
    slope = float(apart @ off / (apart @ apart))
    spread = float(off @ off)
    return Curve(points, slope, float(slope * (apart @ off) / spread) if spread else None)
