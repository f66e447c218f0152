"""The run folder: nothing finished is lost, nothing half-written is trusted."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeact.episode.record import encode
from codeact.exceptions import RunFolderError
from codeact.experiment.store import EPISODES, Owed, RunFolder, latest_records, read_records
from codeact.experiment.summary import summarize_folder
from tests.records import SETTINGS, asked, make_record


def test_a_finished_episode_is_not_owed_after_reopening(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "run", asked())
    folder.append(make_record())
    folder.close()
    again = RunFolder.open(tmp_path / "run", asked())
    assert Owed("digest-0", SETTINGS, 0) in again.finished
    again.close()


@pytest.mark.parametrize("cut", [1, 20, 400])
def test_a_torn_last_line_is_cut_off_and_owed_again(tmp_path: Path, cut: int) -> None:
    whole = encode(make_record("0")) + b"\n"
    torn = encode(make_record("1")) + b"\n"
    (tmp_path / EPISODES).write_bytes(whole + torn[:-cut])
    folder = RunFolder.open(tmp_path, asked())
    assert folder.finished == {Owed("digest-0", SETTINGS, 0)}
    folder.append(make_record("2"))
    folder.close()
    assert [record.task_id for record in read_records(tmp_path)] == ["0", "2"]


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(tmp_path: Path) -> None:
    whole = encode(make_record("0")) + b"\n"
    torn = encode(make_record("1", observation="x" * 300_000))
    (tmp_path / EPISODES).write_bytes(whole + torn)
    folder = RunFolder.open(tmp_path, asked())
    folder.close()
    assert (tmp_path / EPISODES).read_bytes() == whole


def test_a_broken_line_in_the_middle_is_refused_with_its_number(tmp_path: Path) -> None:
    line = encode(make_record()) + b"\n"
    (tmp_path / EPISODES).write_bytes(line + b'{"id": 3}\n' + line)
    with pytest.raises(RunFolderError, match=rf"{EPISODES}, line 2"):
        RunFolder.open(tmp_path, asked())


def test_episodes_of_other_settings_are_refused(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path, asked())
    folder.append(make_record())
    folder.close()
    with pytest.raises(RunFolderError, match='label: "s" there, "t" here'):
        RunFolder.open(tmp_path, asked("t"))


def test_a_run_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path, asked())
    program = (
        "import sys; from pathlib import Path; from codeact.experiment.store import RunFolder\n"
        "from tests.records import asked\n"
        "RunFolder.open(Path(sys.argv[1]), asked())"
    )
    second = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert f"another codeact (process {os.getpid()} on {socket.gethostname()}" in second.stderr
    folder.close()


def test_a_failure_that_is_not_the_policys_own_is_owed_and_replaced(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path, asked())
    folder.append(make_record("0", cause="provider"))
    folder.append(make_record("1", cause="model"))
    assert folder.finished == {Owed("digest-1", SETTINGS, 0)}
    folder.append(make_record("0"))
    folder.close()
    assert [r.outcome.success for r in latest_records(tmp_path)] == [True, False]
    summary = summarize_folder(tmp_path)
    assert (summary.overall.episodes, summary.overall.counted) == (2, 2)
    assert summary.failures == []


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        RunFolder.open(tmp_path / "run", asked())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB, really full after it."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let a test mount a file system")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_leaves_no_half_line_behind(small_disk: Path) -> None:
    folder = RunFolder.open(small_disk, asked())
    folder.append(make_record("0"))
    with pytest.raises(RunFolderError, match=r"No space left.*make room"):
        folder.append(make_record("1", observation="x" * 200_000))
    folder.append(make_record("2"))
    folder.close()
    assert [record.task_id for record in read_records(small_disk)] == ["0", "2"]
