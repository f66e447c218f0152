"""Plays the owed episodes of one or many runs over one queue, and writes each as it ends."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from codeact.episode.record import EpisodeRecord
from codeact.exceptions import RunFolderError
from codeact.experiment.driver import Assignment, Environment, play
from codeact.experiment.store import RunFolder


class Job(NamedTuple):
    """One run, ready to be played: `owed` are the episodes that its folder lacks."""

    name: str
    folder: RunFolder
    environment: Environment
    owed: list[Assignment]


class Listener(Protocol):
    """Hears what happens; must not raise and must be quick."""

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None:
        """One record was written."""
        ...

    def notice(self, text: str) -> None:
        """Something the user should read."""
        ...


class Stopped(NamedTuple):
    """How the queue ended. `left` episodes are still owed; `error` is what ended it early."""

    left: int
    interrupted: bool
    error: RunFolderError | None


class Runner:
    """A queue of episodes, `concurrency` of which are in flight.

    The first Ctrl-C finishes what is in flight and writes it; the second gives it up. Either way a
    resume plays what is left.
    """

    def __init__(self, jobs: list[Job], concurrency: int, listener: Listener) -> None:
        self._queue: Iterator[tuple[Job, Assignment]] = (
            (job, assignment) for job in jobs for assignment in job.owed
        )
        self._total = sum(len(job.owed) for job in jobs)
        self._workers = max(1, min(concurrency, self._total))
        self._listener = listener
        self._draining = False
        self._interrupted = False
        self._written = 0
        self._error: RunFolderError | None = None

    async def run(self) -> Stopped:
        """Play until nothing is owed or the run is stopped."""
        tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        with self._signals(tasks):
            done = await asyncio.gather(*tasks, return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result
        return Stopped(self._total - self._written, self._interrupted, self._error)

    async def _work(self) -> None:
        for job, assignment in self._queue:
            if self._draining:
                return
            record = await play(assignment, job.environment)
            if self._error is not None:
                return
            try:
                job.folder.append(record)
            except RunFolderError as error:
                self._error = error
                self._draining = True
                return
            self._written += 1
            self._listener.episode_finished(job, record)

    @contextmanager
    def _signals(self, tasks: list[asyncio.Task[None]]) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            self._interrupted = True
            if self._draining:
                self._listener.notice("Stopping now; the episodes in flight will be played again.")
                for task in tasks:
                    task.cancel()
            else:
                self._listener.notice(
                    "Finishing the episodes in flight; press Ctrl-C again to stop at once."
                )
                self._draining = True

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
