"""Promises of statistics, by simulation: coverage, false alarms and power; seeded and small.

`benchmarks/intervals.py` is the wide form: every interval, each size, with and without clusters.
"""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks import intervals as simulation
from codeact.statistics.paired import bonett_price
from codeact.statistics.power import Design
from codeact.statistics.significance import mcnemar

LEAST, MOST = 0.93, 0.97
ALARMS = 0.055


@pytest.mark.parametrize("tasks", [20, 100, 500])
def test_wilson_holds_on_average_over_rates(tasks: int) -> None:
    """Summed up exactly. At single rates it may not: counts are whole numbers."""
    rates = np.linspace(0.05, 0.95, 91)
    found = [simulation.wilson_coverage(tasks, rate) for rate in rates]
    assert LEAST <= float(np.mean(found)) <= MOST


@pytest.mark.parametrize("tasks", [20, 100, 500])
@pytest.mark.parametrize("discordance", [0.1, 0.3])
def test_a_difference_of_single_episodes_holds(tasks: int, discordance: float) -> None:
    """Summed up exactly, of runs that differ by a third of what differs."""
    difference = discordance / 3
    covered = 0.0
    for differing in range(tasks + 1):
        weight = binom.pmf(differing, tasks, discordance)
        if weight < 1e-9:
            continue
        won = np.arange(differing + 1)
        ends = [bonett_price(one, differing - one, tasks) for one in won.tolist()]
        holds = np.array([one.low <= difference <= one.high for one in ends])
        covered += weight * binom.pmf(won, differing, 2 / 3)[holds].sum()
    # Two flips in 20 tasks say so little that the interval cannot be as narrow as 95 % would be.
    assert LEAST <= covered <= (MOST if tasks > 20 else 1)


@pytest.mark.parametrize(
    ("simulated", "tasks", "k", "cluster"),
    [
        (simulation.rate_holds, 100, 4, 1),
        (simulation.rate_holds, 500, 4, 4),
        (simulation.difference_holds, 500, 4, 1),
        (simulation.difference_holds, 500, 1, 4),
        (simulation.ratio_holds, 500, 4, 1),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_intervals_hold(simulated: simulation.Simulated, tasks: int, k: int, cluster: int) -> None:
    """800 runs, whose share has a standard error of 0.8 points."""
    assert LEAST <= simulation.share(simulated, 400, tasks, k, cluster) <= MOST


@pytest.mark.parametrize("tasks", [20, 100, 500])
def test_mcnemar_is_never_wrong_too_often(tasks: int) -> None:
    """Summed up exactly, of runs that do not differ."""
    for discordance in (0.05, 0.2, 0.5):
        alarms = 0.0
        for differing in range(tasks + 1):
            weight = binom.pmf(differing, tasks, discordance)
            if weight < 1e-9:
                continue
            won = np.arange(differing + 1)
            found = np.array([mcnemar(one, differing - one).p <= 0.05 for one in won.tolist()])
            alarms += weight * binom.pmf(won, differing, 0.5)[found].sum()
        assert alarms <= 0.05


def test_ignoring_clusters_is_wrong_far_too_often() -> None:
    """Four samples of four tasks with one difficulty, each taken for a pair of its own."""
    rightly = simulation.share(simulation.false_alarm, 300, 60, 4, 4)
    ignored = simulation.share(simulation.alarm_without_clusters, 100, 60, 4, 4)
    assert rightly <= ALARMS
    assert ignored > 0.25


@pytest.mark.parametrize(
    ("design", "runs"), [(Design(500, 1, 0.3), 1600), (Design(200, 4, 0.3, 0.5), 400)]
)
def test_power_is_as_planned(design: Design, runs: int) -> None:
    """Shares of 1,600 and 400 runs have a standard error of one and two points."""
    assert simulation.power_found(design, runs) == pytest.approx(0.8, abs=0.03)
