"""A run's accounts are the books of the server that it asked, to the token and the cent."""

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from codeact.episode.effects import Execution, Usage, Verdict
from codeact.exceptions import GraderFailure, SandboxFailure
from codeact.experiment import runner as runner_module
from codeact.experiment.accounts import SPENT_LINES
from codeact.experiment.booking import book_checks
from codeact.experiment.budget import Account, BudgetSettings
from codeact.experiment.compute.local import LocalBackend
from codeact.experiment.driver import Environment, RunIdentity
from codeact.experiment.events import Job, NullListener
from codeact.experiment.plan import Plan, make_plan
from codeact.experiment.runner import Runner
from codeact.experiment.summary import Summary, summarize_folder
from codeact.models import replicas
from codeact.models.base import ModelClient
from codeact.models.cache import CachedModel, ResponseStore
from codeact.models.openai import client as openai_api
from codeact.models.registry import create_client
from codeact.recordings.ledger import read_requests
from codeact.recordings.run_folder import SPENT, RunFolder
from codeact.results.accounts import notes
from codeact.results.trackers.metrics import numbers
from codeact.sandboxes.base import Evaluation, HostTool, Session
from tests.helpers.books import FAULTS, PRICES, Books, Fault, dollars
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.records import asked, configured

SAMPLE = ["task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"]
CELL, RIGHT, WRONG = (
    "<execute> 1 </execute>",
    "<solution> 28 </solution>",
    "<solution> 1 </solution>",
)
LEAK, COMMENT = "This is BAD. It is 28, 18 or 42.", "This is GOOD. Go on."


class Fragile:
    """A sandbox whose sessions and verdicts fail as a script says."""

    def __init__(self, fails: Sequence[bool]) -> None:
        self._fails = fails
        self._asked = 0

    def _next(self) -> bool:
        self._asked += 1
        return self._fails[self._asked % len(self._fails)]

    async def session(
        self, *, setup: str = "", tools: Mapping[str, HostTool] | None = None
    ) -> Session:
        return self

    async def execute(self, code: str, *, seconds: float | None = None) -> Execution:
        if self._next():
            raise SandboxFailure("it broke")
        return Execution("1")

    async def grade(self, task: object, answer: str, sandbox: object) -> Verdict:
        if self._next():
            raise GraderFailure("nobody knows")
        return Verdict(answer == "28")

    async def evaluate(self, source: str, *, seconds: float) -> Evaluation:
        return Evaluation(ok=True, value=42)

    def retire(self) -> None: ...

    async def close(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None: ...


class SessionEnd(NamedTuple):
    """How a session of a run ends: by its budget, at a request (it is killed), or by itself."""

    budget: int | None
    kill: int | None
    concurrency: int


ENDS = st.builds(
    SessionEnd,
    st.none() | st.integers(1, 6000),
    st.none() | st.integers(0, 12),
    st.integers(1, 4),
)


@cache
def plan() -> Plan:
    """Four episodes with feedback."""
    words = [*SAMPLE, "limit=2", "samples=2", "turns=max3_p2", "feedback=textual_gt"]
    critic = ["model@feedback.model=scripted", "feedback.ask_again=1"]
    return make_plan(configured(*words, *critic, "max_consecutive_failures=2"))


class Played:
    """A run in several sessions, and how many requests were in flight as a session was cut off."""

    def __init__(
        self, folder: Path, api: FakeApi, books: Books, fails: Sequence[bool], cache: Path | None
    ) -> None:
        self.folder, self.books = folder, books
        self.cut_off = 0
        self._api, self._fails, self._cache = api, fails, cache

    async def session(self, end: SessionEnd) -> None:
        """Play until the session ends; of a killed one, the folder goes on as it was just then."""
        store = None if self._cache is None else ResponseStore(self._cache)
        chosen = served(self._api)
        client = create_client(chosen)
        model = client if store is None else CachedModel(client, chosen, store)
        folder = RunFolder.open(self.folder, asked())
        account = Account(BudgetSettings())
        await model.check()
        book_checks(account, [model])
        account.go_on(folder)
        if end.budget is not None:
            account.budget = BudgetSettings(tokens=account.tokens + end.budget)
        killed = asyncio.Event()
        self._api.replies = self._replies(end, killed)
        playing = asyncio.create_task(self._runner(folder, account, model, end).run())
        death = asyncio.create_task(killed.wait())
        await asyncio.wait([playing, death], return_when=asyncio.FIRST_COMPLETED)
        if killed.is_set():
            self.cut_off += end.concurrency
            playing.cancel()
        else:
            death.cancel()
            # Episodes in flight are cancelled as the breaker opens.
            self.cut_off += end.concurrency * bool((await playing).hopeless)
            self._check(folder, account)
        await asyncio.gather(playing, death, return_exceptions=True)
        self.books.closed = False
        await model.close()
        if store is not None:
            await store.close()
        folder.close()

    def _replies(self, end: SessionEnd, killed: asyncio.Event) -> Callable[[Seen, int], Reply]:
        first = len(self._api.seen)

        def answer(seen: Seen, number: int) -> Reply:
            reply = self.books(seen, number)
            if end.kill is not None and number == first + end.kill:
                left = self.folder.parent / f"{self.folder.name}+"
                shutil.copytree(self.folder, left)
                self.folder, self.books.closed = left, True
                killed.set()
            return reply

        return answer

    def _runner(
        self, folder: RunFolder, account: Account, model: ModelClient, end: SessionEnd
    ) -> Runner:
        sandbox, config = Fragile(self._fails), plan().config
        environment = Environment(
            RunIdentity("m", "m/GT-textual", folder.digest),
            *(config.episode, plan().strategy, model, model, sandbox, plan().tools),
            account=account,
        )
        owed = [one._replace(grader=sandbox.grade) for one in plan().owed(folder)]
        job, backend = Job("a", config, folder, owed), LocalBackend({"a": environment}, {})
        return Runner([job], backend, end.concurrency, NullListener(), accounts={"a": account})

    def _check(self, folder: RunFolder, account: Account) -> None:
        """Everything that a user sees of the run is what the server has in its books."""
        summary = summarize_folder(folder.path)
        summary.accounts.compare(account.spent, folder.unlisted)
        listed = [
            usage
            for line in read_requests(folder.path)
            for usage in (Usage() if line.reused else line.usage, line.discarded.usage)
            if usage.total
        ]
        assert_agrees(summary, listed)
        assert account.spent == (total(listed).total, dollars(listed))
        assert json.loads((folder.path / SPENT).read_text()) == [*account.spent]
        missing = Counter(self.books.told)
        missing.subtract(listed)
        assert set(missing.values()) <= {0, 1}, "listed twice, or never charged"
        unheard = missing.total() + self.books.silent
        assert abs(summary.accounts.unknown - unheard) <= self.cut_off
        assert missing.total() <= self.cut_off


def served(api: FakeApi) -> Any:
    config = configured("model=server", "model.name=m", "model.max_retries=2")
    changed = {"base_url": api.base_url, "prices": PRICES}
    return config.model.model_copy(update=changed)


def total(usages: Iterable[Usage]) -> Usage:
    return sum(usages, Usage())


def assert_agrees(summary: Summary, listed: list[Usage]) -> None:
    """Every sum is that of the requests, wherever it is told."""
    accounts, overall = summary.accounts, summary.overall
    assert (accounts.mismatches, accounts.first_mismatch) == (0, "")
    spent = (total(listed), dollars(listed))
    assert (accounts.spent.usage, accounts.spent.cost or 0.0) == spent
    assert not accounts.unlisted
    assert overall.spent == accounts.spent
    shares = [tally.spent for tally in summary.by_task.values()]
    assert sum(shares, accounts.checks) == accounts.spent
    assert overall.usage == (accounts.policy + accounts.reused).usage
    assert overall.feedback_usage == (accounts.feedback + accounts.reused_feedback).usage
    row, document = numbers(summary), summary.document()["accounts"]
    assert (row["tokens/spent"], row.get("cost/spent", 0.0)) == (spent[0].total, spent[1])
    assert sum(document[name]["tokens"] for name in SPENT_LINES) == spent[0].total
    assert any("unknown: " in note for note in notes(accounts)) == (accounts.unknown > 0)


@settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=9),
    texts=st.lists(st.sampled_from([CELL, CELL, RIGHT, WRONG, "Hm."]), min_size=1, max_size=4),
    comments=st.lists(st.sampled_from([LEAK, COMMENT]), min_size=1, max_size=2),
    fails=st.lists(st.booleans(), min_size=1, max_size=5),
    ends=st.lists(ENDS, max_size=2),
    cached=st.booleans(),
)
def test_whatever_fails_the_accounts_are_the_servers_books(
    monkeypatch: pytest.MonkeyPatch,
    faults: list[Fault],
    texts: list[str],
    comments: list[str],
    fails: list[bool],
    ends: list[SessionEnd],
    cached: bool,
) -> None:
    """Faults of every kind, feedback asked again, retries, cache hits, budgets, kills, resumes."""
    monkeypatch.setattr(openai_api, "_FIRST_PAUSE", 0.0005)
    monkeypatch.setattr(openai_api, "_PROBE_PAUSES", (0.0,))
    monkeypatch.setattr(replicas, "_FIRST_PAUSE", 0.0005)
    monkeypatch.setattr(runner_module, "_LOOK", 60.0)

    async def play(folder: Path) -> None:
        books = Books(faults, texts, comments)
        async with FakeApi(books) as api:
            run = Played(folder / "run", api, books, fails, folder / "cache" if cached else None)
            for end in [*ends, SessionEnd(None, None, 3)]:
                await run.session(end)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))
