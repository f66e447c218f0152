"""Budgets, further tries, the order of episodes, and a disk that is full for a while."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from codeact.cli import main
from codeact.episode.causes import HANDLING, should_retry
from codeact.episode.record import Attempt
from codeact.exceptions import Cause
from codeact.recordings.run_folder import EPISODES, latest_records, read_records
from tests.helpers.fake_api import FakeApi, Reply, Seen
from tests.helpers.records import make_record
from tests.helpers.serving import threaded

pytestmark = pytest.mark.usefixtures("local_sandbox")

GSM8K = ["task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"]
GSM8K += ["executor.preload=[]", "executor.warm=1"]
TOKENS = 18  # of each of the server's answers


def against(api: FakeApi) -> list[str]:
    return ["run", *GSM8K, "model=server", "model.name=m", f"model.base_url={api.base_url}"]


def test_every_cause_has_its_treatment() -> None:
    assert set(HANDLING) == {None, *get_args(Cause)}


@pytest.mark.parametrize("cause", [cause for cause in HANDLING if cause is not None])
def test_tries_are_bounded_by_the_table(cause: Cause) -> None:
    record, tries = make_record(cause=cause), 0
    while should_retry(record) and tries < 100:
        tries += 1
        record.attempts.append(Attempt(cause=cause, error="why"))
    assert tries == HANDLING[cause].retries


def test_an_episode_that_failed_is_played_again_and_keeps_why(tmp_path: Path) -> None:
    replies = [Reply(status=400, text="out of order"), "<solution> 1 </solution>"]
    with threaded(FakeApi(replies)) as api:
        words = [*against(api), "limit=1", "turns=max1_p1", f"run_dir={tmp_path}"]
        assert main(words) == 0
    (record,) = read_records(tmp_path)
    assert record.outcome.cause is None
    (attempt,) = record.attempts
    assert attempt.cause == "provider"
    assert "out of order" in attempt.error
    overall = json.loads((tmp_path / "summary.json").read_text())["overall"]
    assert overall["retried"] == {"provider": 1}
    assert overall["causes"] == {}


def test_a_budget_of_tokens_ends_the_run_and_more_of_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(seen: Seen, number: int) -> Reply | str:
        return "<solution> 1 </solution>"

    with threaded(FakeApi(answer)) as api:
        words = [*against(api), "turns=max2_p2", "compute.concurrency=2", f"run_dir={tmp_path}"]
        assert main([*words, "budget.tokens=100"]) == 1
        said = capsys.readouterr().err
        assert "the budget of 100 tokens is used up" in said
        assert "episodes are left" in said
        asked = len(api.seen)
        spent = (asked + len(api.rehearsals)) * TOKENS
        # Reached, and passed by no more than what was under way.
        assert 100 <= spent <= 100 + 2 * TOKENS
        assert json.loads((tmp_path / "spent.json").read_text())[0] == spent
        assert all(record.outcome.cause is None for record in read_records(tmp_path))
        assert main([*words, "budget.tokens=100"]) == 1
        assert len(api.seen) == asked
        assert main([*words, "budget.tokens=null"]) == 0
    written = Counter(record.id for record in read_records(tmp_path))
    assert len(written) == 8
    assert set(written.values()) == {1}


def test_dollars_that_nobody_can_count_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "model=scripted", *GSM8K, "budget.usd=1.0", "run_dir=/nowhere"]) == 1
    assert "give model.prices.prompt" in capsys.readouterr().err


def test_the_order_is_drawn_from_the_seed(tmp_path: Path) -> None:
    orders = []
    for number, words in enumerate((["seed=1"], ["seed=1"], ["seed=2"], ["shuffle=false"])):
        folder = tmp_path / str(number)
        once = ["compute.concurrency=1", "turns=max1_p1", "shuffle=true", f"run_dir={folder}"]
        main(["run", "model=scripted", *GSM8K, *once, *words])
        orders.append([record.task_id for record in read_records(folder)])
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3
    assert len({frozenset(order) for order in orders}) == 1


def test_numbers_by_turns_and_by_task_add_up(tmp_path: Path) -> None:
    main(["run", "model=recorded", "task=sample", "limit=2", f"run_dir={tmp_path}"])
    summary = json.loads((tmp_path / "summary.json").read_text())
    overall = summary["overall"]
    for parts in (summary["by_task"], summary["by_turns"]):
        for key in ("episodes", "counted", "successes", "turns", "seconds"):
            assert sum(part[key] for part in parts.values()) == pytest.approx(overall[key])
    assert sum(int(n) * t["episodes"] for n, t in summary["by_turns"].items()) == overall["turns"]
    seconds = sorted(
        turn.seconds["sandbox"]
        for record in latest_records(tmp_path)
        for turn in record.turns
        if "sandbox" in turn.seconds
    )
    latency = summary["latency"]["sandbox"]
    assert latency["p99"] == seconds[-1]
    assert sum(value <= latency["p50"] for value in seconds) >= len(seconds) / 2
    assert sum(value < latency["p50"] for value in seconds) < len(seconds) / 2


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_disk_that_is_full_for_a_while_costs_no_episode(tmp_path: Path) -> None:
    small = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(tmp_path)]
    if subprocess.run(small, check=False).returncode:
        pytest.skip("this machine does not let a test mount a file system")
    words = ["run", "model=scripted", *GSM8K, "samples=4", "compute.concurrency=4"]
    command = [sys.executable, "-m", "codeact", *words, f"run_dir={tmp_path}/run"]
    try:
        run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert run.stderr is not None
        watchdog = threading.Timer(200, run.kill)
        watchdog.start()
        told = next(line for line in run.stderr if "for room" in line)
        assert "No space left" in told
        subprocess.run(["mount", "-o", "remount,size=8m", str(tmp_path)], check=True)
        run.stderr.read()
        assert run.wait(60) == 0
        watchdog.cancel()
        written = Counter(record.id for record in read_records(tmp_path / "run"))
        assert (tmp_path / "run" / EPISODES).read_bytes().endswith(b"\n")
        assert len(written) == 8 * 4
        assert set(written.values()) == {1}
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
