"""Compares runs with the first of them; nothing is printed or written here."""

from collections.abc import Sequence
from contextlib import ExitStack
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace
from pydantic import ValidationError

from codeact import __version__
from codeact.exceptions import ConfigError
from codeact.results.comparison.bounds import bounds_of
from codeact.results.comparison.curves import curves_of
from codeact.results.comparison.differences import compare_pair
from codeact.results.comparison.model import ComparisonReport, PairReport
from codeact.results.comparison.pairing import Pairs, pair_up
from codeact.results.comparison.runs import PlayedRun
from codeact.results.comparison.settings import CompareConfig, as_list
from codeact.results.comparison.single import report_of_run
from codeact.results.comparison.sources import open_sources
from codeact.results.comparison.words import in_words
from codeact.statistics.equivalence import ALPHA, conclude, equivalence
from codeact.statistics.paired import PairedDifference
from codeact.statistics.significance import holm
from codeact.statistics.wilson import LEVEL

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

Source = str | PathLike[str]


class Comparison(NamedTuple):
    """What a comparison found: the `report`, as files have it, and a `table` of the differences."""

    report: ComparisonReport

    @property
    def table(self) -> "pd.DataFrame":
        """One row for each run but the first, with its difference to the first in success."""
        import pandas as pd

        rows = [_row(pair) for pair in self.report.pairs]
        return pd.DataFrame(rows).set_index("run")

    @property
    def conclusion(self) -> str:
        """What was found, in a line for each run."""
        return "\n".join(pair.in_words for pair in self.report.pairs)

    def __str__(self) -> str:
        return self.conclusion


def _row(pair: PairReport) -> dict[str, Any]:
    found, nothing = pair.difference, float("nan")
    ends = (None, None) if found is None else (found.low, found.high)
    return {
        "run": pair.b,
        "baseline": pair.a,
        "pairs": pair.pairs,
        "baseline_success": pair.rate_a,
        "success": pair.rate_b,
        "difference": nothing if found is None else found.value,
        "low": nothing if ends[0] is None else ends[0],
        "high": nothing if ends[1] is None else ends[1],
        "p": pair.p,
        "p_holm": pair.p_holm,
        "won": sum(flip.sure > 0 for flip in pair.flips),
        "lost": sum(flip.sure < 0 for flip in pair.flips),
        "conclusion": pair.conclusion,
    }


def compare(
    a: Source | None = None,
    b: Source | None = None,
    *others: Source,
    cluster: str | None = None,
    margin: float | None = None,
    by: str | Sequence[str] = (),
    study: str | Sequence[str] = (),
    accept: str | Sequence[str] = (),
) -> Comparison:
    """Compare runs with `a`, over the tasks that they share; differences are of success, b less a.

    Each source is a run folder or a published tree of one run; of a single source that holds
    several runs all are compared with the first. Without any, the two newest runs of this folder
    are. `cluster` is a field of the tasks' metadata: tasks with one value are not independent. A
    difference up to `margin` counts as none. `by` are metadata fields by which the difference is
    broken down. `study` are the groups of settings that are under study. `accept` names what may
    differ nevertheless: ``tasks`` or ``grading``.

    Raises `ConfigError` for runs that are not comparable, and `RecordingError` for what cannot be
    read.
    """
    words = [fspath(one) for one in (a, b, *others) if one is not None]
    fields, studied, accepted = (
        as_list(one if isinstance(one, str) else list(one)) for one in (by, study, accept)
    )
    asked = {"source": words, "cluster": cluster, "margin": margin}
    asked |= {"by": fields, "study": studied, "accept": accepted}
    try:
        config = CompareConfig.model_validate(asked)
    except ValidationError as error:
        said = "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"these runs cannot be compared so: {said}") from error
    return compare_as(config)


def compare_as(config: CompareConfig) -> Comparison:
    """Compare the sources of a configuration; raises as `compare` does."""
    with ExitStack() as stack:
        return Comparison(compare_runs(open_sources(config.sources, stack), config))


def compare_runs(runs: list[PlayedRun], config: CompareConfig) -> ComparisonReport:
    """Compare open runs with the first of them; one run alone is described."""
    baseline, cluster = runs[0], config.cluster
    clusters = _field(runs, cluster) if cluster is not None else None
    fields = {name: _field(runs, name) for name in as_list(config.by)}
    pairs = [pair_up(baseline, run, as_list(config.accept), clusters) for run in runs[1:]]
    drafts = [compare_pair(one, fields, as_list(config.study)) for one in pairs]
    adjusted = holm([draft.p for draft, _ in drafts])
    return ComparisonReport(
        codeact=__version__,
        level=LEVEL,
        alpha=ALPHA,
        cluster=cluster,
        runs=[report_of_run(run, clusters) for run in runs],
        pairs=[
            _concluded(one, draft, difference, p, config.margin)
            for one, (draft, difference), p in zip(pairs, drafts, adjusted, strict=True)
        ],
        curves=curves_of(runs),
        notes=_notes(runs, clusters, cluster),
    )


def _concluded(
    pairs: Pairs,
    draft: PairReport,
    difference: PairedDifference | None,
    p: float,
    margin: float | None,
) -> PairReport:
    """Add to a pair's report what depends on the other pairs and on the margin."""
    conclusion = conclude(difference, p, margin)
    draft = replace(
        draft,
        p_holm=p,
        margin=margin,
        p_equivalence=None
        if margin is None or difference is None
        else equivalence(difference, margin),
        conclusion=conclusion,
        bounds=bounds_of(pairs, conclusion, margin),
    )
    return replace(draft, in_words=in_words(draft))


def _field(runs: list[PlayedRun], name: str) -> dict[str, str]:
    """Return a metadata field by task digest, of all runs; raises `ConfigError` if none has it."""
    found: dict[str, str] = {}
    for run in runs:
        found |= run.values_of(name)
    if not found:
        raise ConfigError(f"no task of {runs[0].name} has a metadata field {name!r}")
    return found


def _notes(
    runs: list[PlayedRun], clusters: dict[str, str] | None, cluster: str | None
) -> list[str]:
    if clusters is None:
        return []
    lacking = sum(digest not in clusters for digest in runs[0].tasks.digest.tolist())
    if not lacking:
        return []
    return [f"{lacking:,} tasks have no {cluster} in their metadata: each is its own cluster"]
