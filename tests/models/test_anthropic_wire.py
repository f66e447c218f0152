"""Answers and conversations of the Messages API: what is read, and what the API takes back."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.episode.effects import Usage
from codeact.episode.messages import Answer, Message, ToolCall, assistant_message
from codeact.models.anthropic.caching import set_breakpoints
from codeact.models.anthropic.messages import sent_conversation
from codeact.models.anthropic.wire import parse_completion
from codeact.models.base import Prices
from codeact.models.remote.encoding import InvalidResponse, ServerCompletion, encode
from codeact.models.remote.errors import (
    ServerError,
    context_limit,
    is_context_overflow,
    is_out_of_quota,
    room_left,
)
from tests.helpers.fake_anthropic import faults_of

THOUGHT = {"type": "thinking", "thinking": "Two prices.\n", "signature": "EqoBCkgIARABGAIiQL2U=="}
HIDDEN = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4a"}
TEXT = {"type": "text", "text": "I add them."}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "python", "input": {"code": "1 + 1"}}
OTHER = {"type": "tool_use", "id": "toolu_2", "name": "python", "input": {}}
UNKNOWN = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"q": 1.5}}


def read(*blocks: object, turn: int = 0, **more: object) -> ServerCompletion:
    return parse_completion(json.dumps({"content": blocks, **more}).encode(), turn)


def conversation_after(answer: ServerCompletion) -> list[Message]:
    """What a strategy that keeps the text makes of an answer, each call with a result."""
    results: list[Message] = [
        {"role": "tool", "content": "2", "tool_call_id": call["id"]} for call in answer.tool_calls
    ]
    said: Message = {"role": "user", "content": "Go on."}
    return [
        {"role": "user", "content": "Task"},
        assistant_message(answer, answer.text),
        *(results or [said]),
    ]


# Answers


def test_an_answer_is_text_reasoning_and_calls() -> None:
    got = read(THOUGHT, HIDDEN, TEXT, CALL, OTHER, stop_reason="tool_use")
    assert got.text == "I add them."
    assert got.reasoning == "Two prices.\n"
    assert got.reasoning_details == (THOUGHT, HIDDEN)
    assert got.tool_calls == (
        ToolCall(id="toolu_1", name="python", arguments='{"code":"1 + 1"}'),
        ToolCall(id="toolu_2", name="python", arguments="{}"),
    )
    assert got.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
        ("of next year", "of next year"),
        (None, "unknown"),
        (7, "unknown"),
    ],
)
def test_reasons_have_the_names_that_other_apis_have(
    stop_reason: object, finish_reason: str
) -> None:
    assert read(TEXT, stop_reason=stop_reason).finish_reason == finish_reason


@pytest.mark.parametrize(
    ("blocks", "text", "reasoning"),
    [
        ([], "", None),
        ([THOUGHT], "", "Two prices.\n"),
        ([HIDDEN], "", None),
        ([{"type": "thinking", "thinking": "", "signature": "s"}], "", None),
        ([{"type": "thinking", "signature": "s"}, TEXT], "I add them.", None),
        ([{"type": "text", "text": None}], "", None),
        ([{"type": "text", "text": "a\ud800"}, TEXT], "a�I add them.", None),
        ([THOUGHT, THOUGHT], "", "Two prices.\n\nTwo prices.\n"),
    ],
)
def test_what_an_answer_lacks_is_empty(
    blocks: list[object], text: str, reasoning: str | None
) -> None:
    got = read(*blocks)
    assert (got.text, got.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("given_input", "arguments"),
    [
        ({}, "{}"),
        ({"b": 1, "a": [None]}, '{"b":1,"a":[null]}'),
        (["no", "object"], '["no","object"]'),
        ("no object", "no object"),
        (None, "null"),
    ],
)
def test_arguments_are_kept_whatever_they_are(given_input: object, arguments: str) -> None:
    (call,) = read({**CALL, "input": given_input}).tool_calls
    assert call["arguments"] == arguments


def test_calls_without_an_id_of_their_own_get_one_the_same_each_time() -> None:
    twins = [CALL, CALL, {**CALL, "id": None}]
    ids = [call["id"] for call in read(*twins, turn=3).tool_calls]
    assert ids == ["toolu_1", "call00301", "call00302"]
    assert ids == [call["id"] for call in read(*twins, turn=3).tool_calls]


def test_a_megabyte_of_arguments_is_kept() -> None:
    code = "x" * 2**20
    (call,) = read({**CALL, "input": {"code": code}}).tool_calls
    assert json.loads(call["arguments"]) == {"code": code}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": None},
        {"content": "text"},
        {"content": ["text"]},
        {"content": [{"text": "a"}]},
        {"content": [{"type": 5}]},
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    ],
)
def test_what_is_no_answer_is_refused(body: object) -> None:
    with pytest.raises(InvalidResponse):
        parse_completion(json.dumps(body).encode())


def test_what_no_record_could_hold_is_replaced() -> None:
    body = b'{"content": [{"type": "odd", "at": NaN, "to": 1e999, "text": "a\\ud800"}]}'
    assert parse_completion(body).reasoning_details == (
        {"type": "odd", "at": None, "to": None, "text": "a\ufffd"},
    )


def test_the_prompt_includes_what_the_cache_read_and_wrote() -> None:
    usage = {
        "input_tokens": 50,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 200,
        "output_tokens": 30,
        "output_tokens_details": {"thinking_tokens": 20},
    }
    assert read(usage=usage).usage == Usage(1250, 30, 1000, 20, 200)


@pytest.mark.parametrize(
    "usage", [{"input_tokens": "many", "output_tokens": -3}, {"output_tokens_details": [1]}]
)
def test_counts_that_are_none_are_zero(usage: object) -> None:
    assert read(usage=usage).usage == Usage()


def test_writing_to_the_cache_has_a_price_of_its_own() -> None:
    usage = Usage(prompt=3_000_000, completion=1_000_000, cached=1_000_000, cache_written=1_000_000)
    prices = {"prompt": 3.0, "completion": 15.0}
    assert Prices(**prices).cost(usage) == 9 + 15
    assert Prices(**prices, cached=0.3).cost(usage) == pytest.approx(6 + 0.3 + 15)
    every = Prices(**prices, cached=0.3, cache_written=3.75)
    assert every.cost(usage) == pytest.approx(3 + 0.3 + 3.75 + 15)


# Conversations


@pytest.mark.parametrize(
    "blocks",
    [
        [THOUGHT, HIDDEN, TEXT, CALL, OTHER],
        [THOUGHT, CALL],
        [THOUGHT, TEXT],
        [TEXT, CALL],
        [THOUGHT, TEXT, THOUGHT, CALL, HIDDEN, OTHER],
        [THOUGHT, CALL, THOUGHT, TEXT],
        [THOUGHT, UNKNOWN, TEXT],
        [TEXT, UNKNOWN, CALL],
    ],
)
def test_an_answer_goes_back_as_it_came(blocks: list[Any]) -> None:
    """Byte by byte, after it was read, recorded as JSON and read again."""
    message = assistant_message(read(*blocks), read(*blocks).text)
    stored = [*conversation_after(read(*blocks))]
    stored[1] = json.loads(json.dumps(message))
    sent = sent_conversation(stored, "keep").messages[1]
    assert encode(sent) == encode({"role": "assistant", "content": blocks})


@pytest.mark.parametrize(("history", "seen"), [("keep", 2), ("last", 1), ("drop", 0)])
def test_history_says_which_thoughts_go_back(history: Any, seen: int) -> None:
    said = conversation_after(read(THOUGHT, TEXT))
    sent = sent_conversation([*said, *said[1:]], history).messages
    thoughts = [block for one in sent for block in one["content"] if block["type"] == "thinking"]
    assert thoughts == [THOUGHT] * seen
    assert history != "last" or sent[3]["content"][0] == THOUGHT


def test_system_messages_in_front_are_the_system_of_the_request() -> None:
    messages: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": " "},
        {"role": "user", "content": "Hello"},
        {"role": "system", "content": "Be long."},
    ]
    system, sent = sent_conversation(messages, "keep")
    assert system == [{"type": "text", "text": "Be brief."}]
    assert [one["role"] for one in sent] == ["user", "system"]


def test_results_of_several_calls_are_one_message_in_front_of_its_text() -> None:
    answer = read(CALL, OTHER)
    said: Message = {"role": "user", "content": "Well done."}
    empty: Message = {"role": "tool", "content": "\n", "tool_call_id": "toolu_2"}
    sent = sent_conversation([*conversation_after(answer)[:3], empty, said], "keep").messages
    assert sent[2:] == [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "2"},
                {"type": "tool_result", "tool_use_id": "toolu_2"},
                {"type": "text", "text": "Well done."},
            ],
        }
    ]


def test_arguments_that_are_no_object_go_back_in_one() -> None:
    answer = read({**CALL, "input": "{not JSON"})
    sent = sent_conversation(conversation_after(answer), "keep").messages
    assert sent[1]["content"][0]["input"] == {"invalid_arguments": "{not JSON"}


def test_another_api_s_reasoning_is_left_out() -> None:
    details = ({"type": "reasoning.text", "text": "Hm."}, "odd", {"no": "type"})
    answer = Answer(text="Yes.", reasoning="Hm.", reasoning_details=details)
    sent = sent_conversation([assistant_message(answer, "Yes.")], "keep").messages
    assert sent[0]["content"] == [{"type": "text", "text": "Yes."}]


names = st.sampled_from(["a", "b", "c", "functions.python:0"])
texts = st.sampled_from(["", " ", "\n", "text", "text \n"])
calls = st.builds(
    lambda name, arguments: ToolCall(id=name, name="python", arguments=arguments),
    names,
    st.sampled_from(["", "{}", "[1]", "{broken", "null", '{"a": 1}', "[" * 5000]),
)
assistants = st.builds(
    lambda text, details, calls: assistant_message(
        Answer(text=text, reasoning_details=tuple(details), tool_calls=tuple(calls)), text
    ),
    texts,
    st.lists(st.sampled_from([THOUGHT, HIDDEN]), max_size=2),
    st.lists(calls, max_size=3),
)
others = st.one_of(
    st.builds(lambda text: {"role": "user", "content": text}, texts),
    st.builds(
        lambda text, name: {"role": "tool", "content": text, "tool_call_id": name}, texts, names
    ),
)
systems = st.builds(lambda text: {"role": "system", "content": text}, texts)


@given(
    st.lists(systems, max_size=2),
    st.lists(st.one_of(assistants, others), max_size=12),
    st.sampled_from(["keep", "last", "drop"]),
)
@settings(max_examples=300, deadline=None)
def test_the_api_takes_every_conversation(opening: Any, rest: Any, history: Any) -> None:
    """Blank texts, calls without results and results without calls, whatever their order."""
    before = json.dumps([*opening, *rest])
    system, sent = sent_conversation([*opening, *rest], history)
    set_breakpoints("5m", [{"name": "python"}], system, sent)
    body = {"model": "m", "max_tokens": 9, "system": system, "messages": sent}
    allowed = set() if sent else {"messages: at least one message is required"}
    assert set(faults_of(body)) == allowed
    assert json.dumps([*opening, *rest]) == before


# Errors


@pytest.mark.parametrize(
    "error",
    [
        ServerError("prompt is too long: 210000 tokens > 200000 maximum", "invalid_request_error"),
        ServerError("Request exceeds the maximum size", "request_too_large"),
    ],
)
def test_a_conversation_that_is_too_long_is_known(error: ServerError) -> None:
    assert is_context_overflow(error)


def test_room_for_an_answer_is_read_in_the_api_s_own_words() -> None:
    said = (
        "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease "
        "input length or `max_tokens` and try again"
    )
    assert is_context_overflow(ServerError(said))
    assert context_limit(ServerError(said)) == 200000
    assert room_left(ServerError(said)) == 200000 - 178959


@pytest.mark.parametrize(
    ("status", "message", "out"),
    [
        (400, "Your credit balance is too low to access the Anthropic API.", True),
        (402, "billing", True),
        (400, "max_tokens: Field required", False),
        (429, "Number of requests has exceeded your rate limit", False),
    ],
)
def test_an_account_without_credit_is_known(status: int, message: str, out: bool) -> None:
    assert is_out_of_quota(status, ServerError(message, "invalid_request_error")) is out
