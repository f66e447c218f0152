"""What models, servers, disks and users do wrong: the run goes on, and says so honestly."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.episode import protocol
from codeact.episode.record import EpisodeRecord
from codeact.recordings.run_folder import EPISODES, latest_records
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.serving import threaded

pytestmark = pytest.mark.usefixtures("local_sandbox")

SAMPLE = "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"
# No cell here imports anything.
LIGHT = ["executor.preload=[]", "executor.warm=1"]


def play(
    folder: Path, replies: list[Reply | str] | Callable[[Seen, int], Reply | str], *words: str
) -> list[EpisodeRecord]:
    """One run against a server that answers as told; the records it left."""
    with threaded(FakeApi(replies)) as api:
        main(
            [
                "run",
                "model=server",
                "model.name=m",
                f"model.base_url={api.base_url}",
                "task=gsm8k",
                SAMPLE,
                "limit=1",
                *LIGHT,
                f"run_dir={folder}",
                *words,
            ]
        )
    return latest_records(folder)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(text=""),
        Reply(text=" \n\t "),
        Reply(text="<execute> print(1)"),
        Reply(text="<solution> 1"),
        Reply(text=None, tool_calls=[{"function": {"name": "python", "arguments": "{}"}}]),
        Reply(text='{"name": "python", "arguments": {"code": "1"}}'),
        Reply(text="lone surrogate \ud800 here"),
    ],
    ids=["nothing", "whitespace", "execute", "solution", "tool-call", "json", "surrogate"],
)
def test_what_is_no_action_is_answered_with_how_to_act(tmp_path: Path, reply: Reply) -> None:
    (record,) = play(tmp_path, [reply], "turns=max3_p2")
    assert record.outcome.cause is None
    assert record.outcome.terminate_reason in ("max_steps", "max_propose_steps")
    assert record.turns[0].observation == protocol.PARSE_FAILURE
    assert record.counts.steps == len(record.turns)


def test_a_megabyte_of_text_is_one_turn(tmp_path: Path) -> None:
    text = "<execute>" * 60_000 + " 6 * 7 </execute>" + "x" * 500_000
    (record,) = play(tmp_path, [text, "<solution> 1 </solution>"], "turns=max2_p2")
    assert record.turns[0].action == "execute"
    assert record.outcome.cause is None


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (Reply(status=500), "provider"),
        (Reply(status=429, headers={"Retry-After": "0"}), "provider"),
        (Reply(body=b"<html>not json</html>"), "provider"),
        (Reply(body=b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'), "provider"),
        (Reply(cut=True), "provider"),
        (Reply(hang="before"), "provider"),
        (Reply(status=401, text="no such key"), "provider"),
        (
            Reply(
                status=400,
                text="This model's maximum context length is 4096 tokens. However, you requested "
                "5000 tokens (4900 in the messages, 100 in the completion).",
            ),
            "model",
        ),
    ],
    ids=["500", "429", "garbage", "bad-utf8", "cut", "hang", "401", "context"],
)
def test_a_server_that_fails_ends_its_episode_and_not_the_run(
    tmp_path: Path, reply: Reply, cause: str | None
) -> None:
    """The first task meets the fault for good; the second is answered."""

    def answer(seen: Seen, number: int) -> Reply | str:
        first = "Petra bakes" in json.dumps(seen.body)
        return reply if first else "<solution> 1 </solution>"

    records = play(
        tmp_path,
        answer,
        "limit=2",
        "model.max_retries=1",
        "model.timeout.total=2",
        "turns=max2_p2",
    )
    by_task = {record.task_id: record for record in records}
    assert len(by_task) == 2
    assert sorted(str(r.outcome.cause) for r in by_task.values()) == sorted([str(cause), "None"])


def test_a_passing_fault_is_retried_and_remembered(tmp_path: Path) -> None:
    replies: list[Reply | str] = [Reply(status=503), "<solution> 1 </solution>"]
    (record,) = play(tmp_path, replies, "turns=max1_p1")
    assert record.outcome.cause is None
    assert "503" in record.turns[0].retries[0]


def test_an_episode_ends_at_its_own_wall_time_whatever_hangs(tmp_path: Path) -> None:
    (record,) = play(tmp_path, [Reply(hang="before")], "limits.max_seconds=1.0")
    assert record.outcome.terminate_reason == "max_seconds"
    assert record.outcome.cause is None


def test_a_cell_that_never_ends_is_cut_at_the_episodes_wall_time(tmp_path: Path) -> None:
    texts: list[Reply | str] = ["<execute> import time; time.sleep(60) </execute>"]
    (record,) = play(tmp_path, texts, "limits.max_seconds=2.0")
    assert record.outcome.terminate_reason == "max_seconds"


def test_feedback_comes_from_its_own_model_and_is_counted_apart(tmp_path: Path) -> None:
    with threaded(FakeApi(["This is GOOD. Go on."])) as critic:
        (record,) = play(
            tmp_path,
            ["<execute> 1 </execute>", "<solution> 1 </solution>"],
            "turns=max2_p2",
            "feedback=textual",
            "model@feedback.model=server",
            "feedback.model.name=critic",
            f"feedback.model.base_url={critic.base_url}",
            "feedback.model.probe=false",
        )
        assert len(critic.seen) == 1
        asked = critic.seen[0].body
    assert record.turns[0].feedback == "This is GOOD. Go on."
    assert record.messages[2]["content"].endswith("Expert feedback:\nThis is GOOD. Go on.\n")
    assert record.feedback_usage.total == 18
    assert record.usage.total == 36
    assert set(asked["stop"]) == set(protocol.FEEDBACK_STOP)


def test_a_policy_is_its_own_feedback_model_and_its_leaks_are_counted(tmp_path: Path) -> None:
    """It is asked anew as long as it gives the answer away, and the run says how often."""

    def answer(seen: Seen, number: int) -> str:
        if seen.body["messages"][-1]["content"].rstrip().endswith("Expert feedback:"):
            return "This is GOOD. You should get 28."
        return "<execute> 1 </execute>"

    with threaded(FakeApi(answer)) as api:
        same = [
            f"{key}.{word}"
            for key in ("model", "feedback.model")
            for word in ("name=m", f"base_url={api.base_url}", "probe=false")
        ]
        words = ["model=server", "model@feedback.model=server", *same]
        gsm8k = ["task=gsm8k", SAMPLE, "limit=1", *LIGHT, "tracker=none", f"run_dir={tmp_path}"]
        main(
            ["run", *words, *gsm8k, "feedback=textual_gt", "feedback.ask_again=1", "turns=max3_p2"]
        )
    (record,) = latest_records(tmp_path)
    assert record.feedback == "m/GT-textual"
    summary = json.loads((tmp_path / "summary.json").read_text())["overall"]
    assert record.turns[0].leaks == ("number: 28",)
    counted = [summary[name] for name in ("checked_feedback", "leaks", "asked_again")]
    assert counted == [2, 1, 1]
    assert record.feedback_usage.total == 3 * 18
    assert record.usage.total == 3 * 18


def test_the_policys_stop_strings_and_seed_are_sent(tmp_path: Path) -> None:
    sent = []

    def reply(seen: Seen, _: int) -> str:
        sent.append(seen.body)
        return "<solution> 1 </solution>"

    play(tmp_path, reply, "samples=2", "seed=40", "turns=max1_p1")
    assert sorted(body["seed"] for body in sent) == [40, 41]
    assert all(set(body["stop"]) == set(protocol.POLICY_STOP) for body in sent)


def test_a_server_that_is_down_is_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model=server", "model.name=m", "model.base_url=http://127.0.0.1:9/v1"]
    assert main(["run", *words, f"run_dir={tmp_path / 'run'}"]) == 1
    assert "127.0.0.1:9" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_no_docker_daemon_is_refused_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = f"executor.engine=unix://{tmp_path}/none.sock"
    assert main(["run", "model=scripted", "executor=docker", engine]) == 1
    said = capsys.readouterr().err
    assert "executor=local" in said
    assert "dockerd" in said or "start" in said


def test_a_run_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["run", "model=scripted", "limit=1", f"run_dir={tmp_path}/file/run"]) == 1
    assert "choose another run_dir" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_stops_the_run_and_a_resume_finishes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(tmp_path)], check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let a test mount a file system")
    words = ["run", "model=scripted", "task=gsm8k", SAMPLE, "samples=4", f"run_dir={tmp_path}/run"]
    words += ["full_disk_seconds=1", *LIGHT]
    try:
        assert main(words) == 1
        assert "No space left" in capsys.readouterr().err
        assert (tmp_path / "run" / EPISODES).read_bytes().endswith(b"\n")
        subprocess.run(["mount", "-o", "remount,size=8m", str(tmp_path)], check=True)
        assert main(words) == 0
        assert len(latest_records(tmp_path / "run")) == 8 * 4
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('{"id": 1, "prompt": "p"', "line 2: not valid JSON"),
        ('{"id": 1, "prompt": "p"}', "line 2: field 'reference' is missing"),
        ('{"id": 1, "prompt": 3, "reference": "1"}', "line 2: field 'prompt' must be text"),
    ],
)
def test_a_broken_task_file_is_refused_with_its_line(
    tmp_path: Path, line: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gsm8k.jsonl").write_text(f'{{"id": 0, "prompt": "p", "reference": "1"}}\n{line}\n')
    assert main(["run", "model=scripted", "task=gsm8k", f"data={tmp_path}"]) == 1
    said = capsys.readouterr().err
    assert "gsm8k.jsonl" in said
    assert part in said
