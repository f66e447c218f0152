"""The exact tokens of an answer: what vLLM sends is read whole, and anything else is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from codeact.episode.tokens import unpack_ids, unpack_logprobs
from codeact.exceptions import ConfigError, ProviderFailure
from codeact.models.base import EpisodeKey, Request
from codeact.models.openai.settings import AzureSettings, OpenAISettings
from codeact.models.openai.tokens import ExactTokens, InvalidTokens
from codeact.models.vllm.settings import VllmSettings
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.toy_vllm import ToyVllm

REQUEST = Request(({"role": "user", "content": "?"},), (), EpisodeKey("t", "1"), 0)


def settings(**given: Any) -> OpenAISettings:
    base = {"kind": "openai", "name": "m", "base_url": "http://127.0.0.1:1/v1", "tokens": "exact"}
    return OpenAISettings.model_validate(base | given)


def answer(**changes: Any) -> dict[str, Any]:
    """An answer as vLLM 0.32 gives it; a change to None takes a field out."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": "hi"},
        "logprobs": {"content": [{"token": "h", "logprob": -0.25, "top_logprobs": []}] * 2},
        "finish_reason": "stop",
        "stop_reason": None,
        "token_ids": [71, 72],
    }
    whole = {"prompt_token_ids": [5, 6, 7], "choices": [choice], "usage": {"prompt_tokens": 3}}
    for name, value in changes.items():
        part = whole if name in whole else choice
        if value is None:
            del part[name]
        else:
            part[name] = value
    return whole


def body(**changes: Any) -> bytes:
    return json.dumps(answer(**changes)).encode()


def test_ids_and_log_probabilities_are_read() -> None:
    found = ExactTokens(settings()).read(body(), 0.5)
    assert unpack_ids(found.prompt) == [5, 6, 7]
    assert unpack_ids(found.sampled) == [71, 72]
    assert unpack_logprobs(found.logprobs, 2) == [-0.25, -0.25]
    assert (found.finish_reason, found.temperature, found.agrees) == ("stop", 0.5, None)


def test_an_answer_of_no_tokens_has_none() -> None:
    found = ExactTokens(settings()).read(body(token_ids=[], logprobs=None))
    assert (found.sampled, found.logprobs) == (b"", b"")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"prompt_token_ids": None}, "no prompt_token_ids: model.tokens=exact needs vLLM"),
        ({"prompt_token_ids": []}, "no prompt_token_ids"),
        ({"token_ids": None}, "no token_ids"),
        ({"logprobs": None}, "no logprobs"),
        ({"logprobs": {"content": None}}, "no logprobs"),
        ({"token_ids": [71]}, "2 log probabilities for 1 tokens"),
        ({"token_ids": [71, -1]}, r">= 0 - at `\$.choices\[0\].token_ids\[1\]`"),
        ({"token_ids": [71, 2**31]}, r"<= 2147483647 - at `\$.choices\[0\].token_ids"),
        ({"prompt_token_ids": [2**70]}, r"at `\$.prompt_token_ids\[0\]`"),
        ({"token_ids": [71, 1.5]}, "got `float`"),
        ({"token_ids": [71, "72"]}, "got `str`"),
        ({"token_ids": [71, True]}, "got `bool`"),
        ({"logprobs": {"content": [{"logprob": float("nan")}] * 2}}, "malformed"),
        ({"logprobs": {"content": [{"logprob": float("-inf")}] * 2}}, "malformed"),
        ({"logprobs": {"content": [{"logprob": None}] * 2}}, "got `null`"),
        ({"logprobs": {"content": [{"logprob": 0.5}] * 2}}, "0.5 is no log probability"),
        ({"choices": []}, "no choices"),
    ],
)
def test_tokens_that_cannot_be_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidTokens, match=why):
        ExactTokens(settings()).read(body(**changes))


def test_a_number_beyond_all_floats_is_refused() -> None:
    with pytest.raises(InvalidTokens, match="out of range"):
        ExactTokens(settings()).read(body().replace(b"-0.25", b"-1e999"))


def compared(tmp_path: Path, ids: list[int], **message: Any) -> bool | None:
    """Whether ids agree with a message, by a tokenizer of single bytes."""
    exact = ExactTokens(settings(tokenizer=str(tmp_path / "toy")))
    entries = {"content": [{"logprob": -1.0}] * len(ids)}
    content = body(token_ids=ids, logprobs=entries, message=message)
    return exact.read(content, stop=("\nObservation:",)).agrees


@pytest.mark.parametrize(
    ("written", "message", "agrees"),
    [
        ("hello", {"content": "hello"}, True),
        ("hello", {"content": "hell"}, False),
        ("hello", {"content": "hello!"}, False),
        ("hello\nObservation:", {"content": "hello"}, True),
        ("hello\nObservation:", {"content": "hell"}, False),
        ("h\u00e9", {"content": "h"}, False),
        ("", {"content": None}, True),
        ("<think>so</think>\n\nhello", {"reasoning": "so", "content": "\n\nhello"}, True),
        ("<think>so</think>\n\nhello", {"reasoning_content": "so", "content": "hello"}, True),
        ("<think>so</think>\n\nhello", {"reasoning": "no", "content": "hello"}, False),
        ("<think>so</think>\n\nhello", {"reasoning": "so", "content": "so"}, False),
        ("<call>f</call>", {"content": None, "tool_calls": [{"id": "1"}]}, None),
    ],
)
def test_texts_are_compared_with_their_ids(
    tmp_path: Path, written: str, message: dict[str, Any], agrees: bool | None
) -> None:
    toy = ToyVllm(tmp_path)
    assert compared(toy.folder.parent, toy.tokenizer.encode(written).ids, **message) is agrees


def test_half_a_character_at_the_end_is_no_difference(tmp_path: Path) -> None:
    toy = ToyVllm(tmp_path)
    ids = toy.tokenizer.encode("h\u00e9").ids
    assert compared(toy.folder.parent, ids[:-1], content="h") is True


def test_ids_beyond_the_vocabulary_are_refused(tmp_path: Path) -> None:
    toy = ToyVllm(tmp_path)
    with pytest.raises(InvalidTokens, match=r"token 999 is beyond the 260 of .*model\.tokenizer"):
        compared(toy.folder.parent, [999], content="h")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no tokenizer\.json; give the folder"):
        settings(tokenizer=str(tmp_path)).create()
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="is no tokenizer"):
        settings(tokenizer=str(tmp_path)).create()


@pytest.mark.parametrize("probe", [True, False])
async def test_one_of_two_servers_that_gives_no_tokens_is_left_out(probe: bool) -> None:
    async with FakeApi() as without, FakeApi([Reply(body=body())]) as exact:
        given = {"base_url": without.base_url, "base_urls": [exact.base_url], "probe": probe}
        client = settings(**given).create()
        await client.check()
        assert (await client.complete(REQUEST)).tokens is not None
        await client.close()
    assert [seen.body["max_tokens"] for seen in without.seen] == [1]


async def test_a_refusal_of_the_fields_is_told_with_what_to_do() -> None:
    words = "Unrecognized request argument supplied: return_token_ids"
    async with FakeApi([Reply(status=400, text=words)]) as api:
        client = settings(base_url=api.base_url).create()
        with pytest.raises(ConfigError, match=rf"{words}.*model\.tokens=null"):
            await client.check()
        await client.close()


async def test_an_answer_without_tokens_is_not_asked_for_again() -> None:
    def answer(seen: Seen, number: int) -> Reply:
        return Reply(body=body() if number == 0 else body(token_ids=None))

    async with FakeApi(answer) as api:
        client = settings(base_url=api.base_url).create()
        await client.check()
        with pytest.raises(ProviderFailure, match="gives no token_ids"):
            await client.complete(REQUEST)
        assert api.count == 2
        with pytest.raises(ProviderFailure, match="gives no token_ids"):
            await client.probe()
        await client.close()


def test_azure_gives_no_tokens() -> None:
    given = {"kind": "azure", "name": "m", "base_url": "https://m.openai.azure.com"}
    with pytest.raises(ValidationError, match="tokens"):
        AzureSettings.model_validate(given | {"tokens": "exact"})


def test_servers_of_our_own_are_asked_for_tokens_with_their_tokenizer(tmp_path: Path) -> None:
    folder = ToyVllm(tmp_path).folder
    given = {"kind": "vllm", "name": "m", "model": str(folder)}
    assert VllmSettings.model_validate(given).client(["http://a/v1"]).tokens is None
    found = VllmSettings.model_validate(given | {"tokens": "exact"}).client(["http://a/v1"])
    assert (found.tokens, found.tokenizer) == ("exact", str(folder))
    hub = VllmSettings.model_validate(given | {"tokens": "exact", "model": "org/name"})
    assert hub.client(["http://a/v1"]).tokenizer is None


def test_identities_without_the_setting_are_what_they_were() -> None:
    assert "tokens" not in settings(tokens=None).identity()
    assert settings().identity()["tokens"] == "exact"
    assert settings(tokenizer="a").identity() == settings().identity()
