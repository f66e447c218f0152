"""What servers say, word for word, and what the client makes of it."""

import json
from datetime import UTC, datetime

import pytest

from codeact.episode.effects import Usage
from codeact.models.openai.wire import parse_completion
from codeact.models.remote.encoding import clean, cut_at_stop
from codeact.models.remote.errors import ServerError, is_context_overflow, parse_error, room_left
from codeact.models.remote.headers import reset_after
from codeact.web import retry_after

OPENAI = (
    "This model's maximum context length is 4097 tokens. However, you requested 4705 tokens "
    "(3681 in the messages, 1024 in the completion). Please reduce the length of the messages."
)
VLLM = (
    "This model's maximum context length is 2048 tokens. However, you requested 1024 output "
    "tokens and your prompt contains at least 1500 input tokens, for a total of at least 2524 "
    "tokens. Please reduce the length of the input prompt or the number of requested output tokens."
)
OVERFLOWS = [
    OPENAI,
    VLLM,
    "The decoder prompt (length 5000) is longer than the maximum model length of 2048.",
    "'max_tokens' is too large: 1024. This model's maximum context length is 2048 tokens and "
    "your request has 1900 input tokens (1024 > 2048 - 1900).",
    "max_tokens=4000 cannot be greater than max_model_len=2048. Please request fewer.",
    "the request exceeds the available context size, try increasing it",
    "request (5000 tokens) exceeds the available context size (2048 tokens), try increasing it",
    "Requested tokens (5000) exceed context window of 2048",
    "The input (5000 tokens) is longer than the model's context length (2048 tokens).",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 and 1024",
    "Input validation error: `inputs` must have less than 1024 tokens. Given: 1337",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    "Input is too long for requested model.",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048575).",
    "Please reduce the length of the messages or completion.",
    "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
]
OTHERS = [
    "Incorrect API key provided",
    "The model `m` does not exist.",
    "temperature must be at most 2",
    "Rate limit reached for gpt-4: Limit 10000 tokens per min, Requested 12000",
    "Invalid value for 'stop': array too long, expected at most 4",
    "max_tokens must be at least 1, got 0",
]


@pytest.mark.parametrize("message", OVERFLOWS)
def test_a_full_context_is_recognised(message):
    assert is_context_overflow(ServerError(message))


@pytest.mark.parametrize("message", OTHERS)
def test_other_refusals_are_not_taken_for_a_full_context(message):
    assert not is_context_overflow(ServerError(message))


def test_the_code_alone_says_that_the_context_is_full():
    assert is_context_overflow(ServerError("too much", "context_length_exceeded"))


@pytest.mark.parametrize(("message", "room"), [(OPENAI, 416), (VLLM, 548), ("no idea", None)])
def test_room_for_an_answer_is_read_from_the_refusal(message, room):
    assert room_left(ServerError(message)) == room


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error": {"message": "a", "code": "b"}}', ServerError("a", "b")),
        (b'{"error": {"message": "a", "type": "b", "code": null}}', ServerError("a", "b")),
        (b'{"object": "error", "message": "a", "type": "b", "code": 400}', ServerError("a", "400")),
        (b'{"error": "a"}', ServerError("a")),
        (b'{"detail": "a"}', ServerError("a")),
        (b'{"detail": [{"msg": "a"}]}', ServerError('[{"msg": "a"}]')),
        (b"<html>a</html>", ServerError("<html>a</html>")),
        (b"", ServerError("")),
        (b"\xff", ServerError("�")),
    ],
)
def test_the_server_s_words_are_found_in_any_shape(body, error):
    assert parse_error(body) == error


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "Thu, 01 Jan 2026 00:00:20 GMT"}, 20.0),
        ({"Retry-After": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-4"}, None),
        ({"Retry-After": "nan"}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers, seconds):
    assert retry_after(headers, NOW) == seconds


def test_the_first_stop_string_in_the_text_cuts_it():
    assert cut_at_stop("a\n---b\nTask:c", ("\nTask:", "\n---")) == ("a", True)


def test_without_a_stop_string_a_text_stays():
    assert cut_at_stop("Task: a", ("\nTask:",)) == ("Task: a", False)


@pytest.mark.parametrize(
    ("text", "cleaned"), [("a", "a"), ("é😀", "é😀"), ("\ud83d\ude00", "😀"), ("\udc00x", "�x")]
)
def test_surrogates_become_characters_or_are_replaced(text, cleaned):
    assert clean(text) == cleaned


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("7.66", 7.66),
        ("2026-01-01T00:00:30Z", 30.0),
        ("2025-12-31T23:59:59Z", 0.0),
        ("soon", None),
        ("1s later", None),
        ("", None),
    ],
)
def test_a_limit_that_is_used_up_says_when_there_is_room_again(reset, seconds):
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": reset}
    assert reset_after(headers, NOW) == pytest.approx(seconds)


def test_the_longest_of_several_used_up_limits_counts():
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "2s",
        "x-ratelimit-remaining-tokens": "1",
        "x-ratelimit-reset-tokens": "9s",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:05Z",
    }
    assert reset_after(headers, NOW) == 5.0


@pytest.mark.parametrize("remaining", ["1", "many", ""])
def test_a_limit_with_room_left_holds_nobody_back(remaining):
    headers = {"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": "9s"}
    assert reset_after(headers, NOW) is None


def test_cached_tokens_are_never_more_than_the_prompt():
    usage = {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}
    body = json.dumps({"choices": [{"text": ""}], "usage": usage}).encode()
    assert parse_completion(body).completion.usage == Usage(5, 0, 5)


def reasoning(count: object) -> dict[str, object]:
    return {"completion_tokens_details": {"reasoning_tokens": count}}


@pytest.mark.parametrize(
    ("usage", "completion", "thought"),
    [
        # OpenAI, DeepSeek, vLLM: part of the completion
        ({"completion_tokens": 90, "total_tokens": 100, **reasoning(70)}, 90, 70),
        ({"completion_tokens": 90, **reasoning(70)}, 90, 70),
        # xAI and gateways to Gemini: beside it
        ({"completion_tokens": 20, "total_tokens": 100, **reasoning(70)}, 90, 70),
        ({"completion_tokens": 0, "total_tokens": 70, **reasoning(60)}, 60, 60),
        ({"completion_tokens": 20, **reasoning(70)}, 90, 70),
        # Gemini: in the total alone
        ({"completion_tokens": 20, "total_tokens": 100}, 90, 70),
        # Elsewhere
        ({"completion_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}}, 9, 4),
        ({"completion_tokens": 9, "reasoning_tokens": 4}, 9, 4),
        # None, and nonsense
        ({"completion_tokens": 9, "total_tokens": 19, **reasoning(0)}, 9, 0),
        ({"completion_tokens": 9, "total_tokens": 3}, 9, 0),
        ({"completion_tokens": 9, **reasoning(None)}, 9, 0),
        ({"completion_tokens": 9, **reasoning("many")}, 9, 0),
        ({"completion_tokens": 9, **reasoning(-4)}, 9, 0),
        ({"completion_tokens": 9, "completion_tokens_details": None}, 9, 0),
    ],
)
def test_reasoning_is_counted_as_part_of_the_completion(usage, completion, thought):
    usage = {"prompt_tokens": 10, **usage}
    body = json.dumps({"choices": [{"text": ""}], "usage": usage}).encode()
    assert parse_completion(body).completion.usage == Usage(10, completion, reasoning=thought)
