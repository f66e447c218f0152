"""compute=ray: the same records as in one process, whatever is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from codeact.cli import main
from codeact.experiment.summary import summarize_folder
from codeact.recordings.run_folder import SPENT, latest_records, read_records
from codeact.recordings.token_file import read_tokens
from tests.helpers.alfworld import (
    needs_archive,
    needs_engine,
    prepared,
    recorded_run,
    solved_by_games,
    unpacked,
)
from tests.helpers.fake_api import FakeApi, Reply
from tests.helpers.ray_cluster import Driver, add_node, cluster, worker_pids
from tests.helpers.serving import threaded
from tests.helpers.toy_vllm import ANSWER, CELL, END, ToyVllm

pytestmark = [pytest.mark.usefixtures("local_sandbox"), pytest.mark.timeout(600), pytest.mark.ray]

SUBMIT = Path(__file__).parents[2] / "launchers" / "job_submit" / "submit.sh"
TASKS = ["task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"]
TASKS += ["executor.preload=[]", "executor.warm=1"]
SLOW = ["model=scripted", "model.latency=0.3", *TASKS, "samples=5", "compute.concurrency=8"]
EPISODES = 8 * 5


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Any]:
    with cluster() as made:
        yield made


@pytest.fixture
def second_node(ray_cluster: Any) -> Iterator[Any]:
    node = add_node(ray_cluster)
    yield node
    if node in ray_cluster.worker_nodes:
        ray_cluster.remove_node(node)


def first_node(made: Any) -> Any:
    return next(iter(made.worker_nodes))


def handed_out_again(folder: Path) -> list[str]:
    return [
        attempt.error
        for record in read_records(folder)
        for attempt in record.attempts
        if attempt.cause == "harness"
    ]


def assert_complete(folder: Path, episodes: int = EPISODES) -> None:
    """Every episode once, none failed, and the summary adds up."""
    played = Counter(record.id for record in read_records(folder))
    assert len(played) == episodes
    assert set(played.values()) == {1}
    assert {record.outcome.cause for record in read_records(folder)} == {None}
    overall = json.loads((folder / "summary.json").read_text())["overall"]
    assert overall["episodes"] == overall["counted"] == episodes


def timeless(value: Any) -> Any:
    """Without the seconds that things took."""
    if isinstance(value, dict):
        return {key: timeless(part) for key, part in value.items() if key != "seconds"}
    return [timeless(part) for part in value] if isinstance(value, list) else value


def recorded(folder: Path) -> dict[str, str]:
    """What was written of each episode, but for times."""
    lines = map(json.loads, (folder / "episodes.jsonl").read_text().splitlines())
    return {line["id"]: json.dumps(timeless(line)) for line in lines}


def test_the_records_are_those_of_one_process(ray_cluster: Any, tmp_path: Path) -> None:
    suite = ["model=recorded", "task=sample", "limit=4"]
    spread = Driver(ray_cluster, tmp_path / "ray", *suite, "compute.workers=2")
    assert main(["run", *suite, "tracker=none", f"run_dir={tmp_path}/local"]) == 0
    assert spread.finish() == 0, spread.stderr
    ours, theirs = (recorded(tmp_path / place) for place in ("local", "ray"))
    assert len(ours) == 32
    assert ours.keys() == theirs.keys()
    # One of the recorded cells throws dice.
    unlike = [key for key in ours if ours[key] != theirs[key] and "import random" not in ours[key]]
    assert not unlike
    (session,) = json.loads((tmp_path / "ray" / "provenance.json").read_text())["sessions"]
    assert session["sandbox"]["executor"] == "local"
    assert session["sandbox"]["ray"]["workers"] == 2
    assert session["sandbox"]["ray"]["nodes"] == 1


def test_exact_tokens_come_from_workers_to_the_run_folder(ray_cluster: Any, tmp_path: Path) -> None:
    toy = ToyVllm(tmp_path)
    with threaded(toy.api):
        words = toy.words("samples=4", "turns=max2_p1", "compute.workers=2")
        run = Driver(ray_cluster, tmp_path / "run", *words[1:])
        assert run.finish() == 0, run.stderr
    records = {record.id: record for record in latest_records(tmp_path / "run")}
    tokens = {one.episode: one for one in read_tokens(tmp_path / "run")}
    assert len(records) == 4
    assert tokens.keys() == records.keys()
    for one in tokens.values():
        sampled = [toy.text(turn.sampled) for turn in one.turns]
        assert sampled == [CELL + END, ANSWER + END]


@needs_archive
@needs_engine
def test_workers_play_games_of_their_own(ray_cluster: Any, tmp_path: Path) -> None:
    prepared(unpacked(tmp_path / "raw"), tmp_path / "data")
    run = Driver(ray_cluster, tmp_path / "run", *recorded_run(tmp_path / "data"))
    assert run.finish() == 0, run.stderr
    assert any(solved_by_games(tmp_path / "run"))


def test_a_worker_that_is_killed_is_replaced_and_loses_nothing(
    ray_cluster: Any, tmp_path: Path
) -> None:
    run = Driver(ray_cluster, tmp_path, *SLOW)
    run.until_played(10)
    os.kill(worker_pids(first_node(ray_cluster))[0], signal.SIGKILL)
    assert run.finish() == 0, run.stderr
    assert_complete(tmp_path)
    reasons = handed_out_again(tmp_path)
    assert reasons
    assert all("was lost" in reason for reason in reasons)
    assert run.stderr.count("was lost") == 1
    assert "raylet" not in run.stdout
    assert run.stdout.rstrip().endswith(f"run folder: {tmp_path}")


def test_a_node_that_is_killed_loses_nothing(
    ray_cluster: Any, second_node: Any, tmp_path: Path
) -> None:
    run = Driver(ray_cluster, tmp_path, *SLOW)
    run.until(lambda: bool(worker_pids(second_node)))
    run.until_played(10)
    ray_cluster.remove_node(second_node, allow_graceful=False)
    assert run.finish() == 0, run.stderr
    assert_complete(tmp_path)
    assert handed_out_again(tmp_path)
    (session,) = json.loads((tmp_path / "provenance.json").read_text())["sessions"]
    assert session["sandbox"]["ray"]["nodes"] == 2


def test_nodes_that_join_get_workers_and_those_that_leave_give_their_episodes_back(
    ray_cluster: Any, tmp_path: Path
) -> None:
    """One node, three, two and one again, in one run, which then ends soon."""
    with threaded(FakeApi(["<solution> 1 </solution>"], latency=1.0)) as api:
        words = [*TASKS, "model=server", "model.name=m", f"model.base_url={api.base_url}"]
        words += ["samples=40", "turns=max1_p1", "compute.concurrency=12"]
        run = Driver(ray_cluster, tmp_path, *words)
        run.until_played(10)
        api.latency = 4.0
        joined = [add_node(ray_cluster), add_node(ray_cluster)]
        try:
            for node in joined:
                run.until(lambda node=node: bool(worker_pids(node)))
                run.until(lambda node=node: f"({node.node_id[:8]}) joined" in run.stderr)
            assert "3 play now" in run.stderr
            api.latency = 1.0
            run.until_played(run.played() + 20)
            ray_cluster.remove_node(joined.pop(), allow_graceful=True)
            run.until(lambda: run.stderr.count("was lost") == 1)
            run.until_played(run.played() + 20)
            ray_cluster.remove_node(joined.pop(), allow_graceful=False)
            run.until(lambda: run.stderr.count("was lost") == 2)
            assert run.played() < 8 * 40
            api.latency = 0.0
            assert run.finish() == 0, run.stderr
        finally:
            for node in joined:
                ray_cluster.remove_node(node)
    assert_complete(tmp_path, 8 * 40)
    assert handed_out_again(tmp_path)
    assert run.stderr.count("was lost") == 2
    assert len(worker_pids(first_node(ray_cluster))) <= 1


def test_an_episode_that_was_handed_out_often_enough_is_a_failure_of_its_own(
    ray_cluster: Any, tmp_path: Path
) -> None:
    run = Driver(ray_cluster, tmp_path, *SLOW, "compute.workers=1", "compute.handouts=1")
    run.until_played(10)
    os.kill(worker_pids(first_node(ray_cluster))[0], signal.SIGKILL)
    assert run.finish() == 1, run.stderr
    records = latest_records(tmp_path)
    assert len(records) == EPISODES
    failed = [record for record in records if record.outcome.cause is not None]
    assert 1 <= len(failed) <= 8
    for record in failed:
        assert record.outcome.cause == "harness"
        assert "handed out 1 of 1 times" in record.outcome.error
        assert not record.turns


def test_a_driver_that_is_killed_is_resumed(ray_cluster: Any, tmp_path: Path) -> None:
    run = Driver(ray_cluster, tmp_path, *SLOW)
    run.until_played(10)
    workers = [psutil.Process(pid) for pid in worker_pids(first_node(ray_cluster))]
    run.process.kill()
    run.process.wait()
    before = run.played()
    again = Driver(ray_cluster, tmp_path, *SLOW)
    assert again.finish() == 0, again.stderr
    assert f"{before} of {EPISODES} episodes are there already" in again.stderr
    assert_complete(tmp_path)
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


def test_a_second_ctrl_c_ends_episodes_and_workers(ray_cluster: Any, tmp_path: Path) -> None:
    with threaded(FakeApi(["<execute> import time; time.sleep(60) </execute>"])) as api:
        words = ["model=server", "model.name=m", f"model.base_url={api.base_url}"]
        run = Driver(ray_cluster, tmp_path, *words, *TASKS, "executor.cell_seconds=60")
        run.until(lambda: len(api.seen) == 8)
        (worker,) = (psutil.Process(pid) for pid in worker_pids(first_node(ray_cluster)))
        guests = worker.children(recursive=True)
        os.killpg(run.process.pid, signal.SIGINT)
        run.until(lambda: "Finishing the episodes in flight" in run.stderr)
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.finish() == 130, run.stderr
    assert guests
    _, alive = psutil.wait_procs([worker, *guests], timeout=60)
    assert not alive
    assert run.played() == 0


def test_submit_plays_a_run_as_a_job(ray_cluster: Any, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CODEACT": f"{Path(sys.executable).parent}/codeact",
        "RAY_ADDRESS": f"http://{ray_cluster.head_node.webui_url}",
    }
    words = [f"run_dir={tmp_path}/run", "model=scripted", *TASKS, "tracker=none"]
    deadline = time.monotonic() + 120
    while True:
        done = subprocess.run(
            ["sh", str(SUBMIT), *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        # A dashboard that has only just started has nobody yet to give a job to.
        if "submitted successfully" in done.stdout + done.stderr or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"run folder: {tmp_path}/run" in done.stdout
    assert_complete(tmp_path / "run", 8)


def on(made: Any, folder: Path, *words: str) -> int:
    """A run whose driver is this process."""
    where = ["compute=ray", f"compute.address={made.address}", f"run_dir={folder}"]
    return main(["run", *words, *where, "tracker=none"])


def test_a_budget_holds_over_all_workers(
    ray_cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """18 tokens an answer: a budget of 900 is 50 answers."""
    with threaded(FakeApi(["<execute> 6 * 7 </execute>"], latency=0.3)) as api:
        words = [*TASKS, "samples=20", "model=openai", "model.name=m", "compute.workers=2"]
        words += [f"model.base_url={api.base_url}", "compute.concurrency=8", "budget.tokens=900"]
        assert on(ray_cluster, tmp_path, *words) == 1
        # One worker asks for all whether the server takes the run's parameters.
        answered = len(api.seen) + len(api.rehearsals)
        assert len(api.rehearsals) == 1
    (session,) = json.loads((tmp_path / "provenance.json").read_text())["sessions"]
    assert session["sandbox"]["ray"]["workers"] == 2
    assert "the budget of 900 tokens is used up" in capsys.readouterr().err
    # A worker knows what the other spent as of an exchange, a second ago: 8 answers. On a busy
    # machine an exchange takes longer.
    assert 50 <= answered <= 50 + 8 + 40
    tokens, _ = json.loads((tmp_path / SPENT).read_text())
    assert tokens == 18 * answered
    # Each worker's requests are listed here, those of episodes that the budget cut short included.
    accounts = summarize_folder(tmp_path).accounts
    assert (accounts.spent.requests, accounts.mismatches) == (answered, 0)
    assert accounts.abandoned.requests > 0


def test_a_model_that_only_fails_stops_the_run(ray_cluster: Any, tmp_path: Path) -> None:
    with threaded(FakeApi([Reply(status=401, text="invalid api key")])) as api:
        words = ["model=server", "model.name=m", f"model.base_url={api.base_url}", *TASKS]
        words += ["samples=10", "turns=max1_p1", "compute.workers=2", "compute.concurrency=8"]
        run = Driver(ray_cluster, tmp_path, *words)
        assert run.finish() == 1, run.stderr
        # 20 failures without a success between stop it, and each of the workers is asked to try.
        assert api.count <= 20 + 8 + 2
    assert f"the model does not work: model: {api.base_url}" in run.stderr
    assert 0 < len(latest_records(tmp_path)) < 80


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["model=server", "model.name=m", "model.base_url=http://127.0.0.1:9/v1"],
            ["127.0.0.1:9/", "cannot play"],
        ),
        (
            ["model=scripted", "compute.cpus_per_worker=64", "compute.start_seconds=2"],
            ["compute.cpus_per_worker", "Waiting 2 s"],
        ),
        (["model=scripted", "compute.address=127.0.0.1:9"], ["127.0.0.1:9 cannot be reached"]),
    ],
    ids=["model", "room", "cluster"],
)
def test_what_cannot_work_is_refused_before_anything_is_spent(
    ray_cluster: Any,
    tmp_path: Path,
    words: list[str],
    said: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = [] if "compute.address" in words[-1] else [f"compute.address={ray_cluster.address}"]
    run_dir = f"run_dir={tmp_path}/run"
    assert main(["run", "compute=ray", *where, *words, *TASKS, run_dir, "tracker=none"]) == 1
    err = capsys.readouterr().err
    assert all(part in err for part in said), err
    assert not (tmp_path / "run").exists()


def test_a_parameter_that_a_server_does_not_take_is_refused_before_anything_is_spent(
    ray_cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*TASKS, "model=server", "model.name=m", "compute.workers=2"]
    with threaded(FakeApi()) as api:
        api.takes = lambda seen: Reply(status=400, text="'stop' is not supported with this model")
        assert on(ray_cluster, tmp_path / "run", *words, f"model.base_url={api.base_url}") == 1
        assert (api.count, len(api.rehearsals)) == (0, 1)
    assert "does not take stop: model.stop_limit=0 leaves it out" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_node_that_cannot_play_is_named_and_the_others_play(
    ray_cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the second node another codeact seems to be installed."""
    metadata = tmp_path / "path" / "codeact-0.0.1.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: codeact\nVersion: 0.0.1\n")
    node = add_node(ray_cluster, env_vars={"PYTHONPATH": str(tmp_path / "path")})
    try:
        assert on(ray_cluster, tmp_path / "run", "model=scripted", *TASKS) == 0
    finally:
        ray_cluster.remove_node(node)
    err = capsys.readouterr().err
    assert node.node_id[:8] in err
    assert "codeact 0.0.1 is installed there" in err
    assert_complete(tmp_path / "run", 8)
