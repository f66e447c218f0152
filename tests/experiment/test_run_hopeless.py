"""Runs in which something is wrong for good: refused or stopped, with what to do, and little spent.

Each is the command as a user types it, against a server on loopback that counts what it is asked.
"""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from codeact.episode.record import EpisodeRecord
from codeact.exceptions import Cause, ProviderFailure, RunStopped, SandboxFailure
from codeact.experiment.circuit_breaker import RunCircuitBreaker
from codeact.experiment.probing import probe
from codeact.models.remote import client as remote_client
from codeact.recordings.run_folder import latest_records, read_records
from tests.experiment.test_driver import ready
from tests.helpers.commands import codeact
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.records import make_record
from tests.helpers.serving import threaded

HTML = Reply(
    body=b"<!doctype html><html><title>Sign in</title></html>",
    headers={"Content-Type": "text/html"},
)
AT_ONCE = 8
LIMIT = 20


def words(folder: Path, api: FakeApi, *more: str) -> list[str]:
    """80 episodes of one turn each, so that a request is an episode."""
    return [
        *("run", "model=server", "model.name=m", f"model.base_url={api.base_url}"),
        *("task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"),
        *("samples=10", "turns=max1_p1", "executor.preload=[]", "executor.warm=1"),
        *(f"compute.concurrency={AT_ONCE}", f"run_dir={folder}", "tracker=none", *more),
    ]


def solved(seen: Seen, number: int) -> Reply:
    return Reply(text="<solution> 1 </solution>")


# What never can work is refused before anything is spent


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    absent = Reply(status=404, text="The model `nope` does not exist.")
    with threaded(FakeApi([absent])) as api:
        done = codeact(*words(tmp_path / "run", api, "model.name=nope"))
        assert api.count == 1
    assert done.returncode == 1
    assert "does not list a model nope; it has ['m']" in done.stderr
    assert "correct model.name" in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_address_without_v1_is_refused_with_the_right_one(tmp_path: Path) -> None:
    with threaded(FakeApi(solved)) as api:
        bare = api.base_url.removesuffix("/v1")
        done = codeact(*words(tmp_path / "run", api, f"model.base_url={bare}"))
        assert api.count == 0
        assert sum(api.hits.values()) == 2
    assert done.returncode == 1
    assert f"did you mean model.base_url={api.base_url}?" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_web_page_in_place_of_an_api_is_refused(tmp_path: Path) -> None:
    with threaded(FakeApi([HTML])) as api:
        api.models_reply = api.elsewhere = HTML
        done = codeact(*words(tmp_path / "run", api, f"model.base_url={api.base_url}/api/v1"))
        assert sum(api.hits.values()) <= 3
    assert done.returncode == 1
    assert "web page" in done.stderr
    assert "text/html" in done.stderr
    assert "<!doctype html>" in done.stderr
    assert "base_url" in done.stderr


def test_the_feedback_model_is_looked_at_too(tmp_path: Path) -> None:
    critic = ["feedback=textual", "model@feedback.model=server", "feedback.model.name=m"]
    with threaded(FakeApi(solved)) as api:
        wrong = f"feedback.model.base_url={api.base_url.removesuffix('/v1')}"
        done = codeact(*words(tmp_path / "run", api, *critic, wrong))
        assert api.count == 0
    assert done.returncode == 1
    assert f"did you mean feedback.model.base_url={api.base_url}?" in done.stderr


# What stops working, or was not looked at, is stopped

REFUSALS = {
    "wrong model": (Reply(status=404, text="The model `m` does not exist."), "model.name"),
    "wrong address": (Reply(status=404, body=b'{"detail": "Not Found"}'), "base_url"),
    "page": (HTML, "base_url"),
    "revoked key": (Reply(status=401, text="invalid api key"), "api_key_env"),
}


@pytest.mark.usefixtures("local_sandbox")
@pytest.mark.parametrize(("reply", "setting"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_run_that_only_fails_is_stopped_and_goes_on_when_it_is_mended(
    tmp_path: Path, reply: Reply, setting: str
) -> None:
    """Nine episodes succeed first, and then none."""

    def answer(seen: Seen, number: int) -> Reply:
        return solved(seen, number) if number < 9 or mended else reply

    mended = False
    with threaded(FakeApi(answer)) as api:
        done = codeact(*words(tmp_path, api), seconds=120)
        asked = api.count
        assert done.returncode == 1, done.stderr
        # One of a page is asked twice; two are the probe's.
        assert asked <= 9 + 2 * (LIMIT + AT_ONCE) + 2
        last = done.stderr.split("does not work: ")[-1]
        assert f"model: {api.base_url}" in last
        assert setting in last
        assert "max_consecutive_failures" in last
        records = latest_records(tmp_path)
        assert sum(record.outcome.cause is None for record in records) == 9
        assert {record.outcome.cause for record in records} <= {None, "provider"}
        summary = json.loads((tmp_path / "summary.json").read_text())["overall"]
        assert summary["counted"] == 9
        mended = True
        again = codeact(*words(tmp_path, api))
        assert again.returncode == 0, again.stderr
        assert api.count == asked + 71
    counted = Counter(r.id for r in read_records(tmp_path) if r.outcome.cause is None)
    assert len(counted) == 80
    assert set(counted.values()) == {1}


@pytest.mark.usefixtures("local_sandbox")
def test_a_hopeless_run_of_a_sweep_leaves_the_others_alone(tmp_path: Path) -> None:
    def answer(seen: Seen, number: int) -> Reply:
        good = seen.body["model"] == "m" or number < 4
        return solved(seen, number) if good else REFUSALS["wrong model"][0]

    with threaded(FakeApi(answer)) as api:
        api.models = ("m", "bad")
        done = codeact(*words(tmp_path, api, "-m", "model.name=bad,m"))
        assert done.returncode == 1
        assert api.count <= 80 + 4 + LIMIT + AT_ONCE + 1
    (good,) = tmp_path.glob("*name=m,*")
    (bad,) = tmp_path.glob("*name=bad,*")
    assert {record.outcome.cause for record in latest_records(good)} == {None}
    assert len(latest_records(good)) == 80
    assert len(latest_records(bad)) < 80
    assert (bad / "summary.json").exists()
    assert "model.name=bad: " in done.stderr


@pytest.mark.usefixtures("local_sandbox")
def test_a_run_goes_on_where_what_failed_works_again(tmp_path: Path) -> None:
    """A key that was refused twenty times, and then is not."""

    def answer(seen: Seen, number: int) -> Reply:
        return REFUSALS["revoked key"][0] if number < 20 else solved(seen, number)

    with threaded(FakeApi(answer)) as api:
        done = codeact(*words(tmp_path, api))
    assert "It works now, so the run goes on" in done.stderr
    records = latest_records(tmp_path)
    assert len(records) == 80
    assert sum(record.outcome.cause is None for record in records) >= 60


@pytest.mark.usefixtures("local_sandbox")
def test_the_feedback_model_can_stop_a_run(tmp_path: Path) -> None:
    act = Reply(text="<execute> 1 </execute>")
    critic = ["feedback=textual", "model@feedback.model=server", "feedback.model.name=m"]
    with threaded(FakeApi([act])) as api, threaded(FakeApi([REFUSALS["revoked key"][0]])) as other:
        more = [*critic, f"feedback.model.base_url={other.base_url}", "turns=max2_p2"]
        done = codeact(*words(tmp_path, api, *more))
        assert other.count <= LIMIT + AT_ONCE + 1
    assert done.returncode == 1
    assert f"does not work: feedback.model: {other.base_url}" in done.stderr


# What is tried


@pytest.mark.usefixtures("local_sandbox")
async def test_a_sandbox_is_tried_by_a_session() -> None:
    async with ready() as (_, shared, sandbox):
        await probe(shared, "sandbox")
        await probe(shared, "grader")
        await probe(shared, "harness")
        await sandbox.close()
        with pytest.raises(SandboxFailure):
            await probe(shared, "sandbox")


@pytest.mark.usefixtures("local_sandbox")
async def test_a_model_that_comes_back_while_it_is_tried_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_client, "_PROBE_PAUSES", (0.01, 0.02))
    replies = [Reply(status=503), Reply(status=503), "ok"]
    async with FakeApi(replies) as api:
        words = ["model=server", "model.name=m", f"model.base_url={api.base_url}"]
        async with ready(*words) as (_, shared, _):
            await probe(shared, "provider")
            assert api.count == 3
            api.replies = [Reply(status=401, text="no")]
            with pytest.raises(ProviderFailure, match=r"model: .*HTTP 401: no; name the variable"):
                await probe(shared, "provider")
            assert api.count == 4


# The breaker by itself


class Bench:
    """A breaker over episodes that end as they are told."""

    def __init__(self, limit: int | None = 5, *, works: bool = False) -> None:
        self.works = works
        self.probed: list[Cause] = []
        self.said: list[str] = []
        self.breaker = RunCircuitBreaker(limit, self._probe, self.said.append)

    async def _probe(self, cause: Cause) -> None:
        self.probed.append(cause)
        await asyncio.sleep(0)
        if not self.works:
            raise ProviderFailure("it is gone")

    async def play(self, *causes: Cause | None) -> int:
        """Play one after the other; how many could be."""
        played = 0
        for cause in causes:

            async def record(cause: Cause | None = cause) -> EpisodeRecord:
                return make_record(cause=cause)

            try:
                await self.breaker.call(record)
            except RunStopped:
                continue
            played += 1
        return played


@pytest.mark.parametrize("cause", ["provider", "sandbox", "grader", "tool", "harness"])
async def test_so_many_failures_in_a_row_stop_a_run(cause: Cause) -> None:
    bench = Bench()
    assert await bench.play(*[cause] * 50) == 5
    assert bench.probed == [cause]
    assert "it is gone" in str(bench.breaker.stopped)


async def test_a_success_between_and_failures_of_the_policys_own_stop_none() -> None:
    bench = Bench()
    often: list[Cause | None] = [*["provider"] * 4, None] * 20
    assert await bench.play(*often) == len(often)
    assert await bench.play(*["model"] * 50) == 50
    assert bench.probed == []


async def test_causes_are_counted_apart() -> None:
    bench = Bench()
    assert await bench.play(*["provider", "sandbox"] * 4) == 8
    assert bench.probed == []


async def test_null_never_stops_a_run() -> None:
    assert await Bench(None).play(*["provider"] * 100) == 100


async def test_a_probe_that_passes_is_believed_once() -> None:
    bench = Bench(works=True)
    assert await bench.play(*["provider"] * 50) == 10
    assert len(bench.probed) == 2
    recovered = Bench(works=True)
    assert await recovered.play(*["provider"] * 5, None, *["provider"] * 5, None) == 12
    assert recovered.breaker.stopped is None


async def test_what_began_before_a_probe_passed_does_not_count_after_it() -> None:
    """A sandbox server that dies takes all of its sessions with it, and is replaced."""
    bench = Bench(works=True)
    died = asyncio.Event()

    async def episode() -> EpisodeRecord:
        await died.wait()
        return make_record(cause="sandbox")

    crowd = [asyncio.create_task(bench.breaker.call(episode)) for _ in range(100)]
    await asyncio.sleep(0)
    died.set()
    await asyncio.gather(*crowd)
    assert await bench.play(*["sandbox"] * 4, None) == 5
    assert bench.probed == ["sandbox"]
    assert bench.breaker.stopped is None


async def test_episodes_under_way_are_called_off_and_none_begins_during_the_probe() -> None:
    probing, go = asyncio.Event(), asyncio.Event()

    async def probe(cause: Cause) -> None:
        probing.set()
        await go.wait()
        raise SandboxFailure("no server")

    breaker = RunCircuitBreaker(1, probe, [].append)
    begun: list[int] = []

    async def long() -> EpisodeRecord:
        begun.append(1)
        await asyncio.Event().wait()
        raise AssertionError

    async def failing() -> EpisodeRecord:
        return make_record(cause="sandbox")

    under_way = asyncio.create_task(breaker.call(long))
    await asyncio.sleep(0)
    await breaker.call(failing)
    await probing.wait()
    later = asyncio.create_task(breaker.call(long))
    await asyncio.sleep(0.05)
    assert len(begun) == 1
    go.set()
    ends = await asyncio.wait_for(
        asyncio.gather(under_way, later, return_exceptions=True), timeout=60
    )
    assert [type(end) for end in ends] == [RunStopped, RunStopped]
    assert len(begun) == 1


async def test_who_is_cancelled_by_others_is_cancelled() -> None:
    breaker = Bench().breaker
    task = asyncio.create_task(breaker.call(lambda: asyncio.sleep(1000, make_record())))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
