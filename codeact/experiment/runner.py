"""Plays the owed episodes of one or more runs over one queue, and writes each as it ends."""

import asyncio
import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count, islice
from typing import NamedTuple

from codeact.episode.causes import should_retry
from codeact.episode.record import Attempt, EpisodeRecord
from codeact.exceptions import (
    BudgetExhausted,
    CodeactError,
    ComputeUnavailable,
    DiskFull,
    HarnessFailure,
    RunStopped,
)
from codeact.experiment.budget import Account
from codeact.experiment.circuit_breaker import RunCircuitBreaker
from codeact.experiment.compute.base import ComputeBackend
from codeact.experiment.driver import Assignment
from codeact.experiment.events import Job, Listener, Load
from codeact.recordings.run_folder import Spent

log = logging.getLogger(__name__)

_LOOK = 1.0
"""Seconds between two reports of the load."""
_KEEP = 5
"""After so many of them, what was spent so far is written down."""
_AHEAD = 8
"""How many episodes the backend is given before they begin."""
_AGAIN = 1.0
"""Seconds between two attempts to write to a full disk."""


class RunnerResult(NamedTuple):
    """How the queue ended. `left` counts owed episodes; `errors` ended runs early, by name."""

    left: int
    interrupted: bool
    errors: dict[str, CodeactError]
    hopeless: tuple[str, ...] = ()
    """Why runs were stopped by their circuit breaker, one text for each."""


class Runner:
    """A queue of episodes, `concurrency` of which are in flight.

    The first Ctrl-C finishes and writes what is in flight; the second cancels it. A resume plays
    the rest in either case. A full disk is waited for, up to `full_disk_seconds`, before a finished
    episode is given up. `on_interrupt` is called at the first Ctrl-C. An error in one run's folder
    or model ends only that run; when there is nothing left to play on, all runs end.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        backend: ComputeBackend,
        concurrency: int,
        listener: Listener,
        *,
        accounts: Mapping[str, Account] | None = None,
        full_disk_seconds: float = 0.0,
        on_interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self._jobs = jobs
        self._backend = backend
        self._queue = deque((job, assignment) for job in jobs for assignment in job.owed)
        self._total = len(self._queue)
        self._workers = max(1, min(concurrency, self._total))
        self._listener = listener
        self._accounts = accounts or {}
        self._patience = full_disk_seconds
        self._on_interrupt = on_interrupt
        self._breakers = {job.name: self._breaker(job) for job in jobs}
        self._spent: set[str] = set()
        self._draining = False
        self._interrupted = False
        self._full = False
        self._begun = self._in_flight = self._written = 0
        self._errors: dict[str, CodeactError] = {}

    def _breaker(self, job: Job) -> RunCircuitBreaker:
        return RunCircuitBreaker(
            job.config.max_consecutive_failures,
            partial(self._backend.probe, job.name),
            self._listener.notice,
            job.name if len(self._jobs) > 1 else "",
        )

    async def run(self) -> RunnerResult:
        """Play until nothing is owed or the runs are stopped."""
        tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        looks = asyncio.create_task(self._look())
        try:
            with self._signals(tasks):
                done = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            looks.cancel()
            await asyncio.gather(*(breaker.close() for breaker in self._breakers.values()))
            await self._backend.settle()
            self._tell_load()
            self._keep_spent()
        for result in done:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result
        hopeless = [str(one.stopped) for one in self._breakers.values() if one.stopped is not None]
        left = self._total - self._written
        return RunnerResult(left, self._interrupted, self._errors, tuple(hopeless))

    async def _work(self) -> None:
        while self._queue and not self._draining:
            job, assignment = self._queue.popleft()
            self._begun += 1
            is_open = self._breakers[job.name].state == "open"
            if is_open or job.name in self._spent or job.name in self._errors:
                continue
            self._in_flight += 1
            for after, soon in islice(self._queue, _AHEAD):
                self._backend.announce(after.name, soon)
            try:
                await self._finish(job, await self._played(job, assignment))
            except BudgetExhausted as error:
                if job.name not in self._spent:
                    self._spent.add(job.name)
                    self._listener.notice(f"{job.name}: {error}")
            except RunStopped:
                pass  # The command reports the reason at its end.
            except ComputeUnavailable as error:
                for one in self._jobs:
                    self._errors.setdefault(one.name, error)
                self._draining = True
            except CodeactError as error:
                self._end(job, error)
            except Exception as error:
                log.exception("%s ended early", job.name)
                why = f"{type(error).__name__}: {error}"
                self._end(job, HarnessFailure(f"{job.name} ended early by a fault of ours: {why}"))
            finally:
                self._in_flight -= 1

    def _end(self, job: Job, error: CodeactError) -> None:
        """Begin no more episodes of a run; finished ones are still written."""
        if self._errors.setdefault(job.name, error) is error and len(self._jobs) > 1:
            self._listener.notice(f"{job.name} ends here, the others go on: {error}")

    async def _played(self, job: Job, assignment: Assignment) -> EpisodeRecord:
        """Play an episode, and retry it as its cause allows; the record keeps the attempts."""
        play = partial(self._backend.play_episode, job.name, assignment)
        breaker = self._breakers[job.name]
        record = await breaker.call(play)
        while should_retry(record) and not self._draining:
            tries = [*record.attempts, _attempt(record)]
            try:
                record = await breaker.call(play)
            except RunStopped:
                return record
            record.attempts = tries + record.attempts
        return record

    async def _finish(self, job: Job, record: EpisodeRecord) -> None:
        """Write a record; waits for room on a full disk."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                written = job.folder.append(record)
                break
            except DiskFull as error:
                given_up = isinstance(self._errors.get(job.name), DiskFull)
                if given_up or time.monotonic() >= deadline:
                    raise
                self._wait_for_room(str(error))
            await asyncio.sleep(_AGAIN)
        self._full = False
        self._written += 1
        self._listener.episode_finished(job, written)

    def _wait_for_room(self, words: str) -> None:
        if not self._full:
            self._full = True
            self._listener.notice(f"{words} Waiting up to {self._patience:.0f} s for room.")

    async def _look(self) -> None:
        for number in count():
            self._tell_load()
            if number % _KEEP == 0:
                self._keep_spent()
            await asyncio.sleep(_LOOK)

    def _tell_load(self) -> None:
        queued, spent = self._total - self._begun, [one.spent for one in self._accounts.values()]
        total = Spent(sum(one.tokens for one in spent), sum(one.usd for one in spent))
        stats = self._backend.stats()
        self._listener.load(Load(self._in_flight, queued, self._written, total, stats))

    def _keep_spent(self) -> None:
        for job in self._jobs:
            if (account := self._accounts.get(job.name)) is not None:
                with suppress(CodeactError):
                    job.folder.write_spent(account.tokens, account.usd)

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
                self._on_interrupt()

        # Another thread hears of no signal: there whoever started it has to cancel.
        is_main = threading.current_thread() is threading.main_thread()
        heard = (signal.SIGINT, signal.SIGTERM) if is_main else ()
        for number in heard:
            loop.add_signal_handler(number, interrupt)
        try:
            yield
        finally:
            for number in heard:
                loop.remove_signal_handler(number)


def _attempt(record: EpisodeRecord) -> Attempt:
    assert record.outcome.cause is not None
    return Attempt(
        cause=record.outcome.cause,
        error=record.outcome.error,
        usage=record.usage,
        feedback_usage=record.feedback_usage,
        cost=record.cost,
        feedback_cost=record.feedback_cost,
        seconds=record.seconds,
        tokens=record.tokens,
        accounts=record.accounts,
    )
