"""The Ray actor: plays episodes with a sandbox and clients of its own node."""

import os
import socket
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, NamedTuple, Self

import msgspec

from codeact.datasets import get
from codeact.episode.prompts import PromptStrategy
from codeact.episode.record import valid_line
from codeact.episode.task import Task
from codeact.exceptions import Cause, CodeactError, ComputeUnavailable
from codeact.experiment.booking import book_checks
from codeact.experiment.budget import Account
from codeact.experiment.compute.local import environment, rehearse
from codeact.experiment.compute.reports import Outbox, RequestReport
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.driver import Assignment, Environment, RunIdentity, play_episode
from codeact.experiment.probing import probe
from codeact.experiment.resources import Resources
from codeact.experiment.restoring import Prefix
from codeact.experiment.services import ServiceStats
from codeact.experiment.toolboxes import toolbox_of
from codeact.graders.base import Mode
from codeact.models.base import EpisodeKey, SharesLimits
from codeact.recordings.run_folder import Spent

NOTHING_SPENT = Spent(0, 0.0)


class RunSetup(NamedTuple):
    """What a worker gets to know of one run.

    The models of `config` are already running. `asked` is the user's own configuration, which keys
    the response cache, and `identity` is that of the run. `tools` names those that tasks ask for.
    """

    config: RunConfig
    asked: RunConfig
    identity: RunIdentity
    keys: list[EpisodeKey]
    strategy: PromptStrategy
    tools: set[str]


class AssignmentMessage(msgspec.Struct, frozen=True):
    """An assignment as it is sent to a worker; the task file itself stays with the driver."""

    run: str
    task: Task
    family: str
    mode: Mode
    sample: int
    seed: int | None
    prefix: Prefix | None = None
    play: int | None = None

    @classmethod
    def of(cls, run: str, assignment: Assignment, mode: Mode) -> Self:
        task, family, _, sample, seed, prefix, play = assignment
        return cls(run, task, family.name, mode, sample, seed, prefix, play)

    @property
    def assignment(self) -> Assignment:
        family = get(self.family)
        grader = family.grader(self.mode)
        return Assignment(self.task, family, grader, self.sample, self.seed, self.prefix, self.play)


class Reply(NamedTuple):
    """An encoded record or why there is none, and what the worker has asked for the run."""

    record: bytes
    refusal: CodeactError | None
    report: RequestReport


class WorkerInfo(NamedTuple):
    """Where a worker runs, and why it cannot play, if so; `facts` go into each run's provenance."""

    host: str
    node: str
    pid: int
    facts: dict[str, dict[str, Any]]
    refusal: CodeactError | None

    @property
    def place(self) -> str:
        """For messages."""
        return f"node {self.host} ({self.node[:8]})"


class EpisodeWorker:
    """Plays as many episodes at once as it is sent; an async actor.

    Its accounts include what other workers had spent at the last message or exchange, so that a
    budget stops its episodes too.
    """

    def __init__(self) -> None:
        self._resources = Resources()
        self._configs: dict[str, RunConfig] = {}
        self._environments: dict[str, Environment] = {}
        self._accounts: dict[str, Account] = {}
        self._others: dict[str, Spent] = {}
        self._outboxes: dict[str, Outbox] = {}

    async def open(self, setups: Mapping[str, RunSetup], release: str, sharing: int) -> WorkerInfo:
        """Open what the runs need; the result says why this node cannot play them, if so.

        `release` is the driver's version of codeact; `sharing` is the number of workers, as in
        `share`.
        """
        from ray import get_runtime_context

        facts: dict[str, dict[str, Any]] = {}
        refusal = None
        try:
            _same_release(release)
            for name, setup in setups.items():
                facts[name] = await self._prepare(name, setup)
            await self.share(sharing)
        except CodeactError as error:
            refusal = error
        node = get_runtime_context().get_node_id()
        return WorkerInfo(socket.gethostname(), node, os.getpid(), facts, refusal)

    async def _prepare(self, run: str, setup: RunSetup) -> dict[str, Any]:
        config = setup.config
        account, outbox = Account(config.budget), Outbox()
        account.list_in(outbox.add)
        tools = toolbox_of(config, config.search)
        tools.require(setup.tools)
        made = await environment(
            config,
            setup.keys,
            tools,
            account,
            self._resources,
            strategy=setup.strategy,
            asked=setup.asked,
            rehearsed=False,
        )
        self._configs[run] = config
        self._environments[run] = made._replace(identity=setup.identity)
        self._accounts[run], self._others[run] = account, NOTHING_SPENT
        self._outboxes[run] = outbox
        return await self._resources.facts(config.executor)

    async def rehearse(self) -> CodeactError | None:
        """Rehearse the models of all runs, for all workers; returns why one is refused."""
        for run, made in self._environments.items():
            try:
                await rehearse(self._configs[run], made.strategy, made.policy, made.critic)
            except CodeactError as error:
                return error
            book_checks(self._accounts[run], [made.policy, made.critic])
        return None

    async def play_episode(self, message: bytes, others: Spent, heard: int) -> Reply:
        """Play one episode.

        `others` is what the run has spent outside this worker, and `heard` how many lines of
        requests the driver has from here.
        """
        told = msgspec.json.decode(message, type=AssignmentMessage)
        self._hear(told.run, others)
        outbox = self._outboxes[told.run]
        try:
            record = valid_line(await play_episode(told.assignment, self._environments[told.run]))
        except CodeactError as error:
            return Reply(b"", error, outbox.report(heard))
        return Reply(record, None, outbox.report(heard))

    async def share(self, workers: int) -> None:
        """Take one of `workers` equal shares of every model's limits."""
        for made in self._environments.values():
            for client in (made.policy, made.critic):
                if isinstance(client, SharesLimits):
                    client.share(workers)

    async def probe(self, run: str, cause: Cause) -> CodeactError | None:
        """Probe what failures with this cause depend on; returns what does not work, or None."""
        try:
            await probe(self._environments[run], cause)
        except CodeactError as error:
            return error
        return None

    async def exchange(
        self, others: Mapping[str, Spent], heard: Mapping[str, int]
    ) -> tuple[dict[str, RequestReport], ServiceStats]:
        """Take in what was spent elsewhere, and return what was asked here, and how all does."""
        for run, spent in others.items():
            self._hear(run, spent)
        reports = {run: box.report(heard.get(run, 0)) for run, box in self._outboxes.items()}
        return reports, self._resources.stats()

    async def close(self) -> None:
        """Close the sandbox and the clients."""
        await self._resources.__aexit__(None, None, None)

    def _hear(self, run: str, others: Spent) -> None:
        account, before = self._accounts[run], self._others[run]
        account.charge(others.tokens - before.tokens, others.usd - before.usd)
        self._others[run] = others


def _same_release(release: str) -> None:
    if version("codeact") != release:
        raise ComputeUnavailable(
            f"codeact {version('codeact')} is installed there and {release} with the driver: "
            "install the same version on all nodes"
        )
