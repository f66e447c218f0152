"""The client of the Messages API against a server on loopback that speaks it."""

import contextlib
import itertools
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from codeact.episode.effects import Usage
from codeact.episode.messages import Message, ToolSchema, assistant_message
from codeact.episode.protocol import POLICY_STOP
from codeact.exceptions import ConfigError, ModelFailure, ModelUnavailable, ProviderFailure
from codeact.models.anthropic.settings import AnthropicSettings
from codeact.models.base import EpisodeKey, ModelClient, Request
from codeact.models.remote import client as remote_client
from tests.helpers.fake_anthropic import ClaudeReply, FakeAnthropic, error
from tests.helpers.fake_api import Reply

HELLO: tuple[Message, ...] = ({"role": "user", "content": "Task:\nadd\n"},)
ADD = ToolSchema("add", "Adds.", {"type": "object", "properties": {"a": {"type": "number"}}})
TAKE = ToolSchema("take", "Takes.", {"type": "object"})
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "EqoB/+=="}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}}
PRICES = {"prompt": 3.0, "completion": 15.0, "cached": 0.3, "cache_written": 3.75}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_client, "_FIRST_PAUSE", 0.01)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


def ask(messages: tuple[Message, ...] = HELLO, **more: Any) -> Request:
    return Request(messages, POLICY_STOP, EpisodeKey("t", "1"), 0, **more)


def settings_of(base_url: str, **given: Any) -> AnthropicSettings:
    known = {"kind": "anthropic", "name": "m", "base_url": base_url, "max_retries": 2}
    return AnthropicSettings.model_validate({**known, **given})


@contextlib.asynccontextmanager
async def client_of(base_url: str, **given: Any) -> AsyncIterator[ModelClient]:
    client = settings_of(base_url, **given).create()
    try:
        yield client
    finally:
        await client.close()


async def sent(request: Request | None = None, **given: Any) -> dict[str, Any]:
    async with FakeAnthropic() as api, client_of(api.base_url, **given) as client:
        await client.complete(request or ask())
        return api.seen[0].body


# What is sent


async def test_a_request_carries_messages_stop_strings_and_sampling() -> None:
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "max_tokens": 77}
    sampling |= {"extra": {"metadata": {"user_id": "u"}}}
    assert await sent(ask(seed=42), sampling=sampling, caching=None) == {
        "model": "m",
        "max_tokens": 77,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Task:\nadd\n"}]}],
        "stop_sequences": list(POLICY_STOP),
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "metadata": {"user_id": "u"},
    }


async def test_a_setting_left_to_the_server_is_not_sent() -> None:
    body = await sent(caching=None)
    assert body.keys() == {"model", "max_tokens", "messages", "stop_sequences"}


async def test_blank_stop_strings_are_enforced_here_alone() -> None:
    request = Request(HELLO, ("\n", "\nTask:"), EpisodeKey("t", "1"), 0)
    async with FakeAnthropic(["a\nb"]) as api, client_of(api.base_url) as client:
        assert (await client.complete(request)).text == "a"
        assert api.seen[0].body["stop_sequences"] == ["\nTask:"]


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ({}, None),
        ({"tool_choice": "any"}, {"type": "any"}),
        ({"tool_choice": "none", "parallel_tool_use": False}, {"type": "none"}),
        ({"tool_choice": "add"}, {"type": "tool", "name": "add"}),
        ({"parallel_tool_use": False}, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
async def test_functions_are_offered_with_the_choice_of_the_settings(
    given: dict[str, Any], choice: object
) -> None:
    body = await sent(ask(tools=(ADD,)), caching=None, **given)
    assert body["tools"] == [
        {"name": "add", "description": "Adds.", "input_schema": ADD.parameters}
    ]
    assert body.get("tool_choice") == choice
    assert "tool_choice" not in await sent(**given)


@pytest.mark.parametrize(
    ("given", "thinking", "output"),
    [
        ({"thinking": "adaptive", "effort": "low"}, {"type": "adaptive"}, {"effort": "low"}),
        ({"thinking": "disabled"}, {"type": "disabled"}, None),
        (
            {"thinking": "enabled", "budget": 2048, "display": "omitted"},
            {"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
            None,
        ),
        ({"effort": "max"}, None, {"effort": "max"}),
    ],
)
async def test_thinking_and_effort_are_sent_as_the_api_has_them(
    given: dict[str, Any], thinking: object, output: object
) -> None:
    body = await sent(reasoning=given, sampling={"max_tokens": 4096})
    assert body.get("thinking") == thinking
    assert body.get("output_config") == output


SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "json_schema", "schema": SCHEMA},
        {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
    ],
)
async def test_a_response_format_is_worded_as_this_api_does(wanted: dict[str, Any]) -> None:
    body = await sent(ask(response_format=wanted))
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}


async def test_a_response_format_that_the_api_lacks_fails_before_it_is_sent() -> None:
    async with FakeAnthropic() as api, client_of(api.base_url) as client:
        with pytest.raises(ProviderFailure, match=r"json_object.*only json_schema") as caught:
            await client.complete(ask(response_format={"type": "json_object"}))
        assert caught.value.final
        assert api.count == 0


@pytest.mark.parametrize("transport", ["lean", "sdk"])
async def test_key_version_and_betas_are_in_the_headers_and_no_one_else_s(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package reads the environment and profiles on disk by itself."""
    monkeypatch.setenv("SOME_KEY", "top-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "someone-else-s")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "someone-else-s")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    headers = "Authorization: Bearer someone-else-s\nx-api-key: someone-else-s"
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", headers)
    given = {"transport": transport, "betas": ["one-2025-01-01", "two-2025-01-01"]}
    async with FakeAnthropic() as api:
        for name in ("SOME_KEY", None):
            async with client_of(api.base_url, api_key_env=name, **given) as client:
                await client.complete(ask())
        with_key, without = (seen.headers for seen in api.seen)
    assert with_key["x-api-key"] == "top-secret"
    assert with_key["anthropic-version"] == "2023-06-01"
    assert with_key["anthropic-beta"] == "one-2025-01-01,two-2025-01-01"
    assert "x-api-key" not in without
    for seen in (with_key, without):
        assert "Authorization" not in seen
        assert "someone-else-s" not in str(seen)


async def test_both_transports_send_the_same_bytes() -> None:
    request = ask(({"role": "user", "content": "1 < 2 \ud800 \u2028 é"},), tools=(ADD,))
    async with FakeAnthropic() as api:
        for transport in ("lean", "sdk"):
            async with client_of(api.base_url, transport=transport) as client:
                await client.complete(request)
        one, other = api.seen
    assert (one.content, one.path, one.query) == (other.content, other.path, other.query)
    assert one.headers["Content-Type"] == other.headers["Content-Type"] == "application/json"


# Thoughts and the prompt cache, turn by turn


async def played(turns: int, api: FakeAnthropic, **given: Any) -> list[Usage]:
    """A conversation with a call in each turn; the tokens of each request."""
    system: Message = {"role": "system", "content": "You add numbers. " * 20}
    messages: tuple[Message, ...] = (system, *HELLO)
    usages = []
    async with client_of(api.base_url, **given) as client:
        for _ in range(turns):
            answer = await client.complete(ask(messages, tools=(ADD, TAKE)))
            usages.append(answer.usage)
            results: list[Message] = [
                {"role": "tool", "content": "2", "tool_call_id": call["id"]}
                for call in answer.tool_calls
            ]
            messages = (*messages, assistant_message(answer, answer.text), *results)
    return usages


def blocks_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    content = [block for message in body["messages"] for block in message["content"]]
    return [*body.get("tools", []), *body.get("system", []), *content]


def bare(blocks: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(b | {"cache_control": None}).encode() for b in blocks]


def calls_of(seen: Any, number: int) -> ClaudeReply:
    """Thoughts and 25 calls: more than the blocks in front of a breakpoint that are looked up."""
    calls = [{**CALL, "id": f"toolu_{number}_{place}"} for place in range(25)]
    return ClaudeReply(blocks=[THOUGHT, *calls], stop_reason="tool_use", thinking_tokens=5)


async def test_each_request_reads_what_the_one_before_it_wrote() -> None:
    async with FakeAnthropic(calls_of) as api:
        usages = await played(4, api)
        bodies = [seen.body for seen in api.seen]
    for before, after in itertools.pairwise(usages):
        assert after.cached == before.prompt
        assert after.prompt == after.cached + after.cache_written
    assert usages[0] == Usage(usages[0].prompt, 7, 0, 5, usages[0].prompt)
    for before, after in itertools.pairwise(bodies):
        assert bare(blocks_of(after))[: len(blocks_of(before))] == bare(blocks_of(before))
    marked = [[b for b in blocks_of(body) if "cache_control" in b] for body in bodies]
    assert [len(one) for one in marked] == [3, 4, 4, 4]
    assert {json.dumps(b["cache_control"]) for one in marked for b in one} == {
        '{"type": "ephemeral"}'
    }


async def test_another_episode_reads_tools_and_system_alone() -> None:
    async with FakeAnthropic() as api:
        (first,) = await played(1, api)
        async with client_of(api.base_url) as client:
            system: Message = {"role": "system", "content": "You add numbers. " * 20}
            other: Message = {"role": "user", "content": "Another task"}
            answer = await client.complete(ask((system, other), tools=(ADD, TAKE)))
        shared = [*api.seen[1].body["tools"], *api.seen[1].body["system"]]
    size = sum(
        len(json.dumps(b | {"cache_control": 0})) - len(', "cache_control": 0') for b in shared
    )
    assert answer.usage.cached == size < first.prompt


@pytest.mark.parametrize(
    ("caching", "control"), [("1h", {"type": "ephemeral", "ttl": "1h"}), (None, None)]
)
async def test_the_setting_says_how_long_a_prefix_is_kept(caching: Any, control: object) -> None:
    async with FakeAnthropic() as api:
        (usage,) = await played(1, api, caching=caching)
        found = [b["cache_control"] for b in blocks_of(api.seen[0].body) if "cache_control" in b]
    assert found == ([control] * 3 if control else [])
    assert usage.cache_written == (usage.prompt if control else 0)


async def test_costs_are_those_of_the_cache_to_the_cent() -> None:
    usage = {
        "input_tokens": 1_000_000,
        "cache_read_input_tokens": 2_000_000,
        "cache_creation_input_tokens": 4_000_000,
        "output_tokens": 100_000,
    }
    replies = [Reply(usage=usage)]
    async with FakeAnthropic(replies) as api, client_of(api.base_url, prices=PRICES) as client:
        got = await client.complete(ask())
    assert got.usage.prompt == 7_000_000
    assert got.cost == pytest.approx(3.0 + 0.6 + 15.0 + 1.5, abs=1e-9)


# Failures


async def test_an_overloaded_server_is_asked_less_and_not_left_out() -> None:
    replies = [*[Reply(status=529, text="Overloaded")] * 2, "fine"]
    async with FakeAnthropic(replies) as api, client_of(api.base_url, max_retries=4) as client:
        got = await client.complete(ask())
        (stats,) = client.stats()  # type: ignore[attr-defined]
    assert got.retries == ("HTTP 529: Overloaded",) * 2
    assert (stats.refused, stats.errors, stats.is_left_out) == (2, 0, False)


@pytest.mark.parametrize("name", ["requests", "tokens", "input-tokens", "output-tokens"])
async def test_a_limit_that_is_used_up_is_waited_for(name: str) -> None:
    reset = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    limit = f"anthropic-ratelimit-{name}"
    headers = {f"{limit}-remaining": "0", f"{limit}-reset": reset}
    refused = Reply(status=429, text="Number of tokens has exceeded", headers=headers)
    async with FakeAnthropic([refused, "fine"]) as api, client_of(api.base_url) as client:
        got = await client.complete(ask())
    assert got.seconds >= 0.4


async def test_a_prompt_that_is_too_long_is_the_model_s_failure() -> None:
    said = Reply(status=400, text="prompt is too long: 210000 tokens > 200000 maximum")
    async with FakeAnthropic([said]) as api, client_of(api.base_url) as client:
        with pytest.raises(ModelFailure, match="no longer fits the context of m: prompt is too"):
            await client.complete(ask())
        assert api.count == 1


FULL = "input length and `max_tokens` exceed context limit: {} + 4096 > 200000, decrease"


async def test_an_answer_can_shrink_to_what_is_left() -> None:
    replies = [Reply(status=400, text=FULL.format(198_000)), "fine"]
    given = {"overflow": "shrink", "sampling": {"max_tokens": 4096}}
    async with FakeAnthropic(replies) as api, client_of(api.base_url, **given) as client:
        await client.complete(ask())
        assert [seen.body["max_tokens"] for seen in api.seen] == [4096, 2000]


async def test_an_answer_does_not_shrink_below_what_thinking_takes() -> None:
    given = {"overflow": "shrink", "sampling": {"max_tokens": 4096}}
    given["reasoning"] = {"thinking": "enabled", "budget": 2048}
    replies = [Reply(status=400, text=FULL.format(198_000)), "fine"]
    async with FakeAnthropic(replies) as api, client_of(api.base_url, **given) as client:
        with pytest.raises(ModelFailure, match=r"leaves 2000 tokens .*reasoning.budget=2048"):
            await client.complete(ask())


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [
        (401, "invalid x-api-key", "check the key in ANTHROPIC_API_KEY"),
        (403, "no permission", "see what that key gives access to"),
        (404, "model: m", "check the model's name, m"),
        (400, "Your credit balance is too low to access the Anthropic API.", "quota is used up"),
        (402, "billing", "quota is used up"),
        (400, "temperature is deprecated for this model", r"\(name, base_url, sampling\)"),
    ],
)
async def test_a_refusal_says_at_once_what_to_check(status: int, message: str, advice: str) -> None:
    async with FakeAnthropic([Reply(status=status, text=message)]) as api:
        async with client_of(api.base_url) as client:
            with pytest.raises(ProviderFailure, match=f"HTTP {status}: {message}.*{advice}"):
                await client.complete(ask())
        assert api.count == 1


async def test_too_many_bytes_for_the_api_are_the_model_s_failure() -> None:
    body = error("Request exceeds the maximum size", "request_too_large")
    replies = [Reply(status=413, body=body)]
    async with FakeAnthropic(replies) as api, client_of(api.base_url) as client:
        with pytest.raises(ModelFailure, match="no longer fits"):
            await client.complete(ask())


# Before the run


@pytest.mark.parametrize(
    ("name", "listed", "told"),
    [
        ("claude-x-5", ["claude-x-5"], None),
        ("claude-x-5", ["claude-y", "claude-x-5-20260101", "claude-x-5-20250101"], None),
        ("claude-x-5", ["claude-x-5-mini"], "does not list a model claude-x-5"),
    ],
)
async def test_a_model_may_be_listed_with_its_date(
    name: str, listed: list[str], told: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeAnthropic() as api, client_of(api.base_url, name=name) as client:
        api.models = listed
        await client.check()
        assert api.count == (told is not None)
    assert (told or "") in caplog.text
    assert bool(caplog.text) is (told is not None)


async def test_a_wrong_key_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "wrong")
    async with FakeAnthropic() as api, client_of(api.base_url) as client:
        api.models_reply = Reply(
            status=401, body=error("invalid x-api-key", "authentication_error")
        )
        with pytest.raises(ConfigError, match="check the key in ANTHROPIC_API_KEY"):
            await client.check()


async def test_an_address_without_its_version_is_named() -> None:
    async with FakeAnthropic() as api, client_of(api.base_url.removesuffix("/v1")) as client:
        with pytest.raises(ConfigError, match=r"did you mean base_url=http://127\S*/v1\?"):
            await client.check()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"reasoning": {"thinking": "enabled"}}, "reasoning.budget=TOKENS go together"),
        ({"reasoning": {"budget": 2048}}, "reasoning.budget=TOKENS go together"),
        ({"reasoning": {"thinking": "enabled", "budget": 1024}}, "raise max_tokens"),
        ({"reasoning": {"thinking": "enabled", "budget": 500}}, "greater than or equal to 1024"),
        ({"reasoning": {"display": "omitted"}}, "needs reasoning.thinking"),
        (
            {"reasoning": {"thinking": "adaptive"}, "sampling": {"temperature": 0.0}},
            "neither sampling.temperature",
        ),
        ({"reasoning": {"thinking": "adaptive"}, "tool_choice": "any"}, "only auto or none"),
        ({"prices": {"prompt": 3.0, "completion": 15.0}}, "prices.cache_written"),
        ({"prices": {**PRICES, "cached": None}}, "prices.cached"),
        ({"betas": ["a,b"]}, "cannot be the name of a beta"),
        ({"sampling": {"extra": {"tools": []}}}, "set by codeact itself"),
        ({"sampling": {"max_tokens": None}}, "max_tokens"),
        ({"sampling": {"seed": 3}}, "seed"),
    ],
)
def test_what_the_api_would_refuse_is_refused_at_once(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        settings_of("http://127.0.0.1:1/v1", **given)


def test_prices_without_a_cache_need_none_for_it() -> None:
    prices = {"prompt": 3.0, "completion": 15.0}
    assert settings_of("http://h/v1", prices=prices, caching=None).prices is not None


def test_how_a_request_is_carried_out_is_no_part_of_what_an_experiment_is() -> None:
    one = settings_of("http://h/v1", transport="sdk", caching="5m", prices=PRICES)
    other = settings_of("http://i/v1", transport="lean", caching=None)
    assert one.identity() == other.identity()
    assert one.identity()["kind"] == "anthropic"
    thinking = settings_of("http://h/v1", reasoning={"thinking": "adaptive"})
    assert thinking.identity() != one.identity()


WITHOUT = """
import sys
sys.modules["anthropic"] = None
sys.argv = ["codeact", *sys.argv[1:]]
from codeact.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("transport", ["sdk", "lean"])
def test_without_the_package_a_run_says_what_to_install(transport: str, tmp_path: Path) -> None:
    words = ["run", "model=anthropic", "model.name=m", "model.base_url=http://127.0.0.1:9/v1"]
    words += [f"model.transport={transport}", "task=sample", f"run_dir={tmp_path / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert not (tmp_path / "run").exists()
    missing = "pip install 'codeact[anthropic]'" in done.stderr
    assert missing is (transport == "sdk")
    assert missing or "127.0.0.1:9/v1 cannot be reached" in done.stderr


def test_a_client_without_the_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codeact.models.anthropic.settings.find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match=r"codeact\[anthropic\]"):
        settings_of("http://127.0.0.1:1/v1", transport="sdk").create()
