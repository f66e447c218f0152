"""Progress of a run: a display at a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Self

from rich.console import Console
from rich.text import Text

from codeact.episode.causes import is_own_success
from codeact.episode.record import EpisodeRecord
from codeact.experiment.events import Job, Load, NullListener
from codeact.results.live.layout import frame
from codeact.results.live.numbers import LiveNumbers, RunExtent
from codeact.results.live.screen import Screen


class _ProgressNumbers:
    """The numbers that both displays show, over the episodes of this session."""

    def __init__(self, total: int, done: int) -> None:
        self.total = total
        self.done = done
        self.played = 0
        self._counted = 0
        self._successes = 0
        self._tokens = 0
        self._causes: Counter[str] = Counter()
        self._start = time.monotonic()

    def add(self, record: EpisodeRecord) -> None:
        self.done += 1
        self.played += 1
        own = is_own_success(record)
        self._counted += own is not None
        self._successes += own is True
        self._tokens += record.usage.total + record.feedback_usage.total
        if record.outcome.cause is not None:
            self._causes[record.outcome.cause] += 1

    @property
    def text(self) -> str:
        rate = f"{self._successes / self._counted:.1%}" if self._counted else "-"
        failures = ", ".join(f"{cause} {n}" for cause, n in sorted(self._causes.items()))
        return f"solved {rate} · {self._tokens:,} tokens · failures: {failures or 'none'}"

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before the first episode."""
        if not self.played:
            return None
        pace = (time.monotonic() - self._start) / self.played
        return pace * (self.total - self.done)


class LineProgress(NullListener, AbstractContextManager["LineProgress"]):
    """A plain line every `seconds`, and one at the end."""

    def __init__(self, total: int, done: int, seconds: float) -> None:
        self._numbers = _ProgressNumbers(total, done)
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None:
        self._numbers.add(record)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._seconds
            self._print()

    def notice(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def _print(self) -> None:
        numbers = self._numbers
        left = numbers.seconds_left
        ahead = "" if left is None else f" · {left:.0f} s left"
        self.notice(f"{numbers.done}/{numbers.total} episodes · {numbers.text}{ahead}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._print()


class LiveProgress(NullListener, AbstractContextManager["LiveProgress"]):
    """All numbers of a run that is under way, redrawn in place every second."""

    def __init__(self, runs: Mapping[str, RunExtent], console: Console) -> None:
        self._numbers = LiveNumbers(runs)
        self._shown = self._numbers.snapshot()
        self._title = ""
        self._screen = Screen(console, self._frame)

    def run_started(self, job: Job) -> None:
        self._numbers.bound(job.name, job.config.budget)
        self._title = str(job.folder.path) if job.sweep is None else job.sweep

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None:
        self._numbers.add(job.name, record)

    def load(self, load: Load) -> None:
        self._numbers.hear(load)
        # The thread that draws gets numbers that no longer change.
        self._shown = self._numbers.snapshot()

    def notice(self, text: str) -> None:
        self._screen.print(text)

    def _frame(self, width: int, height: int) -> list[Text]:
        return frame(self._title, self._shown, width, height)

    def __enter__(self) -> Self:
        self._screen.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._shown = self._numbers.snapshot()
        self._screen.stop()


def make_progress(
    runs: Mapping[str, RunExtent], seconds: float, *, live: bool = True
) -> LineProgress | LiveProgress:
    """Return the display that fits the error stream; standard output is for tables and paths.

    A display that is not `live` leaves the terminal to others. A terminal that cannot move its
    cursor (``TERM=dumb``) gets lines, too.
    """
    console = Console(stderr=True)
    # Rich takes FORCE_COLOR for a terminal, which a log file is not.
    if live and sys.stderr.isatty() and not console.is_dumb_terminal:
        return LiveProgress(runs, Console(file=sys.stderr, emoji=False, highlight=False))
    total = sum(extent.total for extent in runs.values())
    return LineProgress(total, sum(extent.done for extent in runs.values()), seconds)
