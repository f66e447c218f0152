"""The OpenAI-compatible client against a real server on loopback that misbehaves on request."""

import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from pydantic import ValidationError

from codeact.episode.effects import Completion, Usage
from codeact.episode.messages import Message
from codeact.episode.protocol import POLICY_STOP, POLICY_STOP_PLAIN
from codeact.exceptions import ProviderFailure
from codeact.models.base import EpisodeKey, Request
from codeact.models.openai.client import OpenAIClient
from codeact.models.openai.settings import OpenAISettings, SamplingSettings
from codeact.web import proxy_of
from tests.helpers.fake_api import FakeApi, Reply
from tests.helpers.transports import CHOSEN

KEY = EpisodeKey("gsm8k", "1")
HELLO: tuple[Message, ...] = ({"role": "user", "content": "Task:\nadd\n"},)
FULL = (
    "This model's maximum context length is 4097 tokens. However, you requested 4705 tokens "
    "(3681 in the messages, 1024 in the completion). Please reduce the length of the messages."
)


pytestmark = pytest.mark.usefixtures("quick_retries", "each_transport")


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


async def test_the_key_goes_out_as_a_bearer_token(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "top-secret\n")
    async with FakeApi() as api, client_of(api.base_url, api_key_env="SOME_KEY") as client:
        await client.complete(ask())
        assert api.seen[0].headers["Authorization"] == "Bearer top-secret"


# What comes back


async def test_usage_counts_cached_tokens():
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 8},
    }
    assert (await answer([Reply(usage=usage)])).usage == Usage(9, 2, 8)


@pytest.mark.parametrize(
    "reply",
    [Reply(text=None), Reply(text=None, tool_calls=[{"function": {"name": "f"}}]), Reply(text="")],
    ids=["null", "tool calls", "empty"],
)
async def test_no_text_is_an_empty_text(reply):
    assert (await answer([reply])).text == ""


async def test_lone_surrogates_in_an_answer_are_replaced():
    body = b'{"choices": [{"message": {"content": "a\\ud800b \\ud83d\\ude00"}}]}'
    assert (await answer([Reply(body=body)])).text == "a�b 😀"


async def test_text_in_parts_is_joined():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = json.dumps({"choices": [{"message": {"content": parts}}]}).encode()
    assert (await answer([Reply(body=body)])).text == "ab"


# Faults that pass


async def test_a_used_up_quota_is_not_retried():
    body = b'{"error": {"message": "no money", "code": "insufficient_quota"}}'
    with pytest.raises(ProviderFailure, match=r"quota is used up"):
        await answer([Reply(status=429, body=body), "fine"])


# Faults that stay


# Before the run


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
