"""Stops a run in which nothing works, before it has spent all its episodes on finding that out.

It hears of every episode that was played, wherever that was, so it works the same for all
computes. In terms of a circuit breaker: closed while episodes succeed now and then; half-open while
it probes what has failed; open for good once that does not work either.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from codeact.episode.causes import is_counted
from codeact.episode.record import EpisodeRecord
from codeact.exceptions import Cause, CodeactError, RunStopped

_PROBE_SECONDS = 120.0
T = TypeVar("T")

Probe = Callable[[Cause], Awaitable[None]]
"""Tries what episodes of a cause have failed for; raises a `CodeactError` that says what is wrong.
"""

_NEEDS: dict[Cause, str] = {
    "provider": "the model",
    "sandbox": "the sandbox",
    "grader": "the graders' sandbox",
    "tool": "the tool's service",
    "harness": "codeact",
}


class RunCircuitBreaker:
    """Plays episodes of one run until `limit` failures of one cause came without a success.

    Then no episode begins until the probe is through. If that fails, those under way are called
    off and the run is over: every `play` raises `RunStopped`. If it passes, but as many that began
    afterwards fail again, the run is over all the same. None for `limit` never stops a run.
    """

    def __init__(
        self, limit: int | None, probe: Probe, notice: Callable[[str], None], name: str = ""
    ) -> None:
        self._limit = limit
        self._probe = probe
        self._notice = notice
        self._prefix = f"{name}: " if name else ""
        self._failures: Counter[Cause] = Counter()
        self._passed: set[Cause] = set()
        self._generation = 0
        self._probing: asyncio.Task[None] | None = None
        self._playing: set[asyncio.Task[EpisodeRecord]] = set()
        self.stopped: RunStopped | None = None

    async def call(self, start: Callable[[], Awaitable[EpisodeRecord]]) -> EpisodeRecord:
        """Play an episode, as soon as the run may go on; raises `RunStopped` if it may not."""
        if self._probing is not None:
            await asyncio.shield(self._probing)
        self._raise_if_stopped()
        generation = self._generation
        playing = asyncio.ensure_future(_started(start))
        self._playing.add(playing)
        try:
            record = await playing
        except asyncio.CancelledError:
            # By the user, or by this breaker.
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                self._raise_if_stopped()
            raise
        finally:
            self._playing.discard(playing)
        self._hear(record, generation)
        return record

    async def close(self) -> None:
        """End what it still does."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    def _raise_if_stopped(self) -> None:
        if self.stopped is not None:
            raise RunStopped(str(self.stopped))

    def _hear(self, record: EpisodeRecord, generation: int) -> None:
        cause = record.outcome.cause
        if cause is None or is_counted(record):
            self._failures.clear()
            self._passed.clear()
            return
        # One that began before the last probe passed may have met what is mended since.
        if self._limit is None or self.stopped is not None or generation != self._generation:
            return
        self._failures[cause] += 1
        if self._failures[cause] >= self._limit and self._probing is None:
            self._probing = asyncio.create_task(self._examine(cause, record))

    async def _examine(self, cause: Cause, record: EpisodeRecord) -> None:
        """Find out whether what has failed works by now."""
        need = _NEEDS.get(cause, cause)
        what = f"{self._prefix}{self._failures[cause]} episodes in a row failed (cause: {cause})"
        self._notice(f"{what}: trying {need} before any more are played.")
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._probe(cause)
        except (CodeactError, TimeoutError) as error:
            said = str(error) or f"no answer in {_PROBE_SECONDS:.0f} s"
            self._stop(f"{what}, and {need} does not work: {said}")
        else:
            last = f"the last of them: {record.outcome.error}"
            if cause in self._passed:
                self._stop(f"{what}, as many as before the last trial, which passed; {last}")
            else:
                self._notice(f"{self._prefix}It works now, so the run goes on; {last}")
                self._go_on(cause)
        finally:
            self._probing = None

    def _go_on(self, cause: Cause) -> None:
        self._passed.add(cause)
        self._failures.clear()
        self._generation += 1

    def _stop(self, why: str) -> None:
        self.stopped = RunStopped(
            f"{why}\nThe run ends here and spends no more. Mend that, and the same command plays "
            "what is left (max_consecutive_failures=null never stops a run)"
        )
        for playing in self._playing:
            playing.cancel()


async def _started(start: Callable[[], Awaitable[T]]) -> T:
    return await start()
