"""`codeact run` as a user runs it: records, resume, kill -9, sweeps, exit statuses."""

import csv
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.recordings.run_folder import EPISODES, latest_records, read_records
from tests.helpers.commands import Begun, begin, codeact
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.serving import threaded

pytestmark = pytest.mark.usefixtures("local_sandbox")

PLAIN = [
    "model=scripted",
    "task=gsm8k",
    "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl",
]
QUICK = [*PLAIN, "executor.preload=[]", "executor.warm=1"]


def test_a_run_records_what_the_code_really_did(tmp_path: Path) -> None:
    done = codeact("run", *QUICK, "limit=2", f"run_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    records = latest_records(tmp_path)
    assert len(records) == 2
    assert records[0].turns[0].observation == "Out[1]: 42"
    assert records[0].turns[0].status == "ok"
    assert records[0].outcome.terminate_reason == "max_propose_steps"
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["overall"]["episodes"] == 2
    assert summary["by_task"]["gsm8k"]["success_rate"] == 0.0
    session = json.loads((tmp_path / "provenance.json").read_text())["sessions"][0]
    assert set(session) >= {"git", "packages", "data", "command_line", "sandbox"}
    assert "max_steps: 5" in (tmp_path / "config.yaml").read_text()


def test_a_finished_run_plays_nothing_again(tmp_path: Path) -> None:
    words = ["run", *QUICK, "limit=1", f"run_dir={tmp_path}"]
    once = codeact(*words)
    assert once.returncode == 0, once.stderr
    before = (tmp_path / EPISODES).read_bytes()
    again = codeact(*words)
    assert again.returncode == 0, again.stderr
    assert "1 of 1 episodes are there already" in again.stderr
    assert (tmp_path / EPISODES).read_bytes() == before


def test_more_tasks_and_samples_are_added_to_what_is_there(tmp_path: Path) -> None:
    for words in (["limit=1"], ["limit=2", "samples=2"]):
        done = codeact("run", *QUICK, *words, f"run_dir={tmp_path}")
        assert done.returncode == 0, done.stderr
    played = Counter((r.task_id, r.sample) for r in read_records(tmp_path))
    assert set(played.values()) == {1}
    assert len(played) == 4


def test_kill_nine_at_any_moment_loses_and_repeats_nothing(tmp_path: Path) -> None:
    words = ["run", *QUICK, "samples=30", "model.latency=0.01", f"run_dir={tmp_path}"]
    log = tmp_path.with_suffix(".log")
    moments = random.Random(5)
    for _ in range(4):
        process = begin(*words, out=log, err=log)
        before = _lines(tmp_path)
        _wait_for_lines(tmp_path, before + 5, process, log)
        time.sleep(moments.random() * 0.3)
        process.kill()
        process.wait()
        # A torn line, as a crash in the middle of a write leaves it.
        with (tmp_path / EPISODES).open("ab") as stream:
            stream.write(b'{"id": "torn')
    done = codeact(*words)
    assert done.returncode == 0, done.stderr
    played = Counter((r.task_id, r.sample) for r in read_records(tmp_path))
    assert len(played) == 8 * 30
    assert set(played.values()) == {1}


def _lines(folder: Path) -> int:
    file = folder / EPISODES
    return file.read_bytes().count(b"\n") if file.exists() else 0


def _wait_for_lines(folder: Path, count: int, process: Begun, log: Path) -> None:
    """Wait until a run has written so many episodes, or has ended with what it had to do."""
    deadline = time.monotonic() + 90
    while _lines(folder) < count and process.poll() != 0:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def test_ctrl_c_finishes_what_is_in_flight_and_says_what_is_left(tmp_path: Path) -> None:
    words = ["run", *QUICK, "samples=50", "model.latency=0.1", "compute.concurrency=4"]
    log = tmp_path.with_suffix(".log")
    process = begin(*words, f"run_dir={tmp_path}", out=log, err=log)
    _wait_for_lines(tmp_path, 3, process, log)
    process.send_signal(signal.SIGINT)
    process.wait(90)
    errors = log.read_text()
    assert process.returncode == 130, errors
    assert "Finishing the episodes in flight" in errors
    assert "episodes are left" in errors
    assert len(latest_records(tmp_path)) == _lines(tmp_path)


def test_a_sweep_is_one_queue_with_a_folder_and_a_row_for_each_run(tmp_path: Path) -> None:
    done = codeact("run", *PLAIN, "-m", "turns=max1_p1,max2_p2", "limit=1", f"run_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    cells = [f"model=scripted,task=gsm8k,turns={turns}" for turns in ("max1_p1", "max2_p2")]
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == cells
    assert done.stdout.count("turns=max1_p1") >= 2
    assert len(latest_records(tmp_path / cells[1])) == 1


def test_failures_of_a_sweep_are_grouped_and_the_table_is_one(tmp_path: Path) -> None:
    cell = "model=server,model.name=m,task=gsm8k,turns"
    (tmp_path / f"{cell}=max1_p1").mkdir()
    (tmp_path / f"{cell}=max1_p1" / "failures.jsonl").write_text("of an earlier session")
    done = codeact(
        "run",
        "model=server",
        "model.name=m",
        "model.base_url=http://127.0.0.1:9/v1",
        "model.probe=false",
        "model.max_retries=0",
        *PLAIN[1:],
        "-m",
        "turns=max1_p1,max2_p2",
        "limit=2",
        f"run_dir={tmp_path}",
    )
    assert done.returncode == 1, done.stderr
    (failures,) = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert failures.startswith("failed: 4 × provider: ")
    assert failures.count("gsm8k/") == 3
    assert done.stdout.count("┏") == 1
    for turns in ("max1_p1", "max2_p2"):
        folder = tmp_path / f"{cell}={turns}"
        lines = (folder / "failures.jsonl").read_text().splitlines()
        assert [json.loads(line)["cause"] for line in lines] == ["provider"] * 2
        assert f"every failed episode: {folder / 'failures.jsonl'}" in done.stdout
    rows = list(csv.DictReader((tmp_path / "sweep.csv").open()))
    assert [row["override:turns"] for row in rows] == ["max1_p1", "max2_p2"]
    assert [row["failures/total"] for row in rows] == ["2", "2"]
    documents = json.loads((tmp_path / "sweep.json").read_text())
    summary = json.loads((tmp_path / f"{cell}=max1_p1" / "summary.json").read_text())
    assert documents[0]["overrides"]["limit"] == "2"
    assert documents[0]["status"] == "finished"
    for name, value in summary["overall"].items():
        if not isinstance(value, dict):
            assert documents[0]["summary"][f"overall/{name}"] == value
            assert rows[0][f"overall/{name}"] == ("" if value is None else str(value))


def test_a_mended_run_lists_no_failures_any_more(tmp_path: Path) -> None:
    down = {"down": True}

    def answer(seen: Seen, number: int) -> Reply | str:
        return Reply(status=404) if down["down"] else "<solution> 1 </solution>"

    with threaded(FakeApi(answer)) as api:
        words = ["run", "model=server", "model.name=m", f"model.base_url={api.base_url}"]
        words += [*QUICK[1:], "limit=1", "model.probe=false", f"run_dir={tmp_path}"]
        assert main(words) == 1
        assert (tmp_path / "failures.jsonl").exists()
        down["down"] = False
        assert main(words) == 0
    assert not (tmp_path / "failures.jsonl").exists()


def test_dry_run_shows_the_configuration_and_the_prompt_and_spends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert main(["run", *QUICK, "dry_run=true", f"run_dir={folder}"]) == 0
    shown = capsys.readouterr().out
    assert "max_steps: 5" in shown
    assert "episodes: 8" in shown
    assert "Task:\nPetra bakes" in shown
    assert not folder.exists()


def test_the_top_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from codeact.cli import main; main(['--help']); "
        "heavy = {'ray', 'wandb', 'datasets', 'docker', 'hydra', 'aiohttp', 'openai', 'rich'}; "
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "heavy: []" in done.stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["rnu"], "did you mean 'run'?"),
        (["run", "model=scriptd"], "did you mean 'scripted'?"),
        (["run", "nonsense"], "write KEY=VALUE"),
        (["validate", "-m"], "one thing at a time"),
    ],
)
def test_a_wrong_command_line_ends_with_advice(
    words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) != 0
    assert part in capsys.readouterr().err


def test_episodes_in_one_process_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with threaded(FakeApi(["<solution> 1 </solution>"], latency=0.5)) as api:
        words = ["run", "model=server", "model.name=m", f"model.base_url={api.base_url}"]
        words += [*QUICK[1:], "samples=5", "turns=max1_p1", "compute.concurrency=20"]
        assert main([*words, f"run_dir={tmp_path}"]) == 0
        assert api.peak_in_flight > 10
    assert len(latest_records(tmp_path)) == 40
