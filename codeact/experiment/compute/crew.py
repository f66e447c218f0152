"""Keeps workers alive: starts them on the nodes, replaces the lost, tells who is free."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any

from codeact.edge.models.base import Notice
from codeact.exceptions import CodeactError, ComputeUnavailable
from codeact.experiment.compute.worker import NOTHING, Brief, EpisodeWorker, Opened
from codeact.experiment.config import RayCompute
from codeact.experiment.store import Spent

_LATECOMERS = 30.0
"""Seconds for which workers are waited for once there is one; the others join when they can."""
_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_CLOSE_SECONDS = 20.0
_SPARE_CALLS = 32
"""Calls to a worker besides its episodes."""


class WorkerLost(Exception):
    """A worker, or its node, is gone; the message says which and why."""


class Worker:
    """One actor. `charged` is what it has spent, as far as it was heard of."""

    def __init__(self, actor: Any, opened: Opened) -> None:
        self.actor = actor
        self.opened = opened
        self.playing = 0
        self.charged: dict[str, Spent] = {}
        self.lost = asyncio.Event()

    def charge(self, run: str, spent: Spent) -> Spent:
        """Note what the worker has spent in all; what is new of it."""
        before = self.charged.get(run, NOTHING)
        after = Spent(max(before.tokens, spent.tokens), max(before.usd, spent.usd))
        self.charged[run] = after
        return Spent(after.tokens - before.tokens, after.usd - before.usd)


class Seat:
    """A place for one worker; `node` is where it should be, None for wherever Ray spreads it."""

    def __init__(self, node: str | None) -> None:
        self.node = node
        self.starting = True
        self.refusal: CodeactError | None = None

    @property
    def strategy(self) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # Soft: once the node is dead, any other may take its place.
        return NodeAffinitySchedulingStrategy(self.node, soft=True) if self.node else "SPREAD"


def seats_for(compute: RayCompute) -> list[Seat]:
    """One for each worker that the settings ask for; raises `ComputeUnavailable`."""
    import ray

    if compute.workers is not None:
        return [Seat(None) for _ in range(compute.workers)]
    seats = [
        Seat(node["NodeID"])
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"] and node["Resources"].get("CPU", 0) >= compute.cpus_per_worker
    ]
    if not seats:
        raise ComputeUnavailable(
            f"no node of the cluster has {compute.cpus_per_worker:g} CPUs for a worker: see "
            "compute.cpus_per_worker, or give compute.workers=N to wait for nodes"
        )
    return seats


class Crew:
    """Workers that play up to `share` episodes each."""

    def __init__(
        self,
        seats: Sequence[Seat],
        briefs: Mapping[str, Brief],
        compute: RayCompute,
        concurrency: int,
        notice: Notice,
    ) -> None:
        import ray

        self.workers: list[Worker] = []
        self._seats = seats
        self._compute = compute
        self._share = math.ceil(concurrency / len(seats))
        self._notice = notice
        # Once for all workers: it names every episode of the run.
        self._briefs = ray.put(dict(briefs))
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._without_since = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._moved = asyncio.Event()

    async def open(self) -> None:
        """Start the workers; raises the first one's error when none of them can play."""
        self._tasks = [asyncio.create_task(self._keep(seat)) for seat in self._seats]
        begun = time.monotonic()
        while any(seat.starting for seat in self._seats):
            seconds = _LATECOMERS if self.workers else self._compute.start_seconds
            if (left := begun + seconds - time.monotonic()) <= 0:
                break
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._moved.wait()
        if not self.workers:
            raise self._unavailable()

    async def close(self) -> None:
        """End all workers."""
        import ray

        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        workers, self.workers = self.workers, []
        closing = [
            asyncio.ensure_future(_answer(worker.actor.close.remote())) for worker in workers
        ]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        for worker in workers:
            ray.kill(worker.actor)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Worker]:
        """The least loaded worker, for one episode; raises `ComputeUnavailable`."""
        while (worker := self._free()) is None:
            await self._wait()
        worker.playing += 1
        try:
            yield worker
        finally:
            worker.playing -= 1
            self._wake(1)

    def lose(self, worker: Worker, why: str) -> None:
        """Take a worker out; another one is started in its place."""
        import ray

        if worker.lost.is_set():
            return
        worker.lost.set()
        self.workers.remove(worker)
        if not self.workers:
            self._without_since = time.monotonic()
        # It may only be out of reach, and must not play on.
        ray.kill(worker.actor)
        self._notice(
            f"The worker on {worker.opened.place} was lost ({why}); its episodes go to others."
        )
        self._wake(len(self._waiting))

    def _free(self) -> Worker | None:
        least = min(self.workers, key=lambda worker: worker.playing, default=None)
        return least if least is not None and least.playing < self._share else None

    async def _wait(self) -> None:
        """Until something may have become free."""
        left = None
        if not self.workers:
            left = self._without_since + self._compute.start_seconds - time.monotonic()
            if left <= 0:
                raise self._unavailable()
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake(1)
            raise

    def _wake(self, count: int) -> None:
        while count > 0 and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    async def _keep(self, seat: Seat) -> None:
        """Have a worker on the seat as long as the run lasts, if the first one can play."""
        pause = _PAUSE
        while True:
            worker = await self._started(seat)
            first, seat.starting = seat.starting, False
            if worker is not None:
                pause, seat.refusal = _PAUSE, None
                self.workers.append(worker)
                self._wake(self._share)
            self._moved.set()
            if worker is not None:
                await worker.lost.wait()
            elif first:
                return
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _started(self, seat: Seat) -> Worker | None:
        """A worker that can play; None after it was told why there is none."""
        import ray
        from ray.exceptions import RayError

        actor: Any = (
            ray.remote(EpisodeWorker)
            .options(
                num_cpus=self._compute.cpus_per_worker,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=self._share + _SPARE_CALLS,
                scheduling_strategy=seat.strategy,
            )
            .remote()
        )
        try:
            opened = await _answer(actor.open.remote(self._briefs, version("codeact")))
        except RayError as error:
            self._refused(seat, ComputeUnavailable(f"a worker did not start: {gist(error)}"))
        except BaseException:
            ray.kill(actor)
            raise
        else:
            if opened.refusal is None:
                return Worker(actor, opened)
            why = f"the worker on {opened.place} cannot play: {opened.refusal}"
            self._refused(seat, type(opened.refusal)(why))
        ray.kill(actor)
        return None

    def _refused(self, seat: Seat, refusal: CodeactError) -> None:
        """Say why, once."""
        if str(refusal) != str(seat.refusal):
            self._notice(str(refusal))
        seat.refusal = refusal

    def _unavailable(self) -> CodeactError:
        """What to raise when there is no worker; the type is that of what was refused."""
        refusals = [seat.refusal for seat in self._seats if seat.refusal is not None]
        if refusals:
            others = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
            return type(refusals[0])(f"{refusals[0]}{others}")
        return ComputeUnavailable(
            f"there has been no worker for {self._compute.start_seconds:g} s "
            "(compute.start_seconds): has the cluster nodes with "
            f"{self._compute.cpus_per_worker:g} CPUs free (compute.cpus_per_worker)? "
            "See `ray status`"
        )


async def _answer(reference: Any) -> Any:
    return await reference


def gist(error: Exception) -> str:
    """The first line of an error of Ray's, or of what a worker raised; their texts are long."""
    cause = getattr(error, "cause", None)
    told = cause if isinstance(cause, Exception) else error
    lines = [line.strip() for line in str(told).splitlines() if line.strip()]
    return f"{type(told).__name__}: {lines[0]}" if lines else type(told).__name__
