"""The runner by itself: a queue of episodes that end as they are told, in real run folders."""

import asyncio
import errno
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from codeact.episode.causes import HANDLING, is_counted
from codeact.episode.effects import Usage
from codeact.episode.record import EpisodeRecord, decode, valid_line
from codeact.episode.task import Task
from codeact.exceptions import (
    BudgetExhausted,
    Cause,
    CodeactError,
    ComputeUnavailable,
    HarnessFailure,
    ProviderFailure,
    RunFolderError,
)
from codeact.experiment import runner
from codeact.experiment.budget import Account, BudgetSettings
from codeact.experiment.driver import Assignment
from codeact.experiment.events import Job, Load, NullListener
from codeact.experiment.runner import Runner, RunnerResult
from codeact.experiment.services import ServiceStats
from codeact.recordings.run_folder import RunFolder, latest_records
from tests.helpers.records import asked, configured, make_record

End = Cause | None | Exception


@pytest.mark.parametrize("cause", HANDLING)
def test_what_the_policy_caused_counts_and_nothing_else(cause: Cause | None) -> None:
    assert is_counted(make_record(cause=cause)) is (cause in (None, "model"))


def test_a_worker_gives_a_failure_in_place_of_what_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("codeact.episode.record.LONGEST_LINE", 5000)
    record = make_record(observation="x" * 5000)
    sent = decode(valid_line(record))
    assert (sent.id, sent.outcome.cause) == (record.id, "harness")
    assert "5,000 are the limit" in sent.outcome.error
    assert decode(valid_line(make_record())) == make_record()


class Hearing(NullListener):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.loads: list[Load] = []
        self.finished: list[tuple[str, str]] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def load(self, load: Load) -> None:
        self.loads.append(load)

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None:
        self.finished.append((job.name, record.task_id))


class Backend:
    """Plays each run's episodes, which end as the list of the run says and then well."""

    facts: Mapping[str, dict[str, Any]] = {}

    def __init__(self, **ends: list[End]) -> None:
        self.ends = ends
        self.played: list[tuple[str, str]] = []
        self.announced: list[tuple[str, str]] = []
        self.before: Callable[[], object] = lambda: None
        self.together = self.most = 0

    async def play_episode(self, run: str, assignment: Assignment) -> EpisodeRecord:
        self.played.append((run, assignment.task.id))
        self.together += 1
        self.most = max(self.most, self.together)
        self.before()
        await asyncio.sleep(0)
        self.together -= 1
        ends = self.ends.get(run, [])
        end = ends.pop(0) if ends else None
        if isinstance(end, Exception):
            raise end
        record = make_record(assignment.task.id, cause=end)
        record.usage, record.cost, record.seconds = Usage(5, 1), 0.25, 2.0
        return record

    def announce(self, run: str, assignment: Assignment) -> None:
        self.announced.append((run, assignment.task.id))

    async def probe(self, run: str, cause: Cause) -> None:
        raise ProviderFailure("it is gone")

    def stats(self) -> ServiceStats:
        return ServiceStats()

    async def settle(self) -> None:
        """All is known."""


def assignment(number: int) -> Assignment:
    task = Task(name="gsm8k", id=str(number), prompt="?", reference="1")
    return Assignment(task, cast(Any, None), cast(Any, None), sample=0)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    folders: list[RunFolder] = []

    def made(name: str = "a", episodes: int = 3, *words: str) -> Job:
        folders.append(RunFolder.open(tmp_path / name, asked()))
        owed = [assignment(number) for number in range(episodes)]
        return Job(name, configured(*words), folders[-1], owed)

    yield made
    for folder in folders:
        folder.close()


async def played(
    jobs: list[Job], backend: Backend, *, hearing: Hearing | None = None, **how: Any
) -> RunnerResult:
    concurrency = how.pop("concurrency", 1)
    return await Runner(jobs, backend, concurrency, hearing or Hearing(), **how).run()


async def test_every_episode_is_played_once_and_written(job: Callable[..., Job]) -> None:
    one, two, hearing, backend = job("a"), job("b", 2), Hearing(), Backend()
    result = await played([one, two], backend, hearing=hearing, concurrency=2)
    assert result == RunnerResult(left=0, interrupted=False, errors={}, hopeless=())
    wanted = [("a", "0"), ("a", "1"), ("a", "2"), ("b", "0"), ("b", "1")]
    assert sorted(backend.played) == sorted(hearing.finished) == wanted
    assert len(latest_records(one.folder.path)) == 3
    assert backend.most == 2
    assert hearing.loads[0] == Load(in_flight=2, queued=3, finished=0)
    assert hearing.loads[-1] == Load(in_flight=0, queued=0, finished=5)


async def test_the_backend_hears_of_the_next_episodes_before_they_begin(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_AHEAD", 2)
    backend = Backend()
    heard: list[list[tuple[str, str]]] = []
    backend.before = lambda: heard.append(backend.announced[-2:])
    await played([job("a", 3), job("b", 1)], backend)
    assert heard[0] == [("a", "1"), ("a", "2")]
    assert heard[1] == [("a", "2"), ("b", "0")]
    assert backend.announced[4:] == [("b", "0")]


async def test_the_load_is_told_again_and_again(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_LOOK", 0.0)
    hearing = Hearing()
    await played([job(episodes=20)], Backend(), hearing=hearing)
    assert len(hearing.loads) > 5
    assert any(load.in_flight == 1 and 0 < load.finished < 20 for load in hearing.loads)


async def test_a_passing_failure_is_played_again_and_its_attempts_are_kept(
    job: Callable[..., Job],
) -> None:
    one, backend = job("a", 1), Backend(a=["sandbox", "sandbox"])
    await played([one], backend)
    assert len(backend.played) == 3
    (record,) = latest_records(one.folder.path)
    assert record.outcome.success
    (first, second) = record.attempts
    assert (first.cause, first.error, first.usage) == ("sandbox", "why", Usage(5, 1))
    assert (second.cost, second.seconds) == (0.25, 2.0)


async def test_an_error_ends_its_own_run_and_the_others_go_on(job: Callable[..., Job]) -> None:
    error = RunFolderError("no room here")
    hearing, backend = Hearing(), Backend(a=[error])
    result = await played([job("a"), job("b")], backend, hearing=hearing)
    assert result.errors == {"a": error}
    assert result.left == 3
    assert [run for run, _ in backend.played] == ["a", "b", "b", "b"]
    assert hearing.notices == ["a ends here, the others go on: no room here"]


async def test_a_fault_of_ours_ends_its_run_and_says_so(job: Callable[..., Job]) -> None:
    hearing = Hearing()
    result = await played([job("a")], Backend(a=[ZeroDivisionError("x")]), hearing=hearing)
    assert isinstance(result.errors["a"], HarnessFailure)
    assert "ZeroDivisionError: x" in str(result.errors["a"])
    # There are no others that could go on.
    assert hearing.notices == []


async def test_where_nothing_is_left_to_play_on_all_runs_end(job: Callable[..., Job]) -> None:
    error = ComputeUnavailable("all nodes are gone")
    backend = Backend(a=[error])
    result = await played([job("a"), job("b")], backend)
    assert result.errors == {"a": error, "b": error}
    assert (result.left, backend.played) == (6, [("a", "0")])


async def test_a_budget_ends_its_run_and_is_told_once(job: Callable[..., Job]) -> None:
    hearing = Hearing()
    backend = Backend(a=[BudgetExhausted("used up"), BudgetExhausted("used up")])
    result = await played([job("a"), job("b")], backend, hearing=hearing, concurrency=2)
    assert result.errors == {}
    assert hearing.notices == ["a: used up"]
    assert [run for run, _ in backend.played].count("b") == 3
    assert [run for run, _ in backend.played].count("a") == 2
    assert result.left == 3


async def test_a_hopeless_run_plays_no_more_and_the_others_do(job: Callable[..., Job]) -> None:
    words = ("max_consecutive_failures=2",)
    backend = Backend(a=["harness"] * 9)
    result = await played([job("a", 9, *words), job("b", 2, *words)], backend)
    assert [run for run, _ in backend.played].count("a") == 2
    assert [run for run, _ in backend.played].count("b") == 2
    (why,) = result.hopeless
    assert "it is gone" in why
    assert why.startswith("a: ")


async def test_the_first_signal_finishes_what_is_in_flight(job: Callable[..., Job]) -> None:
    hearing, backend = Hearing(), Backend()
    backend.before = lambda: len(backend.played) == 2 and os.kill(os.getpid(), signal.SIGINT)
    result = await played([job(episodes=50)], backend, hearing=hearing)
    assert result.interrupted
    assert 0 < result.left < 50
    assert len(backend.played) == 50 - result.left
    assert ["press Ctrl-C again" in text for text in hearing.notices] == [True]
    assert hearing.loads[-1].finished == len(backend.played)


async def test_the_second_signal_cancels_it(job: Callable[..., Job]) -> None:
    class Endless(Backend):
        async def play_episode(self, run: str, assignment: Assignment) -> EpisodeRecord:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0.01)
            await asyncio.Event().wait()
            raise AssertionError

    hearing = Hearing()
    result = await played([job(episodes=2)], Endless(), hearing=hearing)
    assert (result.left, result.interrupted) == (2, True)
    assert "will be played again" in hearing.notices[-1]


class Full(RunFolder):
    """Its disk is full whenever `full` says so for the next write."""

    full: list[bool]

    def _write(self, line: bytes, name: str) -> None:
        if self.full and self.full.pop(0):
            write = os.write
            try:
                os.write = out_of_room  # type: ignore[assignment]
                super()._write(line, name)
            finally:
                os.write = write
        super()._write(line, name)


def out_of_room(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


async def full_disk(tmp_path: Path, full: list[bool], seconds: float) -> tuple[Hearing, Any]:
    folder = Full.open(tmp_path / "full", asked())
    folder.full = full
    hearing = Hearing()
    try:
        one = Job("full", configured(), folder, [assignment(number) for number in range(2)])
        result = await played([one], Backend(), hearing=hearing, full_disk_seconds=seconds)
    finally:
        folder.close()
    return hearing, result


async def test_a_full_disk_is_waited_for_and_told_each_time_it_fills_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_AGAIN", 0.0)
    hearing, result = await full_disk(tmp_path, [True, True, False, True, False], 600.0)
    assert (result.left, result.errors) == (0, {})
    assert [text.endswith("Waiting up to 600 s for room.") for text in hearing.notices] == [
        True
    ] * 2


async def test_a_disk_that_stays_full_ends_the_run(tmp_path: Path) -> None:
    hearing, result = await full_disk(tmp_path, [True] * 9, 0.0)
    assert result.left == 2
    assert isinstance(result.errors["full"], CodeactError)
    assert hearing.notices == []


async def test_what_was_spent_is_kept_with_the_run(job: Callable[..., Job]) -> None:
    one, account = job(), Account(BudgetSettings())
    account.charge(5, 0.5)
    await played([one], Backend(), accounts={"a": account})
    assert (one.folder.path / "spent.json").read_text() == "[5, 0.5]\n"
