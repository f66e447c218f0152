"""The run folder: nothing finished is lost, nothing half-written is trusted."""

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codeact.episode.record import encode
from codeact.exceptions import RunFolderError
from codeact.experiment.summary import summarize_folder
from codeact.recordings.locking import Owner
from codeact.recordings.run_folder import (
    EPISODES,
    EpisodeIdentity,
    RunFolder,
    latest_records,
    read_records,
    write_whole,
)
from tests.helpers.records import SETTINGS, asked, make_record


def test_a_finished_episode_is_not_owed_after_reopening(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "run", asked())
    folder.append(make_record())
    folder.close()
    again = RunFolder.open(tmp_path / "run", asked())
    assert EpisodeIdentity("digest-0", SETTINGS, 0) in again.finished
    again.close()


@pytest.mark.parametrize("cut", [1, 20, 400])
def test_a_torn_last_line_is_cut_off_and_owed_again(tmp_path: Path, cut: int) -> None:
    whole = encode(make_record("0", settings=SETTINGS)) + b"\n"
    torn = encode(make_record("1", settings=SETTINGS)) + b"\n"
    (tmp_path / EPISODES).write_bytes(whole + torn[:-cut])
    folder = RunFolder.open(tmp_path, asked())
    assert folder.finished == {EpisodeIdentity("digest-0", SETTINGS, 0)}
    folder.append(make_record("2"))
    folder.close()
    assert [record.task_id for record in read_records(tmp_path)] == ["0", "2"]


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(tmp_path: Path) -> None:
    whole = encode(make_record("0", settings=SETTINGS)) + b"\n"
    torn = encode(make_record("1", observation="x" * 300_000, settings=SETTINGS))
    (tmp_path / EPISODES).write_bytes(whole + torn)
    folder = RunFolder.open(tmp_path, asked())
    folder.close()
    assert (tmp_path / EPISODES).read_bytes() == whole


def test_a_broken_line_in_the_middle_is_refused_with_its_number(tmp_path: Path) -> None:
    line = encode(make_record(settings=SETTINGS)) + b"\n"
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
        "import sys; from pathlib import Path\n"
        "from codeact.recordings.run_folder import RunFolder\n"
        "from tests.helpers.records import asked\n"
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
    assert folder.finished == {EpisodeIdentity("digest-1", SETTINGS, 0)}
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


@pytest.mark.parametrize("reference", [float("nan"), "\ud800", object()], ids=["nan", "text", "it"])
def test_a_record_that_cannot_be_read_back_is_one_failed_episode(
    tmp_path: Path, reference: object
) -> None:
    folder = RunFolder.open(tmp_path, asked())
    record = make_record("0")
    record.reference = reference
    written = folder.append(record)
    folder.append(make_record("1"))
    folder.close()
    assert (written.outcome.cause, written.usage) == ("harness", record.usage)
    assert "cannot be written" in written.outcome.error
    again = RunFolder.open(tmp_path, asked())
    assert again.finished == {EpisodeIdentity("digest-1", SETTINGS, 0)}
    assert again.spent.tokens == 10
    again.close()
    assert [one.task_id for one in read_records(tmp_path)] == ["0", "1"]


def test_what_was_spent_is_read_where_a_cost_was_no_number(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path, asked())
    folder.append(make_record())
    folder.write_spent(40, float("nan"))
    folder.close()
    again = RunFolder.open(tmp_path, asked())
    assert again.spent == (40, 0.0)
    again.close()


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.iterdir())}


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
def test_a_run_folder_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder = RunFolder.open(tmp_path / "sweep" / "run", asked())
        folder.append(make_record())
        folder.begin_run_session({})
        folder.write_spent(1, 0.0)
        folder.write_text("summary.json", "{}")
        found = modes(folder.path)
        folder.close()
    finally:
        os.umask(before)
    assert found.pop("run") == 0o700
    assert set(found.values()) == {0o600}
    assert set(found) >= {EPISODES, "provenance.json", "identity.json", "lock.json", "spent.json"}


def test_a_folder_that_was_opened_to_others_stays_so(tmp_path: Path) -> None:
    for mode in (0o755, 0o700):
        RunFolder.open(tmp_path / "run", asked()).close()
        (tmp_path / "run").chmod(mode)
        (tmp_path / "run" / "identity.json").chmod(0o644)
        (tmp_path / "run" / EPISODES).chmod(0o640)
        folder = RunFolder.open(tmp_path / "run", asked())
        folder.append(make_record(str(mode)))
        folder.close()
        found = modes(tmp_path / "run")
        assert (found["run"], found["identity.json"], found[EPISODES]) == (mode, 0o644, 0o640)


NO_FLOCK = """
import ctypes, struct, sys, time
from pathlib import Path
# A seccomp filter: flock fails as on a file system that has none, all else is as ever.
numbers = {"x86_64": 73, "aarch64": 32}
import platform
number, error = numbers[platform.machine()], int(sys.argv[2])
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x50000 | error), (6, 0, 0, 0x7FFF0000)]
program = b"".join(struct.pack("HBBI", *rule) for rule in rules)
buffer = ctypes.create_string_buffer(program, len(program))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
taken = Program(len(rules), ctypes.addressof(buffer))
assert libc.prctl(22, 2, ctypes.byref(taken), 0, 0) == 0, ctypes.get_errno()
from codeact.exceptions import RunFolderError
from codeact.recordings.run_folder import RunFolder
from tests.helpers.records import asked, make_record
try:
    folder = RunFolder.open(Path(sys.argv[1]), asked())
except RunFolderError as refusal:
    sys.exit(f"refused: {refusal}")
folder.append(make_record(sys.argv[3]))
print(*folder.notices, flush=True)
if sys.argv[3] == "holder":
    time.sleep(600)
folder.close()
"""


def without_flock(folder: Path, error: int, task: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", NO_FLOCK, str(folder), str(error), task]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform != "linux", reason="system calls are refused by Linux's means")
@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS], ids=["ENOLCK", "ENOSYS"])
def test_where_there_is_no_flock_a_file_is_the_lock(tmp_path: Path, error: int) -> None:
    holder = without_flock(tmp_path, error, "holder")
    try:
        assert holder.stdout is not None
        said = holder.stdout.readline()
        assert "lock.json" in said, holder.communicate()
        assert os.strerror(error) in said
        second = without_flock(tmp_path, error, "1")
        _, refused = second.communicate(timeout=120)
        assert f"process {holder.pid} on {socket.gethostname()}" in refused
        with pytest.raises(RunFolderError, match=f"process {holder.pid}"):
            RunFolder.open(tmp_path, asked())
    finally:
        holder.kill()
        holder.communicate()
    third = without_flock(tmp_path, error, "2")
    taken, errors = third.communicate(timeout=120)
    assert third.returncode == 0, errors
    assert "which has ended, was taken over" in taken
    assert not (tmp_path / "lock.json").exists()
    assert [one.task_id for one in read_records(tmp_path)] == ["holder", "2"]


@pytest.mark.parametrize(
    ("changes", "dead"),
    [
        ({}, False),
        ({"started": "1"}, True),
        ({"pid": 2**22 + 1}, True),
        ({"boot": "another"}, True),
        ({"namespace": "pid:[1]", "pid": 2**22 + 1}, None),
        ({"host": "elsewhere", "pid": 2**22 + 1}, None),
    ],
)
def test_an_owner_is_dead_only_where_that_can_be_told(
    changes: dict[str, Any], dead: bool | None
) -> None:
    assert msgspec.structs.replace(Owner.here("file"), **changes).is_dead is dead


READING = """
import resource, sys
from pathlib import Path
from codeact.jsonl import read_lines
from codeact.recordings.run_folder import EPISODES, RunFolder, read_records
from codeact.episode.record import encode
from tests.helpers.records import SETTINGS, asked, make_record
def processor():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
taken, folder = [], Path(sys.argv[1])
whole, run = encode(make_record(settings=SETTINGS)) + b"\\n", asked()
for megabytes in (8, 64):
    (folder / EPISODES).write_bytes(whole + b'{"id": "' + b"x" * (megabytes << 20))
    before = processor()
    assert len(list(read_lines(folder / EPISODES))) == 2
    assert len(list(read_records(folder))) == 1
    RunFolder.open(folder, run).close()
    taken.append(processor() - before)
    assert (folder / EPISODES).read_bytes() == whole
# ru_maxrss would be that of the test runner, where it has taken more before it started us.
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(*taken, int(peak) >> 10)
"""


def test_a_torn_line_of_sixty_four_megabytes_is_read_in_linear_time(tmp_path: Path) -> None:
    words = [sys.executable, "-c", READING, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    short, long, megabytes = map(float, done.stdout.split())
    # Eight times as long: quadratic reading took more than fifty times as much of the processor.
    assert long < 30 * short + 0.5
    assert megabytes < 500


def test_a_file_that_cannot_be_replaced_is_the_folders_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"summary\.json: cannot be written \(No such file"):
        write_whole(tmp_path / "gone" / "summary.json", "{}")


def test_other_versions_than_in_the_session_before_are_told(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path, asked())
    for version in ("1", "1", "2"):
        assert folder.notices == []
        folder.begin_run_session({"codeact": version})
    (notice,) = folder.notices
    assert "than in session 2: codeact 1 → 2; each record names its session" in notice
    assert folder.session == 3
    folder.close()
