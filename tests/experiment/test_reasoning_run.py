"""Runs of a model that reasons: what the server sees, what is recorded, and what is said of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from codeact.cli import main
from codeact.episode.record import decode
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.serving import threaded

THOUGHT = "I wonder what six times seven is, and whether <solution> 41 </solution> is it. " * 30
TEXT = "<execute> print(6 * 7) </execute>"
NOTICE = "did not reach the model"


def server(*, keeps: bool) -> FakeApi:
    """It counts a token for every four characters that its template shows the model."""

    def answer(seen: Seen, number: int) -> Reply:
        shown = [message["content"] for message in seen.body["messages"]]
        if keeps:
            shown += [m.get("reasoning_content", "") for m in seen.body["messages"]]
        usage = {
            "prompt_tokens": sum(map(len, shown)) // 4,
            "completion_tokens": len(THOUGHT + TEXT) // 4,
            "completion_tokens_details": {"reasoning_tokens": len(THOUGHT) // 4},
        }
        return Reply(text=TEXT, message={"reasoning_content": THOUGHT}, usage=usage)

    return FakeApi(answer)


def play(folder: Path, api: FakeApi, *more: str) -> tuple[dict[str, Any], list[Any]]:
    """Play two episodes of three turns; returns the summary and the records."""
    words = [
        *("run", "model=server", "model.name=m", f"model.base_url={api.base_url}"),
        *("task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl", "limit=2"),
        *("turns.max_steps=3", "executor.preload=[]", "executor.warm=1"),
        *("compute.concurrency=1", f"run_dir={folder}", "tracker=none", *more),
    ]
    assert main(words) == 0
    summary = json.loads((folder / "summary.json").read_text())["overall"]
    return summary, [decode(line) for line in (folder / "episodes.jsonl").read_bytes().splitlines()]


def told(summary: dict[str, Any]) -> tuple[int, int]:
    return summary["reasoning_checked"], summary["reasoning_lost"]


def test_reasoning_that_is_kept_reaches_the_model_and_nothing_is_said(tmp_path, capsys):
    with threaded(server(keeps=True)) as api:
        summary, records = play(tmp_path, api, "model.reasoning.history=keep")
        last = api.seen[2].body["messages"]
    assert [m.get("reasoning_content") for m in last[1::2]] == [THOUGHT, THOUGHT]
    assert told(summary) == (4, 0)
    assert NOTICE not in capsys.readouterr().err
    # The reasoning names an answer, and is not one.
    assert all(turn.action == "execute" for record in records for turn in record.turns)
    assert summary["usage"]["reasoning"] == 6 * (len(THOUGHT) // 4)


def test_a_server_that_drops_what_was_kept_is_reported_once_and_counted(tmp_path, capsys):
    with threaded(server(keeps=False)) as api:
        summary, _ = play(tmp_path, api, "model.reasoning.history=keep")
    assert told(summary) == (4, 4)
    said = capsys.readouterr().err
    assert said.count(NOTICE) == 1
    assert "model.reasoning.history=keep, but the reasoning of turn 1 of gsm8k/" in said


@pytest.mark.parametrize("history", ["drop", "last"])
def test_what_was_not_to_be_kept_is_not_missed(tmp_path, capsys, history):
    with threaded(server(keeps=True)) as api:
        summary, records = play(tmp_path, api, f"model.reasoning.history={history}")
        last = api.seen[2].body["messages"]
    sent = [m.get("reasoning_content") for m in last[1::2]]
    assert sent == ([None, None] if history == "drop" else [None, THOUGHT])
    assert told(summary) == ((4, 4) if history == "drop" else (4, 0))
    assert NOTICE not in capsys.readouterr().err
    # The record keeps it in any case.
    kept = [m.get("reasoning") for r in records for m in r.messages if m["role"] == "assistant"]
    assert kept == [THOUGHT] * 6
