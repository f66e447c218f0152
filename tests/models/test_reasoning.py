"""Reasoning over the OpenAI wire: read in every spelling, and sent back as the settings say."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from codeact.episode.effects import Completion
from codeact.episode.messages import Message
from codeact.models.base import EpisodeKey, Request
from codeact.models.openai.client import OpenAIClient
from codeact.models.openai.reasoning import split_think
from codeact.models.openai.settings import OpenAISettings
from codeact.models.vllm.settings import VllmSettings
from tests.helpers.fake_api import FakeApi, Reply
from tests.helpers.transports import CHOSEN

DETAILS = [{"type": "reasoning.encrypted", "data": "aGk=", "index": 0}, {"odd": [1.5, None]}]
TASK: Message = {"role": "user", "content": "Task:\nadd\n"}


@contextlib.asynccontextmanager
async def client_of(api: FakeApi, **reasoning: object) -> AsyncIterator[OpenAIClient]:
    settings = {"kind": "openai", "name": "m", "base_url": api.base_url, "reasoning": reasoning}
    client = OpenAISettings.model_validate({**settings, **CHOSEN}).create()
    try:
        yield client
    finally:
        await client.close()


def request(*messages: Message, turn: int = 0) -> Request:
    return Request(messages or (TASK,), ("\nObservation:",), EpisodeKey("gsm8k", "1"), turn)


async def answer(message: dict[str, Any], text: str | None = "ok", **reasoning) -> Completion:
    reply = Reply(text=text, message=message)
    async with FakeApi([reply]) as api, client_of(api, **reasoning) as client:
        return await client.complete(request())


@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_reasoning_is_read_apart_from_the_text_in_either_spelling(name):
    found = await answer({name: "Let me <execute> see. </execute>"})
    assert (found.text, found.reasoning) == ("ok", "Let me <execute> see. </execute>")


@pytest.mark.parametrize(
    ("message", "reasoning"),
    [
        ({"reasoning": "a", "reasoning_content": "a"}, "a"),
        ({"reasoning": "first", "reasoning_content": "second"}, "first\nsecond"),
        ({"reasoning": "the whole", "reasoning_content": "whole"}, "the whole"),
        ({"reasoning": None, "reasoning_content": "b"}, "b"),
        ({"reasoning": None}, None),
        ({"reasoning": ""}, None),
        ({"reasoning": [{"type": "text", "text": "a"}, "b", {"thinking": "c"}]}, "abc"),
        ({"reasoning": {"content": [{"text": "deep"}]}}, "deep"),
        ({"reasoning": 7}, None),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "only there"}]}, "only there"),
        ({"reasoning_details": "no list", "reasoning": "a"}, "a"),
        ({"reasoning": "a\ud800b"}, "a�b"),
    ],
)
async def test_every_form_of_reasoning_is_read_or_is_none(message, reasoning):
    found = await answer(message)
    assert (found.text, found.reasoning) == ("ok", reasoning)


async def test_reasoning_without_content_is_an_empty_text():
    found = await answer({"reasoning": "all of it", "content": None})
    assert (found.text, found.reasoning) == ("", "all of it")


async def test_parts_of_a_content_that_are_thoughts_are_reasoning():
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    found = await answer({"content": [thought, {"type": "text", "text": "yes"}]})
    assert (found.text, found.reasoning) == ("yes", "hm")


async def test_lists_in_lists_end_in_no_error():
    deep: Any = "text"
    for _ in range(400):
        deep = [deep]
    assert (await answer({"reasoning": deep})).reasoning is None


async def test_details_are_kept_as_they_came_but_for_what_no_record_can_hold():
    body = (
        '{"choices": [{"message": {"content": "ok", "reasoning_details": '
        '[{"data": "\\ud83d\\ude00 \\udc00", "n": NaN, "big": 1e999}]}}]}'
    )
    async with FakeApi([Reply(body=body.encode())]) as api, client_of(api) as client:
        found = await client.complete(request())
    assert found.reasoning_details == ({"data": "😀 �", "n": None, "big": None},)


# Tags


@pytest.mark.parametrize(
    ("text", "thoughts", "rest"),
    [
        ("<think>a</think>b", "a", "b"),
        ("\n <think>\na\n</think>\n\nb", "\na\n", "\n\nb"),
        ("a</think>b", "a", "b"),  # the prompt opened it
        ("<think>never closed <execute>1</execute>", "never closed <execute>1</execute>", ""),
        ("<think>a</think>b\n<think>c</think>d", "a\nc", "b\nd"),
        ("<think>a</think><think>b</think>c", "a\nb", "c"),
        ("<think>\n\n</think>b", "", "b"),
        ("no tags", "", "no tags"),
        ('<execute>print("<think>x")</execute>', "", '<execute>print("<think>x")</execute>'),
        ("b\n<think>late", "late", "b\n"),
        ("<think>a <think> b</think> c</think> d", "a <think> b", " c</think> d"),
        ("", "", ""),
    ],
)
def test_text_between_think_tags_is_split_off(text, thoughts, rest):
    assert split_think(text) == (thoughts, rest)


@pytest.mark.parametrize("unit", ["<think>", "x<think>", "</think>", "<think></think>", "\n "])
def test_a_megabyte_of_tags_is_split_at_once(unit):
    thoughts, rest = split_think(unit * (1_000_000 // len(unit)))
    assert len(thoughts) + len(rest) <= 1_000_000


async def test_tags_are_split_off_only_when_told():
    text = "<think>a</think><execute>1</execute>"
    kept = await answer({}, text)
    split = await answer({}, text, tags="think")
    assert (kept.text, kept.reasoning) == (text, None)
    assert (split.text, split.reasoning) == ("<execute>1</execute>", "a")


async def test_stop_strings_cut_what_follows_the_tags_and_not_the_reasoning():
    found = await answer({}, "<think>a\nObservation: b</think>c\nObservation: d", tags="think")
    assert (found.text, found.reasoning, found.cut) == ("c", "a\nObservation: b", True)


async def test_tags_beside_a_field_are_read_too():
    found = await answer({"reasoning": "apart"}, "<think>inside</think>c", tags="think")
    assert (found.text, found.reasoning) == ("c", "apart\ninside")


# What is sent back


def turns(*thoughts: str | None) -> tuple[Message, ...]:
    messages: list[Message] = [TASK]
    for number, thought in enumerate(thoughts):
        message: Message = {"role": "assistant", "content": f"text {number}\n"}
        if thought is not None:
            message |= {"reasoning": thought, "reasoning_details": DETAILS}
        messages += [message, {"role": "user", "content": f"Observation:\n{number}\n"}]
    return tuple(messages)


async def sent(messages: tuple[Message, ...], **reasoning: object) -> list[dict[str, Any]]:
    async with FakeApi() as api, client_of(api, **reasoning) as client:
        await client.complete(request(*messages))
        return api.seen[0].body["messages"]


def thoughts_in(messages: list[dict[str, Any]], name: str) -> list[str | None]:
    return [one.get(name) for one in messages if one["role"] == "assistant"]


@pytest.mark.parametrize(
    ("history", "there"),
    [("drop", [None, None, None]), ("keep", ["a", "b", "c"]), ("last", [None, None, "c"])],
)
async def test_history_decides_which_turns_reasoning_is_sent(history, there):
    messages = await sent(turns("a", "b", "c"), history=history)
    assert thoughts_in(messages, "reasoning_content") == there
    details = thoughts_in(messages, "reasoning_details")
    assert details == [DETAILS if thought else None for thought in there]
    assert [one["content"] for one in messages] == [m["content"] for m in turns("a", "b", "c")]


async def test_the_last_message_s_reasoning_is_none_if_it_has_none():
    messages = await sent(turns("a", None), history="last")
    assert thoughts_in(messages, "reasoning_content") == [None, None]


async def test_dropped_reasoning_leaves_the_bytes_of_a_request_as_they_were():
    without = tuple({"role": m["role"], "content": m["content"]} for m in turns("a", "b"))
    bodies = []
    for messages in (turns("a", "b"), without):
        async with FakeApi() as api, client_of(api) as client:
            await client.complete(request(*messages))
            bodies.append(api.seen[0].content)
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_reasoning_goes_back_in_the_spelling_of_the_server(name):
    replies = [Reply(message={name: "a"}), "no reasoning", "ok"]
    async with FakeApi(replies) as api, client_of(api, history="keep") as client:
        for _ in range(3):
            await client.complete(request(*turns("a")))
        assert [name in seen.body["messages"][1] for seen in api.seen[1:]] == [True, True]


async def test_the_setting_s_spelling_wins():
    messages = await sent(turns("a"), history="keep", spelling="reasoning")
    assert thoughts_in(messages, "reasoning") == ["a"]
    assert thoughts_in(messages, "reasoning_content") == [None]


async def test_reasoning_between_tags_goes_back_into_the_text():
    text = "<think>\nlong\n</think>\n\ntext 0\n"
    async with FakeApi([text]) as api, client_of(api, history="keep", tags="think") as client:
        found = await client.complete(request())
        message: Message = {"role": "assistant", "content": found.text}
        assert found.reasoning is not None
        message["reasoning"] = found.reasoning
        await client.complete(request(TASK, message, {"role": "user", "content": "go on"}))
        assert api.seen[1].body["messages"][1] == {"role": "assistant", "content": text}


async def test_effort_and_the_other_name_of_the_length_are_sent_when_set():
    async with FakeApi() as api:
        settings = OpenAISettings(
            kind="openai",
            name="m",
            base_url=api.base_url,
            length_key="max_completion_tokens",
            reasoning={"effort": "low"},
        )
        client = settings.create()
        await client.complete(request())
        await client.close()
        body = api.seen[0].body
    assert body["reasoning_effort"] == "low"
    assert body["max_completion_tokens"] == 1024
    assert "max_tokens" not in body


# Settings


def of(**reasoning: object) -> OpenAISettings:
    known = {"kind": "openai", "name": "m", "base_url": "http://127.0.0.1/v1"}
    return OpenAISettings.model_validate({**known, "reasoning": reasoning})


def test_only_what_changes_the_answers_belongs_to_the_identity():
    assert "reasoning" not in of().identity()
    assert "reasoning" not in of(spelling="reasoning").identity()
    assert "length_key" not in of().identity()
    for name, value in {"history": "keep", "tags": "think", "effort": "high"}.items():
        assert of(**{name: value}).identity()["reasoning"] == {name: value}


def test_vllm_s_settings_hand_reasoning_on_and_pass_its_parser_as_a_flag():
    known = {"kind": "vllm", "model": "m", "name": "m"}
    settings = VllmSettings.model_validate(
        {**known, "args": {"reasoning_parser": "qwen3"}, "reasoning": {"history": "keep"}}
    )
    assert "--reasoning-parser qwen3" in " ".join(settings.command())
    client = settings.client(["http://127.0.0.1:1/v1"])
    assert (client.reasoning.history, client.reasoning.spelling) == ("keep", "reasoning")
    plain = VllmSettings.model_validate(known)
    assert "reasoning" not in plain.identity()
    assert settings.identity()["args"] == {"reasoning-parser": "qwen3"}


def test_one_text_has_no_place_for_reasoning():
    with pytest.raises(ValidationError, match=r"reasoning\.history=keep has no place in api=compl"):
        OpenAISettings.model_validate(
            {**of(history="keep").model_dump(exclude_unset=True), "api": "completion"}
        )


async def test_what_came_is_written_into_a_cache_and_read_again_the_same(tmp_path):
    from codeact.models.cache import CachedModel, ResponseStore

    reply = Reply(
        message={
            "reasoning": "a",
            "reasoning_details": DETAILS,
            "tool_calls": [{"function": {"name": "f", "arguments": "{broken"}}],
        }
    )
    async with FakeApi([reply]) as api, client_of(api) as client:
        store = ResponseStore(tmp_path, 2**20)
        cached = CachedModel(client, of(), store)
        first, second = [await cached.complete(request()) for _ in range(2)]
        await store.close()
        assert api.count == 1
    assert second.reused
    for name in ("text", "reasoning", "reasoning_details", "tool_calls"):
        assert getattr(first, name) == getattr(second, name)
    assert json.loads(json.dumps(first.reasoning_details)) == DETAILS
