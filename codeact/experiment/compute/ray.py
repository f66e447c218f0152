"""Plays episodes in Ray actors. Episodes of a lost worker go to the others.

Only the driver reads task files and writes run folders: tasks are sent out, records come back.
Episodes are handed out one by one, so that none waits for the slowest part of a shard.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from codeact.episode.accounts import PlayAccounts
from codeact.episode.effects import Failure
from codeact.episode.machine import Episode
from codeact.episode.record import Attempt, EpisodeRecord, decode
from codeact.exceptions import BudgetExhausted, Cause, CodeactError, ComputeUnavailable
from codeact.experiment.booking import attempt_of, enter
from codeact.experiment.budget import Account
from codeact.experiment.compute.local import identity_of
from codeact.experiment.compute.nodes import nodes_with
from codeact.experiment.compute.reports import RequestReport
from codeact.experiment.compute.worker import NOTHING_SPENT, AssignmentMessage, Reply, RunSetup
from codeact.experiment.compute.worker_pool import Worker, WorkerLost, WorkerPool, gist
from codeact.experiment.config.compute import RayCompute
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.driver import Assignment, record_of
from codeact.experiment.plan import Plan
from codeact.experiment.resources import Resources
from codeact.experiment.services import ServiceStats, combined
from codeact.ray_cluster import connect, disconnect
from codeact.recordings.ledger import PlaySum
from codeact.recordings.run_folder import Spent

_EXCHANGE = 1.0
"""Seconds between two exchanges of what running episodes have spent."""
_SETTLE = 3.0
"""Seconds that the last exchange may take."""


class RayBackend:
    """Sends each episode to the least loaded worker."""

    def __init__(
        self,
        plans: Mapping[str, Plan],
        accounts: Mapping[str, Account],
        pool: WorkerPool,
        handouts: int,
    ) -> None:
        self._plans = plans
        self._accounts = accounts
        self._pool = pool
        self._handouts = handouts
        self._plays: dict[tuple[str, int], PlaySum] = {}
        self.facts: Mapping[str, dict[str, Any]] = _facts(pool)

    async def play_episode(self, run: str, assignment: Assignment) -> EpisodeRecord:
        lost: list[Attempt] = []
        for number in range(1, self._handouts + 1):
            play = self._accounts[run].begin_play()
            async with self._pool.acquire() as worker:
                start = time.monotonic()
                try:
                    reply = await self._ask(worker, run, assignment._replace(play=play))
                except WorkerLost as error:
                    why = f"handed out {number} of {self._handouts} times: {error}"
                    accounts = self._accounts_of(run, play)
                    lost.append(attempt_of(why, accounts, time.monotonic() - start))
                    continue
                except _WorkerFault as error:
                    await self._exchange(worker, _SETTLE)
                    accounts = self._accounts_of(run, play)
                    return self._failed(run, assignment, str(error), lost, accounts)
            self._hear(worker, run, reply.report)
            self._plays.pop((run, play), None)
            if reply.refusal is not None:
                raise self._refusal(run, reply)
            record = decode(reply.record)
            record.attempts = lost + record.attempts
            return record
        last = lost.pop()
        return self._failed(run, assignment, last.error, lost, last.accounts or PlayAccounts())

    def _accounts_of(self, run: str, play: int) -> PlayAccounts:
        """Return what is known of a play that ended without a record."""
        return self._plays.pop((run, play), PlaySum(play)).accounts

    async def _ask(self, worker: Worker, run: str, assignment: Assignment) -> Reply:
        """Have a worker play an episode; raises `WorkerLost`, or `_WorkerFault`."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        mode = self._plans[run].config.grading.mode
        message = msgspec.json.encode(AssignmentMessage.of(run, assignment, mode))
        elsewhere, heard = self._spent_elsewhere(worker, run), worker.heard.get(run, 0)
        reference = worker.actor.play_episode.remote(message, elsewhere, heard)
        try:
            reply: Reply = await reference
        except asyncio.CancelledError:
            # The episode ends on the worker too, and frees its session.
            ray.cancel(reference, recursive=False)
            raise
        except RayTaskError as error:
            raise _WorkerFault(f"on {worker.info.place}: {error}") from error
        except RayError as error:
            why = gist(error)
            self._pool.lose(worker, why)
            raise WorkerLost(f"its worker on {worker.info.place} was lost ({why})") from error
        return reply

    def announce(self, run: str, assignment: Assignment) -> None:
        """Do nothing: which worker will play an episode is not known before it is free."""

    async def probe(self, run: str, cause: Cause) -> None:
        """Probe on every worker; raises the first refusal if none of them works."""
        from ray.exceptions import RayError

        async def ask(worker: Worker) -> CodeactError | None:
            found: CodeactError | None = await worker.actor.probe.remote(run, cause)
            return found

        asked = [ask(worker) for worker in self._pool.workers]
        found = await asyncio.gather(*asked, return_exceptions=True)
        # A worker that was lost in the meantime does not count.
        refusals = [one for one in found if not isinstance(one, RayError)]
        if refusals and all(isinstance(one, BaseException) for one in refusals):
            assert isinstance(refusals[0], BaseException)
            raise refusals[0]

    def stats(self) -> ServiceStats:
        nodes = {worker.info.node for worker in self._pool.workers}
        return combined([worker.stats for worker in self._pool.workers], len(nodes))

    async def exchange_spending(self) -> None:
        """Exchange with all workers what running episodes have spent, until cancelled."""
        while True:
            await asyncio.sleep(_EXCHANGE)
            await self._exchange_all(10 * _EXCHANGE)

    async def settle(self) -> None:
        """Hear from all workers what episodes have spent that gave no record."""
        await self._exchange_all(_SETTLE)

    async def _exchange_all(self, seconds: float) -> None:
        workers = list(self._pool.workers)
        await asyncio.gather(*(self._exchange(worker, seconds) for worker in workers))

    async def _exchange(self, worker: Worker, seconds: float) -> None:
        from ray.exceptions import RayError

        others = {run: self._spent_elsewhere(worker, run) for run in self._accounts}
        # Lost workers are handled by the pool, and busy ones are asked again later.
        with suppress(RayError, TimeoutError):
            async with asyncio.timeout(seconds):
                told: dict[str, RequestReport]
                told, worker.stats = await worker.actor.exchange.remote(others, dict(worker.heard))
            for run, report in told.items():
                self._hear(worker, run, report)

    def _spent_elsewhere(self, worker: Worker, run: str) -> Spent:
        account, own = self._accounts[run], worker.charged.get(run, NOTHING_SPENT)
        return Spent(account.tokens - own.tokens, account.usd - own.usd)

    def _hear(self, worker: Worker, run: str, report: RequestReport) -> None:
        """Book the requests of a worker that are new here."""
        for line in worker.take(run, report):
            self._accounts[run].book(line)
            if line.play:
                self._plays.setdefault((run, line.play), PlaySum(line.play)).add(line)

    def _refusal(self, run: str, reply: Reply) -> Exception:
        """Return the refusal with what all workers spent, which only the driver knows."""
        if isinstance(reply.refusal, BudgetExhausted):
            self._accounts[run].admit()
        assert reply.refusal is not None
        return reply.refusal

    def _failed(
        self,
        run: str,
        assignment: Assignment,
        why: str,
        attempts: list[Attempt],
        accounts: PlayAccounts,
    ) -> EpisodeRecord:
        """Return the record of an episode that no worker could play: no turns, and a cause."""
        plan = self._plans[run]
        config = plan.config
        episode = Episode(
            assignment.task,
            assignment.family.task_type,
            config.episode,
            plan.strategy,
            tools=plan.tools.specs(assignment.task),
        )
        episode.advance(Failure("harness", why))
        record = record_of(assignment, identity_of(config), episode)
        record.attempts = attempts
        enter(record, accounts)
        return record


class _WorkerFault(Exception):
    """A worker raised an error that it should have returned."""


@asynccontextmanager
async def open_ray(
    plans: Mapping[str, Plan],
    accounts: Mapping[str, Account],
    resources: Resources,
    compute: RayCompute,
) -> AsyncIterator[RayBackend]:
    """Start workers that can play all runs; refuses what cannot work before anything is spent."""
    joined = connect(compute.address)
    try:
        if not joined and not nodes_with(compute.cpus_per_worker):
            raise ComputeUnavailable(
                f"this machine has no {compute.cpus_per_worker:g} CPUs for a worker: see "
                "compute.cpus_per_worker"
            )
        setups = {name: await _run_setup(plan, resources) for name, plan in plans.items()}
        concurrency = max(plan.config.compute.concurrency for plan in plans.values())
        pool = WorkerPool(setups, compute, concurrency, resources.notice)
        exchanges = None
        try:
            await pool.open()
            await pool.rehearse()
            backend = RayBackend(plans, accounts, pool, compute.handouts)
            exchanges = asyncio.create_task(backend.exchange_spending())
            yield backend
        finally:
            if exchanges is not None:
                exchanges.cancel()
                await asyncio.gather(exchanges, return_exceptions=True)
            await pool.close()
    finally:
        disconnect()


async def _run_setup(plan: Plan, resources: Resources) -> RunSetup:
    """Return the run as workers see it: with models that are already running."""
    config = plan.config
    model = await resources.served(config.model)
    feedback = config.feedback
    if feedback.kind != "none" and feedback.model is not None:
        critic = await resources.served(feedback.model)
        feedback = feedback.model_copy(update={"model": critic})
    told = config.model_copy(update={"model": model, "feedback": feedback})
    asked, identity = _asked(config), identity_of(config)
    return RunSetup(told, asked, identity, plan.keys, plan.strategy, plan.tool_names)


def _asked(config: RunConfig) -> RunConfig:
    """Return the user's configuration for a process with another working directory."""
    cache = None if config.cache is None else str(Path(config.cache).resolve())
    return config.model_copy(update={"cache": cache})


def _facts(pool: WorkerPool) -> dict[str, dict[str, Any]]:
    nodes = {worker.info.node for worker in pool.workers}
    ray = {"version": version("ray"), "workers": len(pool.workers), "nodes": len(nodes)}
    facts: dict[str, dict[str, Any]] = {}
    for worker in pool.workers:
        for run, told in worker.info.facts.items():
            facts[run] = {**facts.get(run, {}), **told, "ray": ray}
    return facts
