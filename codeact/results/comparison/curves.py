"""Success against the number of turns, of each run and over runs that differ in their limit."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from codeact.results.comparison.model import CurveReport
from codeact.results.comparison.runs import PlayedRun
from codeact.statistics.curve import curve

_LIMIT = re.compile(r"max(\d+)_p\d+")
_MOST = 30
"""Numbers of turns of a curve."""


def curves_of(runs: Sequence[PlayedRun]) -> list[CurveReport]:
    """Return the curve of each run, and of each group of runs that their limit sets apart."""
    return [*_by_limit(runs), *(_within(run) for run in runs)]


def limit_of(turn_setting: str) -> int | None:
    """Return the limit of turns that a turn setting is named by, such as 5 of ``max5_p2``."""
    found = _LIMIT.match(turn_setting)
    return int(found[1]) if found else None


def _within(run: PlayedRun) -> CurveReport:
    """Return the share of tasks solved in at most k turns."""
    tasks = run.tasks
    graded = tasks.samples > 0
    taken = run.episodes.metrics["turns"][run.episodes.counts]
    most = min(_MOST, int(taken.max(initial=1)))
    rates = {k: float(tasks.solved_in(k)[graded].mean()) for k in range(1, most + 1)}
    return _report(run.name, "within a run", rates)


def _by_limit(runs: Sequence[PlayedRun]) -> Iterator[CurveReport]:
    """Yield a curve over the runs of one model and one kind of feedback, by their limits."""
    groups: dict[str, dict[int, float]] = defaultdict(dict)
    for run in runs:
        if (limit := limit_of(run.limit_name)) is not None:
            rate = run.tasks.rate
            name = run.model if run.feedback == "none" else f"{run.model} ({run.feedback})"
            groups[name].setdefault(limit, float(rate[~np.isnan(rate)].mean()))
    for name, rates in groups.items():
        if len(rates) > 1:
            yield _report(name, "by limit", rates)


def _report(name: str, kind: str, rates: dict[int, float]) -> CurveReport:
    found = curve(rates)
    return CurveReport(
        name=name,
        kind=kind,  # type: ignore[arg-type]
        rates=found.rates,
        slope=found.slope,
        r_squared=found.r_squared,
    )
