"""A pool of workers: starts them on the nodes, replaces lost ones, and picks the least loaded."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any

from codeact.episode.accounts import AccountLine
from codeact.exceptions import CodeactError, ComputeUnavailable
from codeact.experiment.compute.nodes import NodeDemand, nodes_with
from codeact.experiment.compute.reports import RequestReport
from codeact.experiment.compute.worker import NOTHING_SPENT, EpisodeWorker, RunSetup, WorkerInfo
from codeact.experiment.config.compute import RayCompute
from codeact.experiment.services import ServiceStats
from codeact.models.base import Notice
from codeact.recordings.ledger import RequestLine
from codeact.recordings.run_folder import Spent

log = logging.getLogger(__name__)

_SCAN_SECONDS = 1.0
"""Seconds between two scans of the cluster's nodes."""
_LATECOMER_SECONDS = 30.0
"""Seconds to wait for further workers once there is one; later ones join when they can."""
_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_CLOSE_SECONDS = 20.0
_SPARE_CALLS = 32
"""Concurrent calls that a worker takes on top of its episodes."""


class WorkerLost(Exception):
    """A worker or its node was lost; the message says which and why."""


class Worker:
    """A running actor.

    Both are by the run, and as far as is known: `charged` is what the actor has spent on it, and
    `heard` how many lines of its requests have come from the actor.
    """

    def __init__(self, actor: Any, info: WorkerInfo) -> None:
        self.actor = actor
        self.info = info
        self.playing = 0
        self.charged: dict[str, Spent] = {}
        self.heard: dict[str, int] = {}
        self.lost = asyncio.Event()
        self.stats = ServiceStats()
        """How the services on its node did at the last exchange."""

    def take(self, run: str, report: RequestReport) -> list[RequestLine]:
        """Return what is new in a report; nothing once the worker counts as lost."""
        heard = self.heard.get(run, 0)
        lines = [] if self.lost.is_set() else report.after(heard)
        self.heard[run] = heard + len(lines)
        tokens, usd = self.charged.get(run, NOTHING_SPENT)
        spent = sum((line.accounts.spent for line in lines), AccountLine(cost=usd))
        self.charged[run] = Spent(tokens + spent.tokens, spent.cost or 0.0)
        return lines


class WorkerSlot:
    """A slot for one worker. `node` is where it runs; None lets Ray choose."""

    def __init__(self, node: str | None) -> None:
        self.node = node
        self.starting = True
        self.gone = asyncio.Event()
        """Set when the node, and so the slot, is gone."""
        self.refusal: CodeactError | None = None

    @property
    def strategy(self) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(self.node, soft=False) if self.node else "SPREAD"


class WorkerPool:
    """Workers that play all episodes between them.

    Their number is `compute.workers`. If that is None, there is one worker on each node with enough
    CPUs: nodes may join and leave, and an autoscaler is asked for more nodes while more episodes
    are played at once than the nodes have CPUs.
    """

    def __init__(
        self, setups: Mapping[str, RunSetup], compute: RayCompute, concurrency: int, notice: Notice
    ) -> None:
        import ray

        self.workers: list[Worker] = []
        self._elastic = compute.workers is None
        self._slots = [WorkerSlot(None) for _ in range(compute.workers or 0)]
        self._compute = compute
        self._concurrency = concurrency
        self._notice = notice
        # Stored once for all workers: it lists every episode of the run.
        self._setups = ray.put(dict(setups))
        self._node_demand = NodeDemand(compute.cpus_per_worker)
        self._demanded = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._without_since = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._scan_lock = asyncio.Lock()
        self._opened = False

    async def open(self) -> None:
        """Start the workers; raises the first one's error if none of them can play."""
        for slot in self._slots:
            self._begin(self._keep_filled(slot))
        if self._elastic:
            await self._scan_nodes()
            if not self._slots:
                self._notice(f"{self._no_room} Waiting {self._compute.start_seconds:g} s for one.")
            self._begin(self._watch_nodes())
        begun = time.monotonic()
        while not self._slots or any(slot.starting for slot in self._slots):
            seconds = _LATECOMER_SECONDS if self.workers else self._compute.start_seconds
            if (left := begun + seconds - time.monotonic()) <= 0:
                break
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()
        if not self.workers:
            raise self._unavailable()
        self._opened = True

    async def rehearse(self) -> None:
        """Have one worker rehearse the models for all; raises what it refuses them for."""
        from ray.exceptions import RayError

        for worker in list(self.workers):
            try:
                refusal: CodeactError | None = await _result(worker.actor.rehearse.remote())
            except RayError as error:
                self.lose(worker, gist(error))
                continue
            if refusal is not None:
                raise refusal
            return

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def close(self) -> None:
        """Stop all workers."""
        import ray

        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._node_demand.close()
        workers, self.workers = self.workers, []
        closing = [
            asyncio.ensure_future(_result(worker.actor.close.remote())) for worker in workers
        ]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        for worker in workers:
            ray.kill(worker.actor)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Worker]:
        """Borrow the least loaded worker for one episode; raises `ComputeUnavailable`."""
        self._demanded += 1
        try:
            while (worker := self._least_loaded()) is None:
                await self._wait_for_worker()
            worker.playing += 1
            try:
                yield worker
            finally:
                worker.playing -= 1
                self._wake(1)
        finally:
            self._demanded -= 1

    def lose(self, worker: Worker, why: str) -> None:
        """Remove a worker; another one is started in its slot."""
        import ray

        if worker.lost.is_set():
            return
        worker.lost.set()
        self.workers.remove(worker)
        if not self.workers:
            self._without_since = time.monotonic()
        # It may only be unreachable, and must not go on playing.
        ray.kill(worker.actor)
        self._notice(
            f"The worker on {worker.info.place} was lost ({why}); its episodes go to others."
        )
        self._share_limits()
        self._wake(len(self._waiting))

    @property
    def _most(self) -> int:
        """The most episodes that a worker may play at once: all, if other nodes may leave."""
        return self._concurrency if self._elastic else self._share

    @property
    def _share(self) -> int:
        """How many episodes a worker plays at once now."""
        workers = len(self.workers if self._elastic else self._slots)
        return math.ceil(self._concurrency / max(1, workers))

    def _share_limits(self) -> None:
        """Tell the workers how many share the limits of a model."""
        for worker in self.workers:
            worker.actor.share.remote(len(self.workers))

    def _least_loaded(self) -> Worker | None:
        least = min(self.workers, key=lambda worker: worker.playing, default=None)
        return least if least is not None and least.playing < self._share else None

    async def _wait_for_worker(self) -> None:
        """Wait until a worker may be free."""
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

    async def _keep_filled(self, slot: WorkerSlot) -> None:
        """Keep a worker in the slot for the whole run, unless the first one cannot play."""
        pause = _PAUSE
        while not slot.gone.is_set():
            worker = await self._start_worker(slot)
            first, slot.starting = slot.starting, False
            if worker is not None:
                pause, slot.refusal = _PAUSE, None
                self._add(worker)
            self._changed.set()
            if worker is not None:
                await self._wait_until_gone(worker, slot)
            elif first:
                return
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _add(self, worker: Worker) -> None:
        self.workers.append(worker)
        self._share_limits()
        self._wake(len(self._waiting))
        if self._opened:
            self._notice(f"A worker on {worker.info.place} joined; {len(self.workers)} play now.")

    async def _wait_until_gone(self, worker: Worker, slot: WorkerSlot) -> None:
        """Wait until a worker or its node is lost."""
        ends = [asyncio.ensure_future(one.wait()) for one in (worker.lost, slot.gone)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        if self._elastic:
            await self._scan_nodes()
        self.lose(worker, "its node has left")

    async def _watch_nodes(self) -> None:
        """Scan for nodes that join and leave, for the whole run."""
        while True:
            await asyncio.sleep(_SCAN_SECONDS)
            await self._scan_nodes()

    async def _scan_nodes(self) -> None:
        """Have one slot on each node of the cluster."""
        async with self._scan_lock:
            try:
                nodes = await asyncio.to_thread(nodes_with, self._compute.cpus_per_worker)
            except Exception as error:
                # The cluster's head is away or busy: keep what is known.
                log.warning("the cluster does not say which nodes it has: %s", error)
                return
            for slot in [slot for slot in self._slots if slot.node not in nodes]:
                self._slots.remove(slot)
                slot.gone.set()
            covered = {slot.node for slot in self._slots}
            for node in sorted(nodes.keys() - covered):
                slot = WorkerSlot(node)
                self._slots.append(slot)
                self._begin(self._keep_filled(slot))
            self._node_demand.want(self._nodes_missing(nodes), nodes)
            self._tasks = [task for task in self._tasks if not task.done()]
            self._changed.set()

    def _nodes_missing(self, nodes: Mapping[str, float]) -> int:
        """Return how many more nodes to ask for."""
        used = [nodes[slot.node] for slot in self._slots if slot.node and slot.refusal is None]
        if not used:
            return min(1, self._compute.pending)
        short = self._demanded - sum(used)
        return min(self._compute.pending, max(0, math.ceil(short * len(used) / max(sum(used), 1))))

    async def _start_worker(self, slot: WorkerSlot) -> Worker | None:
        """Start a worker that can play; returns None after a notice why there is none."""
        import ray
        from ray.exceptions import RayError

        actor: Any = (
            ray.remote(EpisodeWorker)
            .options(
                num_cpus=self._compute.cpus_per_worker,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=self._most + _SPARE_CALLS,
                scheduling_strategy=slot.strategy,
            )
            .remote()
        )
        try:
            sharing = len(self.workers) + 1
            info = await _result(actor.open.remote(self._setups, version("codeact"), sharing))
        except RayError as error:
            if self._elastic:
                await self._scan_nodes()
            if not slot.gone.is_set():
                self._refused(slot, ComputeUnavailable(f"a worker did not start: {gist(error)}"))
        except BaseException:
            ray.kill(actor)
            raise
        else:
            if info.refusal is None:
                return Worker(actor, info)
            why = f"the worker on {info.place} cannot play: {info.refusal}"
            self._refused(slot, type(info.refusal)(why))
        ray.kill(actor)
        return None

    def _refused(self, slot: WorkerSlot, refusal: CodeactError) -> None:
        """Tell the user why, once."""
        if str(refusal) != str(slot.refusal):
            self._notice(str(refusal))
        slot.refusal = refusal

    def _unavailable(self) -> CodeactError:
        """Return what to raise when there is no worker: of the same type as the refusal."""
        refusals = [slot.refusal for slot in self._slots if slot.refusal is not None]
        if refusals:
            others = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
            return type(refusals[0])(f"{refusals[0]}{others}")
        if self._elastic and not self._slots:
            return ComputeUnavailable(
                f"{self._no_room} None has joined for {self._compute.start_seconds:g} s "
                "(compute.start_seconds)"
            )
        return ComputeUnavailable(
            f"there has been no worker for {self._compute.start_seconds:g} s "
            "(compute.start_seconds): has the cluster nodes with "
            f"{self._compute.cpus_per_worker:g} CPUs free (compute.cpus_per_worker)? "
            "See `ray status`"
        )

    @property
    def _no_room(self) -> str:
        cpus = f"{self._compute.cpus_per_worker:g} CPUs"
        return f"No node of the cluster has the {cpus} of a worker (compute.cpus_per_worker)."


async def _result(reference: Any) -> Any:
    return await reference


def gist(error: Exception) -> str:
    """Return the first line of an error of Ray, or of what a worker raised; the rest is long."""
    cause = getattr(error, "cause", None)
    told = cause if isinstance(cause, Exception) else error
    lines = [line.strip() for line in str(told).splitlines() if line.strip()]
    return f"{type(told).__name__}: {lines[0]}" if lines else type(told).__name__
