"""A whole run while the engine is restarted or its container killed: nothing hangs or is invented.

Each episode has an outcome of the policy's own, or one whose cause is the sandbox; the same command
once more plays those, and then the set is whole.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codeact.recordings.run_folder import EPISODES, latest_records
from codeact.sandboxes.guest_program import guest_digest
from tests.conftest import Engine, own_engine
from tests.helpers.commands import begin, codeact
from tests.helpers.vllm_runs import is_alive, wait_for

pytestmark = pytest.mark.timeout(400)

TEXTS = [
    "<execute> import time; time.sleep(0.2); a = 6 </execute>",
    "<execute> time.sleep(0.2); b = a * 7 </execute>",
    "<execute> time.sleep(0.2); print(b) </execute>",
    "<solution> 42 </solution>",
]
EPISODES_IN_ALL = 9


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine to be stopped under a run."""
    with own_engine("faults") as engine:
        yield engine


def restart_engine(engine: Engine) -> None:
    pid = int((engine.folder / "dockerd.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    assert wait_for(lambda: not is_alive(pid))
    again = engine.start()
    assert again.returncode == 0, again.stderr


def kill_containers(engine: Engine) -> None:
    docker = ["docker", "--host", engine.address]
    names = subprocess.run([*docker, "ps", "--quiet"], capture_output=True, text=True, check=True)
    # One that has ended by itself meanwhile is no fault of the test's.
    subprocess.run([*docker, "kill", *names.stdout.split()], check=False, capture_output=True)


def command(engine: Engine, out: Path, *words: str) -> list[str]:
    return [
        *["run", "model=scripted", "model.latency=0.2"],
        f"model.texts={json.dumps(TEXTS)}",
        *["task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"],
        *["limit=3", f"samples={EPISODES_IN_ALL // 3}", "compute.concurrency=3"],
        *["executor=docker", "executor.image=host", "executor.preload=[]"],
        *[f"executor.engine={engine.address}", f"run_dir={out}", *words],
    ]


@pytest.mark.parametrize(
    ("fault", "isolation"),
    [(restart_engine, "shared"), (kill_containers, "shared"), (kill_containers, "container")],
)
def test_a_run_survives(
    engine: Engine, tmp_path: Path, fault: Callable[[Engine], None], isolation: str
) -> None:
    words = command(engine, tmp_path / "run", f"executor.isolation={isolation}")
    log = tmp_path / "log"
    run = begin(*words, out=log, err=log)
    try:
        episodes = tmp_path / "run" / EPISODES
        deadline = time.monotonic() + 120
        while not episodes.exists() or not episodes.read_bytes():
            assert run.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        time.sleep(0.5)
        fault(engine)
        assert run.wait(120) in (0, 1), log.read_text()
    finally:
        run.kill()
        run.wait()
    records = latest_records(tmp_path / "run")
    assert len(records) == EPISODES_IN_ALL
    causes = [record.outcome.cause for record in records]
    # With luck none was in a cell just then.
    assert set(causes) <= {None, "sandbox"}, causes
    for record in records:
        # Right answers to what was asked, or none; never a verdict on half an episode.
        seen = [turn.observation for turn in record.turns[:3]]
        if record.outcome.cause is None:
            assert "42" in str(seen[2]), seen
        else:
            assert not record.outcome.success

    again = codeact(*words)
    assert again.returncode == 0, again.stderr
    records = latest_records(tmp_path / "run")
    assert len(records) == EPISODES_IN_ALL
    assert {record.outcome.cause for record in records} == {None}

    sessions = json.loads((tmp_path / "run" / "provenance.json").read_text())["sessions"]
    assert len(sessions) == 2
    assert sessions[0]["sandbox"]["guest"] == guest_digest()
    assert sessions[0]["sandbox"]["image"]["digest"].startswith("sha256:")
