"""Success rates, tokens and causes of failure of a run, derived from its records alone."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from codeact.episode.effects import Usage
from codeact.episode.record import EpisodeRecord
from codeact.experiment.store import counts, read_records


class Tally(msgspec.Struct):
    """Numbers over some episodes.

    `success_rate` is over the `counted` episodes, those whose outcome is the policy's own; None
    where there are none. `causes` counts failures by cause, ``model`` among them.
    """

    episodes: int = 0
    counted: int = 0
    successes: int = 0
    turns: int = 0
    usage: Usage = Usage()
    feedback_usage: Usage = Usage()
    causes: dict[str, int] = {}
    terminate_reasons: dict[str, int] = {}
    seconds: float = 0.0

    @property
    def success_rate(self) -> float | None:
        return self.successes / self.counted if self.counted else None

    def add(self, record: EpisodeRecord) -> None:
        """Take one more episode in."""
        outcome = record.outcome
        self.episodes += 1
        self.counted += counts(record)
        self.successes += outcome.success
        self.turns += len(record.turns)
        self.usage += record.usage
        self.feedback_usage += record.feedback_usage
        self.seconds += record.seconds
        if outcome.cause is not None:
            self.causes = dict(Counter(self.causes) + Counter([outcome.cause]))
        reasons = Counter(self.terminate_reasons) + Counter([outcome.terminate_reason])
        self.terminate_reasons = dict(reasons)


class FailedEpisode(msgspec.Struct, frozen=True):
    """An episode that ended in a failure which is not the policy's own."""

    id: str
    cause: str
    error: str


class Summary(msgspec.Struct):
    """A run in numbers: overall, by data set, and every failure."""

    overall: Tally = msgspec.field(default_factory=Tally)
    by_task: dict[str, Tally] = {}
    failures: list[FailedEpisode] = []

    def add(self, record: EpisodeRecord) -> None:
        """Take one more episode in."""
        self.overall.add(record)
        self.by_task.setdefault(record.task_name, Tally()).add(record)
        if not counts(record):
            cause = record.outcome.cause or "harness"
            self.failures.append(FailedEpisode(record.id, cause, record.outcome.error))

    def to_json(self) -> str:
        """The text of ``summary.json``."""
        document = msgspec.to_builtins(self)
        for tally, numbers in [
            (self.overall, document["overall"]),
            *[(self.by_task[name], document["by_task"][name]) for name in self.by_task],
        ]:
            numbers["success_rate"] = tally.success_rate
        return msgspec.json.format(msgspec.json.encode(document)).decode() + "\n"


def summarize(records: Iterable[EpisodeRecord]) -> Summary:
    """The summary of records, one per episode."""
    summary = Summary()
    for record in records:
        summary.add(record)
    return summary


def summarize_folder(path: Path) -> Summary:
    """The summary of a run folder; a redone episode counts by its last line.

    Reads the folder twice, so that memory does not grow with the size of the records.
    """
    last = {record.id: number for number, record in enumerate(read_records(path))}
    return summarize(
        record for number, record in enumerate(read_records(path)) if last[record.id] == number
    )
