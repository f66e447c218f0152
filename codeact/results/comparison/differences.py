"""Two runs over their pairs: success first, then what it took, by groups, and what changed."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from codeact.results.comparison.configurations import setting_differences, settings_notes
from codeact.results.comparison.model import (
    Flip,
    GroupReport,
    MetricReport,
    PairReport,
    estimate,
)
from codeact.results.comparison.pairing import Pairs
from codeact.results.comparison.played import METRICS, PER_SUCCESS
from codeact.results.comparison.runs import PlayedRun
from codeact.statistics.intervals import by_cluster
from codeact.statistics.paired import PairedDifference, paired_difference, paired_means
from codeact.statistics.power import Design, detectable_after, tasks_needed
from codeact.statistics.ratio import difference_of_ratios
from codeact.statistics.significance import Significance, holm, mcnemar, sign_flips

_MOST_VALUES = 50
"""Of a metadata field, that are shown as groups."""


def compare_pair(
    pairs: Pairs, fields: Mapping[str, Mapping[str, str]], study: Collection[str]
) -> tuple[PairReport, PairedDifference | None]:
    """Return all that two runs alone decide, without adjusted p-values and the conclusion."""
    a, b = pairs.rates
    difference = paired_difference(a, b, pairs.clusters)
    assert difference is not None
    tested = significance(pairs, np.ones(len(a), np.bool_))
    settings = setting_differences(pairs.a, pairs.b)
    report = PairReport(
        a=pairs.a.name,
        b=pairs.b.name,
        pairs=len(a),
        clusters=difference.clusters,
        rate_a=float(a.mean()),
        rate_b=float(b.mean()),
        difference=estimate(difference.value, difference.interval),
        error=_finite(difference.error),
        unpaired_error=_finite(difference.unpaired),
        narrower=difference.narrower,
        p=tested.p,
        p_holm=tested.p,
        test=tested.method,
        odds=tested.odds,
        margin=None,
        p_equivalence=None,
        conclusion="undecided",
        in_words="",
        bounds=None,
        detectable=detectable_after(difference.error) if difference.error > 0 else None,
        tasks_for_half=_for_half(difference),
        unpaired_a=pairs.unpaired_a,
        unpaired_b=pairs.unpaired_b,
        metrics=list(_metrics(pairs)),
        groups=list(_groups(pairs, fields)),
        flips=flips(pairs),
        settings=settings,
        notes=settings_notes(settings, study),
    )
    return report, difference


def _finite(error: float) -> float:
    """Return a standard error, 0 where one pair or cluster has none."""
    return error if np.isfinite(error) else 0.0


def significance(pairs: Pairs, chosen: NDArray[np.bool_]) -> Significance:
    """Test the chosen pairs: McNemar where each is one episode by itself, else sign flips."""
    a, b = (values[chosen] for values in pairs.rates)
    if pairs.single:
        return mcnemar(int((b > a).sum()), int((b < a).sum()))
    return sign_flips(by_cluster(b - a, _names(pairs, chosen))[0])


def _names(pairs: Pairs, chosen: NDArray[np.bool_]) -> list[str] | None:
    if pairs.clusters is None:
        return None
    return [name for name, one in zip(pairs.clusters, chosen, strict=True) if one]


def _for_half(found: PairedDifference) -> int | None:
    """Return how many tasks show half of the difference seen, with this spread of the pairs."""
    spread = found.error**2 * found.pairs + found.value**2
    if not (found.error > 0 and found.value):
        return None
    # As if of several samples, so that the normal approximation is taken: the spread is known.
    return tasks_needed(abs(found.value) / 2, Design(0, 2, min(1.0, spread), chance=0.0))


def _metrics(pairs: Pairs) -> Iterator[MetricReport]:
    """Yield what the runs took, as far as both recorded it and either took any."""
    for name in METRICS:
        a, b = pairs.a.tasks.means[name][pairs.in_a], pairs.b.tasks.means[name][pairs.in_b]
        known = ~np.isnan(a) & ~np.isnan(b)
        if not known.any() or not (a[known].any() or b[known].any()):
            continue
        found = paired_means(a[known], b[known], _names(pairs, known))
        yield MetricReport(
            name=name,
            a=float(a[known].mean()),
            b=float(b[known].mean()),
            difference=found and estimate(found.value, found.interval),
        )
    yield from _ratios(pairs)


def _ratios(pairs: Pairs) -> Iterator[MetricReport]:
    won = [by_cluster(rates, pairs.clusters)[0] for rates in pairs.rates]
    for name in PER_SUCCESS:
        values = pairs.a.tasks.means[name][pairs.in_a], pairs.b.tasks.means[name][pairs.in_b]
        if any(np.isnan(one).any() for one in values) or not all(one.any() for one in values):
            continue
        amounts = [by_cluster(one, pairs.clusters)[0] for one in values]
        if not all(one.any() for one in won):
            continue
        found = difference_of_ratios((amounts[0], amounts[1]), (won[0], won[1]))
        yield MetricReport(
            name=f"{name} per success",
            a=float(amounts[0].sum() / won[0].sum()),
            b=float(amounts[1].sum() / won[1].sum()),
            difference=found and estimate(*found),
        )


def _groups(pairs: Pairs, fields: Mapping[str, Mapping[str, str]]) -> Iterator[GroupReport]:
    """Yield the pairs by task set, by metadata fields, and by the turns that the baseline took."""
    first = pairs.a.tasks.first[pairs.in_a]
    yield from _by(pairs, "task set", pairs.a.episodes.task_name[first].astype(str))
    digests = pairs.digests()
    for field, values in fields.items():
        yield from _by(pairs, field, np.array([values.get(one, "-") for one in digests]))
    taken = pairs.a.tasks.means["turns"][pairs.in_a]
    labels = [f"{round(one):3d}" for one in np.nan_to_num(taken).tolist()]
    yield from _by(pairs, "turns of the baseline", np.array(labels))


def _by(pairs: Pairs, field: str, labels: NDArray[np.str_]) -> Iterator[GroupReport]:
    a, b = pairs.rates
    values, counts = np.unique(labels, return_counts=True)
    largest = sorted(zip(-counts, values.tolist(), strict=True))[:_MOST_VALUES]
    shown = [labels == value for value in sorted(value for _, value in largest)]
    ps = [significance(pairs, chosen).p for chosen in shown]
    for chosen, p, adjusted in zip(shown, ps, holm(ps), strict=True):
        found = paired_difference(a[chosen], b[chosen], _names(pairs, chosen))
        yield GroupReport(
            field=field,
            value=str(labels[chosen][0]).strip(),
            pairs=int(chosen.sum()),
            a=float(a[chosen].mean()),
            b=float(b[chosen].mean()),
            difference=found and estimate(found.value, found.interval),
            p=p,
            p_holm=adjusted,
        )


def flips(pairs: Pairs) -> list[Flip]:
    """Return the tasks on which the runs differ: won ones first, the surest first in each set."""
    a, b = pairs.rates
    rows_a, rows_b = _Rows(pairs.a), _Rows(pairs.b)
    found = [_flip(pairs, rows_a, rows_b, place) for place in np.flatnonzero(a != b).tolist()]
    return sorted(found, key=lambda one: (one.sure < 0, -abs(one.sure), one.task_set, one.task))


class _Rows:
    """The rows of each task's episodes that count."""

    def __init__(self, run: PlayedRun) -> None:
        self.run = run

    def addresses(self, task: int) -> list[str]:
        first, played = int(self.run.tasks.first[task]), int(self.run.tasks.played[task])
        rows = range(first, first + played)
        return [self.run.address(row) for row in rows if self.run.episodes.counts[row]]


def _flip(pairs: Pairs, rows_a: _Rows, rows_b: _Rows, place: int) -> Flip:
    in_a, in_b = int(pairs.in_a[place]), int(pairs.in_b[place])
    a, b = pairs.a.tasks, pairs.b.tasks
    first = int(a.first[in_a])
    return Flip(
        task=pairs.a.task_key(first),
        task_set=str(pairs.a.episodes.task_name[first]),
        digest=str(a.digest[in_a]),
        successes_a=int(a.successes[in_a]),
        samples_a=int(a.samples[in_a]),
        successes_b=int(b.successes[in_b]),
        samples_b=int(b.samples[in_b]),
        a=rows_a.addresses(in_a),
        b=rows_b.addresses(in_b),
    )
