"""Live search against a server that speaks the MediaWiki API: what fails is the tool's fault."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from codeact.episode.task import Task
from codeact.exceptions import ToolFailure
from codeact.recordings.run_folder import latest_records
from codeact.tools import open_toolbox
from codeact.tools.base import Delays, held_up
from codeact.tools.settings import NOTHING_FOUND, WikipediaSearch
from tests.helpers.commands import codeact
from tests.helpers.fake_wiki import FakeWiki, Fault
from tests.helpers.serving import threaded

TASK = Task(name="t", id="0", prompt="p", reference="r", tools=("wikipedia_search",))
Search = Callable[[str], Awaitable[str]]


@asynccontextmanager
async def searching(wiki: FakeWiki, **settings: Any) -> AsyncIterator[Search]:
    tools = open_toolbox(WikipediaSearch(url=wiki.url, **settings))
    try:
        yield tools.calls(TASK)["wikipedia_search"]
    finally:
        await tools.close()


# Answers


async def test_one_request_a_query_and_pages_in_their_order() -> None:
    async with FakeWiki() as wiki, searching(wiki) as search:
        assert await search("x y") == "Page: x y\nSummary: one\n\nPage: Second\nSummary: two"
        assert await search("nothing") == NOTHING_FOUND
        assert wiki.asked == ["x y", "nothing"]


async def test_what_was_asked_before_is_not_asked_again() -> None:
    async with FakeWiki([Fault(latency=0.05)]) as wiki, searching(wiki) as search:
        found = await asyncio.gather(*(search(f"{number % 3}") for number in range(30)))
        assert sorted(wiki.asked) == ["0", "1", "2"]
        assert len(set(found)) == 3
        assert await search("  0 \n") == found[0]
        assert len(wiki.asked) == 3


async def test_all_share_one_connection_and_say_who_they_are() -> None:
    async with FakeWiki([Fault(latency=0.01)]) as wiki:
        async with searching(wiki, contact="https://lab.example/us") as search:
            await asyncio.gather(*(search(f"{number}") for number in range(20)))
        assert len(wiki.connections) == wiki.peak_in_flight == 1
        (agent,) = wiki.agents
        assert agent.startswith("codeact/")
        assert "(https://lab.example/us)" in agent


async def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy gets the whole address, here of a host that there is not."""
    async with FakeWiki() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/w/api.php"))
        monkeypatch.setenv("no_proxy", "direct.invalid")
        elsewhere = WikipediaSearch(url="http://wiki.invalid/w/api.php", retries=0)
        tools = open_toolbox(elsewhere)
        assert "Page: far" in await tools.calls(TASK)["wikipedia_search"]("far")
        assert proxy.asked == ["far"]
        await tools.close()
        direct = WikipediaSearch(url="http://direct.invalid/w/api.php", retries=0)
        tools = open_toolbox(direct)
        with pytest.raises(ToolFailure):
            await tools.calls(TASK)["wikipedia_search"]("far")
        assert proxy.asked == ["far"]
        await tools.close()


# Queries that are no queries: the policy's own doing, and never a failure


@pytest.mark.parametrize("query", ["", " \n\t", "\x00\x1b"])
async def test_an_empty_query_finds_nothing_and_asks_nobody(query: str) -> None:
    async with FakeWiki() as wiki, searching(wiki) as search:
        assert await search(query) == NOTHING_FOUND
        assert wiki.asked == []


@pytest.mark.parametrize(
    "query", ["a\ud800b", "a\x00b\x1b[31m", "&format=xml", "é 日本 😀", "%00", "a" * 999]
)
async def test_any_text_can_be_a_query(query: str) -> None:
    async with FakeWiki() as wiki, searching(wiki) as search:
        assert "Page: " in await search(query)
        assert len(wiki.asked) == 1


async def test_a_query_of_a_megabyte_is_refused_here() -> None:
    async with FakeWiki() as wiki, searching(wiki) as search:
        with pytest.raises(ValueError, match="too long"):
            await search("a " * 500_000)
        assert wiki.asked == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(error="cirrussearch-query-too-long"),
        Fault(error="badvalue"),
        Fault(status=400),
        Fault(status=414),
    ],
    ids=["too long", "bad value", "400", "414"],
)
async def test_a_query_that_the_service_refuses_is_the_policys(fault: Fault) -> None:
    async with FakeWiki([fault, None]) as wiki, searching(wiki) as search:
        with pytest.raises(ValueError, match=r"it says|refused"):
            await search("x")
        assert len(wiki.asked) == 1
        assert "Page: x" in await search("x")


# Faults of the service


PASSING = {
    "429": Fault(status=429),
    "429 and when": Fault(status=429, headers={"Retry-After": "0.2"}),
    "500": Fault(status=500),
    "503": Fault(status=503),
    "cut": Fault(cut=True, status=500),
    "hang": Fault(hang=True),
    "ratelimited": Fault(error="ratelimited"),
    "maxlag": Fault(error="maxlag", headers={"Retry-After": "0"}),
    "busy": Fault(error="cirrussearch-too-busy-error"),
    "internal": Fault(error="internal_api_error_DBQueryError"),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
async def test_a_fault_that_passes_is_never_seen(fault: Fault) -> None:
    async with FakeWiki([fault, None]) as wiki, searching(wiki, timeout=1.0) as search:
        assert "Page: x" in await search("x")
        assert len(wiki.asked) == 2


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
async def test_a_fault_that_stays_is_the_tools(fault: Fault) -> None:
    async with FakeWiki([fault]) as wiki:
        async with searching(wiki, timeout=0.3, retries=1) as search:
            with pytest.raises(ToolFailure, match=r"127\.0\.0\.1.* in 2 attempts .*the last: \S"):
                await search("x")
        # aiohttp asks once more by itself where a connection that was kept open has ended.
        assert len(wiki.asked) <= (4 if fault.cut else 2)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404),
        Fault(status=403),
        Fault(body=b"<html>Sign in</html>"),
        Fault(body=b"[]"),
        Fault(body=b"[" * 100_000),
        Fault(error="readapidenied"),
    ],
    ids=["404", "403", "page", "no object", "nested", "denied"],
)
async def test_what_only_a_person_can_mend_is_not_tried_again(fault: Fault) -> None:
    async with FakeWiki([fault]) as wiki, searching(wiki) as search:
        with pytest.raises(ToolFailure, match=r"in 1 attempt .*search\.url"):
            await search("x")
        assert len(wiki.asked) == 1


async def test_retry_after_holds_for_all_and_nobody_asks_meanwhile() -> None:
    def fault(query: str, number: int) -> Fault | None:
        return Fault(status=429, headers={"Retry-After": "0.6"}) if number == 0 else None

    async with FakeWiki(fault) as wiki, searching(wiki, connections=4) as search:
        first = asyncio.create_task(search("first"))
        while not wiki.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        await asyncio.gather(first, *(search(f"{number}") for number in range(8)))
        assert min(wiki.times[1:]) - wiki.times[0] >= 0.55


async def test_a_wait_beyond_all_patience_ends_it_at_once_and_for_all() -> None:
    async with FakeWiki([Fault(status=429, headers={"Retry-After": "3600"})]) as wiki:
        async with searching(wiki) as search:
            started = time.monotonic()
            for query in ("x", "y"):
                with pytest.raises(ToolFailure, match=r"wants no question for 3[56]\d\d s"):
                    await search(query)
            assert time.monotonic() - started < 15
        assert wiki.asked == ["x"]


async def test_patience_ends_whatever_hangs() -> None:
    async with FakeWiki([Fault(hang=True)]) as wiki, searching(wiki, patience=0.5) as search:
        ends = await asyncio.wait_for(
            asyncio.gather(*(search(f"{n}") for n in range(5)), return_exceptions=True), 60
        )
    assert all(isinstance(end, ToolFailure) for end in ends)


async def test_who_is_cancelled_leaves_the_connection_to_others() -> None:
    async with FakeWiki([Fault(hang=True), None]) as wiki, searching(wiki) as search:
        gone = asyncio.create_task(search("x"))
        while not wiki.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert "Page: y" in await asyncio.wait_for(search("y"), 60)


# Whose time it was


def test_a_cell_that_ran_out_of_time_for_its_tools_sake_is_theirs() -> None:
    delays = Delays()
    delays.blame(30.0)
    with delays.during("it is down", 0.0):
        time.sleep(0.02)
    delays.blame(30.0)
    with pytest.raises(ToolFailure, match="it is down"):
        delays.blame(0.05)
    delays.forget()
    delays.blame(0.05)
    with delays.during("it hangs", 0.0):
        time.sleep(0.001)
        with pytest.raises(ToolFailure, match="it hangs"):
            delays.blame(30.0)
    with delays.during("an answer takes that long", 10.0):
        delays.forget()
        delays.blame(30.0)


async def test_nobody_is_held_up_outside_an_episode() -> None:
    reached = False
    with held_up("why"):
        reached = True
    assert reached


# Episodes

CELL = "<execute> print(wikipedia_search('Kettle Bridge')) </execute>"
STUBBORN = (
    "<execute> with __import__('contextlib').suppress(Exception): wikipedia_search('x') </execute>"
)


def play(folder: Path, wiki: FakeWiki, cell: str, *more: str) -> Any:
    return codeact(
        *("run", "model=scripted", f"run_dir={folder}", "tracker=none", "executor.preload=[]"),
        f'model.texts=["{cell}", "<solution> 1 </solution>"]',
        *("task=hotpotqa", "task.sets.hotpotqa.path=pkg://codeact.sample/tasks/hotpotqa.jsonl"),
        *("turns=max2_p2", "search=wikipedia", f"search.url={wiki.url}", *more),
    )


@pytest.mark.usefixtures("local_sandbox")
def test_an_episode_that_search_fails_is_not_counted_and_owed(tmp_path: Path) -> None:
    down = Fault(status=429, headers={"Retry-After": "3600"})
    with threaded(FakeWiki([down])) as wiki:
        first = play(tmp_path, wiki, CELL, "limit=3")
        assert first.returncode == 1, first.stderr
        records = latest_records(tmp_path)
        assert [record.outcome.cause for record in records] == ["tool"] * 3
        assert all("HTTP 429" in record.outcome.error for record in records), records[0].outcome
        assert all("429" not in str(record.messages) for record in records)
        wiki.faults = [Fault(error="ratelimited"), None]
        asked = len(wiki.asked)
        again = play(tmp_path, wiki, CELL, "limit=3")
        assert again.returncode == 0, again.stderr
        assert len(wiki.asked) > asked
    for record in latest_records(tmp_path):
        assert record.outcome.cause is None
        assert record.turns[0].observation.startswith("Page: Kettle Bridge")


@pytest.mark.usefixtures("local_sandbox")
def test_a_cell_that_swallows_the_failure_does_not_hide_it(tmp_path: Path) -> None:
    with threaded(FakeWiki([Fault(status=404)])) as wiki:
        play(tmp_path, wiki, STUBBORN, "limit=1")
    (record,) = latest_records(tmp_path)
    assert record.outcome.cause == "tool"


@pytest.mark.usefixtures("local_sandbox")
def test_a_cells_time_that_search_has_used_up_is_not_the_policys(tmp_path: Path) -> None:
    with threaded(FakeWiki([Fault(status=503)])) as wiki:
        play(tmp_path, wiki, CELL, "limit=1", "executor.cell_seconds=2", "search.retries=99")
    (record,) = latest_records(tmp_path)
    assert record.outcome.cause == "tool"
    assert "ran out of time" in str(record.outcome.error)


@pytest.mark.usefixtures("local_sandbox")
def test_a_search_that_is_down_for_good_stops_the_run(tmp_path: Path) -> None:
    with threaded(FakeWiki([Fault(status=404)])) as wiki:
        done = play(tmp_path, wiki, CELL, "samples=20", "compute.concurrency=4")
        assert len(wiki.asked) <= 20 + 4 + 1
    assert done.returncode == 1
    assert "the tool's service does not work" in done.stderr
    assert "search.url" in done.stderr
