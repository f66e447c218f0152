"""How the episodes of a run kept to their format, and of what class their failures are."""

from collections import Counter

from codeact.episode.conduct import Conduct, conduct_of
from codeact.episode.record import EpisodeRecord
from codeact.experiment.strategies import format_named
from codeact.results.comparison.runs import PlayedRun
from codeact.results.studies.model import FormatReport


def format_report(run: PlayedRun) -> FormatReport:
    """Read every episode of a run; raises `RecordingError`."""
    conduct, failures, episodes = Conduct(), Counter[str](), 0
    for record in run.records():
        episodes += 1
        if (found := format_named(record.prompt)) is not None:
            conduct += conduct_of(record, found)
        if (failure := failure_class(record)) is not None:
            failures[failure] += 1
    return FormatReport(episodes=episodes, conduct=conduct, failures=dict(sorted(failures.items())))


def failure_class(record: EpisodeRecord) -> str | None:
    """Return why an episode has no success: a cause, or what the policy did; None for a success."""
    outcome = record.outcome
    if outcome.success:
        return None
    if outcome.cause is not None:
        return f"failure: {outcome.cause}"
    kinds = {turn.action for turn in record.turns}
    if "propose" in kinds:
        return "wrong answer"
    return "no answer" if "execute" in kinds else "no action"
