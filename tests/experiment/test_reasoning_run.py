"""Runs of a model that reasons: what the server sees, what is recorded, and what is said of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from codeact.cli import main
from codeact.episode.record import decode
from tests.helpers.fake_anthropic import ClaudeReply, FakeAnthropic
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.serving import threaded

THOUGHT = "I wonder what six times seven is, and whether <solution> 41 </solution> is it. " * 30
TEXT = "<execute> print(6 * 7) </execute>"
NOTICE = "did not reach the model"


def used(texts: list[str]) -> tuple[int, int, int]:
    """Tokens of a prompt, of an answer and of its reasoning, of four letters each."""
    return sum(map(len, texts)) // 4, len(THOUGHT + TEXT) // 4, len(THOUGHT) // 4


def openai(*, keeps: bool) -> FakeApi:
    """Its template shows the model earlier reasoning, or leaves it out."""

    def answer(seen: Seen, number: int) -> Reply:
        shown = [message["content"] for message in seen.body["messages"]]
        shown += [m.get("reasoning_content", "") for m in seen.body["messages"] if keeps]
        prompt, completion, reasoning = used(shown)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }
        return Reply(text=TEXT, message={"reasoning_content": THOUGHT}, usage=usage)

    return FakeApi(answer)


BLOCK = {"type": "thinking", "thinking": THOUGHT, "signature": "EqoB/+=="}


def anthropic(*, keeps: bool) -> FakeApi:
    """The same by the Messages API."""

    def answer(seen: Seen, number: int) -> Reply:
        blocks = [block for message in seen.body["messages"] for block in message["content"]]
        shown = [block["text"] for block in blocks if block["type"] == "text"]
        shown += [block["thinking"] for block in blocks if block["type"] == "thinking" and keeps]
        prompt, completion, reasoning = used(shown)
        usage = {
            "input_tokens": prompt,
            "output_tokens": completion,
            "output_tokens_details": {"thinking_tokens": reasoning},
        }
        return ClaudeReply(blocks=[BLOCK, {"type": "text", "text": TEXT}], usage=usage)

    return FakeAnthropic(answer)


SERVERS = {"openai": openai, "anthropic": anthropic}
pytestmark = pytest.mark.parametrize("kind", SERVERS)


def sent(api: FakeApi) -> list[str | None]:
    """The thoughts of each answer as they stand in an episode's third request, unchanged."""
    found: list[str | None] = []
    for message in api.seen[2].body["messages"][1::2]:
        assert message["role"] == "assistant"
        if isinstance(message["content"], str):
            found.append(message.get("reasoning_content"))
            continue
        *thoughts, text = message["content"]
        assert thoughts in ([BLOCK], [])
        assert TEXT in text["text"]
        found.append(thoughts[0]["thinking"] if thoughts else None)
    return found


def play(folder: Path, api: FakeApi, *more: str) -> tuple[dict[str, Any], list[Any]]:
    """Play two episodes of three turns; returns the summary and the records."""
    kind = "anthropic" if isinstance(api, FakeAnthropic) else "server"
    words = [
        *("run", f"model={kind}", "model.name=m", f"model.base_url={api.base_url}"),
        *("task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl", "limit=2"),
        *("turns.max_steps=3", "executor.preload=[]", "executor.warm=1"),
        *("compute.concurrency=1", f"run_dir={folder}", "tracker=none", *more),
    ]
    if kind == "anthropic":
        words += ["model.reasoning.thinking=adaptive", "model.api_key_env=null"]
    assert main(words) == 0
    summary = json.loads((folder / "summary.json").read_text())["overall"]
    return summary, [decode(line) for line in (folder / "episodes.jsonl").read_bytes().splitlines()]


def told(summary: dict[str, Any]) -> tuple[int, int]:
    return summary["reasoning_checked"], summary["reasoning_lost"]


def test_reasoning_that_is_kept_reaches_the_model_and_nothing_is_said(tmp_path, capsys, kind):
    with threaded(SERVERS[kind](keeps=True)) as api:
        summary, records = play(tmp_path, api, "model.reasoning.history=keep")
    assert sent(api) == [THOUGHT, THOUGHT]
    assert told(summary) == (4, 0)
    assert NOTICE not in capsys.readouterr().err
    # The reasoning names an answer, and is not one.
    assert all(turn.action == "execute" for record in records for turn in record.turns)
    assert summary["usage"]["reasoning"] == 6 * (len(THOUGHT) // 4)


def test_a_server_that_drops_what_was_kept_is_reported_once_and_counted(tmp_path, capsys, kind):
    with threaded(SERVERS[kind](keeps=False)) as api:
        summary, _ = play(tmp_path, api, "model.reasoning.history=keep")
    assert told(summary) == (4, 4)
    said = capsys.readouterr().err
    assert said.count(NOTICE) == 1
    assert "model.reasoning.history=keep, but the reasoning of turn 1 of gsm8k/" in said


@pytest.mark.parametrize("history", ["drop", "last"])
def test_what_was_not_to_be_kept_is_not_missed(tmp_path, capsys, kind, history):
    with threaded(SERVERS[kind](keeps=True)) as api:
        summary, records = play(tmp_path, api, f"model.reasoning.history={history}")
    assert sent(api) == ([None, None] if history == "drop" else [None, THOUGHT])
    assert told(summary) == ((4, 4) if history == "drop" else (4, 0))
    assert NOTICE not in capsys.readouterr().err
    # The record keeps it in any case.
    kept = [m.get("reasoning") for r in records for m in r.messages if m["role"] == "assistant"]
    assert kept == [THOUGHT] * 6
