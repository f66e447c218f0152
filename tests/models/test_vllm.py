"""`model=vllm` as a user runs it, with a server program that speaks vLLM's API in its place."""

import contextlib
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from codeact import ray_cluster as cluster
from codeact.cli import main
from codeact.recordings.run_folder import latest_records
from tests.helpers.commands import launch
from tests.helpers.ray_cluster import patiently
from tests.helpers.vllm_runs import Play, wait_for

pytestmark = [
    pytest.mark.usefixtures("local_sandbox", "ray_cluster"),
    pytest.mark.timeout(600),
    pytest.mark.ray,
]


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[str]:
    """One Ray for the module, with its address for drivers in other processes."""
    import ray

    patiently(cluster.connect)
    yield ray.get_runtime_context().gcs_address
    cluster.disconnect()


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    played = Play(tmp_path)
    yield played
    for pid in played.left:
        os.kill(pid, signal.SIGKILL)


def test_every_server_answers_and_an_episode_stays_with_one(play: Play) -> None:
    assert main(play.words("samples=3", servers=2, FAKE_VLLM_CHILD="1")) == 0
    records = latest_records(play.run_dir)
    assert len(records) == 24
    assert {record.outcome.cause for record in records} == {None}
    assert len({line["port"] for line in play.asked}) == 2
    servers = defaultdict(set)
    for line in play.asked:
        servers[line["first"], line["seed"]].add(line["port"])
    assert len(servers) == 24
    assert {len(found) for found in servers.values()} == {1}
    assert play.left == []


@pytest.mark.parametrize("victim", ["server", "keeper", "actor"])
def test_a_server_that_is_lost_comes_back_and_no_episode_fails(
    play: Play, victim: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no other server, so that the run can only end well if this one returns."""

    def kill() -> None:
        server = psutil.Process(play.starts[0]["pid"])
        victims = {"server": lambda: server, "keeper": server.parent, "actor": _actor}
        found = victims[victim]()
        assert found is not None
        found.kill()

    words = play.words(
        "samples=3", "compute.concurrency=4", FAKE_VLLM_SECONDS="0.05", FAKE_VLLM_CHILD="1"
    )
    thread = play.after(10, kill)
    status = main(words)
    thread.join()
    said = capsys.readouterr().err
    assert status == 0, said
    assert "starting it again (1 of 3 times)" in said
    assert {record.outcome.cause for record in latest_records(play.run_dir)} == {None}
    assert len(play.starts) == 2
    assert len({line["port"] for line in play.starts}) == 1
    # Even those of the first server's processes that had a session of their own.
    assert wait_for(lambda: play.left == [], 60)


def _actor() -> psutil.Process:
    """The Ray worker that holds the server."""
    ours = psutil.Process().children(recursive=True)
    (found,) = [p for p in ours if _title(p).startswith("ray::ServerHost")]
    return found


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline()[:1])
    return ""


def test_a_server_that_ends_again_and_again_ends_the_run(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(play.words("model.restarts=1", "compute.concurrency=1", FAKE_VLLM_DIE="4"))
    said = capsys.readouterr().err
    assert status == 1
    assert "no server of tiny is left" in said
    assert len(play.starts) == 2
    assert play.left == []
    # What was finished is kept, and the same command goes on.
    before = len(latest_records(play.run_dir))
    assert before >= 1
    assert main(play.words()) == 0
    assert len(latest_records(play.run_dir)) == 8


def test_one_that_never_gets_healthy_is_refused_and_the_others_are_stopped(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    words = play.words(
        "model.start_seconds=20",
        "+model.args.max_model_len=77",
        servers=2,
        FAKE_VLLM_SICK="1",
        FAKE_VLLM_TALK="20000",
    )
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "did not answer http://127.0.0.1:" in said
    assert "in 20 s (model.start_seconds)" in said
    assert f"{sys.executable} -m vllm.entrypoints.openai.api_server --model nothing" in said
    assert "--max-model-len 77" in said
    assert "INFO line 19999" in said
    assert str(play.folder / "tiny-1-") in said
    assert play.left == []


def test_one_that_ends_at_once_is_refused_with_its_own_words_and_no_secret(
    play: Play, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-value")
    words = play.words("+model.env.MY_TOKEN=null", FAKE_VLLM_EXIT="no device and s3cr3t-value")
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "ended (3) before it was ready" in said
    assert "    no device and $MY_TOKEN" in said
    # The test has put it into FAKE_VLLM_EXIT for the server to say it; nothing else shows it.
    assert said.count("s3cr3t") == 1


def test_an_interpreter_that_is_not_there_is_named(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(play.words("model.python=/no/such/python")) == 1
    assert "/no/such/python cannot be started" in capsys.readouterr().err


def test_more_gpus_than_the_cluster_has_are_refused_at_once(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(play.words("model.gpus=1000")) == 1
    assert "room for 0 servers of tiny, and 1 of 1000 GPUs each" in capsys.readouterr().err


@pytest.mark.parametrize("victim", ["driver", "raylet"])
def test_nothing_is_left_after_kill_nine(play: Play, victim: str, ray_cluster: str) -> None:
    words = play.words("samples=50", servers=2, FAKE_VLLM_SECONDS="0.3", FAKE_VLLM_CHILD="1")
    env = dict(os.environ)
    if victim == "driver":
        env["RAY_ADDRESS"] = ray_cluster
    log = play.folder / "driver.log"
    with log.open("wb") as out:
        process = launch(*words, stdout=out, stderr=out, env=env, start_new_session=True)
    try:
        # A run begins with the first server that is there; the second may take its time.
        assert wait_for(lambda: len(play.asked) > 20 and len(play.left) == 4), log.read_text()
        if victim == "driver":
            process.kill()
        else:
            raylets = [p for p in psutil.Process(process.pid).children() if p.name() == "raylet"]
            assert raylets
            for raylet in raylets:
                raylet.kill()
        assert wait_for(lambda: play.left == [], 120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
