"""`codeact run` with the Docker executor: the same records as under bubblewrap."""

from pathlib import Path

import pytest

from codeact.cli import main
from codeact.episode.record import EpisodeRecord
from codeact.recordings.run_folder import latest_records

pytestmark = pytest.mark.usefixtures("local_sandbox")


def what_happened(folder: Path) -> dict[str, object]:
    """Records without what differs between two runs: times, and what their executors are."""

    def plain(record: EpisodeRecord) -> object:
        turns = [(t.action, t.content, t.observation, t.status, t.correct) for t in record.turns]
        return record.messages, turns, record.outcome, record.counts

    records = latest_records(folder)
    return {f"{one.task_name}/{one.task_id}/{one.sample}": plain(one) for one in records}


def test_docker_and_local_write_the_same_records(tmp_path: Path) -> None:
    words = ["run", "model=scripted", "limit=1"]
    assert main([*words, "executor=local", f"run_dir={tmp_path}/local"]) == 0
    docker = ["executor=docker", "executor.image=host"]
    assert main([*words, *docker, f"run_dir={tmp_path}/docker"]) == 0
    local = what_happened(tmp_path / "local")
    assert len(local) == 8
    assert what_happened(tmp_path / "docker") == local
