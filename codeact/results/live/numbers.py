"""The numbers of the live display, counted from the events of a run."""

import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import NamedTuple

from codeact.episode.causes import is_own_success
from codeact.episode.record import EpisodeRecord
from codeact.episode.spending import spent_on
from codeact.experiment.budget import BudgetSettings
from codeact.experiment.events import Load
from codeact.recordings.run_folder import Spent

_RECENT = 30
"""Reports of the load, one a second, over which the speed now is taken."""


class RunExtent(NamedTuple):
    """How many episodes a run has, and how many of them its folder held at the start."""

    total: int
    done: int


class RunNumbers:
    """The numbers of one run: `done` of `total` episodes, `played` of them in this session."""

    def __init__(self, extent: RunExtent) -> None:
        self.total, self.done = extent
        self.played = self.counted = self.successes = 0
        self.usd = 0.0
        """What the episodes of this session took that have ended."""

    def add(self, record: EpisodeRecord) -> None:
        own = is_own_success(record)
        self.done += 1
        self.played += 1
        self.counted += own is not None
        self.successes += own is True
        self.usd += spent_on(record).cost or 0.0


class Snapshot(NamedTuple):
    """All that one frame shows. Rates are per second, None where they cannot be told yet."""

    seconds: float
    total: int
    done: int
    counted: int
    successes: int
    load: Load
    episodes_now: float | None
    episodes_overall: float | None
    tokens_now: float | None
    seconds_left: float | None
    usd_at_end: float | None
    budget_share: float | None
    causes: Mapping[str, int]
    retried: Mapping[str, int]
    runs: Mapping[str, tuple[int, int, int, int]]
    """Of the runs of a sweep: episodes done, total, counted, and successes."""


class LiveNumbers:
    """Counts what happens in the runs of one command; `snapshot` says how they stand."""

    def __init__(self, runs: Mapping[str, RunExtent]) -> None:
        self._runs = {name: RunNumbers(extent) for name, extent in runs.items()}
        self._budgets: dict[str, BudgetSettings] = {}
        self._causes: Counter[str] = Counter()
        self._retried: Counter[str] = Counter()
        self._start = time.monotonic()
        self._load = Load(0, sum(extent.total - extent.done for extent in runs.values()), 0)
        self._before: Spent | None = None
        self._recent: deque[tuple[float, int, int]] = deque(maxlen=_RECENT + 1)

    def bound(self, name: str, budget: BudgetSettings) -> None:
        """Know what a run may spend."""
        self._budgets[name] = budget

    def add(self, name: str, record: EpisodeRecord) -> None:
        """Take in an episode that has ended."""
        self._runs[name].add(record)
        if record.outcome.cause is not None:
            self._causes[record.outcome.cause] += 1
        self._retried.update(attempt.cause for attempt in record.attempts)

    def hear(self, load: Load) -> None:
        """Take in how the queue stands."""
        self._load = load
        if self._before is None:
            self._before = load.spent
        self._recent.append((time.monotonic(), load.spent.tokens, load.finished))

    def snapshot(self) -> Snapshot:
        """Return how everything stands now."""
        runs = self._runs.values()
        seconds = time.monotonic() - self._start
        total, done = sum(run.total for run in runs), sum(run.done for run in runs)
        played = sum(run.played for run in runs)
        pace = played / seconds if played and seconds > 0 else None
        episodes_now, tokens_now = self._speed()
        return Snapshot(
            seconds,
            total,
            done,
            sum(run.counted for run in runs),
            sum(run.successes for run in runs),
            self._load,
            episodes_now,
            pace,
            tokens_now,
            None if pace is None else (total - done) / pace,
            self._usd_at_end(),
            self._budget_share(),
            dict(self._causes),
            dict(self._retried),
            {name: (r.done, r.total, r.counted, r.successes) for name, r in self._runs.items()},
        )

    def _speed(self) -> tuple[float | None, float | None]:
        """Return episodes and tokens per second over the last half minute."""
        if len(self._recent) < 2:
            return None, None
        (then, tokens_then, done_then), (now, tokens, done) = self._recent[0], self._recent[-1]
        seconds = now - then
        return (done - done_then) / seconds, (tokens - tokens_then) / seconds

    def _usd_at_end(self) -> float | None:
        """Return what all will have cost: each run's rest at the mean of its episodes so far."""
        played = sum(run.played for run in self._runs.values())
        usd = sum(run.usd for run in self._runs.values())
        if not played or not usd:
            return None
        ahead = 0.0
        for run in self._runs.values():
            mean = run.usd / run.played if run.played else usd / played
            ahead += mean * (run.total - run.done)
        before = self._before.usd if self._before is not None else 0.0
        return max(self._load.spent.usd, before + usd + ahead)

    def _budget_share(self) -> float | None:
        """Return which share of the budget is spent, where a single run has one."""
        if len(self._runs) != 1 or not self._budgets:
            return None
        (budget,) = self._budgets.values()
        spent = self._load.spent
        shares = [spent.tokens / budget.tokens] if budget.tokens else []
        shares += [spent.usd / budget.usd] if budget.usd else []
        return max(shares, default=None)
