"""A circuit breaker for a whole run: stops it when nothing works, before all episodes are spent.

It is told of every episode, wherever that was played, so it works the same for every backend.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from codeact.episode.causes import is_counted
from codeact.episode.record import EpisodeRecord
from codeact.exceptions import Cause, CodeactError, RunStopped

_PROBE_SECONDS = 120.0
T = TypeVar("T")

Probe = Callable[[Cause], Awaitable[None]]
"""Tries what episodes with this cause failed at; raises a `CodeactError` that says what is wrong.
"""

_NEEDS: dict[Cause, str] = {
    "provider": "the model",
    "user": "the feedback model",
    "sandbox": "the sandbox",
    "grader": "the graders' sandbox",
    "tool": "the tool's service",
    "harness": "codeact",
}


class RunCircuitBreaker:
    """Plays episodes of one run until `limit` of them in a row failed with one cause.

    ``closed``: episodes are played. ``half-open``: a probe is under way, and no episode begins
    before it ends. ``open``: the probe failed, or it passed and as many new episodes failed again.
    Then every call raises `RunStopped` and running episodes are cancelled. A success resets the
    count. A `limit` of None never stops a run.
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

    @property
    def state(self) -> Literal["closed", "half-open", "open"]:
        """The state of the circuit now."""
        if self.stopped is not None:
            return "open"
        return "closed" if self._probing is None else "half-open"

    async def call(self, start: Callable[[], Awaitable[EpisodeRecord]]) -> EpisodeRecord:
        """Play an episode after any probe under way; raises `RunStopped` if the circuit is open."""
        if self._probing is not None:
            await asyncio.shield(self._probing)
        self._raise_if_stopped()
        generation = self._generation
        playing = asyncio.ensure_future(_started(start))
        self._playing.add(playing)
        try:
            record = await playing
        except asyncio.CancelledError:
            # Cancelled by the user, or by this breaker.
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                self._raise_if_stopped()
            raise
        finally:
            self._playing.discard(playing)
        self._hear(record, generation)
        return record

    async def close(self) -> None:
        """Cancel the probe, if one is under way."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    def _raise_if_stopped(self) -> None:
        if self.stopped is not None:
            raise RunStopped(str(self.stopped))

    def _hear(self, record: EpisodeRecord, generation: int) -> None:
        cause = record.outcome.cause
        if record.outcome.final:
            return  # says nothing about what other episodes depend on
        if cause is None or is_counted(record):
            self._failures.clear()
            self._passed.clear()
            return
        # An episode from before the last probe may have failed of what works by now.
        if self._limit is None or self.stopped is not None or generation != self._generation:
            return
        self._failures[cause] += 1
        if self._failures[cause] >= self._limit and self._probing is None:
            self._probing = asyncio.create_task(self._examine(cause, record))

    async def _examine(self, cause: Cause, record: EpisodeRecord) -> None:
        """Probe what failed, and close or open the circuit."""
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
