"""What every API's client does with a server that misbehaves: both APIs, by either transport."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from codeact.episode.effects import Completion, Usage
from codeact.episode.messages import Message
from codeact.episode.protocol import POLICY_STOP
from codeact.exceptions import ConfigError, ModelFailure, ProviderFailure
from codeact.models.base import EpisodeKey, Request
from codeact.models.remote.client import RemoteClient
from tests.helpers.apis import APIS, Api
from tests.helpers.fake_api import FakeApi, Reply
from tests.helpers.ports import free_port

KEY = EpisodeKey("gsm8k", "1")
HELLO: tuple[Message, ...] = ({"role": "user", "content": "Task:\nadd\n"},)
FULL = (
    "This model's maximum context length is 4097 tokens. However, you requested 4705 tokens "
    "(3681 in the messages, 1024 in the completion). Please reduce the length of the messages."
)


pytestmark = pytest.mark.usefixtures("quick_retries")


def ask(messages=HELLO, **more) -> Request:
    return Request(**{"messages": messages, "stop": POLICY_STOP, "episode": KEY, "turn": 0, **more})


@contextlib.asynccontextmanager
async def client_of(api: Api, base_url: str, **settings) -> AsyncIterator[RemoteClient]:
    client = api.settings(base_url, **{"max_retries": 2, **settings}).create()
    try:
        yield client
    finally:
        await client.close()


async def answer(api: Api, replies, request: Request | None = None, **settings) -> Completion:
    async with api.server(replies) as server, client_of(api, server.base_url, **settings) as client:
        return await client.complete(request or ask())


def text_of(body: dict) -> str:
    """The text of a request's first message, which an API may have as a list of blocks."""
    content = body["messages"][0]["content"]
    return content if isinstance(content, str) else content[0]["text"]


async def sent(api: Api, request: Request | None = None, **settings) -> dict:
    async with api.server() as server, client_of(api, server.base_url, **settings) as client:
        await client.complete(request or ask())
        return server.seen[0].body


async def test_lone_surrogates_in_a_prompt_do_not_stop_the_request(each_api):
    body = await sent(each_api, ask(({"role": "user", "content": "a\ud800b é"},)))
    assert text_of(body) == "a�b é"


async def test_no_more_requests_are_in_flight_than_allowed(each_api):
    replies = [Reply(latency=0.05)]
    async with (
        each_api.server(replies) as api,
        client_of(each_api, api.base_url, concurrency=3) as client,
    ):
        await asyncio.gather(*(client.complete(ask()) for _ in range(12)))
        assert api.peak_in_flight == 3


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": "many"}])
async def test_missing_usage_counts_as_nothing(each_api, usage):
    assert (await answer(each_api, [Reply(usage=usage)])).usage == Usage()


async def test_missing_usage_is_logged_once(each_api, caplog):
    async with (
        each_api.server([Reply(usage=None)]) as api,
        client_of(each_api, api.base_url) as client,
    ):
        await client.complete(ask())
        await client.complete(ask())
    assert caplog.text.count("reports no token usage") == 1


async def test_stop_strings_are_enforced_where_the_server_ignores_them(each_api):
    got = await answer(each_api, [Reply(text="a\nTask: b\nObservation: c", finish_reason="length")])
    assert (got.text, got.finish_reason) == ("a", "stop")


async def test_a_megabyte_of_text_is_fine(each_api):
    text = "<execute>" * 120_000
    assert (await answer(each_api, [text])).text == text


PASSING = {
    "500": Reply(status=500, text="oops"),
    "503": Reply(status=503),
    "429": Reply(status=429, text="slow down"),
    "408": Reply(status=408),
    "hang": Reply(hang="before"),
    "hang mid-body": Reply(hang="body"),
    "cut mid-body": Reply(cut=True),
    "garbage": Reply(body=b"<html>"),
    "nothing": Reply(body=b""),
    "invalid UTF-8": Reply(body=b'{"choices": [{"message": {"content": "\xff"}}]}'),
    "no choices": Reply(body=b'{"choices": []}'),
    "no object": Reply(body=b"[1]"),
    "no message": Reply(body=b'{"choices": [{}]}'),
    "nested": Reply(body=b"[" * 100_000),
    "error in a 200": Reply(body=b'{"error": {"message": "overloaded"}}'),
    "no block": Reply(body=b'{"content": [1]}'),
    "block of no kind": Reply(body=b'{"content": [{"text": "a"}]}'),
    "another error in a 200": Reply(body=b'{"type": "error", "error": {"message": "overloaded"}}'),
    "529": Reply(status=529, text="Overloaded"),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
async def test_a_fault_that_passes_is_retried_and_reported(each_api, fault):
    got = await answer(each_api, [fault, "fine"], timeout={"total": 0.3 if fault.hang else 10.0})
    assert got.text == "fine"
    assert len(got.retries) == 1


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
async def test_a_fault_that_stays_is_the_provider_s(each_api, fault):
    with pytest.raises(ProviderFailure, match=r"127\.0\.0\.1.* in 2 attempts .*the last: \S+"):
        await answer(
            each_api, [fault], timeout={"total": 0.3 if fault.hang else 10.0}, max_retries=1
        )


async def test_a_server_that_is_down_is_the_provider_s_fault(each_api):
    async with client_of(each_api, f"http://127.0.0.1:{free_port()}/v1", max_retries=1) as client:
        with pytest.raises(ProviderFailure, match=r"2 attempts.*[Cc]onnect"):
            await client.complete(ask())


async def test_retry_after_in_seconds_is_honoured(each_api):
    fault = Reply(status=429, headers={"Retry-After": "0.4"})
    assert (await answer(each_api, [fault, "fine"])).seconds >= 0.4


async def test_retry_after_as_a_date_is_honoured():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    fault = Reply(status=503, headers={"Retry-After": date})
    assert (
        await answer(APIS["openai-lean"], [fault, "fine"])
    ).seconds >= 0.9  # the header has whole seconds


async def test_a_retry_after_beyond_the_limit_ends_it_at_once(each_api):
    fault = Reply(status=429, headers={"Retry-After": "4000"})
    with pytest.raises(ProviderFailure, match=r"1 attempt .*asks to wait 4000 s"):
        await answer(each_api, [fault, "fine"])


async def until_asked(api: FakeApi) -> None:
    """Wait until the first request is there."""
    while not api.count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_one_request_that_hangs_does_not_hold_up_the_others(each_api):
    def reply(seen, number):
        return Reply(hang="before") if number == 0 else Reply(text="fine")

    async with (
        each_api.server(reply) as api,
        client_of(each_api, api.base_url, timeout={"total": 30.0}) as client,
    ):
        hanging = asyncio.create_task(client.complete(ask()))
        await until_asked(api)
        got = await asyncio.wait_for(client.complete(ask()), 20)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
    assert got.text == "fine"


async def test_a_storm_of_faults_loses_no_answer_and_mixes_none_up(each_api):
    dice = random.Random(4)
    faults = [
        *[Reply(status=429, headers={"Retry-After": "0"})] * 30,
        *[Reply(status=500)] * 10,
        *[Reply(hang="body")] * 2,
        *[Reply(cut=True)] * 2,
        *[None] * 56,
    ]

    def reply(seen, number):
        return dice.choice(faults) or text_of(seen.body)

    async def one(client: RemoteClient, number: int) -> None:
        got = await client.complete(ask(({"role": "user", "content": str(number)},)))
        assert got.text == str(number)

    settings = {"timeout": {"total": 1.0}, "max_retries": 30, "concurrency": 50}
    async with (
        each_api.server(reply) as api,
        client_of(each_api, api.base_url, **settings) as client,
    ):
        await asyncio.gather(*(one(client, number) for number in range(60)))
    assert api.count > 80


async def test_a_cancelled_request_gives_its_slot_back(each_api):
    replies = [Reply(hang="before"), "fine"]
    async with (
        each_api.server(replies) as api,
        client_of(each_api, api.base_url, concurrency=1) as client,
    ):
        cancelled = asyncio.create_task(client.complete(ask()))
        await until_asked(api)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert (await asyncio.wait_for(client.complete(ask()), 20)).text == "fine"


async def test_a_full_context_is_the_model_s_failure_at_once(each_api):
    with pytest.raises(ModelFailure, match="no longer fits the context of m"):
        await answer(each_api, [Reply(status=400, text=FULL), "fine"])


async def test_a_full_context_can_shrink_the_answer_instead(each_api):
    async with each_api.server([Reply(status=400, text=FULL), "fine"]) as api:
        async with client_of(each_api, api.base_url, overflow="shrink") as client:
            got = await client.complete(ask())
        assert [seen.body["max_tokens"] for seen in api.seen] == [1024, 4097 - 3681]
    assert got.retries == ("context full: asked again for 416 tokens",)


async def test_shrinking_ends_where_it_does_not_help(each_api):
    with pytest.raises(ModelFailure):
        await answer(each_api, [Reply(status=400, text=FULL)], overflow="shrink")


async def test_max_tokens_beyond_the_whole_context_is_a_setting_to_correct(each_api):
    with pytest.raises(ProviderFailure, match=r"max_tokens=5000 .* lower sampling"):
        await answer(each_api, [Reply(status=400, text=FULL)], sampling={"max_tokens": 5000})


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "name the variable of its key"),
        (404, "check the model's name, m"),
        (400, "check the model's"),
    ],
)
async def test_a_refusal_is_the_provider_s_at_once_with_advice(each_api, status, advice):
    with pytest.raises(ProviderFailure, match=f"HTTP {status}: no; .*{advice}"):
        await answer(each_api, [Reply(status=status, text="no"), "fine"])


async def test_a_redirect_is_not_followed(each_api):
    fault = Reply(status=307, headers={"Location": "http://127.0.0.1:1/"})
    with pytest.raises(ProviderFailure, match="final address"):
        await answer(each_api, [fault])


@pytest.mark.parametrize("status", [401, 500])
async def test_a_key_that_the_server_echoes_never_shows(each_api, monkeypatch, status):
    monkeypatch.setenv("SOME_KEY", "top-secret")
    with pytest.raises(ProviderFailure) as caught:
        await answer(
            each_api,
            [Reply(status=status, text="bad key: top-secret")],
            api_key_env="SOME_KEY",
            max_retries=0,
        )
    assert "top-secret" not in str(caught.value)
    assert "[key]" in str(caught.value)


async def test_a_server_s_words_are_bounded_and_printable(each_api):
    with pytest.raises(ProviderFailure) as caught:
        await answer(each_api, [Reply(status=400, body=b"\x1b[31m" + b"x" * 10**6)])
    assert len(str(caught.value)) < 1000
    assert "\x1b" not in str(caught.value)


async def test_an_unset_key_is_refused_before_any_request(each_api, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    async with client_of(
        each_api, "https://api.example.com/v1", api_key_env="NO_SUCH_KEY"
    ) as client:
        with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
            await client.check()
        with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
            await client.complete(ask())


async def test_a_loopback_server_needs_no_key(each_api, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    async with (
        each_api.server() as api,
        client_of(each_api, api.base_url, api_key_env="NO_SUCH_KEY") as client,
    ):
        await client.check()
        await client.complete(ask())
        assert "Authorization" not in api.seen[0].headers


async def test_a_server_that_is_down_is_refused_before_the_run(each_api):
    async with client_of(each_api, f"http://127.0.0.1:{free_port()}/v1") as client:
        with pytest.raises(ConfigError, match=r"cannot be reached.*Start the server"):
            await client.check()


async def test_a_model_that_is_not_listed_is_warned_of(each_api, caplog):
    async with each_api.server() as api, client_of(each_api, api.base_url, name="mm") as client:
        await client.check()
    assert "does not list a model mm; it has ['m']" in caplog.text


async def test_a_client_that_was_checked_in_one_event_loop_works_in_another(each_api):
    async with each_api.server() as api, client_of(each_api, api.base_url) as client:
        await asyncio.to_thread(asyncio.run, client.check())
        assert (await client.complete(ask())).text == "ok"


async def test_a_check_disturbs_no_request_in_flight(each_api):
    async with (
        each_api.server([Reply(latency=0.3)]) as api,
        client_of(each_api, api.base_url) as client,
    ):
        running = asyncio.create_task(client.complete(ask()))
        await asyncio.sleep(0.1)
        await client.check()
        assert (await running).retries == ()


async def test_a_refused_key_is_refused_before_the_run(each_api, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "top-secret")
    async with (
        each_api.server() as api,
        client_of(each_api, api.base_url, api_key_env="SOME_KEY") as client,
    ):
        api.models_status = 401
        with pytest.raises(ConfigError, match="check the key in SOME_KEY"):
            await client.check()


@pytest.mark.parametrize("status", [404, 500])
async def test_a_server_that_cannot_list_its_models_is_let_pass(each_api, status):
    async with each_api.server() as api, client_of(each_api, api.base_url) as client:
        api.models_status = status
        await client.check()
        assert api.hits["/v1/models"] == 1
