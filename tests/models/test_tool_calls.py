"""Function calls and tools' messages over the OpenAI wire, in good shape and in bad."""

import json
from typing import Any

import pytest

from codeact.episode.effects import Completion
from codeact.episode.messages import Message, RequestOptions, ToolCall, ToolSchema
from codeact.exceptions import ConfigError
from codeact.models.base import EpisodeKey, Request
from codeact.models.openai.settings import OpenAISettings
from codeact.models.remote.conversation import INVALID_ARGUMENTS
from tests.helpers.fake_api import FakeApi, Reply
from tests.helpers.transports import CHOSEN

TASK: Message = {"role": "user", "content": "Task:\nadd\n"}
PYTHON = ToolSchema("python", "Runs code.", {"type": "object", "properties": {"code": {}}})


def settings(server: FakeApi, **more: object) -> OpenAISettings:
    known = {"kind": "openai", "name": "m", "base_url": server.base_url, **CHOSEN}
    return OpenAISettings.model_validate({**known, **more})


async def exchange(
    api: FakeApi, *messages: Message, turn: int = 0, tools: tuple[ToolSchema, ...] = (PYTHON,)
) -> Completion:
    client = settings(api).create()
    key = EpisodeKey("gsm8k", "1")
    asked = Request(messages or (TASK,), (), key, turn, tools=tools)
    try:
        return await client.complete(asked)
    finally:
        await client.close()


async def read(*calls: Any, turn: int = 0, **message: Any) -> tuple[ToolCall, ...]:
    fields = {"content": None, **({"tool_calls": list(calls)} if calls else {}), **message}
    async with FakeApi([Reply(text=None, message=fields, finish_reason="tool_calls")]) as api:
        found = await exchange(api, turn=turn)
    assert found.text == ""
    return found.tool_calls


def call(name: str, arguments: Any, id: str | None = "c1") -> dict[str, Any]:  # noqa: A002
    function = {"name": name, "arguments": arguments}
    return {"type": "function", "function": function, **({} if id is None else {"id": id})}


# What is read


@pytest.mark.usefixtures("each_transport")
async def test_calls_are_flat_and_their_arguments_are_the_text_that_came():
    written = ' {"code":  "1 +\\n1"}'
    assert await read(call("python", written)) == (
        {"id": "c1", "name": "python", "arguments": written},
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"code": "unclosed', '{"code": "unclosed'),
        ("", ""),
        (None, ""),
        ({"b": 1, "a": [None, "é"]}, '{"b":1,"a":[null,"é"]}'),
        ([1], "[1]"),
        ("a\ud800b", "a�b"),
    ],
)
async def test_arguments_of_any_form_are_a_text(arguments, text):
    assert [one["arguments"] for one in await read(call("python", arguments))] == [text]


async def test_a_megabyte_of_arguments_comes_whole_and_goes_back_whole():
    text = json.dumps({"code": "x" * 1_000_000})
    (found,) = await read(call("python", text))
    assert found["arguments"] == text
    (back,) = await sent_calls(found)
    assert back["function"]["arguments"] == text


async def test_a_missing_id_is_made_up_the_same_each_time_and_another_in_each_turn():
    calls = (call("python", "{}", None), call("python", "{}", ""), call("python", "{}", 7))
    first, again = [await read(*calls, turn=2) for _ in range(2)]
    ids = [one["id"] for one in first]
    assert first == again
    assert len(set(ids)) == 3
    # Mistral takes nine letters and digits, and nothing else.
    assert all(len(one) == 9 and one.isalnum() for one in ids)
    assert not {one["id"] for one in await read(*calls, turn=3)} & set(ids)


async def test_two_ids_alike_are_made_unlike():
    made_up = "call00001"
    found = await read(call("a", "{}", "same"), call("b", "{}", "same"), call("c", "{}", made_up))
    ids = [one["id"] for one in found]
    assert ids[0] == "same"
    assert len(set(ids)) == 3


async def test_hundreds_of_calls_without_ids_have_ids_of_their_own():
    found = await read(*[call("python", "{}", None)] * 300)
    assert len({one["id"] for one in found}) == 300


async def test_a_function_call_of_the_old_form_is_a_call():
    assert await read(function_call={"name": "python", "arguments": "{}"}) == (
        {"id": "call00000", "name": "python", "arguments": "{}"},
    )


@pytest.mark.parametrize(
    ("calls", "names"),
    [
        ("no list", []),
        ([], []),
        ([None, "text", 3], []),
        ([{}], [""]),
        ({"function": {"name": "alone"}}, ["alone"]),
        ([{"function": None, "name": "flat", "arguments": "{}"}], ["flat"]),
        ([{"function": {"name": None}}], [""]),
        ([{"type": "custom", "custom": {"name": "own", "input": "text"}}], ["own"]),
        ([{"function": {"name": "never offered"}}], ["never offered"]),
    ],
)
async def test_whatever_stands_for_calls_is_read_as_far_as_it_is_some(calls, names):
    assert [one["name"] for one in await read(tool_calls=calls)] == names


# What is sent


def conversation(*calls: ToolCall, answered: int | None = None) -> tuple[Message, ...]:
    """A turn with calls, of which the first so many are answered, and the user's word after it."""
    results: list[Message] = [
        {"role": "tool", "content": "42", "tool_call_id": one["id"]} for one in calls[:answered]
    ]
    said: Message = {"role": "assistant", "content": "", "tool_calls": list(calls)}
    return (TASK, said, *results, {"role": "user", "content": "go on"})


async def sent(*messages: Message) -> list[dict[str, Any]]:
    async with FakeApi() as api:
        await exchange(api, *messages)
        return api.seen[0].body["messages"]


async def sent_calls(*calls: ToolCall) -> list[dict[str, Any]]:
    return (await sent(*conversation(*calls)))[1]["tool_calls"]


@pytest.mark.usefixtures("each_transport")
async def test_a_conversation_with_tools_has_the_api_s_shape():
    messages = await sent(
        *conversation({"id": "c1", "name": "python", "arguments": '{"code": "6*7"}'})
    )
    function = {"name": "python", "arguments": '{"code": "6*7"}'}
    assert messages == [
        TASK,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "user", "content": "go on"},
    ]


async def test_calls_that_nothing_answers_are_left_out():
    calls: list[ToolCall] = [{"id": n, "name": "f", "arguments": "{}"} for n in ("a", "b", "c")]
    some = await sent(*conversation(*calls, answered=2))
    assert [one["id"] for one in some[1]["tool_calls"]] == ["a", "b"]
    none = await sent(*conversation(*calls, answered=0))
    assert none[1] == {"role": "assistant", "content": ""}
    # An answer that comes after another message answers nothing.
    late = await sent(
        *conversation(*calls, answered=0), {"role": "tool", "content": "", "tool_call_id": "a"}
    )
    assert "tool_calls" not in late[1]


@pytest.mark.parametrize(
    "written", ['{"code": "unclosed', "[1]", '"text"', "null", "7", "print(1)", "[" * 100_000]
)
async def test_arguments_that_are_no_object_are_sent_as_one_that_shows_them(written):
    (back,) = await sent_calls({"id": "c", "name": "python", "arguments": written})
    assert json.loads(back["function"]["arguments"]) == {INVALID_ARGUMENTS: written}


async def test_empty_arguments_are_an_empty_object():
    (back,) = await sent_calls({"id": "c", "name": "python", "arguments": " "})
    assert back["function"]["arguments"] == "{}"


@pytest.mark.parametrize(
    ("name", "back"),
    [("python", "python"), ("a b.c()", "a_b_c__"), ("", "unknown"), ("é" * 99, "_" * 64)],
)
async def test_a_name_that_no_function_can_have_is_sent_as_one_that_it_can(name, back):
    (one,) = await sent_calls({"id": "c", "name": name, "arguments": "{}"})
    assert one["function"]["name"] == back


async def test_functions_and_the_response_format_are_offered():
    async with FakeApi() as api:
        client = settings(api, sampling={"extra": {"tools": [], "tool_choice": "auto"}}).create()
        form = {"type": "json_object"}
        asked = Request((TASK,), (), EpisodeKey("g", "1"), 0, tools=(PYTHON,), response_format=form)
        await client.complete(asked)
        await client.close()
        body = api.seen[0].body
    function = {"name": "python", "description": "Runs code.", "parameters": PYTHON.parameters}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert (body["response_format"], body["tool_choice"]) == (form, "auto")


async def test_one_text_has_no_place_for_functions():
    async with FakeApi() as api:
        client = settings(api, api="completion").create()
        with pytest.raises(ConfigError, match="give api=chat, or another prompt"):
            await client.rehearse(RequestOptions(tools=(PYTHON,)), None)
        await client.close()
