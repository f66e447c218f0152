"""Tells trackers of runs: counts each event once, and has a thread for each tracker.

The event loop only counts. Each tracker's thread opens runs and sends one row of numbers every
second or two, however many episodes there are, so that neither a slow start nor a lost network nor
another tracker delays anything.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping

from codeact.episode.record import EpisodeRecord, episode_id
from codeact.experiment.config.trackers import TrackerSettings
from codeact.experiment.events import Job, Load, NullListener
from codeact.experiment.summary import Summary, flat_summary
from codeact.results.trackers.base import FinalUpdate, Notice, TrackedRun, Tracker
from codeact.results.trackers.metrics import (
    ConversationSample,
    MetricsRow,
    RunMetrics,
    Scrubber,
    success_curve,
)
from codeact.wording import first_line

_EVERY = 2.0
"""Seconds between two rows of a run."""


class TrackingListener(NullListener):
    """Counts what happens in each run, and has it sent every few seconds.

    `trackers` are by name, and `tracked` has for each job, by name, which of them it wants and how.
    """

    def __init__(
        self,
        trackers: Mapping[str, Tracker],
        tracked: Mapping[str, Mapping[str, TrackerSettings]],
        notice: Notice,
    ) -> None:
        self._tracked = tracked
        self._threads = {name: TrackerThread(one, notice) for name, one in trackers.items()}
        self._runs: dict[str, _CountedRun] = {}
        self._load: Load | None = None

    def run_started(self, job: Job) -> None:
        scrubber = Scrubber(job.config, os.environ)
        wanted = {n: s for n, s in self._tracked.get(job.name, {}).items() if n in self._threads}
        told = []
        for name, settings in wanted.items():
            thread = self._threads[name]
            if thread.begin(job.name, TrackedRun.of(job, settings, scrubber)):
                told.append(thread)
        if not told:
            return
        size = max(settings.conversations for settings in wanted.values())
        metrics = RunMetrics(ConversationSample(size, scrubber))
        _recall(metrics, job)
        self._runs[job.name] = _CountedRun(metrics, len(job.owed), told)

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None:
        if (run := self._runs.get(job.name)) is None:
            return
        run.metrics.add(record)
        run.left -= 1
        run.news = True
        self._send(job.name, run)

    def load(self, load: Load) -> None:
        self._load = load
        for name, run in self._runs.items():
            self._send(name, run)

    def run_finished(self, job: Job, summary: Summary) -> None:
        if (run := self._runs.pop(job.name, None)) is not None:
            self._finish(job.name, run, summary)

    def close(self) -> None:
        for name, run in self._runs.items():
            self._finish(name, run, run.metrics.summary)
        self._runs.clear()
        for thread in self._threads.values():
            thread.end()
        for thread in self._threads.values():
            thread.join()

    def _send(self, name: str, run: "_CountedRun") -> None:
        if not run.news or time.monotonic() < run.next:
            return
        run.news = False
        run.next = time.monotonic() + _EVERY
        sent = run.metrics.measure(self._load)
        for thread in run.threads:
            thread.log(name, sent)

    def _finish(self, name: str, run: "_CountedRun", summary: Summary) -> None:
        final = FinalUpdate(
            run.metrics.measure(self._load, summary),
            flat_summary(summary),
            success_curve(summary),
            run.metrics.conversations.rows,
            complete=run.left <= 0,
        )
        for thread in run.threads:
            thread.finish(name, final)


class _CountedRun:
    """A run as the listener sees it; `left` counts the remaining episodes."""

    def __init__(self, metrics: RunMetrics, left: int, threads: "list[TrackerThread]") -> None:
        self.metrics = metrics
        self.left = left
        self.threads = threads
        self.news = False
        self.next = 0.0


def _recall(metrics: RunMetrics, job: Job) -> None:
    """Take in what the folder holds, but for the episodes that will be played again."""
    digest = job.folder.digest
    owed = {episode_id(a.task.name, a.task.id, digest, a.sample) for a in job.owed}
    metrics.recall(job.folder.path, owed)


class TrackerThread:
    """The thread that talks to one tracker. It reports an error once, and nothing waits for it."""

    def __init__(self, tracker: Tracker, notice: Notice) -> None:
        self._tracker = tracker
        self._notice = notice
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._runs: dict[str, TrackedRun] = {}
        self._open: set[str] = set()
        self._thread = threading.Thread(target=self._work, name=tracker.label, daemon=True)

    def begin(self, name: str, run: TrackedRun) -> bool:
        """Make a run known; False if the tracker wants nothing of it."""
        try:
            if not self._tracker.begin(run):
                return False
        except Exception as error:
            # One tracker's trouble is no other's.
            self._notice(f"{self._tracker.label} is told nothing of {run.name}: {error}")
            return False
        self._runs[name] = run
        if self._thread.ident is None:
            self._thread.start()
        if not run.in_sweep:
            self._put(name, lambda _: None)
        return True

    def log(self, name: str, sent: MetricsRow) -> None:
        """Have a row sent."""
        self._put(name, lambda run: self._tracker.log(run, sent))

    def finish(self, name: str, final: FinalUpdate) -> None:
        """Send the final update of a run, and end the run."""
        self._put(name, lambda run: self._tracker.finish(run, final))

    def end(self) -> None:
        """Have it end when all is sent."""
        self._queue.put(None)

    def join(self) -> None:
        """Wait until all is sent, within the tracker's bounds."""
        if self._thread.ident is None:
            return
        self._thread.join(self._tracker.patience)
        if self._thread.is_alive():
            self._notice(self._tracker.unsent([run.folder.path for run in self._runs.values()]))

    def _put(self, name: str, tell: Callable[[TrackedRun], None]) -> None:
        """Have something told of a run, which is opened first if it is not open yet."""
        run = self._runs[name]

        def do() -> None:
            if name not in self._open:
                self._open.add(name)
                self._tracker.open(run)
            tell(run)

        self._queue.put(do)

    def _work(self) -> None:
        try:
            while (do := self._queue.get()) is not None:
                do()
            self._tracker.close()
        except Exception as error:
            self._notice(
                f"{self._tracker.label} failed and is told nothing more; the run folder has it "
                f"all: {first_line(error)}"
            )
