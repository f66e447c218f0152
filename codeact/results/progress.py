"""Live progress of a run: a rich display on a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from contextlib import AbstractContextManager
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from codeact.episode.causes import is_own_success
from codeact.episode.record import EpisodeRecord
from codeact.experiment.events import Job, NullListener


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
    """A bar with the numbers beside it, redrawn in place."""

    def __init__(self, total: int, done: int, console: Console) -> None:
        self._numbers = _ProgressNumbers(total, done)
        self._rich = RichProgress(
            SpinnerColumn(),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._rich.add_task(self._numbers.text, total=total, completed=done)

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None:
        self._numbers.add(record)
        self._rich.update(self._task, advance=1, description=self._numbers.text)

    def notice(self, text: str) -> None:
        self._rich.console.print(text, markup=False, highlight=False)

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._rich.stop()


def make_progress(
    total: int, done: int, seconds: float, *, live: bool = True
) -> LineProgress | LiveProgress:
    """Return the display that fits the error stream; standard output is for tables and paths.

    A display that is not `live` leaves the terminal to others.
    """
    console = Console(stderr=True)
    if live and console.is_terminal:
        return LiveProgress(total, done, console)
    return LineProgress(total, done, seconds)
