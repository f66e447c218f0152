"""Trajectories by ATIF: what an agent did and was told comes back, whatever recorded it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from codeact.cli import main
from codeact.collection.formats import convert_files
from codeact.episode.effects import Outcome
from codeact.episode.messages import Message
from codeact.episode.protocol import assistant_content
from codeact.episode.record import EpisodeRecord, encode
from codeact.recordings.episodes import read_recordings
from codeact.recordings.run_folder import EPISODES, PROVENANCE
from codeact.recordings.token_file import read_tokens
from codeact.recordings.token_units import TOKENS
from codeact.resources import resolve_path
from tests.collection.test_collection import recorded
from tests.helpers.conversations import config
from tests.helpers.documents import ROOT
from tests.helpers.records import calling_record, reasoning_record
from tests.helpers.token_runs import Sampler, play
from tests.recordings.test_exchange import full

SAMPLE = resolve_path("pkg://codeact.sample/recordings")
HARBOR = os.environ.get("CODEACT_HARBOR_PYTHON", "")
needs_harbor = pytest.mark.skipif(
    not HARBOR, reason="CODEACT_HARBOR_PYTHON names no interpreter with harbor"
)


def run_of(folder: Path, *records: EpisodeRecord) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / EPISODES).write_bytes(b"".join(encode(one) + b"\n" for one in records))
    return folder


def converted(source: Path, out: Path, *words: str) -> dict[str, dict[str, Any]]:
    convert_files(config(source, out, "format=atif", *words))
    return {path.stem: json.loads(path.read_bytes()) for path in sorted(out.glob("*.json"))}


def agent_steps(trajectory: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        step
        for step in trajectory["steps"]
        if step["source"] == "agent" and "is_copied_context" not in step
    ]


def actions(step: dict[str, Any]) -> list[tuple[str, str]]:
    """The actions of a step, as its calls have them."""
    return [
        (call["function_name"], next(iter(call["arguments"].values())))
        for call in step.get("tool_calls", ())
    ]


def history(trajectory: dict[str, Any]) -> list[Message]:
    """The whole conversation, put together again from the steps."""
    messages: list[Message] = []
    for step in trajectory["steps"]:
        if step["source"] != "agent":
            messages.append({"role": step["source"], "content": step["message"]})
            continue
        messages.append({"role": "assistant", "content": assistant_content(step["message"])})
        messages += step["extra"].get("environment", [])
    return messages


def test_actions_observations_and_the_conversation_come_back(tmp_path: Path) -> None:
    files = converted(SAMPLE, tmp_path / "out")
    found = {made["session_id"]: made for made in files.values()}
    checked = 0
    for episode in read_recordings(SAMPLE):
        record = episode.record
        assert record is not None
        made = found.pop(record.id)
        for turn, step in zip(record.turns, agent_steps(made), strict=True):
            done = [] if turn.action == "invalid" else [(turn.action, turn.content)]
            assert actions(step) == done
            results = [one["content"] for one in step.get("observation", {}).get("results", [])]
            assert results in ([turn.observation], [])
            assert results or not turn.observation
            checked += 1
        assert history(made) == record.messages
        assert made["final_metrics"]["total_completion_tokens"] == record.usage.completion
    assert not found
    assert checked > 100


def test_reasoning_calls_and_results_of_every_action_come_back(tmp_path: Path) -> None:
    record = calling_record()
    call = record.messages[6]["tool_calls"][1]
    call["arguments"] = "{not JSON"
    made = converted(run_of(tmp_path / "run", record), tmp_path / "out")["gsm8k-2-0"]
    sources = [step["source"] for step in made["steps"]]
    assert sources == ["system", "user", "agent", "agent", "user", "agent", "agent"]
    assert [step["step_id"] for step in made["steps"]] == list(range(1, 8))
    first, last = agent_steps(made)
    assert (first["message"], first["reasoning_content"]) == ("I look.", "Both at once.")
    assert [one["tool_call_id"] for one in first["tool_calls"]] == ["c1", "c2"]
    assert first["tool_calls"][0]["arguments"] == {"code": "1 + 1"}
    assert first["tool_calls"][1]["arguments"] == {}
    assert first["tool_calls"][1]["extra"] == {"arguments": "{not JSON"}
    assert first["observation"]["results"] == [
        {"content": "2\n", "source_call_id": "c1"},
        {"content": "NameError: no", "source_call_id": "c2"},
        {"content": "You have 3 steps left."},
    ]
    assert first["metrics"]["prompt_tokens"] == 30
    assert last["extra"]["correct"] is True
    assert made["steps"][2]["is_copied_context"] is True
    assert made["steps"][2]["observation"]["results"][0]["source_call_id"] == "c2"


def test_reasoning_is_dropped_on_request_and_a_servers_own_form_is_kept(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", reasoning_record())
    (made,) = converted(run, tmp_path / "kept").values()
    first, last = agent_steps(made)
    assert first["reasoning_content"] == "I add.\n"
    assert first["metrics"]["extra"]["reasoning_tokens"] == 3
    assert last["extra"]["reasoning_details"][0]["type"] == "reasoning.encrypted"
    (made,) = converted(run, tmp_path / "dropped", "reasoning=drop").values()
    assert "reasoning_content" not in json.dumps(made)
    assert "reasoning_details" not in json.dumps(made)


def test_exact_tokens_are_in_the_metrics_of_their_turn(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "model")
    records = [sampler.record("1"), sampler.record("2", kept=False)]
    run = play(tmp_path / "run", *records)
    found = converted(run, tmp_path / "out")
    for tokens in read_tokens(run):
        made = next(one for one in found.values() if one["session_id"] == tokens.episode)
        steps = agent_steps(made)
        for step, prompt, turn in zip(steps, tokens.prompts(), tokens.turns, strict=True):
            assert step["metrics"]["prompt_token_ids"] == prompt
            assert step["metrics"]["completion_token_ids"] == turn.sampled
            assert step["metrics"]["logprobs"] == turn.logprobs
            assert step["metrics"]["completion_tokens"] == len(turn.sampled)


def test_a_record_whose_tokens_are_missing_is_written_without_them_and_said(
    tmp_path: Path,
) -> None:
    sampler = Sampler(tmp_path / "model")
    run = play(tmp_path / "run", sampler.record("1"), sampler.record("2"))
    other = play(tmp_path / "other", sampler.record("3"))
    (run / EPISODES).write_bytes((other / EPISODES).read_bytes() + (run / EPISODES).read_bytes())
    done = convert_files(config(run, tmp_path / "out", "format=atif"))
    assert done.atif is not None
    assert (done.atif.trajectories, done.atif.with_tokens) == (3, 2)
    (problem,) = done.problems
    assert problem.place == f"{run / EPISODES}:1"
    assert TOKENS in problem.reason


def test_failures_are_left_out_and_what_stays_says_who_played_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    down = reasoning_record("2")
    down.outcome = Outcome(success=False, terminate_reason="error", cause="sandbox")
    good = reasoning_record("a/b")
    good.session = 2
    run = run_of(tmp_path / "run", good, down)
    sessions = [{"codeact": "0.1"}, {"codeact": "0.2"}]
    (run / PROVENANCE).write_text(json.dumps({"sessions": sessions}))
    assert main(["convert", str(run), f"out={tmp_path / 'out'}", "format=atif"]) == 0
    assert "left out: 1 failed by the sandbox" in capsys.readouterr().out
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == "gsm8k-a%2Fb-0.json"
    assert json.loads(file.read_bytes())["agent"]["version"] == "0.2"


def test_episodes_of_one_task_in_several_sources_have_files_of_their_own(tmp_path: Path) -> None:
    recorded(tmp_path / "tree", full(1), model="a")
    recorded(tmp_path / "tree", full(1), model="b")
    found = converted(tmp_path / "tree", tmp_path / "out")
    assert sorted(found) == ["gsm8k-1-0", "gsm8k-1-0-2"]
    assert {one["agent"]["model_name"] for one in found.values()} == {"a", "b"}
    first, last = agent_steps(found["gsm8k-1-0"])
    assert actions(first) == [("execute", "1 + 1")]
    assert first["observation"]["results"][0]["content"] == "2"
    assert actions(last) == [("propose", "2")]


@needs_harbor
def test_harbors_own_models_take_every_file(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "model")
    play(tmp_path / "in" / "exact", sampler.record("1"), sampler.record("2", kept=False))
    run_of(tmp_path / "in" / "calls", calling_record(), reasoning_record())
    recorded(tmp_path / "in" / "published", full(1), full(2, state={"success": False}))
    (tmp_path / "in" / "sample").symlink_to(SAMPLE)
    sources = f"source=[{', '.join(str(one) for one in (tmp_path / 'in').iterdir())}]"
    words = ["convert", sources, f"out={tmp_path / 'out'}", "format=atif"]
    assert main(words) == 0
    check = ROOT / "tests" / "helpers" / "atif_check.py"
    done = subprocess.run(
        [HARBOR, str(check), str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) == len(list((tmp_path / "out").iterdir())) > 60
