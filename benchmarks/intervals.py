"""Do 95 % intervals hold 95 % of the time? Coverage, false alarms and power, by simulation.

    python benchmarks/intervals.py [REPEATS]

Tasks differ in difficulty (Beta with mean 0.3 or 0.6 and an intraclass correlation of 0.3); with
clusters, four tasks share theirs. Two runs whose difficulties are of one distribution do not
differ, so that whatever is found significant is a false alarm. Seeded; the standard error of a
coverage is shown.
"""

# ruff: noqa: D103 (a program, not a library)

import math
import sys
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from codeact.statistics.intervals import rate_interval
from codeact.statistics.paired import paired_difference, paired_means
from codeact.statistics.power import Design, detectable_difference
from codeact.statistics.ratio import ratio_of_means
from codeact.statistics.significance import mcnemar, sign_flips
from codeact.statistics.wilson import wilson

Floats = NDArray[np.float64]
SIZES, SAMPLES, MEANS = (20, 100, 500), (1, 4), (0.3, 0.6)
PER_CLUSTER = 4
CORRELATION = 0.3


def difficulties(rng: np.random.Generator, tasks: int, mean: float, cluster: int) -> Floats:
    """Return each task's chance of success; `cluster` tasks in a row share theirs."""
    spread = 1 / CORRELATION - 1
    found = rng.beta(mean * spread, (1 - mean) * spread, tasks // cluster)
    return np.repeat(found, cluster)


def names(tasks: int, cluster: int) -> list[int] | None:
    return None if cluster == 1 else np.repeat(np.arange(tasks // cluster), cluster).tolist()


def rate_holds(rng: np.random.Generator, tasks: int, k: int, cluster: int, mean: float) -> bool:
    """Whether the interval of one run's success rate holds the true one."""
    won = rng.binomial(k, difficulties(rng, tasks, mean, cluster)).astype(float)
    won, tried = won.reshape(-1, cluster).sum(1), np.full(tasks // cluster, float(k * cluster))
    found = rate_interval(won, tried)
    assert found is not None
    return found.low <= mean <= found.high


def difference_holds(
    rng: np.random.Generator, tasks: int, k: int, cluster: int, mean: float
) -> bool:
    """Whether the interval of a paired difference holds the true one, 0.1."""
    easy = difficulties(rng, tasks, mean, cluster)
    # A tenth of what A would fail at, relative to all, is solved by B for sure.
    helped = np.repeat(rng.random(tasks // cluster) < 0.1 / (1 - mean), cluster)
    a, b = rng.binomial(k, easy) / k, rng.binomial(k, np.where(helped, 1, easy)) / k
    found = paired_difference(a, b, names(tasks, cluster))
    assert found is not None
    return found.interval.low <= 0.1 <= found.interval.high


def amount_holds(rng: np.random.Generator, tasks: int, k: int, cluster: int, mean: float) -> bool:
    """Whether the interval of a difference of tokens holds the true one; tokens are log-normal."""
    size = np.exp(rng.normal(0, 0.7, tasks // cluster)).repeat(cluster)
    a, b = (
        (size[:, None] * rng.lognormal(0, 0.3, (tasks, k)) * factor).mean(1)
        for factor in (1000, 1000 * (1 + mean))
    )
    truth = 1000 * mean * math.exp(0.7**2 / 2 + 0.3**2 / 2)
    found = paired_means(a, b, names(tasks, cluster))
    assert found is not None
    return found.interval.low <= truth <= found.interval.high


def ratio_holds(rng: np.random.Generator, tasks: int, k: int, cluster: int, mean: float) -> bool:
    """Whether Fieller's interval of tokens per success holds the true one."""
    easy = difficulties(rng, tasks, mean, cluster)
    won = rng.binomial(k, easy) / k
    amounts = rng.gamma(4.0, 250.0, (tasks, k)).mean(1) * (2 - easy)
    found = ratio_of_means(amounts.reshape(-1, cluster).sum(1), won.reshape(-1, cluster).sum(1))
    assert found is not None
    return found.interval.low <= 1000 * (2 - mean) / mean <= found.interval.high


def false_alarm(rng: np.random.Generator, tasks: int, k: int, cluster: int, mean: float) -> bool:
    """Whether two runs that do not differ are found to.

    With clusters, those help or hurt all of their tasks, so that they are one flip and not four.
    """
    easy = difficulties(rng, tasks, mean, cluster)
    other = easy if cluster == 1 else difficulties(rng, tasks, mean, cluster)
    a, b = rng.binomial(k, easy) / k, rng.binomial(k, other) / k
    if k == 1 and cluster == 1:
        return mcnemar(int((b > a).sum()), int((a > b).sum())).p <= 0.05
    return sign_flips((b - a).reshape(-1, cluster).sum(1)).p <= 0.05


def alarm_without_clusters(
    rng: np.random.Generator, tasks: int, k: int, cluster: int, mean: float
) -> bool:
    """The same, as if every sample were a pair of its own."""
    easy = difficulties(rng, tasks, mean, cluster)
    other = difficulties(rng, tasks, mean, cluster)
    a, b = rng.binomial(1, np.repeat(easy, k)), rng.binomial(1, np.repeat(other, k))
    return mcnemar(int((b > a).sum()), int((a > b).sum())).p <= 0.05


Simulated = Callable[[np.random.Generator, int, int, int, float], bool]
COVERAGES: dict[str, Simulated] = {
    "success rate": rate_holds,
    "paired difference": difference_holds,
    "tokens, paired": amount_holds,
    "tokens per success": ratio_holds,
}


def share(simulated: Simulated, repeats: int, tasks: int, k: int, cluster: int) -> float:
    """Return how often something holds, over all means."""
    rng = np.random.default_rng([tasks, k, cluster])
    held = [simulated(rng, tasks, k, cluster, mean) for mean in MEANS for _ in range(repeats)]
    return float(np.mean(held))


def significant(rng: np.random.Generator, design: Design, difference: float) -> bool:
    """Whether a true difference is found, of runs as the design says."""
    certain = design.discordance * (1 - design.chance)
    kinds = [(certain + difference) / 2, (certain - difference) / 2]
    kinds += [2 * design.discordance * design.chance]
    drawn = rng.choice(4, design.tasks, p=[*kinds, 1 - sum(kinds)])
    # Won for sure, lost for sure, a coin in both runs, failed in both.
    of_a, of_b = np.array([0, 1, 0.5, 0])[drawn], np.array([1, 0, 0.5, 0])[drawn]
    a, b = (rng.binomial(design.samples, one) / design.samples for one in (of_a, of_b))
    if design.samples == 1:
        return mcnemar(int((b > a).sum()), int((a > b).sum())).p <= 0.05
    return sign_flips(b - a).p <= 0.05


def power_found(design: Design, repeats: int) -> float:
    """Return how often the smallest detectable difference is found."""
    rng = np.random.default_rng(80)
    difference = detectable_difference(design)
    assert difference is not None
    return float(np.mean([significant(rng, design, difference) for _ in range(repeats)]))


def wilson_coverage(tasks: int, rate: float) -> float:
    """Return the coverage of Wilson's interval, summed up exactly."""
    won = np.arange(tasks + 1)
    ends = [wilson(one, tasks) for one in won.tolist()]
    holds = np.array([one is not None and one.low <= rate <= one.high for one in ends])
    return float(binom.pmf(won, tasks, rate)[holds].sum())


def main(repeats: int) -> Iterator[str]:
    error = math.sqrt(0.05 * 0.95 / (repeats * len(MEANS)))
    yield f"share that holds the truth, in %; standard error {100 * error:.1f}"
    yield f"{'':36}" + "".join(f"{f'{n}, k={k}':>10}" for n in SIZES for k in SAMPLES)
    for cluster, words in ((1, ""), (PER_CLUSTER, ", clusters of 4")):
        for name, simulated in {**COVERAGES, "false alarms": false_alarm}.items():
            cells = [share(simulated, repeats, n, k, cluster) for n in SIZES for k in SAMPLES]
            yield f"{name + words:36}" + "".join(f"{100 * one:>10.1f}" for one in cells)
    cells = [
        share(alarm_without_clusters, repeats, n, k, PER_CLUSTER) for n in SIZES for k in SAMPLES
    ]
    yield f"{'false alarms, clusters ignored':36}" + "".join(f"{100 * one:>10.1f}" for one in cells)
    yield "\nWilson's interval, exactly, by the true rate"
    rates = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95)
    yield f"{'':10}" + "".join(f"{rate:>8}" for rate in rates) + f"{'mean':>8}"
    for n in SIZES:
        cells = [wilson_coverage(n, rate) for rate in rates]
        mean = float(np.mean([wilson_coverage(n, rate) for rate in np.linspace(0.02, 0.98, 97)]))
        yield f"n = {n:<6}" + "".join(f"{100 * one:>8.1f}" for one in [*cells, mean])
    yield "\npower found of 80 % planned, at the smallest detectable difference"
    for tasks, k, chance in [(100, 1, 0.2), (500, 1, 0.2), (100, 4, 0.2), (500, 4, 0.2)]:
        design = Design(tasks, k, 0.3, chance)
        smallest = detectable_difference(design) or math.nan
        found = power_found(design, 2 * repeats)
        yield f"n = {tasks}, k = {k}: {100 * smallest:.1f} points, found in {100 * found:.1f} %"


if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000):
        print(line, flush=True)
