"""Parameters that servers do not take: named, with the setting that leaves them out."""

import json
import re
from pathlib import Path

import pytest
from msgspec import structs

from codeact.cli import main
from codeact.episode.messages import Message, RequestOptions, ToolSchema
from codeact.exceptions import ConfigError, ProviderFailure
from codeact.models.anthropic.advice import ADVICE as CLAUDE_ADVICE
from codeact.models.anthropic.settings import AnthropicSettings
from codeact.models.base import EpisodeKey, Request
from codeact.models.openai.advice import ADVICE
from codeact.models.openai.settings import OpenAISettings
from codeact.models.openai.wire import parse_error
from codeact.models.remote.parameters import refused_parameter
from tests.helpers.commands import codeact
from tests.helpers.fake_anthropic import FakeAnthropic, error
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.serving import threaded
from tests.helpers.transports import CHOSEN

SENT = dict.fromkeys((
    "model", "messages", "stop", "temperature", "top_p", "max_tokens", "seed", "reasoning_effort",
    "tools", "response_format", "top_k",
))  # fmt: skip
CLAUDE_SENT = {
    "model": "m",
    "messages": [],
    "max_tokens": 4096,
    "temperature": 0.5,
    "top_k": 3,
    "stop_sequences": ["\nTask:"],
    "thinking": {"type": "enabled", "budget_tokens": 2048},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    "tools": [],
    "tool_choice": {"type": "auto"},
    "metadata": {},
}


def openai(message: str, param: str | None = None, code: str = "unsupported_parameter") -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return json.dumps({"error": error}).encode()


def forbidden(*place: str) -> bytes:
    """As FastAPI, and Mistral with it, refuses a field that it does not know."""
    first = {"type": "extra_forbidden", "loc": ["body", *place], "msg": "Extra inputs are not ..."}
    return json.dumps({"detail": [first]}).encode()


REFUSALS = [
    # OpenAI, o-series and GPT-5
    (
        openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "max_tokens",
        ),
        "max_tokens",
        "model.length_key=max_completion_tokens",
    ),
    (
        openai(
            "Unsupported value: 'temperature' does not support 0.1 with this model. Only the "
            "default (1) value is supported.",
            "temperature",
            "unsupported_value",
        ),
        "temperature",
        "model.sampling.temperature=null",
    ),
    (
        openai("Unsupported parameter: 'stop' is not supported with this model.", "stop"),
        "stop",
        "model.stop_limit=0",
    ),
    # The same by a gateway that leaves `param` out
    (
        openai("Unsupported parameter: 'stop' is not supported with this model."),
        "stop",
        "model.stop_limit=0",
    ),
    (openai("tools is not supported in this model."), "tools", "enable_auto_tool_choice"),
    # Kimi, Claude, Groq, Gemini, xAI, vLLM
    (
        openai("invalid temperature: only 1 is allowed for this model"),
        "temperature",
        "model.sampling.temperature=null",
    ),
    (
        openai("`temperature` is deprecated for this model."),
        "temperature",
        "model.sampling.temperature=null",
    ),
    (
        openai("`reasoning_effort` is not supported with this model"),
        "reasoning_effort",
        "model.reasoning.effort=null",
    ),
    (
        openai('Invalid JSON payload received. Unknown name "seed": Cannot find field.'),
        "seed",
        "model.sampling.seed=none",
    ),
    (openai("Model m does not support parameter topP."), "top_p", "model.sampling.top_p=null"),
    (
        openai(
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser; tools'
        ),
        "tools",
        "tool_call_parser",
    ),
    (forbidden("seed"), "seed", "model.sampling.seed=none"),
    (forbidden("top_k"), "top_k", "model.sampling.extra"),
    (forbidden("response_format"), "response_format", "take another prompt"),
    (
        openai("invalid request: when reasoning is on, temperature must be 1"),
        "temperature",
        "model.sampling.temperature=null",
    ),
    # In messages
    (
        openai("'messages.1' : property 'reasoning' is unsupported"),
        "reasoning",
        "model.reasoning.history=drop",
    ),
    (
        forbidden("messages", "3", "assistant", "reasoning_content"),
        "reasoning_content",
        "model.reasoning.history=drop",
    ),
    (
        openai("'messages.1' : property 'reasoning_content' is unsupported"),
        "reasoning_content",
        "model.reasoning.history=drop",
    ),
    (
        openai(
            "thinking is enabled but reasoning_content is missing in assistant tool call message "
            "at index 2"
        ),
        "reasoning_content",
        "model.reasoning.history=keep",
    ),
    (
        openai("The reasoning_content in the thinking mode must be passed back to the API."),
        "reasoning_content",
        "model.reasoning.history=keep",
    ),
]


@pytest.mark.parametrize(("body", "name", "setting"), REFUSALS)
def test_a_refused_parameter_is_named_with_the_setting_that_leaves_it_out(body, name, setting):
    found = refused_parameter(400, parse_error(body), SENT, ADVICE)
    assert found is not None
    assert (found.name, found.value) == (name, False)
    assert setting in found.advice


CLAUDE_REFUSALS = [
    ("`temperature` is deprecated for this model.", "temperature", "sampling.temperature=null"),
    (
        "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.",
        "temperature",
        "model.sampling.temperature=null",
    ),
    ("`top_k` must be unset when thinking is enabled.", "top_k", "model.sampling.top_k=null"),
    ("stop_sequences: Extra inputs are not permitted", "stop_sequences", "model.stop_limit=0"),
    ("adaptive thinking is not supported on this model", "thinking", "reasoning.thinking=null"),
    ("thinking.type.enabled: not supported for this model", "thinking", "reasoning.thinking=null"),
    ("This model does not support the effort parameter.", "effort", "model.reasoning.effort=null"),
    ("output_config.format: Extra inputs are not permitted", "output_config", "another prompt"),
    ("'format' is not supported with this model", "format", "take another prompt"),
    ("tools: Extra inputs are not permitted", "tools", "take another prompt"),
    ("tool_choice: Extra inputs are not permitted", "tool_choice", "model.tool_choice=null"),
    ("metadata: Extra inputs are not permitted", "metadata", "model.sampling.extra"),
    # In messages
    (
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
        "`tool_use`. When `thinking` is enabled, a final `assistant` message must start with a "
        "thinking block.",
        "thinking",
        "model.reasoning.history=keep sends",
    ),
    (
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "thinking",
        "model.reasoning.history=drop",
    ),
    (
        "messages.0.content.0.text.cache_control: Extra inputs are not permitted",
        "cache_control",
        "model.caching=null",
    ),
]


@pytest.mark.parametrize(("message", "name", "setting"), CLAUDE_REFUSALS)
def test_a_parameter_of_the_messages_api_has_the_settings_of_that_api(message, name, setting):
    body = error(message, "invalid_request_error")
    found = refused_parameter(400, parse_error(body), CLAUDE_SENT, CLAUDE_ADVICE)
    assert found is not None
    assert (found.name, found.value) == (name, False)
    assert setting in found.advice
    for word in ("dialect", "length_key", "spelling"):
        assert word not in found.advice


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens",
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    ],
)
def test_a_length_that_claude_does_not_take_is_a_value(message):
    body = error(message, "invalid_request_error")
    found = refused_parameter(400, parse_error(body), CLAUDE_SENT, CLAUDE_ADVICE)
    assert found is not None
    assert (found.name, found.value) == ("max_tokens", True)


def test_every_advice_names_a_setting_that_there_is():
    """By the words of a run, as a user would type them."""
    for settings, advice in ((OpenAISettings, ADVICE), (AnthropicSettings, CLAUDE_ADVICE)):
        said = " ".join([*advice.parameters.values(), *advice.in_messages.values(), advice.missing])
        named = set(re.findall(r"\bmodel\.([a-z_.]+)=", said)) - {"args"}
        assert len(named) >= 6
        for name in named:
            kind = settings
            for part in name.split("."):
                kind = kind.model_fields[part].annotation


OTHERS = [
    openai("Could not finish the message because max_tokens or model output limit was reached."),
    openai("Something went wrong at the stop of the line"),
    openai("Invalid request", "frequency_penalty"),
    openai("Unsupported parameter: 'logprobs' is not supported with this model.", "logprobs"),
    openai("This model does not support reasoning"),
    openai("The last message of deepseek-reasoner must be a user message"),
    b"not JSON at all",
    b"",
]


@pytest.mark.parametrize("body", OTHERS)
def test_other_refusals_name_no_parameter(body):
    assert refused_parameter(400, parse_error(body), SENT, ADVICE) is None


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_only_a_bad_request_can_be_about_a_parameter(status):
    body, *_ = REFUSALS[0]
    assert refused_parameter(status, parse_error(body), SENT, ADVICE) is None


def test_a_length_out_of_range_is_no_parameter_to_be_left_out():
    words = "Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, got 1."
    found = refused_parameter(400, parse_error(openai(words, "max_tokens")), SENT, ADVICE)
    assert found is not None
    assert found.value
    assert "model.sampling.max_tokens" in found.advice


# Before a run, and in it


def refuse(name: str, message: str):
    """A server that takes everything but one parameter."""

    def answer(seen: Seen, number: int = 0) -> Reply:
        if name in seen.body:
            return Reply(status=400, body=openai(message, name))
        return Reply("<solution> 42 </solution>")

    return answer


STOP = refuse("stop", "Unsupported parameter: 'stop' is not supported with this model.")


def client_of(api: FakeApi, **more: object):
    known = {"kind": "openai", "name": "m", "base_url": api.base_url, "max_retries": 3, **CHOSEN}
    return OpenAISettings.model_validate({**known, **more}).create()


@pytest.mark.usefixtures("each_transport")
async def test_a_refusal_in_the_run_is_final_and_not_tried_again():
    async with FakeApi(STOP) as api:
        client = client_of(api)
        with pytest.raises(ProviderFailure, match=r"does not take stop: model\.stop_limit=0") as no:
            await client.complete(Request((), ("\nTask:",), EpisodeKey("g", "1"), 0))
        await client.close()
        assert (no.value.final, api.count) == (True, 1)


@pytest.mark.usefixtures("each_transport")
async def test_the_rehearsal_has_every_parameter_of_the_run_and_asks_for_one_token():
    async with FakeApi() as api:
        client = client_of(api, sampling={"top_p": 0.5, "extra": {"top_k": 3}})
        options = RequestOptions(("\nTask:",), response_format={"type": "json_object"})
        await client.rehearse(options, 7)
        await client.rehearse(options, 7)
        await client.complete(
            Request((), options.stop, EpisodeKey("g", "1"), 0, seed=7, response_format={})
        )
        await client.close()
        (rehearsed,), (played,) = api.rehearsals, api.seen
    assert rehearsed.body.keys() == played.body.keys()
    assert (rehearsed.body["max_tokens"], rehearsed.body["seed"]) == (1, 7)


def claude_of(api: FakeApi, **more: object):
    known = {"kind": "anthropic", "name": "m", "base_url": api.base_url, "api_key_env": None}
    return AnthropicSettings.model_validate({**known, "transport": "lean", **more}).create()


ADD = ToolSchema("add", "Adds.", {"type": "object"})
FORMAT = {"type": "json_schema", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("thinking", "asked"),
    [
        ({"thinking": "adaptive", "effort": "low"}, {"type": "adaptive"}),
        ({"thinking": "enabled", "budget": 3000}, {"type": "enabled", "budget_tokens": 1024}),
    ],
)
async def test_a_rehearsal_by_the_messages_api_has_every_parameter_of_the_run(thinking, asked):
    """As few tokens as that API admits; the server refuses a budget that leaves nothing more."""
    options = RequestOptions(("\nTask:",), (ADD,), FORMAT)
    async with FakeAnthropic() as api:
        client = claude_of(
            api,
            reasoning=thinking,
            parallel_tool_use=False,
            sampling={"max_tokens": 4096, "top_p": 0.9, "extra": {"metadata": {}}},
        )
        await client.rehearse(options, 7)
        await client.rehearse(options, 7)
        hello: Message = {"role": "user", "content": "hi"}
        request = Request((hello,), options.stop, EpisodeKey("g", "1"), 0, tools=(ADD,))
        await client.complete(structs.replace(request, response_format=FORMAT))
        await client.close()
        (rehearsed,), (played,) = api.rehearsals, api.seen
    assert rehearsed.body.keys() == played.body.keys()
    assert rehearsed.body["thinking"] == asked
    assert rehearsed.body["max_tokens"] == asked.get("budget_tokens", 0) + 1
    same = rehearsed.body.keys() - {"messages", "max_tokens", "thinking", "tools"}
    assert {name: rehearsed.body[name] for name in same} == {
        name: played.body[name] for name in same
    }
    assert client.checks.take().discarded.usage.total == 12


async def test_a_format_that_the_messages_api_lacks_is_refused_before_anything_is_asked():
    async with FakeAnthropic() as api:
        client = claude_of(api)
        with pytest.raises(ConfigError, match=r"json_object.*only json_schema"):
            await client.rehearse(RequestOptions(response_format={"type": "json_object"}), None)
        await client.close()
        assert not api.rehearsals


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=503, text="overloaded"),
        Reply(status=429, text="slow down"),
        Reply(status=400, body=OTHERS[0]),
        Reply(status=400, body=openai("'max_tokens' must be at least 16", "max_tokens")),
    ],
)
async def test_a_rehearsal_that_says_nothing_of_a_parameter_refuses_nothing(reply):
    async with FakeApi() as api:
        api.takes = lambda seen: reply
        client = client_of(api)
        await client.rehearse(RequestOptions(("\nTask:",)), None)
        await client.close()
        assert len(api.rehearsals) == 1


async def test_a_length_that_the_run_does_not_send_is_not_refused():
    async with FakeApi() as api:
        api.takes = refuse("max_tokens", "Unsupported parameter: 'max_tokens' is not supported.")
        client = client_of(api, sampling={"max_tokens": None})
        await client.rehearse(RequestOptions(), None)
        await client.close()
        client = client_of(api)
        with pytest.raises(ConfigError, match=r"model\.length_key=max_completion_tokens"):
            await client.rehearse(RequestOptions(), None)
        await client.close()


def words(folder: Path, api: FakeApi, *more: str) -> list[str]:
    return [
        *("run", "model=server", "model.name=m", f"model.base_url={api.base_url}"),
        *("task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl", "limit=2"),
        *("turns=max1_p1", "executor.preload=[]", "executor.warm=1"),
        *(f"run_dir={folder / 'run'}", "tracker=none", *more),
    ]


def test_a_run_is_refused_before_anything_is_asked_or_written(tmp_path):
    with threaded(FakeApi(STOP)) as api:
        api.takes = STOP
        done = codeact(*words(tmp_path, api))
        assert api.count == 0
    assert done.returncode == 1
    assert "it does not take stop: model.stop_limit=0 leaves it out" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_by_the_messages_api_is_refused_before_it_too(tmp_path, capsys):
    said = "`temperature` is deprecated for this model."
    with threaded(FakeAnthropic()) as api:
        api.takes = lambda seen: Reply(status=400, text=said) if "temperature" in seen.body else ""
        given = ["model=anthropic", "model.api_key_env=null", "model.transport=lean"]
        assert main(words(tmp_path, api, *given, "model.sampling.temperature=0.5")) == 1
        assert api.count == 0
    told = capsys.readouterr().err
    assert "not take temperature: model.sampling.temperature=null leaves it out" in told
    assert not (tmp_path / "run").exists()


def test_feedback_is_rehearsed_too_and_its_settings_are_named(tmp_path):
    critic = ("feedback=textual", "model@feedback.model=server", "feedback.model.name=m")
    with threaded(FakeApi(STOP)) as api:
        api.takes = lambda seen: STOP(seen) if "\nAssistant:" in seen.body["stop"] else "ok"
        given = f"feedback.model.base_url={api.base_url}"
        done = codeact(*words(tmp_path, api, *critic, given))
        assert api.count == 0
    assert done.returncode == 1
    assert "does not take stop: feedback.model.stop_limit=0" in done.stderr


def test_texts_are_cut_here_and_counted_where_no_stop_string_is_sent(tmp_path):
    text = "The answer is <solution> 1 </solution>\nObservation:\nmade up"
    with threaded(FakeApi([text])) as api:
        api.takes = STOP
        assert main(words(tmp_path, api, "model.stop_limit=0")) == 0
        assert all("stop" not in seen.body for seen in [*api.seen, *api.rehearsals])
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["overall"]["cut"] == 2
    lines = (tmp_path / "run" / "episodes.jsonl").read_text().splitlines()
    turns = [turn for line in lines for turn in json.loads(line)["turns"]]
    assert [turn["cut"] for turn in turns] == [True, True]
    assert "made up" not in "".join(lines)
