"""A run's accounts are the books of the server that it asked, to the token and the cent."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from codeact.episode.accounts import AccountLine, PlayAccounts
from codeact.episode.effects import Execution, Usage, Verdict
from codeact.exceptions import Cause, GraderFailure, SandboxFailure
from codeact.experiment import runner as runner_module
from codeact.experiment.accounts import SPENT_LINES, RunAccounts
from codeact.experiment.booking import book_checks
from codeact.experiment.budget import Account, BudgetSettings
from codeact.experiment.compute.local import LocalBackend
from codeact.experiment.driver import Environment, RunIdentity
from codeact.experiment.events import Job, NullListener
from codeact.experiment.plan import Plan, make_plan
from codeact.experiment.resources import Resources
from codeact.experiment.runner import Runner
from codeact.experiment.summary import Summary, summarize_folder
from codeact.models import replicas
from codeact.models.base import ModelClient
from codeact.models.cache import CachedModel, ResponseStore
from codeact.models.registry import create_client
from codeact.models.remote import client as remote_client
from codeact.recordings.ledger import RequestLine, read_requests
from codeact.recordings.run_folder import SPENT, RunFolder
from codeact.results.accounts import notes, show_accounts
from codeact.results.trackers.metrics import numbers
from codeact.sandboxes.base import Evaluation, HostTool, Session
from tests.helpers.books import FAULTS, PRICES, Books, Fault, dollars
from tests.helpers.commands import codeact, launch
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.records import asked, configured, make_record, summarize
from tests.helpers.serving import threaded
from tests.helpers.wandb_files import offline_runs

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


class ProbedBackend(LocalBackend):
    """Counts the probes that were cancelled, since the last episodes ended beside them."""

    cancelled = 0

    async def probe(self, run: str, cause: Cause) -> None:
        try:
            await super().probe(run, cause)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class Played:
    """A run in several sessions, and how many requests were in flight as a session was cut off.

    `kills` counts the sessions that were killed.
    """

    def __init__(
        self, folder: Path, api: FakeApi, books: Books, fails: Sequence[bool], cache: Path | None
    ) -> None:
        self.folder, self.books = folder, books
        self.cut_off = self.kills = 0
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
        runner, backend = self._runner(folder, account, model, end)
        playing = asyncio.create_task(runner.run())
        death = asyncio.create_task(killed.wait())
        await asyncio.wait([playing, death], return_when=asyncio.FIRST_COMPLETED)
        if killed.is_set():
            self.cut_off += end.concurrency
            self.kills += 1
            playing.cancel()
        else:
            death.cancel()
            # Episodes in flight are cancelled as the breaker opens, its probe as the queue ends.
            self.cut_off += end.concurrency * bool((await playing).hopeless)
            self.cut_off += backend.cancelled
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
    ) -> tuple[Runner, ProbedBackend]:
        sandbox, config = Fragile(self._fails), plan().config
        environment = Environment(
            RunIdentity("m", "m/GT-textual", folder.digest),
            *(config.episode, plan().strategy, model, model, sandbox, plan().tools),
            account=account,
        )
        owed = [one._replace(grader=sandbox.grade) for one in plan().owed(folder)]
        job, backend = (
            Job("a", config, folder, owed),
            ProbedBackend({"a": environment}, {}, Resources(print)),
        )
        listener = NullListener()
        runner = Runner([job], backend, end.concurrency, listener, accounts={"a": account})
        return runner, backend

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
        # A connection that was just cut may take another request with it, which nobody sees.
        most = unheard + self.cut_off + self.books.cuts
        # A killed session's probe has no line before it ends, and asks one server.
        assert unheard - self.kills <= summary.accounts.unknown <= most
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


class Script(NamedTuple):
    """What goes wrong, what the models say, and how the run's sessions end."""

    faults: list[Fault]
    texts: list[str]
    comments: list[str]
    fails: list[bool]
    ends: list[SessionEnd]
    cached: bool


SCRIPTS = st.builds(
    Script,
    st.lists(st.sampled_from(FAULTS), min_size=1, max_size=9),
    st.lists(st.sampled_from([CELL, CELL, RIGHT, WRONG, "Hm."]), min_size=1, max_size=4),
    st.lists(st.sampled_from([LEAK, COMMENT]), min_size=1, max_size=2),
    st.lists(st.booleans(), min_size=1, max_size=5),
    st.lists(ENDS, max_size=2),
    st.booleans(),
)
PROBED_LAST = Script(
    [
        *("cut", "429", "garbage", "500 with usage", "no choices"),
        *("500 with usage", "garbage", "cut", "no choices"),
    ],
    [RIGHT, RIGHT, "Hm."],
    [LEAK, COMMENT],
    [False],
    [SessionEnd(None, None, 4), SessionEnd(1445, None, 3)],
    cached=False,
)
"""The last episodes fail beside the breaker's probe, whose answer is on its way as the run ends."""
# What was found is told at once: to play its variants takes minutes.
QUICK = [Phase.explicit, Phase.reuse, Phase.generate]


@settings(
    max_examples=20,
    phases=QUICK,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(script=SCRIPTS)
@example(script=PROBED_LAST)
def test_whatever_fails_the_accounts_are_the_servers_books(
    monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    """Faults of every kind, feedback asked again, retries, cache hits, budgets, kills, resumes."""
    monkeypatch.setattr(remote_client, "_FIRST_PAUSE", 0.0005)
    monkeypatch.setattr(remote_client, "_PROBE_PAUSES", (0.0,))
    monkeypatch.setattr(replicas, "_FIRST_PAUSE", 0.0005)
    monkeypatch.setattr(runner_module, "_LOOK", 60.0)

    async def play(folder: Path) -> None:
        books = Books(script.faults, script.texts, script.comments)
        kept = folder / "cache" if script.cached else None
        async with FakeApi(books) as api:
            run = Played(folder / "run", api, books, script.fails, kept)
            for end in [*script.ends, SessionEnd(None, None, 3)]:
                await run.session(end)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


def rows_of(printed: str) -> dict[str, list[str]]:
    """The cells of the printed accounts, by the row's first."""
    table = printed.rpartition("accounts")[2].partition("└")[0].replace("┃", "│")
    lines = [line.strip("│").split("│") for line in table.splitlines() if line.startswith("│")]
    return {first.strip(): [cell.strip() for cell in rest] for first, *rest in lines}


@pytest.mark.usefixtures("local_sandbox")
def test_a_killed_run_that_is_resumed_tells_the_servers_books_everywhere(tmp_path: Path) -> None:
    """In summary.json, spent.json, W&B's files and the printed table, with a real kill -9."""
    faults: list[Fault] = ["", "", "no choices", "", "", "no usage", ""]
    books = Books(faults, [CELL, WRONG], [COMMENT])
    reached = threading.Event()

    def answer(seen: Seen, number: int) -> Reply:
        if number == 4 and not reached.is_set():
            books.silent += 1
            reached.set()
            return Reply(hang="before")
        return books(seen, number)

    folder = tmp_path / "run"
    with threaded(FakeApi(answer)) as api:
        words = ["run", *SAMPLE, "limit=2", "turns=max3_p2", "feedback=textual"]
        for key in ("model", "feedback.model"):
            words += [f"{key}.name=m", f"{key}.base_url={api.base_url}"]
            words += [f"{key}.prices={{prompt: 0.37, completion: 1.9, cached: 0.05}}"]
        words += ["model=server", "model@feedback.model=server", "compute.concurrency=1"]
        words += ["executor.preload=[]", "executor.warm=1", f"run_dir={folder}"]
        process = launch(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert reached.wait(60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        home = {"WANDB_MODE": "offline", "HOME": str(tmp_path)}
        done = codeact(*words, env={**os.environ, **home})
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "summary.json").read_text())["accounts"]
    listed = [line for line in read_requests(folder) if line.part != "begins"]
    known = [u for line in listed for u in (line.usage, line.discarded.usage) if u.total]
    # Each session first asks whether the servers take its parameters: policy and feedback model.
    asked_before = list((Counter(known) - Counter(books.told)).elements())
    assert not Counter(books.told) - Counter(known)
    assert total(asked_before) == Usage(11 * len(api.rehearsals), 7 * len(api.rehearsals))
    assert len(api.rehearsals) == 4
    assert summary["unknown"] == books.silent
    tokens, usd = total(known).total, dollars(known)
    assert (summary["spent"]["tokens"], summary["spent"]["cost"]) == (tokens, usd)
    assert (summary["mismatches"], summary["unlisted"]["tokens"]) == (0, 0)
    assert summary["abandoned"]["requests"] > 0
    assert json.loads((folder / SPENT).read_text()) == [tokens, usd]
    (tracked,) = offline_runs(folder)
    assert tracked.summary["accounts/spent/tokens"] == tracked.history[-1]["tokens/spent"] == tokens
    assert tracked.summary["accounts/spent/cost"] == tracked.history[-1]["cost/spent"] == usd
    rows = rows_of(done.stdout)
    *lines, spent = [row for name, row in rows.items() if name != "what was asked"]
    assert [int(cell.replace(",", "")) for cell in spent[-2:-1]] == [tokens]
    assert sum(int(row[-2].replace(",", "")) for row in lines) == tokens
    assert sum(float(row[-1]) for row in lines) == pytest.approx(usd, abs=0.0005)
    assert f"unknown: {summary['unknown']} requests" in done.stdout
    (all_,) = [line for line in done.stdout.splitlines() if line.startswith("│ all ")]
    assert all_.split("│")[8].strip() == f"{usd:.2f}"


def test_a_record_of_an_older_version_has_the_sums_that_it_had() -> None:
    record = make_record()
    record.cost, record.turns[0].cost = 0.25, 0.25
    summary = summarize(record)
    assert summary.accounts.policy == AccountLine(1, Usage(3, 2), 0.25)
    assert summary.overall.spent == summary.accounts.spent == summary.accounts.policy


def test_our_own_count_is_told_where_the_servers_differs() -> None:
    """As many ids as the server says in one turn, and fewer of the prompt's in the other."""
    record = make_record()
    (turn,) = record.turns
    turn.counted = Usage(3, 2)
    other = msgspec.structs.replace(turn, counted=Usage(2, 2))
    record.turns = [turn, other]
    accounts = summarize(record).accounts
    assert (accounts.counted.turns, accounts.counted.differ) == (2, 1)
    (note,) = notes(accounts)
    assert "2 turns took 5 prompt and 4 completion tokens, and by the server 6 and 4; 1 of" in note
    record.turns = [turn]
    assert notes(summarize(record).accounts) == []


def test_what_does_not_add_up_is_told(tmp_path: Path) -> None:
    """A record says less than the requests that were listed for its play."""
    folder = RunFolder.open(tmp_path, asked())
    line = {"play": 1, "request": 1, "asked_by": "policy", "part": "ends", "answered": True}
    folder.requests.write(msgspec.convert({**line, "usage": {"prompt": 30}}, RequestLine))
    record = make_record()
    record.accounts = PlayAccounts(play=1, policy=AccountLine(1, Usage(3, 2)))
    folder.append(record)
    folder.close()
    accounts = summarize_folder(tmp_path).accounts
    assert accounts.mismatches == 1
    assert "play 1 took 5 tokens by its record and 30 by requests.jsonl" in notes(accounts)[-1]


def test_reasoning_and_the_cache_have_columns_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_accounts(RunAccounts(policy=AccountLine(2, Usage(100, 50, 40, 30, 20), 1.0)))
    rows = rows_of(capsys.readouterr().out)
    names = ["requests", "prompt", "completion", "reasoning", "cached", "cache written"]
    assert rows["what was asked"] == [*names, "tokens", "USD"]
    assert rows["policy"] == ["2", "100", "50", "30", "40", "20", "150", "1.0000"]
    show_accounts(RunAccounts(policy=AccountLine(2, Usage(100, 50))))
    assert capsys.readouterr().out == "", "the table of results says it all"
