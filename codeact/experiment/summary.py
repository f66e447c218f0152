"""Success rates, tokens and causes of failure of a run, computed from its records alone."""

import math
from array import array
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from codeact.episode.accounts import NOTHING, AccountLine
from codeact.episode.causes import is_counted, is_own_success
from codeact.episode.conduct import Conduct, conduct_of
from codeact.episode.effects import Usage, total_cost
from codeact.episode.record import EpisodeRecord
from codeact.episode.spending import accounts_of, accounts_of_attempt
from codeact.episode.textless import reasoning_of
from codeact.experiment.accounts import RunAccounts
from codeact.experiment.strategies import format_named
from codeact.experiment.task_samples import TaskSamples
from codeact.experiment.token_totals import TokenTotals
from codeact.recordings.index import Index
from codeact.recordings.ledger import LedgerPlays
from codeact.recordings.run_folder import open_index, read_spent


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
    spent: AccountLine = NOTHING
    """All that these episodes took, whatever became of it, and their part of what left no record.
    """
    reused: int = 0
    """The policy's completions that came out of the response cache."""
    feedback_reused: int = 0
    """Feedback out of the response cache."""
    fresh: Usage = Usage()
    fresh_feedback: Usage = Usage()
    """The part of `usage` and `feedback_usage` that was really requested, not reused."""
    retried: dict[str, int] = {}
    """Earlier attempts at these episodes, by the cause of their failure; `lost` is what they took.
    """
    lost: Usage = Usage()
    checked_feedback: int = 0
    """Turns whose feedback was looked at; that of `leaks` of them gave the answer away."""
    leaks: int = 0
    asked_again: int = 0
    """How often feedback was asked for anew."""
    edited: int = 0
    reasoning_checked: int = 0
    """Turns of whose reasoning the next prompt tells whether it was sent back; that of
    `reasoning_lost` of them was not in it."""
    reasoning_lost: int = 0
    cut: int = 0
    """Turns whose text was cut at a stop string here, as the server stops at none."""
    causes: dict[str, int] = {}
    terminate_reasons: dict[str, int] = {}
    seconds: float = 0.0
    samples: TaskSamples = msgspec.field(default_factory=TaskSamples)
    """How often each task was solved, in as many samples as count."""

    @property
    def success_rate(self) -> float | None:
        return self.successes / self.counted if self.counted else None

    def document(self) -> dict[str, Any]:
        """Return the numbers as JSON data, with the success rate and what samples tell."""
        names = [name for name in self.__struct_fields__ if name not in ("samples", "spent")]
        return {
            **{name: msgspec.to_builtins(getattr(self, name)) for name in names},
            "spent": {"tokens": self.spent.tokens, "cost": self.spent.cost},
            "success_rate": self.success_rate,
            **self.samples.document(),
        }

    def add(self, record: EpisodeRecord, spent: AccountLine) -> None:
        """Take one more episode in; `spent` is what it took, all attempts included."""
        outcome, play = record.outcome, accounts_of(record)
        self.spent += spent
        self.fresh += play.policy.usage
        self.fresh_feedback += play.feedback.usage
        self.episodes += 1
        own = is_own_success(record)
        self.counted += own is not None
        self.successes += own is True
        if own is not None:
            self.samples.add(record.task_digest, own)
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
            self.cut += turn.cut
        for sent in reasoning_of(record):
            self.reasoning_checked += 1
            self.reasoning_lost += not sent.reached
        for attempt in record.attempts:
            self.retried = {**self.retried, attempt.cause: self.retried.get(attempt.cause, 0) + 1}
            self.lost += accounts_of_attempt(attempt).spent.usage
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
        self.accounts = RunAccounts()
        self.by_task: dict[str, Tally] = {}
        self.by_turns: dict[int, Tally] = {}
        self.failures: list[FailedEpisode] = []
        self.tokens = TokenTotals()
        """The exact tokens, where they are recorded."""
        self.conduct = Conduct()
        self._seconds: dict[str, array[float]] = {}

    def add(self, record: EpisodeRecord) -> None:
        """Take one more episode in."""
        spent = self.accounts.add(record)
        self.overall.add(record, spent)
        self._task(record.task_name).add(record, spent)
        self.by_turns.setdefault(len(record.turns), Tally()).add(record, spent)
        self.tokens.add(record)
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

    def add_replaced(self, record: EpisodeRecord) -> None:
        """Take in what an episode took that was played again in a later session."""
        self._spend(record.task_name, self.accounts.add_replaced(record))

    def finish(self, folder: Path, plays: LedgerPlays) -> None:
        """Take in what a run folder has beside its records, once these are settled in `plays`."""
        for play in plays.abandoned:
            self.accounts.add_abandoned(play.accounts)
            self._spend(play.episode.partition("/")[0], play.accounts.spent)
        self.accounts.add_checks(plays.checks)
        if (kept := read_spent(folder)) is not None:
            self.accounts.add_unlisted(kept)
        self.overall.spent = self.accounts.spent

    def _spend(self, task: str, spent: AccountLine) -> None:
        self.overall.spent += spent
        if spent:
            self._task(task).spent += spent

    def _task(self, name: str) -> Tally:
        return self.by_task.setdefault(name, Tally())

    @property
    def latency(self) -> dict[str, Quantiles]:
        """By effect (``model``, ``sandbox``, ``grader``, ``feedback``), over all turns."""
        return {
            effect: quantiles(sorted(seconds)) for effect, seconds in sorted(self._seconds.items())
        }

    def document(self) -> dict[str, Any]:
        """Return the content of ``summary.json`` as JSON data."""
        tokens = {"tokens": self.tokens.document()} if self.tokens.requests else {}
        return {
            "overall": self.overall.document(),
            "accounts": self.accounts.document(),
            "by_task": {name: tally.document() for name, tally in sorted(self.by_task.items())},
            "by_turns": {str(n): tally.document() for n, tally in sorted(self.by_turns.items())},
            "conduct": msgspec.to_builtins(self.conduct),
            "latency": msgspec.to_builtins(self.latency),
            **tokens,
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


def summarize_folder(path: Path) -> Summary:
    """Summarize a run folder; raises `RunFolderError`."""
    summary = Summary()
    with open_index(path) as index:
        take_in(summary, path, index, summary.add)
    return summary


def take_in(
    summary: Summary,
    path: Path,
    index: Index,
    add: Callable[[EpisodeRecord], None],
    owed: Container[str] = (),
) -> None:
    """Have a run folder's episodes added to a summary by `add`, and take in what else it holds.

    The records have no texts. Those with an id that is `owed` will be played again: all that they
    took is replaced.
    """
    plays = LedgerPlays(path)
    for _, record, is_newest in index.every_line():
        if is_newest and record.id not in owed:
            add(record)
        else:
            summary.add_replaced(record)
        for difference in plays.settle(record):
            summary.accounts.complain(difference)
    summary.finish(path, plays)


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
