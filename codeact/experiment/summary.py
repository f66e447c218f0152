"""Success rates, tokens and causes of failure of a run, computed from its records alone."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from codeact.episode.causes import is_counted, is_own_success
from codeact.episode.conduct import Conduct, conduct_of
from codeact.episode.effects import Usage, total_cost
from codeact.episode.record import EpisodeRecord
from codeact.experiment.strategies import format_named
from codeact.recordings.run_folder import read_records


class Tally(msgspec.Struct):
    """Totals over some episodes.

    `success_rate` is over the `counted` episodes, whose outcome is the policy's own; it is None
    without any. Those in which a person edited a message are `edited`, and not among them.
    `causes` counts failures by cause, ``model`` included.
    """

    episodes: int = 0
    counted: int = 0
    successes: int = 0
    turns: int = 0
    usage: Usage = Usage()
    feedback_usage: Usage = Usage()
    cost: float | None = None
    feedback_cost: float | None = None
    reused: int = 0
    """The policy's completions that came out of the response cache."""
    feedback_reused: int = 0
    """Feedback out of the response cache."""
    fresh: Usage = Usage()
    fresh_feedback: Usage = Usage()
    """The part of `usage` and `feedback_usage` that was really requested, not reused."""
    retried: dict[str, int] = {}
    """Earlier attempts at these episodes, by the cause of their failure; `lost` is what they used.
    """
    lost: Usage = Usage()
    checked_feedback: int = 0
    """Turns whose feedback was looked at; that of `leaks` of them gave the answer away."""
    leaks: int = 0
    asked_again: int = 0
    """How often feedback was asked for anew."""
    edited: int = 0
    causes: dict[str, int] = {}
    terminate_reasons: dict[str, int] = {}
    seconds: float = 0.0

    @property
    def success_rate(self) -> float | None:
        return self.successes / self.counted if self.counted else None

    def document(self) -> dict[str, Any]:
        """Return the numbers as JSON data, with the success rate."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return {**document, "success_rate": self.success_rate}

    def add(self, record: EpisodeRecord) -> None:
        """Take one more episode in."""
        outcome = record.outcome
        self.episodes += 1
        own = is_own_success(record)
        self.counted += own is not None
        self.successes += own is True
        self.edited += record.edited > 0
        self.turns += len(record.turns)
        self.usage += record.usage
        self.feedback_usage += record.feedback_usage
        self.seconds += record.seconds
        self.cost = total_cost([self.cost, record.cost])
        self.feedback_cost = total_cost([self.feedback_cost, record.feedback_cost])
        for turn in record.turns:
            self.reused += bool(turn.reused)
            self.feedback_reused += turn.feedback_reused
            self.checked_feedback += turn.leaks is not None
            self.leaks += bool(turn.leaks)
            self.asked_again += turn.asked_again
            self.fresh += turn.fresh
            self.fresh_feedback += turn.fresh_feedback
        for attempt in record.attempts:
            self.retried = {**self.retried, attempt.cause: self.retried.get(attempt.cause, 0) + 1}
            self.lost += attempt.usage + attempt.feedback_usage
            self.cost = total_cost([self.cost, attempt.cost])
            self.feedback_cost = total_cost([self.feedback_cost, attempt.feedback_cost])
        if outcome.cause is not None:
            self.causes = dict(Counter(self.causes) + Counter([outcome.cause]))
        reasons = Counter(self.terminate_reasons) + Counter([outcome.terminate_reason])
        self.terminate_reasons = dict(reasons)


class FailedEpisode(msgspec.Struct, frozen=True):
    """An episode that ended in a failure which is not the policy's own."""

    id: str
    cause: str
    error: str


class Quantiles(msgspec.Struct, frozen=True):
    """Quantiles of the seconds that one kind of effect took."""

    p50: float
    p99: float


class Summary:
    """A run in numbers: overall, by data set, by number of turns, with every failure."""

    def __init__(self) -> None:
        self.overall = Tally()
        self.by_task: dict[str, Tally] = {}
        self.by_turns: dict[int, Tally] = {}
        self.failures: list[FailedEpisode] = []
        self.conduct = Conduct()
        self._seconds: dict[str, array[float]] = {}

    def add(self, record: EpisodeRecord) -> None:
        """Take one more episode in."""
        self.overall.add(record)
        self.by_task.setdefault(record.task_name, Tally()).add(record)
        self.by_turns.setdefault(len(record.turns), Tally()).add(record)
        if (format_ := format_named(record.prompt)) is not None:
            self.conduct += conduct_of(record, format_)
        for turn in record.turns:
            for effect, seconds in turn.seconds.items():
                if turn.restored and effect == "model":
                    continue  # nobody was asked
                self._seconds.setdefault(effect, array("d")).append(seconds)
        if not is_counted(record):
            cause = record.outcome.cause or "harness"
            self.failures.append(FailedEpisode(record.id, cause, record.outcome.error))

    @property
    def latency(self) -> dict[str, Quantiles]:
        """By effect (``model``, ``sandbox``, ``grader``, ``feedback``), over all turns."""
        return {
            effect: quantiles(sorted(seconds)) for effect, seconds in sorted(self._seconds.items())
        }

    def document(self) -> dict[str, Any]:
        """Return the content of ``summary.json`` as JSON data."""
        return {
            "overall": self.overall.document(),
            "by_task": {name: tally.document() for name, tally in sorted(self.by_task.items())},
            "by_turns": {str(n): tally.document() for n, tally in sorted(self.by_turns.items())},
            "conduct": msgspec.to_builtins(self.conduct),
            "latency": msgspec.to_builtins(self.latency),
            "failures": msgspec.to_builtins(self.failures),
        }

    def to_json(self) -> str:
        """Return the text of ``summary.json``."""
        return msgspec.json.format(msgspec.json.encode(self.document())).decode() + "\n"


def quantiles(ordered: Sequence[float]) -> Quantiles:
    """Return the quantiles of one or more values in ascending order."""
    return Quantiles(_quantile(ordered, 0.5), _quantile(ordered, 0.99))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that is not below this share of them."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summarize(records: Iterable[EpisodeRecord]) -> Summary:
    """Summarize records, one per episode."""
    summary = Summary()
    for record in records:
        summary.add(record)
    return summary


class Latest:
    """The episodes of a run folder, each by its last line, since a retry replaces a failure.

    Reads the folder twice, so that memory does not grow with the size of the records.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: dict[str, int] = {}
        self.lines = 0
        for record in read_records(path):
            self._last[record.id] = self.lines
            self.lines += 1

    def records(self) -> Iterator[EpisodeRecord]:
        """Yield one record per episode, in the order in which they were written."""
        for number, record in enumerate(read_records(self._path)):
            if self._last.get(record.id) == number:
                yield record


def summarize_folder(path: Path) -> Summary:
    """Summarize a run folder."""
    return summarize(Latest(path).records())


def flat_summary(summary: Summary) -> dict[str, Any]:
    """Return ``summary.json`` with one level of ``a/b/c`` keys, and the number of failures."""
    document = summary.document()
    failures = document.pop("failures")
    return {**dict(_flat(document)), "failures/total": len(failures)}


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value
