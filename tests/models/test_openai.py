"""The OpenAI-compatible client against a real server on loopback that misbehaves on request."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import ValidationError

from codeact.episode.effects import Completion, Usage
from codeact.episode.messages import Message
from codeact.episode.protocol import POLICY_STOP, POLICY_STOP_PLAIN
from codeact.exceptions import ConfigError, ModelFailure, ProviderFailure
from codeact.models.base import EpisodeKey, Request
from codeact.models.openai.client import OpenAIClient
from codeact.models.openai.settings import OpenAISettings, SamplingSettings
from codeact.models.remote import client as remote_client
from codeact.web import proxy_of
from tests.helpers.fake_api import FakeApi, Reply
from tests.helpers.ports import free_port
from tests.helpers.transports import CHOSEN

KEY = EpisodeKey("gsm8k", "1")
HELLO: tuple[Message, ...] = ({"role": "user", "content": "Task:\nadd\n"},)
FULL = (
    "This model's maximum context length is 4097 tokens. However, you requested 4705 tokens "
    "(3681 in the messages, 1024 in the completion). Please reduce the length of the messages."
)


pytestmark = pytest.mark.usefixtures("each_transport")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_client, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(remote_client, "_LONGEST_PAUSE", 0.1)


def ask(messages=HELLO, **more) -> Request:
    return Request(**{"messages": messages, "stop": POLICY_STOP, "episode": KEY, "turn": 0, **more})


@contextlib.asynccontextmanager
async def client_of(base_url: str, **settings) -> AsyncIterator[OpenAIClient]:
    known = {"kind": "openai", "name": "m", "base_url": base_url, "max_retries": 2, **CHOSEN}
    client = OpenAISettings.model_validate({**known, **settings}).create()
    try:
        yield client
    finally:
        await client.close()


async def answer(replies, request: Request | None = None, **settings) -> Completion:
    async with FakeApi(replies) as api, client_of(api.base_url, **settings) as client:
        return await client.complete(request or ask())


async def sent(request: Request | None = None, **settings) -> dict:
    async with FakeApi() as api, client_of(api.base_url, **settings) as client:
        await client.complete(request or ask())
        return api.seen[0].body


# What is sent


async def test_a_chat_request_carries_messages_stop_seed_and_sampling():
    sampling = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 77, "extra": {"top_k": 5}}
    body = await sent(ask(seed=42), sampling=sampling)
    assert body == {
        "model": "m",
        "messages": list(HELLO),
        "stop": list(POLICY_STOP),
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 77,
        "seed": 42,
        "top_k": 5,
    }


async def test_a_server_that_refuses_seeds_gets_none():
    assert "seed" not in await sent(ask(seed=42), sampling={"seed": "none"})


async def test_the_seed_of_the_settings_is_used_when_the_request_has_none():
    assert (await sent(sampling={"seed": 3}))["seed"] == 3


async def test_no_more_stop_strings_are_sent_than_the_server_takes():
    body = await sent(ask(stop=POLICY_STOP_PLAIN), api="completion")
    assert body["stop"] == list(POLICY_STOP_PLAIN[:4])


async def test_plain_completion_renders_one_text_for_the_assistant_to_continue():
    messages: tuple[Message, ...] = (
        {"role": "user", "content": "Task:\nadd\n"},
        {"role": "assistant", "content": "<execute>1</execute>\n"},
        {"role": "user", "content": "Observation:\n1\n"},
    )
    body = await sent(ask(messages), api="completion")
    assert body["prompt"] == (
        "Task:\nadd\n\nAssistant:\n<execute>1</execute>\n\nObservation:\n1\n\nAssistant:"
    )


async def test_plain_completion_reads_the_text():
    assert (await answer(["yes"], api="completion")).text == "yes"


async def test_lone_surrogates_in_a_prompt_do_not_stop_the_request():
    body = await sent(ask(({"role": "user", "content": "a\ud800b é"},)))
    assert body["messages"][0]["content"] == "a�b é"


async def test_the_key_goes_out_as_a_bearer_token(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "top-secret\n")
    async with FakeApi() as api, client_of(api.base_url, api_key_env="SOME_KEY") as client:
        await client.complete(ask())
        assert api.seen[0].headers["Authorization"] == "Bearer top-secret"


async def test_no_more_requests_are_in_flight_than_allowed():
    replies = [Reply(latency=0.05)]
    async with FakeApi(replies) as api, client_of(api.base_url, concurrency=3) as client:
        await asyncio.gather(*(client.complete(ask()) for _ in range(12)))
        assert api.peak_in_flight == 3


# What comes back


async def test_usage_counts_cached_tokens():
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 8},
    }
    assert (await answer([Reply(usage=usage)])).usage == Usage(9, 2, 8)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": "many"}])
async def test_missing_usage_counts_as_nothing(usage):
    assert (await answer([Reply(usage=usage)])).usage == Usage()


async def test_missing_usage_is_logged_once(caplog):
    async with FakeApi([Reply(usage=None)]) as api, client_of(api.base_url) as client:
        await client.complete(ask())
        await client.complete(ask())
    assert caplog.text.count("reports no token usage") == 1


async def test_stop_strings_are_enforced_where_the_server_ignores_them():
    got = await answer([Reply(text="a\nTask: b\nObservation: c", finish_reason="length")])
    assert (got.text, got.finish_reason) == ("a", "stop")


@pytest.mark.parametrize(
    "reply",
    [Reply(text=None), Reply(text=None, tool_calls=[{"function": {"name": "f"}}]), Reply(text="")],
    ids=["null", "tool calls", "empty"],
)
async def test_no_text_is_an_empty_text(reply):
    assert (await answer([reply])).text == ""


async def test_a_megabyte_of_text_is_fine():
    text = "<execute>" * 120_000
    assert (await answer([text])).text == text


async def test_lone_surrogates_in_an_answer_are_replaced():
    body = b'{"choices": [{"message": {"content": "a\\ud800b \\ud83d\\ude00"}}]}'
    assert (await answer([Reply(body=body)])).text == "a�b 😀"


async def test_text_in_parts_is_joined():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = json.dumps({"choices": [{"message": {"content": parts}}]}).encode()
    assert (await answer([Reply(body=body)])).text == "ab"


# Faults that pass


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
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
async def test_a_fault_that_passes_is_retried_and_reported(fault):
    got = await answer([fault, "fine"], timeout={"total": 0.3})
    assert got.text == "fine"
    assert len(got.retries) == 1


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
async def test_a_fault_that_stays_is_the_provider_s(fault):
    with pytest.raises(ProviderFailure, match=r"127\.0\.0\.1.* in 2 attempts .*the last: \S+"):
        await answer([fault], timeout={"total": 0.3}, max_retries=1)


async def test_a_server_that_is_down_is_the_provider_s_fault():
    async with client_of(f"http://127.0.0.1:{free_port()}/v1", max_retries=1) as client:
        with pytest.raises(ProviderFailure, match=r"2 attempts.*[Cc]onnect"):
            await client.complete(ask())


async def test_retry_after_in_seconds_is_honoured():
    fault = Reply(status=429, headers={"Retry-After": "0.4"})
    assert (await answer([fault, "fine"])).seconds >= 0.4


async def test_retry_after_as_a_date_is_honoured():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    fault = Reply(status=503, headers={"Retry-After": date})
    assert (await answer([fault, "fine"])).seconds >= 0.9  # the header has whole seconds


async def test_a_retry_after_beyond_the_limit_ends_it_at_once():
    fault = Reply(status=429, headers={"Retry-After": "4000"})
    with pytest.raises(ProviderFailure, match=r"1 attempt .*asks to wait 4000 s"):
        await answer([fault, "fine"])


async def test_a_used_up_quota_is_not_retried():
    body = b'{"error": {"message": "no money", "code": "insufficient_quota"}}'
    with pytest.raises(ProviderFailure, match=r"quota is used up"):
        await answer([Reply(status=429, body=body), "fine"])


async def until_asked(api: FakeApi) -> None:
    """Wait until the first request is there."""
    while not api.count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_one_request_that_hangs_does_not_hold_up_the_others():
    def reply(seen, number):
        return Reply(hang="before") if number == 0 else Reply(text="fine")

    async with FakeApi(reply) as api, client_of(api.base_url, timeout={"total": 30.0}) as client:
        hanging = asyncio.create_task(client.complete(ask()))
        await until_asked(api)
        got = await asyncio.wait_for(client.complete(ask()), 20)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
    assert got.text == "fine"


async def test_a_storm_of_faults_loses_no_answer_and_mixes_none_up():
    dice = random.Random(4)
    faults = [
        *[Reply(status=429, headers={"Retry-After": "0"})] * 30,
        *[Reply(status=500)] * 10,
        *[Reply(hang="body")] * 2,
        *[Reply(cut=True)] * 2,
        *[None] * 56,
    ]

    def reply(seen, number):
        return dice.choice(faults) or seen.body["messages"][0]["content"]

    async def one(client: OpenAIClient, number: int) -> None:
        got = await client.complete(ask(({"role": "user", "content": str(number)},)))
        assert got.text == str(number)

    settings = {"timeout": {"total": 0.5}, "max_retries": 30, "concurrency": 50}
    async with FakeApi(reply) as api, client_of(api.base_url, **settings) as client:
        await asyncio.gather(*(one(client, number) for number in range(150)))
    assert api.count > 200


async def test_a_cancelled_request_gives_its_slot_back():
    replies = [Reply(hang="before"), "fine"]
    async with FakeApi(replies) as api, client_of(api.base_url, concurrency=1) as client:
        cancelled = asyncio.create_task(client.complete(ask()))
        await until_asked(api)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert (await asyncio.wait_for(client.complete(ask()), 20)).text == "fine"


# Faults that stay


async def test_a_full_context_is_the_model_s_failure_at_once():
    with pytest.raises(ModelFailure, match="no longer fits the context of m"):
        await answer([Reply(status=400, text=FULL), "fine"])


async def test_a_full_context_can_shrink_the_answer_instead():
    async with FakeApi([Reply(status=400, text=FULL), "fine"]) as api:
        async with client_of(api.base_url, overflow="shrink") as client:
            got = await client.complete(ask())
        assert [seen.body["max_tokens"] for seen in api.seen] == [1024, 4097 - 3681]
    assert got.retries == ("context full: asked again for 416 tokens",)


async def test_shrinking_ends_where_it_does_not_help():
    with pytest.raises(ModelFailure):
        await answer([Reply(status=400, text=FULL)], overflow="shrink")


async def test_max_tokens_beyond_the_whole_context_is_a_setting_to_correct():
    with pytest.raises(ProviderFailure, match=r"max_tokens=5000 .* lower sampling"):
        await answer([Reply(status=400, text=FULL)], sampling={"max_tokens": 5000})


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "name the variable of its key"),
        (404, "check the model's name, m"),
        (400, "check the model's"),
    ],
)
async def test_a_refusal_is_the_provider_s_at_once_with_advice(status, advice):
    with pytest.raises(ProviderFailure, match=f"HTTP {status}: no; .*{advice}"):
        await answer([Reply(status=status, text="no"), "fine"])


async def test_a_redirect_is_not_followed():
    fault = Reply(status=307, headers={"Location": "http://127.0.0.1:1/"})
    with pytest.raises(ProviderFailure, match="final address"):
        await answer([fault])


@pytest.mark.parametrize("status", [401, 500])
async def test_a_key_that_the_server_echoes_never_shows(monkeypatch, status):
    monkeypatch.setenv("SOME_KEY", "top-secret")
    with pytest.raises(ProviderFailure) as caught:
        await answer(
            [Reply(status=status, text="bad key: top-secret")],
            api_key_env="SOME_KEY",
            max_retries=0,
        )
    assert "top-secret" not in str(caught.value)
    assert "[key]" in str(caught.value)


async def test_a_server_s_words_are_bounded_and_printable():
    with pytest.raises(ProviderFailure) as caught:
        await answer([Reply(status=400, body=b"\x1b[31m" + b"x" * 10**6)])
    assert len(str(caught.value)) < 1000
    assert "\x1b" not in str(caught.value)


# Before the run


async def test_an_unset_key_is_refused_before_any_request(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    async with client_of("https://api.example.com/v1", api_key_env="NO_SUCH_KEY") as client:
        with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
            await client.check()
        with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
            await client.complete(ask())


async def test_a_loopback_server_needs_no_key(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    async with FakeApi() as api, client_of(api.base_url, api_key_env="NO_SUCH_KEY") as client:
        await client.check()
        await client.complete(ask())
        assert "Authorization" not in api.seen[0].headers


async def test_a_server_that_is_down_is_refused_before_the_run():
    async with client_of(f"http://127.0.0.1:{free_port()}/v1") as client:
        with pytest.raises(ConfigError, match=r"cannot be reached.*Start the server"):
            await client.check()


async def test_a_model_that_is_not_listed_is_warned_of(caplog):
    async with FakeApi() as api, client_of(api.base_url, name="mm") as client:
        await client.check()
    assert "does not list a model mm; it has ['m']" in caplog.text


async def test_a_client_that_was_checked_in_one_event_loop_works_in_another():
    async with FakeApi() as api, client_of(api.base_url) as client:
        await asyncio.to_thread(asyncio.run, client.check())
        assert (await client.complete(ask())).text == "ok"


async def test_a_check_disturbs_no_request_in_flight():
    async with FakeApi([Reply(latency=0.3)]) as api, client_of(api.base_url) as client:
        running = asyncio.create_task(client.complete(ask()))
        await asyncio.sleep(0.1)
        await client.check()
        assert (await running).retries == ()


async def test_a_refused_key_is_refused_before_the_run(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "top-secret")
    async with FakeApi() as api, client_of(api.base_url, api_key_env="SOME_KEY") as client:
        api.models_status = 401
        with pytest.raises(ConfigError, match="check the key in SOME_KEY"):
            await client.check()


@pytest.mark.parametrize("status", [404, 500])
async def test_a_server_that_cannot_list_its_models_is_let_pass(status):
    async with FakeApi() as api, client_of(api.base_url) as client:
        api.models_status = status
        await client.check()
        assert api.hits["/v1/models"] == 1


def test_proxies_come_from_the_environment_but_never_for_this_machine(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inner.example.com")
    assert proxy_of("https://api.example.com/v1") == "http://proxy:3128"
    assert proxy_of("http://api.example.com/v1") is None
    assert proxy_of("https://inner.example.com/v1") is None
    assert proxy_of("https://localhost/v1") is None
    monkeypatch.setenv("https_proxy", "proxy:3128")
    assert proxy_of("https://api.example.com/v1") == "http://proxy:3128"


@pytest.mark.parametrize(
    "url",
    ["http://user:pw@127.0.0.1/v1", "http://127.0.0.1/v1?key=pw", "127.0.0.1:8000", "ftp://h/v1"],
)
def test_an_address_with_secrets_or_without_scheme_is_refused(url):
    with pytest.raises(ValidationError) as caught:
        OpenAISettings(kind="openai", name="m", base_url=url)
    assert "pw" not in str(caught.value)


def test_a_key_in_place_of_a_variable_s_name_is_refused():
    with pytest.raises(ValidationError, match="not the key itself") as caught:
        OpenAISettings(kind="openai", name="m", base_url="http://h/v1", api_key_env="sk-12-secret")
    assert "secret" not in str(caught.value)


def test_extra_cannot_overwrite_what_codeact_sets():
    with pytest.raises(ValidationError, match="messages: set by codeact itself"):
        SamplingSettings(extra={"messages": []})
