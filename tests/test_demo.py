"""The main job on a fresh machine: the sample suite with a small model's recorded answers."""

from pathlib import Path

import pytest

from codeact.cli import main
from codeact.recordings.episodes import read_recordings
from codeact.recordings.run_folder import latest_records
from codeact.resources import resolve_path

RECORDINGS = resolve_path("pkg://codeact.sample/recordings")


@pytest.mark.usefixtures("local_sandbox")
def test_the_demo_ends_as_the_live_run_did(tmp_path: Path) -> None:
    assert main(["run", f"run_dir={tmp_path}"]) == 0
    recorded = {(e.task_name, e.task_id): e for e in read_recordings(RECORDINGS)}
    played = latest_records(tmp_path)
    assert len(played) == len(recorded) == 66
    for record in played:
        was = recorded[record.task_name, record.task_id]
        assert record.outcome == was.outcome, record.id
        assert record.counts == was.counts, record.id


def test_the_recordings_are_of_a_real_model_in_both_kinds_of_action() -> None:
    actions = [t.action for e in read_recordings(RECORDINGS) if e.record for t in e.record.turns]
    assert {"execute", "propose", "invalid"} == set(actions)
    solved = [e.outcome.success for e in read_recordings(RECORDINGS)]
    assert 0 < sum(solved) < len(solved)
