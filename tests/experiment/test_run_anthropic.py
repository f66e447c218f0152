"""Whole runs by Anthropic's Messages API, as a user starts them: played, resumed, replayed."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from codeact.cli import main
from codeact.episode.effects import Usage
from codeact.recordings.run_folder import EPISODES, latest_records
from tests.helpers.fake_anthropic import ClaudeReply, FakeAnthropic
from tests.helpers.fake_api import Seen
from tests.helpers.serving import threaded

pytest_plugins = ["tests.helpers.plugin_packages"]
pytestmark = pytest.mark.usefixtures("local_sandbox")

SAMPLE = "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"
RUN = ["run", "task=gsm8k", SAMPLE, "limit=3", "turns=max5_p2", "executor.preload=[]"]
CLAUDE = [
    "model=anthropic",
    "model.name=m",
    "model.reasoning.thinking=adaptive",
    "model.prices={prompt: 3.0, completion: 15.0, cached: 0.3, cache_written: 3.75}",
]
SIGNED = "EqoBCkgIARABGAIiQL2UoU0b1OHYi+/é"


def reply(seen: Seen, number: int) -> ClaudeReply:
    """What the model answers depends on the conversation alone, so a resumed run gets the same."""
    mark = sha256(json.dumps(seen.body["messages"][0]["content"][-1]["text"]).encode()).hexdigest()
    turn = min(2, sum(one["role"] == "assistant" for one in seen.body["messages"]))
    thought = {"type": "thinking", "thinking": f"Turn {turn}.", "signature": f"{SIGNED}{mark}"}
    hidden = {"type": "redacted_thinking", "data": f"Em{mark}=="}
    thoughts = [[thought], [hidden, thought], [{**thought, "thinking": ""}]][turn]
    if "tools" not in seen.body:
        said = [
            "<execute> 6 * 7 </execute>",
            "<execute> 1 / 0 </execute>",
            "<solution> -1 </solution>",
        ]
        text = {"type": "text", "text": said[turn]}
        return ClaudeReply(blocks=[*thoughts, text], thinking_tokens=3)
    odd = {"name": "take", "input": {"all": True}}
    done = [
        [call(turn, 0, "python", "6 * 7"), call(turn, 1, "python", "print(1)")],
        [call(turn, 0, "python", "1 / 0"), {**call(turn, 1, "python", ""), **odd}],
        [call(turn, 0, "answer", "-1")],
    ]
    blocks = [*thoughts, {"type": "text", "text": "So."}, *done[turn]]
    return ClaudeReply(blocks=blocks, stop_reason="tool_use", thinking_tokens=3)


def call(turn: int, place: int, name: str, text: str) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": f"toolu_{turn}_{place}",
        "name": name,
        "input": {"text": text},
    }


def played(folder: Path) -> dict[str, tuple[Any, ...]]:
    """What stays the same of each episode, however often it is played."""
    return {
        one.task_id: (
            one.messages,
            one.outcome,
            [(turn.action, turn.observation, turn.usage.completion) for turn in one.turns],
        )
        for one in latest_records(folder)
    }


@pytest.mark.parametrize("strategy", ["code", "mine"])
def test_a_run_is_played_resumed_and_replayed(
    strategy: str, tmp_path: Path, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    install("codeact.prompts", "from tests.helpers.calling_strategy import CallingStrategy as PART")
    live, replayed = tmp_path / "live", tmp_path / "replayed"
    words = [*RUN, f"prompt.strategy={strategy}"]
    with threaded(FakeAnthropic(reply)) as api:
        live_words = [*words, *CLAUDE, f"model.base_url={api.base_url}", f"run_dir={live}"]
        assert main(live_words) == 0
        first, records = played(live), latest_records(live)
        check_thoughts([seen.body for seen in api.seen])
        check_account(api, records)

        lines = (live / EPISODES).read_bytes().splitlines(keepends=True)
        (live / EPISODES).write_bytes(lines[0])
        asked = api.count
        assert main(live_words) == 0
        assert api.count - asked == 2 * 4
        assert played(live) == first

        asked = api.count
        recorded = ["model=recorded", f"model.source={live}", f"run_dir={replayed}"]
        assert main([*words, *recorded]) == 0
        assert api.count == asked
    assert played(replayed) == first
    assert {one.outcome.terminate_reason for one in records} == {"max_propose_steps"}
    assert {len(one.turns) for one in records} == {4}


def check_thoughts(bodies: list[dict[str, Any]]) -> None:
    """What a model wrote stands in every later request, byte by byte."""
    later = [body for body in bodies if len(body["messages"]) > 3]
    assert len(later) == 3 * 2
    for body in later:
        answers = [one["content"] for one in body["messages"] if one["role"] == "assistant"]
        for turn, content in enumerate(answers):
            before = {**body, "messages": body["messages"][: 2 * turn + 1]}
            wanted = reply(Seen("", {}, before), 0).blocks or []
            thoughts = [block for block in wanted if "thinking" in block["type"]]
            assert json.dumps(content[: len(thoughts)]) == json.dumps(thoughts)
            kinds = [block["type"] for block in content]
            assert kinds == [block["type"] for block in wanted]


def check_account(api: FakeAnthropic, records: list[Any]) -> None:
    """Tokens and cost in the records are those that the server counted, to the last."""
    told = {
        key: sum(one[key] for one in api.usages) for key in api.usages[0] if "details" not in key
    }
    read, written = told["cache_read_input_tokens"], told["cache_creation_input_tokens"]
    prompt = told["input_tokens"] + read + written
    usage = sum((one.usage for one in records), Usage())
    assert usage == Usage(prompt, told["output_tokens"], read, 3 * len(api.usages), written)
    assert read > 0
    cost = told["input_tokens"] * 3.0 + read * 0.3 + written * 3.75 + told["output_tokens"] * 15.0
    assert sum(one.cost for one in records) == pytest.approx(cost / 1e6, abs=1e-12)
