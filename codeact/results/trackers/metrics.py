"""What a tracker gets to know of a run: numbers over time, and a few readable trajectories.

Nothing here uses the network; all text passes through `Scrubber`.
"""

import hashlib
import heapq
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from codeact.episode.messages import Message
from codeact.episode.record import EpisodeRecord
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.events import Load
from codeact.experiment.summary import Summary, Tally, quantiles, take_in
from codeact.models.base import ModelSettings
from codeact.recordings.run_folder import open_index
from codeact.statistics.wilson import wilson
from codeact.wording import secrets_of, without_secrets

Row = dict[str, float]

_RECENT = 1_000
"""Turns over which the latencies of a running run are taken."""
_CONVERSATION = 30_000
_CELL = 2_000
_LEAST = 200
"""Characters: of a whole conversation, of any other text, of a message among very many."""

COLUMNS = (
    "id",
    "task",
    "success",
    "reason",
    "turns",
    "tokens",
    "feedback tokens",
    "seconds",
    "error",
    "conversation",
)


class Scrubber:
    """Removes the keys of a run's models, and everything that looks like a key, from text."""

    def __init__(self, config: RunConfig, environment: Mapping[str, str]) -> None:
        models: Iterable[ModelSettings | None] = (config.model, config.feedback.model)
        keys = ("api_key_env", "token_env")
        named = [getattr(model, key, None) for model in models for key in keys]
        self._known = secrets_of(environment, [name for name in named if name])

    def text(self, text: str, limit: int = _CELL) -> str:
        """At most about `limit` characters, from the start, without secrets."""
        for secret in self._known:
            text = text.replace(secret, "***")
        # Cut only afterwards: half a key would not be recognized.
        kept = without_secrets(text[:limit]).encode("utf-8", "replace").decode()
        left_out = len(text) - limit
        return f"{kept} … ({left_out:,} more characters)" if left_out > 0 else kept

    def texts(self, value: Any) -> Any:
        """JSON data, with every text in it scrubbed and none cut."""
        if isinstance(value, dict):
            return {name: self.texts(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.texts(item) for item in value]
        return self.text(value, len(value)) if isinstance(value, str) else value

    def data(self, value: Any, key: str = "") -> Any:
        """JSON data, scrubbed; a value is judged together with its `key`."""
        if isinstance(value, dict):
            return {name: self.data(item, str(name)) for name, item in value.items()}
        if isinstance(value, list):
            return [self.data(item, key) for item in value]
        if isinstance(value, str):
            # Read as an override, where any secret-looking name counts.
            label = f"config.{key}="
            return self.text(label + value, limit=100_000).removeprefix(label)
        return value


class ConversationSample:
    """A sample of at most `size` episodes, each as a row of `COLUMNS`.

    An episode's id alone decides whether it belongs to it, so that neither the order in which
    episodes end nor a resume changes the sample.
    """

    def __init__(self, size: int, scrubber: Scrubber) -> None:
        self._size = size
        self._scrubber = scrubber
        self._heap: list[tuple[int, str, list[Any]]] = []

    def add(self, record: EpisodeRecord) -> None:
        """Take an episode in, if it belongs to the sample so far."""
        self.offer(record.id, lambda: record)

    def offer(self, name: str, read: Callable[[], EpisodeRecord]) -> None:
        """Take in the episode of an id, which `read` gives if it belongs to the sample."""
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        place = -int.from_bytes(digest)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, (place, name, self._row(read())))
        elif self._heap and place > self._heap[0][0]:
            heapq.heapreplace(self._heap, (place, name, self._row(read())))

    @property
    def rows(self) -> list[list[Any]]:
        """The sample, in the order of the ids."""
        return [row for _, _, row in sorted(self._heap, key=lambda entry: entry[1])]

    def _row(self, record: EpisodeRecord) -> list[Any]:
        outcome, clean = record.outcome, self._scrubber.text
        return [
            clean(record.id),
            clean(record.task_name),
            outcome.success,
            outcome.cause or outcome.terminate_reason,
            len(record.turns),
            record.usage.total,
            record.feedback_usage.total,
            record.seconds,
            clean(outcome.error),
            self._conversation(record.messages),
        ]

    def _conversation(self, messages: list[Message]) -> str:
        share = max(_LEAST, _CONVERSATION // max(1, len(messages)))
        said = [f"[{m['role']}]\n{self._scrubber.text(m['content'], share)}" for m in messages]
        return "\n\n".join(said)[: 2 * _CONVERSATION]


class MetricsRow(NamedTuple):
    """A row of numbers, and the number of episodes written by then, retries included."""

    step: int
    row: Row


class RunMetrics:
    """The numbers of one run, updated with each record."""

    def __init__(self, conversations: ConversationSample) -> None:
        self.conversations = conversations
        self.summary = Summary()
        self.step = 0
        """Lines of ``episodes.jsonl``, which never decrease."""
        self._recent: dict[str, deque[float]] = {}
        self._throughput = Throughput()

    def recall(self, folder: Path, owed: Container[str]) -> None:
        """Take in what the run folder held before this session; `owed` ids are played again."""
        with open_index(folder) as index:
            take_in(self.summary, folder, index, self._count, owed)
            self.step = index.lines
            for (name,) in index.columns(["id"]):
                if name not in owed:
                    self.conversations.offer(name, partial(index.read, name))

    def add(self, record: EpisodeRecord) -> None:
        """Take in an episode that has just been written."""
        self.step += 1
        self._throughput.played += 1
        self._add(record)

    def _add(self, record: EpisodeRecord) -> None:
        self._count(record)
        self.conversations.add(record)

    def _count(self, record: EpisodeRecord) -> None:
        self.summary.add(record)
        for turn in record.turns:
            for effect, seconds in turn.seconds.items():
                self._recent.setdefault(effect, deque(maxlen=_RECENT)).append(seconds)

    def measure(self, load: Load | None = None, summary: Summary | None = None) -> MetricsRow:
        """A row of all that is known now; of `summary` instead, where one is given."""
        row = numbers(summary or self.summary)
        for effect, seconds in self._recent.items():
            now = quantiles(sorted(seconds))
            row |= {f"latency/{effect}_p50": now.p50, f"latency/{effect}_p99": now.p99}
        if (speed := self._throughput.lap()) is not None:
            row["episodes_per_second"] = speed
        if load is not None:
            row |= {"in_flight": load.in_flight, "queued": load.queued}
        return MetricsRow(self.step, row)


class CurvePoint(NamedTuple):
    """A point of the curve: `solved` of `counted` episodes were solved within so many turns.

    `low` and `high` bound its rate.
    """

    turns: int
    rate: float
    low: float
    high: float
    solved: int
    counted: int


def success_curve(summary: Summary) -> list[CurvePoint]:
    """Return success against turns, from 1 to as many as an episode has; empty without any."""
    counted = sum(tally.counted for tally in summary.by_turns.values())
    points, solved = [], 0
    for turns in range(1, max(summary.by_turns, default=0) + 1):
        if (tally := summary.by_turns.get(turns)) is not None:
            solved += tally.successes
        if (found := wilson(solved, counted)) is not None:
            ends = found.low, found.high
            points.append(CurvePoint(turns, solved / counted, *ends, solved, counted))
    return points


class Throughput:
    """Episodes per second, from lap to lap."""

    def __init__(self) -> None:
        self.played = 0
        self._before = 0
        self._since = time.monotonic()

    def lap(self) -> float | None:
        """Since the last lap; None if it is too short a time ago to tell."""
        now = time.monotonic()
        if (seconds := now - self._since) < 0.1:
            return None
        speed = (self.played - self._before) / seconds
        self._before, self._since = self.played, now
        return speed


def numbers(summary: Summary) -> Row:
    """What is plotted of a summary; what is not known, such as a cost without prices, is absent."""
    overall, accounts = summary.overall, summary.accounts
    usage = overall.usage + overall.feedback_usage
    row: dict[str, float | None] = {
        "episodes/finished": overall.episodes,
        "episodes/counted": overall.counted,
        "turns/mean": overall.turns / overall.episodes if overall.episodes else None,
        "tokens/policy": overall.usage.total,
        "tokens/feedback": overall.feedback_usage.total,
        "tokens/cached": usage.cached,
        "tokens/cache_written": usage.cache_written or None,
        "tokens/reasoning": usage.reasoning or None,
        "tokens/fresh": (overall.fresh + overall.fresh_feedback).total,
        "tokens/reused": (accounts.reused + accounts.reused_feedback).tokens,
        "tokens/discarded": accounts.discarded.tokens,
        "tokens/lost": accounts.lost.tokens,
        "tokens/replaced": accounts.replaced.tokens,
        "tokens/abandoned": accounts.abandoned.tokens,
        "tokens/checks": accounts.checks.tokens,
        "tokens/unlisted": accounts.unlisted.tokens,
        "tokens/spent": accounts.spent.tokens,
        "requests/unknown": accounts.unknown,
        "answers/reused": overall.reused + overall.feedback_reused,
        "cost/policy": overall.cost,
        "cost/feedback": overall.feedback_cost,
        "cost/spent": accounts.spent.cost,
        "success_rate": overall.success_rate,
    }
    row |= {f"success_rate/{task}": t.success_rate for task, t in summary.by_task.items()}
    row |= _intervals("", overall)
    for task, tally in summary.by_task.items():
        row |= _intervals(f"/{task}", tally)
    for turns, tally in summary.by_turns.items():
        row |= _of_turns(turns, tally)
    row |= {f"failures/{cause}": count for cause, count in overall.causes.items()}
    row |= {f"retried/{cause}": count for cause, count in overall.retried.items()}
    row |= {f"ended/{reason}": count for reason, count in overall.terminate_reasons.items()}
    return {key: value for key, value in row.items() if value is not None}


def _intervals(suffix: str, tally: Tally) -> dict[str, float | None]:
    """Return the ends of a success rate's interval, and what several samples of a task tell."""
    found = tally.samples.interval
    row: dict[str, float | None] = {}
    if found is not None:
        row = {f"success_rate_low{suffix}": found.low, f"success_rate_high{suffix}": found.high}
    for name, rates in (("pass@", tally.samples.pass_at_k), ("pass^", tally.samples.pass_hat_k)):
        for k, one in rates.items():
            row |= {
                f"{name}{k}{suffix}": one.value,
                f"{name}{k}_low{suffix}": one.interval.low,
                f"{name}{k}_high{suffix}": one.interval.high,
            }
    return row


def _of_turns(turns: int, tally: Tally) -> dict[str, float | None]:
    return {
        f"turns/{turns}/success_rate": tally.success_rate,
        **{f"turns/{turns}/{name}": value for name, value in _intervals("", tally).items()},
        f"turns/{turns}/episodes": tally.episodes,
    }
