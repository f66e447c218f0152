"""One run by itself: its success rate, what its samples tell, what it took, what is missing."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from codeact.results.comparison.model import Attrition, IntervalEstimate, RunReport, estimate
from codeact.results.comparison.played import METRICS, PER_SUCCESS
from codeact.results.comparison.runs import PlayedRun
from codeact.statistics.intervals import by_cluster, mean_interval, share_interval
from codeact.statistics.pass_at_k import OfTask, over_tasks, pass_at_k, pass_hat_k
from codeact.statistics.ratio import ratio_of_means
from codeact.statistics.wilson import wilson


def report_of_run(run: PlayedRun, clusters: Mapping[str, str] | None = None) -> RunReport:
    """Return what one run's records say; `clusters` names the cluster of a task by its digest."""
    tasks, episodes = run.tasks, run.episodes
    graded = np.flatnonzero(tasks.samples > 0)
    names = _clusters(run, graded, clusters)
    sets = episodes.task_name[tasks.first[graded]]
    return RunReport(
        name=run.name,
        place=str(run.folder or run.place),
        model=run.model,
        feedback=run.feedback,
        turn_setting=run.limit_name,
        grading=run.grading,
        tasks=len(tasks.digest),
        samples=run.samples,
        episodes=len(episodes),
        counted=int(episodes.counts.sum()),
        success=rate_of(run, graded, names),
        pass_at_k=_of_samples(run, graded, names, pass_at_k),
        pass_hat_k=_of_samples(run, graded, names, pass_hat_k),
        means=dict(_means(run, graded, names)),
        per_success=dict(_per_success(run, graded, names)),
        by_task_set={
            name: found
            for name in sorted(set(sets.tolist()))
            if (found := rate_of(run, graded[sets == name], _of(names, sets == name))) is not None
        },
        attrition=attrition(run),
    )


def _clusters(
    run: PlayedRun, graded: NDArray[np.intp], clusters: Mapping[str, str] | None
) -> list[str] | None:
    if clusters is None:
        return None
    return [clusters.get(one, one) for one in run.tasks.digest[graded].tolist()]


def _of(names: list[str] | None, chosen: NDArray[np.bool_]) -> list[str] | None:
    return None if names is None else [n for n, one in zip(names, chosen, strict=True) if one]


def rate_of(
    run: PlayedRun, graded: NDArray[np.intp], clusters: list[str] | None
) -> IntervalEstimate | None:
    """Return the mean over tasks of the share of their samples that succeeded."""
    samples, won = run.tasks.samples[graded], run.tasks.successes[graded]
    if not len(graded):
        return None
    rate = float((won / samples).mean())
    if clusters is None and (samples == 1).all():
        return estimate(rate, wilson(int(won.sum()), len(won)))
    return estimate(rate, share_interval(won / samples, clusters))


def _of_samples(
    run: PlayedRun, graded: NDArray[np.intp], clusters: list[str] | None, of_task: OfTask
) -> dict[int, IntervalEstimate]:
    """Return pass@k or pass^k for every k that a task has samples for."""
    samples, won = run.tasks.samples[graded].tolist(), run.tasks.successes[graded].tolist()
    found = over_tasks(samples, won, of_task, clusters)
    estimates = {k: estimate(one.value, one.interval) for k, one in found.items()}
    return {k: one for k, one in estimates.items() if one is not None}


def _means(
    run: PlayedRun, graded: NDArray[np.intp], clusters: list[str] | None
) -> Iterator[tuple[str, IntervalEstimate]]:
    for name in METRICS:
        values = run.tasks.means[name][graded]
        known = ~np.isnan(values)
        found = mean_interval(values[known], _of(clusters, known))
        if known.any() and (one := estimate(float(values[known].mean()), found)) is not None:
            yield name, one


def _per_success(
    run: PlayedRun, graded: NDArray[np.intp], clusters: list[str] | None
) -> Iterator[tuple[str, IntervalEstimate]]:
    rates = run.tasks.rate[graded]
    for name in PER_SUCCESS:
        values = run.tasks.means[name][graded]
        if np.isnan(values).any():
            continue
        amounts, won = by_cluster(values, clusters)[0], by_cluster(rates, clusters)[0]
        found = ratio_of_means(amounts, won)
        if found is not None and (one := estimate(found.value, found.interval)) is not None:
            yield name, one


def attrition(run: PlayedRun) -> Attrition:
    """Count the episodes whose outcome does not count, and those that should be there."""
    episodes = run.episodes
    failed = ~episodes.counts & ~episodes.edited
    causes = Counter(cause or "harness" for cause in episodes.cause[failed].tolist())
    return Attrition(
        causes=dict(sorted(causes.items())),
        edited=int(episodes.edited.sum()),
        unplayed=int((run.samples - run.tasks.played).clip(0).sum()),
    )
