"""Several servers of one model: who gets which request, and what happens when one is gone."""

import asyncio
import subprocess
import sys
from collections import Counter

import pytest

from codeact.exceptions import ConfigError, ProviderFailure
from codeact.models import replicas as endpoints
from codeact.models.base import EpisodeKey, Request, Role
from codeact.models.openai.client import OpenAIClient
from codeact.models.openai.settings import OpenAISettings
from codeact.models.remote import client as remote_client
from codeact.models.replicas import CircuitBreaker, Endpoints
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.transports import CHOSEN

URLS = [f"http://127.0.0.1:{port}/v1" for port in (1, 2, 3)]


both = pytest.mark.usefixtures("each_transport")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_client, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(remote_client, "_LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(endpoints, "_FIRST_PAUSE", 0.1)
    monkeypatch.setattr(endpoints, "_LONGEST_PAUSE", 0.4)


def ask(task: int, turn: int = 0, sample: int = 0, role: Role = "policy") -> Request:
    messages = ({"role": "user", "content": f"{task}/{turn}"},)
    return Request(messages, (), EpisodeKey("t", str(task), sample), turn, role=role)


def client_of(*apis: FakeApi, **settings: object) -> OpenAIClient:
    urls = [api.base_url for api in apis]
    known = {"kind": "openai", "name": "m", "base_url": urls[0], "base_urls": urls[1:]}
    return OpenAIClient(
        OpenAISettings.model_validate({**known, "max_retries": 3, **CHOSEN, **settings})
    )


def members(urls: list[str] = URLS, *, affinity: bool = True) -> Endpoints:
    return Endpoints(urls, "completions", 8, affinity=affinity)


def tasks_of(api: FakeApi) -> set[str]:
    return {seen.body["messages"][0]["content"].split("/")[0] for seen in api.seen}


# Who gets what


def test_episodes_are_spread_evenly() -> None:
    taken = Counter(members().choose(ask(task)).base_url for task in range(3000))
    assert all(900 < count < 1100 for count in taken.values())


def test_the_order_of_the_addresses_does_not_matter() -> None:
    there, back = members(URLS), members(URLS[::-1])
    for task in range(50):
        assert there.choose(ask(task)).base_url == back.choose(ask(task)).base_url


def test_another_process_makes_the_same_choice() -> None:
    program = (
        "from tests.models.test_replicas import ask, members\n"
        "print([members().choose(ask(task)).base_url for task in range(40)])"
    )
    found = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert found.strip() == str([members().choose(ask(task)).base_url for task in range(40)])


def test_samples_and_roles_are_conversations_of_their_own() -> None:
    several = members()
    by_sample = {several.choose(ask(1, sample=sample)).base_url for sample in range(30)}
    by_role = Counter(
        several.choose(ask(task)) is several.choose(ask(task, role="feedback"))
        for task in range(50)
    )
    assert len(by_sample) == 3
    assert by_role[False] > 10


def test_one_server_less_moves_its_own_episodes_only() -> None:
    three, two = members(URLS), members(URLS[:2])
    for task in range(200):
        before = three.choose(ask(task)).base_url
        if before != URLS[2]:
            assert two.choose(ask(task)).base_url == before


@both
async def test_every_turn_of_an_episode_goes_to_the_same_server() -> None:
    async with FakeApi() as first, FakeApi() as second:
        client = client_of(first, second)
        for turn in range(4):
            await asyncio.gather(*(client.complete(ask(task, turn)) for task in range(20)))
        await client.close()
        assert first.count + second.count == 80
        assert tasks_of(first) | tasks_of(second) == set(map(str, range(20)))
        assert not tasks_of(first) & tasks_of(second)


@both
async def test_without_affinity_the_least_busy_server_is_asked() -> None:
    async with FakeApi([Reply(latency=0.3)]) as slow, FakeApi([Reply(latency=0.005)]) as quick:
        client = client_of(slow, quick, affinity=False)
        todo = iter(range(60))

        async def work() -> None:
            for task in todo:
                await client.complete(ask(task))

        await asyncio.gather(*(work() for _ in range(4)))
        await client.close()
        assert quick.count > 3 * slow.count


# The circuit breaker, on a clock of the test's own


def test_a_failure_or_two_may_be_chance() -> None:
    breaker = CircuitBreaker()
    assert not breaker.failed(0.0, for_certain=False)
    assert not breaker.failed(0.0, for_certain=False)
    breaker.succeeded()
    assert not breaker.failed(0.0, for_certain=False)
    assert breaker.admits(0.0)


def test_a_server_that_is_left_is_tried_by_one_request_after_growing_pauses() -> None:
    breaker = CircuitBreaker()
    assert breaker.failed(0.0, for_certain=True)
    pauses = []
    now = 0.0
    for _ in range(5):
        assert breaker.open_until is not None
        pauses.append(breaker.open_until - now)
        now = breaker.open_until
        assert breaker.admits(now)
        breaker.begin(now)
        assert not breaker.admits(now)
        assert breaker.failed(now, for_certain=False)
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.4, 0.4])


def test_failures_of_what_was_sent_before_do_not_lengthen_the_pause() -> None:
    breaker = CircuitBreaker()
    breaker.failed(0.0, for_certain=True)
    for _ in range(100):
        assert not breaker.failed(0.05, for_certain=True)
    assert breaker.open_until == pytest.approx(0.1)


def test_a_trial_that_was_called_off_is_no_verdict() -> None:
    breaker = CircuitBreaker()
    breaker.failed(0.0, for_certain=True)
    breaker.begin(0.2)
    breaker.abandoned()
    assert breaker.admits(0.2)


# Servers that fail


@both
async def test_a_refused_connection_goes_elsewhere_at_once_and_uses_up_no_retry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_client, "_FIRST_PAUSE", 1000.0)
    monkeypatch.setattr(remote_client, "_LONGEST_PAUSE", 1000.0)
    async with FakeApi() as up, FakeApi() as down:
        client = client_of(down, up, max_retries=0)
        await down.stop()
        answers = await asyncio.wait_for(
            asyncio.gather(*(client.complete(ask(task)) for task in range(20))), 100
        )
        await client.close()
    assert {answer.text for answer in answers} == {"ok"}
    assert any(answer.retries for answer in answers)


@both
async def test_a_server_that_comes_back_gets_its_episodes_back() -> None:
    async with FakeApi() as steady, FakeApi() as flaky:
        client = client_of(steady, flaky)
        port = int(flaky.base_url.split(":")[2].split("/")[0])
        theirs = [
            task
            for task in range(40)
            if members([steady.base_url, flaky.base_url]).choose(ask(task)).base_url
            == flaky.base_url
        ]
        await flaky.stop()
        await asyncio.gather(*(client.complete(ask(task)) for task in theirs))
        assert steady.count == len(theirs)
        assert [one.is_left_out for one in client.stats()] == [False, True]
        back = await FakeApi().start(port)
        try:
            while client.stats()[1].is_left_out:
                await asyncio.sleep(0.02)
                await client.complete(ask(theirs[0], turn=1))
            await asyncio.gather(*(client.complete(ask(task, turn=2)) for task in theirs))
        finally:
            await client.close()
            await back.stop()
        assert tasks_of(back) == set(map(str, theirs))


@both
@pytest.mark.parametrize(
    "fault", [Reply(status=500), Reply(hang="before"), Reply(cut=True)], ids=["500", "hang", "cut"]
)
async def test_a_server_that_keeps_failing_is_left(fault: Reply) -> None:
    async with FakeApi() as good, FakeApi([fault]) as bad:
        client = client_of(good, bad, timeout={"total": 1.0})
        answers = await asyncio.gather(*(client.complete(ask(task)) for task in range(30)))
        stats = client.stats()
        await client.close()
    assert len(answers) == 30
    assert stats[1].is_left_out
    assert stats[1].errors >= 3
    assert stats[0].answers == 30


@both
async def test_those_who_queue_for_a_server_that_goes_are_sent_elsewhere() -> None:
    async with FakeApi() as good, FakeApi([Reply(hang="before")]) as bad:
        client = client_of(good, bad, concurrency=3, timeout={"total": 0.5})
        answers = await asyncio.wait_for(
            asyncio.gather(*(client.complete(ask(task)) for task in range(100))), 100
        )
        await client.close()
        assert bad.count < 20
    assert len(answers) == 100


@both
async def test_all_down_is_retried_and_then_the_provider_s_fault() -> None:
    async with FakeApi() as first, FakeApi() as second:
        client = client_of(first, second, max_retries=2)
    with pytest.raises(ProviderFailure, match="gave no usable answer"):
        await client.complete(ask(1))
    await client.close()


@both
async def test_a_server_that_wants_to_rest_for_hours_leaves_its_work_to_the_others() -> None:
    tired = Reply(status=429, headers={"Retry-After": "7200"})
    async with FakeApi([tired]) as resting, FakeApi() as other:
        client = client_of(resting, other)
        answers = await asyncio.gather(*(client.complete(ask(task)) for task in range(20)))
        await client.close()
    assert len(answers) == 20


@both
async def test_each_server_has_its_own_limit() -> None:
    def reply(seen: Seen, number: int) -> Reply:
        return Reply(status=429) if small.in_flight >= 3 else Reply(latency=0.01)

    async with FakeApi(reply) as small, FakeApi([Reply(latency=0.01)]) as large:
        client = client_of(small, large, concurrency=40)
        await asyncio.gather(*(client.complete(ask(task)) for task in range(200)))
        tight, wide = client.stats()
        await client.close()
    assert tight.limit < 10
    assert wide.limit == 40
    assert wide.requests_per_second > 0


# Servers that are the wrong ones

HTML = Reply(body=b"<!doctype html><title>Hi</title>", headers={"Content-Type": "text/html"})
ABSENT = {
    "404": Reply(status=404, body=b'{"detail": "Not Found"}'),
    "401": Reply(status=401, text="no"),
    "403": Reply(status=403, text="no"),
    "page": HTML,
    "page 404": Reply(status=404, body=HTML.body, headers=HTML.headers),
    "wrong model": Reply(status=400, text="Invalid model name passed in model=m"),
    "redirect": Reply(status=307, headers={"Location": "/elsewhere"}),
    "no quota": Reply(
        status=429, body=b'{"error": {"message": "x", "code": "insufficient_quota"}}'
    ),
}


@both
@pytest.mark.parametrize("fault", ABSENT.values(), ids=ABSENT.keys())
async def test_a_server_that_says_not_here_is_left_and_told_of_once(
    fault: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeApi() as good, FakeApi([fault]) as bad:
        client = client_of(good, bad, max_retries=0, concurrency=4, probe=False)
        answers = await asyncio.gather(*(client.complete(ask(task)) for task in range(60)))
        stats = client.stats()
        await client.close()
        # No more than were under way when it first said so.
        assert 1 <= bad.count <= 4
    assert [answer.text for answer in answers] == ["ok"] * 60
    assert [one.is_left_out for one in stats] == [False, True]
    assert caplog.text.count("It is left out") == 1
    assert bad.base_url in caplog.text


@both
async def test_one_that_is_mended_gets_its_episodes_back_and_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(endpoints, "_FIRST_ABSENCE", 0.1)
    async with FakeApi() as good, FakeApi([ABSENT["401"], ABSENT["401"], "ok"]) as bad:
        client = client_of(good, bad, probe=False)
        tasks = iter(range(10_000))
        while client.stats()[1].answers < 3:
            await client.complete(ask(next(tasks)))
            await asyncio.sleep(0.005)
        await client.close()
        # Tried by single requests meanwhile.
        assert bad.count >= 5
    assert caplog.text.count("It is left out") == 1
    assert caplog.text.count("answers again") == 1


@both
async def test_where_all_are_the_wrong_ones_it_ends_at_once_and_names_each() -> None:
    async with FakeApi([ABSENT["401"]]) as first, FakeApi([ABSENT["404"]]) as second:
        client = client_of(first, second, max_retries=9, probe=False)
        with pytest.raises(ProviderFailure) as caught:
            await client.complete(ask(1))
        await client.close()
        assert (first.count, second.count) == (1, 1)
    for api, status in ((first, 401), (second, 404)):
        assert f"{api.base_url}/chat/completions refused the request with HTTP {status}" in str(
            caught.value
        )


@both
async def test_one_that_is_only_down_is_waited_for_where_the_other_is_the_wrong_one() -> None:
    async with FakeApi([ABSENT["404"]]) as wrong, FakeApi([Reply(status=503)] * 4 + ["ok"]) as sick:
        client = client_of(wrong, sick, max_retries=9, probe=False)
        answers = await asyncio.gather(*(client.complete(ask(task)) for task in range(10)))
        await client.close()
    assert {answer.text for answer in answers} == {"ok"}


@both
async def test_what_one_request_alone_is_refused_for_leaves_no_server() -> None:
    def reply(seen: Seen, number: int) -> Reply:
        odd = seen.body["messages"][0]["content"].startswith("7/")
        return Reply(status=400, text="this text offends me") if odd else Reply()

    async with FakeApi(reply) as first, FakeApi(reply) as second:
        client = client_of(first, second)
        ends = await asyncio.gather(
            *(client.complete(ask(task)) for task in range(20)), return_exceptions=True
        )
        stats = client.stats()
        await client.close()
    assert [isinstance(end, ProviderFailure) for end in ends].count(True) == 1
    assert not any(one.is_left_out for one in stats)


# Before the run


@both
async def test_a_wrong_address_among_right_ones_is_left_from_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeApi() as good, FakeApi() as bad:
        settings = {"base_urls": [bad.base_url.removesuffix("/v1")]}
        client = client_of(good, **settings)
        await client.check()
        await asyncio.gather(*(client.complete(ask(task)) for task in range(30)))
        await client.close()
        assert (good.count, bad.count) == (30, 0)
        assert bad.hits["/chat/completions"] == 0
    assert f"did you mean base_url={bad.base_url}?" in caplog.text


@both
@pytest.mark.parametrize("fault", ABSENT.values(), ids=ABSENT.keys())
async def test_servers_that_are_all_wrong_are_refused_each_by_name(fault: Reply) -> None:
    async with FakeApi([fault]) as first, FakeApi([fault]) as second:
        client = client_of(first, second)
        first.models = second.models = ("other",)
        with pytest.raises(ConfigError) as caught:
            await client.check()
    for api in (first, second):
        assert f"{api.base_url} does not list a model m; it has ['other']" in str(caught.value)
    assert "correct model.name" in str(caught.value)


@both
async def test_a_gateway_that_lists_nothing_or_not_all_is_taken_at_its_word() -> None:
    async with FakeApi() as api:
        for listed in (Reply(status=404), HTML, Reply(status=403, text="not yours to list")):
            api.models_reply = listed
            await client_of(api).check()
        assert api.count == 3
        assert api.seen[0].body["max_tokens"] == 1


@both
async def test_a_refused_key_at_one_of_two_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeApi() as good, FakeApi([ABSENT["401"]]) as bad:
        bad.models_status = 401
        client = client_of(good, bad)
        await client.check()
        await client.close()
    assert f"{bad.base_url}/models refused the request with HTTP 401" in caplog.text


@both
async def test_a_server_that_is_down_is_warned_of_while_another_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeApi() as up, FakeApi() as down:
        client = client_of(up, down)
        await down.stop()
        await client.check()
    assert f"{down.base_url} cannot be reached" in caplog.text
    assert f"{up.base_url} cannot be reached" not in caplog.text


@both
async def test_no_server_at_all_is_refused() -> None:
    async with FakeApi() as first, FakeApi() as second:
        client = client_of(first, second)
    with pytest.raises(ConfigError, match=r"cannot be reached.*cannot be reached.*Start the"):
        await client.check()


async def test_each_address_is_held_to_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    settings = OpenAISettings(
        kind="openai",
        name="m",
        base_url="http://127.0.0.1:1/v1",
        base_urls=["https://api.example.com/v1"],
        api_key_env="NO_SUCH_KEY",
    )
    with pytest.raises(ConfigError, match=r"NO_SUCH_KEY is not set.*example"):
        await OpenAIClient(settings).check()
    with pytest.raises(ValueError, match="holds no key"):
        OpenAISettings(
            kind="openai", name="m", base_url="http://h/v1", base_urls=["http://u:p@h/v1"]
        )
