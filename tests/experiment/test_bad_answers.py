"""Answers as servers should not give them: each is a turn like any other, and the run goes on."""

import json
from pathlib import Path
from typing import Any

import pytest

from codeact.cli import main
from codeact.episode.record import EpisodeRecord
from codeact.recordings.run_folder import latest_records
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.serving import threaded

pytestmark = pytest.mark.usefixtures("local_sandbox")

BROKEN = '{"code": "6 *'
LONG = json.dumps({"code": f"x = '{'a' * 1_000_000}'"})


def call(arguments: str, name: str = "python") -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


CELL = call('{"code": "6 * 7"}')
BAD: dict[str, Reply] = {
    "reasoning alone": Reply(text=None, message={"reasoning": "<solution> 28 </solution>"}),
    "content alone": Reply(text="I give up."),
    "both spellings": Reply(
        text="Hm.", message={"reasoning": "one", "reasoning_content": "two"}, tool_calls=[CELL]
    ),
    "broken arguments": Reply(text=None, tool_calls=[call(BROKEN)]),
    "unknown name": Reply(text=None, tool_calls=[call('{"code": "6 * 7"}', "shell")]),
    "two ids alike": Reply(text=None, tool_calls=[CELL, call('{"code": "print(1)"}')]),
    "a megabyte": Reply(text=None, tool_calls=[call(LONG)]),
    "no call at all": Reply(text=None, tool_calls=[7]),
}
ANSWER = Reply(text=None, tool_calls=[call('{"value": "28"}', "answer")])


class Server:
    """Gives each task's episode another of the bad answers, and then `ANSWER`."""

    def __init__(self) -> None:
        self.api = FakeApi(self._answer)
        self.second: dict[str, list[dict[str, Any]]] = {}
        """What each second request had behind the task: the bad answer, and what follows it."""
        self._names: dict[str, str] = {}

    def _answer(self, seen: Seen, number: int) -> Reply:
        task, *rest = [one for one in seen.body["messages"] if one["role"] != "system"]
        name = self._names.setdefault(task["content"], list(BAD)[len(self._names) % len(BAD)])
        if not rest:
            return BAD[name]
        self.second[name] = rest
        return ANSWER

    def records(self, folder: Path) -> dict[str, EpisodeRecord]:
        return {self._names[one.opening[-1]["content"]]: one for one in latest_records(folder)}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, local_sandbox: None) -> tuple[Server, Path]:
    server, folder = Server(), tmp_path_factory.mktemp("bad") / "run"
    with threaded(server.api) as api:
        words = [
            *("run", "model=server", "model.name=m", f"model.base_url={api.base_url}"),
            *("task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"),
            *("prompt=code_tool", "prompt.example=false", "turns=max2_p1", "tracker=none"),
            *("executor.preload=[]", "executor.warm=1", f"run_dir={folder}"),
        ]
        assert main(words) == 0
    return server, folder


def test_every_episode_goes_on_to_its_answer(played: tuple[Server, Path]) -> None:
    server, folder = played
    records = server.records(folder)
    assert records.keys() == BAD.keys()
    for name, record in records.items():
        assert (record.outcome.cause, len(record.turns)) == (None, 2), name
    acted = {name for name, one in records.items() if one.turns[0].action == "execute"}
    assert acted == {"both spellings", "two ids alike", "a megabyte"}


def test_the_record_has_what_the_model_wrote(played: tuple[Server, Path]) -> None:
    server, folder = played
    wrote = {name: one.messages[1] for name, one in server.records(folder).items()}
    assert wrote["reasoning alone"]["reasoning"] == "<solution> 28 </solution>"
    assert "reasoning" not in wrote["content alone"]
    assert wrote["both spellings"]["reasoning"] == "one\ntwo"
    assert [one["arguments"] for one in wrote["broken arguments"]["tool_calls"]] == [
        '{"code": "6 *'
    ]
    assert [one["arguments"] for one in wrote["a megabyte"]["tool_calls"]] == [LONG]
    assert len({one["id"] for one in wrote["two ids alike"]["tool_calls"]}) == 2
    assert "tool_calls" not in wrote["no call at all"]


def test_what_goes_back_is_what_servers_take(played: tuple[Server, Path]) -> None:
    server, _ = played
    for name, (answer, *after) in server.second.items():
        ids = [one["id"] for one in answer.get("tool_calls", ())]
        results = [one["tool_call_id"] for one in after if one["role"] == "tool"]
        assert results == ids == list(dict.fromkeys(ids)), name
        for one in answer.get("tool_calls", ()):
            assert isinstance(json.loads(one["function"]["arguments"]), dict), name
    broken = server.second["broken arguments"][0]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(broken) == {"invalid_arguments": BROKEN}


def test_the_run_becomes_trajectories(played: tuple[Server, Path], tmp_path: Path) -> None:
    _, folder = played
    assert main(["convert", str(folder), f"out={tmp_path / 'out'}", "format=atif"]) == 0
    assert len(list((tmp_path / "out").glob("gsm8k-*.json"))) == len(BAD)
