"""A whole run while the engine is restarted or its container killed: nothing hangs or is invented.

Each episode has an outcome of the policy's own, or one whose cause is the sandbox; the same command
once more plays those, and then the set is whole.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codeact.edge.sandboxes.sandbox import guest_digest
from codeact.experiment.store import EPISODES, latest_records
from tests.conftest import LAUNCHER

TEXTS = [
    "<execute> import time; time.sleep(0.2); a = 6 </execute>",
    "<execute> time.sleep(0.2); b = a * 7 </execute>",
    "<execute> time.sleep(0.2); print(b) </execute>",
    "<solution> 42 </solution>",
]
EPISODES_IN_ALL = 9


@pytest.fixture(scope="module")
def own_engine() -> Iterator[str]:
    """An engine that is nobody else's, to be stopped under a run."""
    if os.geteuid() != 0:
        pytest.skip("only root can start an engine of its own")
    folder = f"/tmp/codeact-faults-{os.getpid()}"
    try:
        start(folder)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no engine here: {error.stderr.strip()[-300:]}")
    yield folder
    subprocess.run(["sh", str(LAUNCHER), "stop", folder], check=False, timeout=60)
    subprocess.run(["rm", "-rf", folder], check=False)


def start(folder: str) -> None:
    words = ["sh", str(LAUNCHER), "start", folder]
    subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)


def restart_engine(folder: str) -> None:
    pid = int(Path(folder, "dockerd.pid").read_text())
    os.kill(pid, 15)
    while Path(f"/proc/{pid}").exists() and "Z" not in state(pid):
        time.sleep(0.05)
    start(folder)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def kill_containers(folder: str) -> None:
    docker = ["docker", "--host", f"unix://{folder}/docker.sock"]
    names = subprocess.run([*docker, "ps", "--quiet"], capture_output=True, text=True, check=True)
    subprocess.run([*docker, "kill", *names.stdout.split()], check=True, capture_output=True)


def command(folder: str, out: Path, *words: str) -> list[str]:
    return [
        *[sys.executable, "-m", "codeact", "run", "model=scripted", "model.latency=0.2"],
        f"model.texts={json.dumps(TEXTS)}",
        *["task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"],
        *["limit=3", f"samples={EPISODES_IN_ALL // 3}", "compute.concurrency=3"],
        *["executor=docker", "executor.image=host", "executor.preload=[]"],
        *[f"executor.engine=unix://{folder}/docker.sock", f"run_dir={out}", *words],
    ]


@pytest.mark.parametrize(
    ("fault", "isolation"),
    [(restart_engine, "shared"), (kill_containers, "shared"), (kill_containers, "container")],
)
def test_a_run_survives(
    own_engine: str, tmp_path: Path, fault: Callable[[str], None], isolation: str
) -> None:
    words = command(own_engine, tmp_path / "run", f"executor.isolation={isolation}")
    run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        episodes = tmp_path / "run" / EPISODES
        while not episodes.exists() or not episodes.read_bytes():
            assert run.poll() is None, run.stderr and run.stderr.read()
            time.sleep(0.05)
        time.sleep(0.5)
        fault(own_engine)
        assert run.wait(60) in (0, 1)
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

    again = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert again.returncode == 0, again.stderr
    records = latest_records(tmp_path / "run")
    assert len(records) == EPISODES_IN_ALL
    assert {record.outcome.cause for record in records} == {None}

    sessions = json.loads((tmp_path / "run" / "provenance.json").read_text())["sessions"]
    assert len(sessions) == 2
    assert sessions[0]["sandbox"]["guest"] == guest_digest()
    assert sessions[0]["sandbox"]["image"]["digest"].startswith("sha256:")
