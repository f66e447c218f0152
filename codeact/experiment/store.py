"""The run folder: what is on disk is the truth, and everything else derives from it.

``episodes.jsonl`` is append-only, one finished episode a line. A line counts once its newline is on
disk: a torn last line, left by a crash, is cut off when the folder is opened again and its episode
is redone.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from codeact.episode.record import EpisodeRecord, decode, encode
from codeact.exceptions import DiskFull, RunFolderError
from codeact.experiment.budget import spent_on
from codeact.experiment.causes import counts
from codeact.files import replacing

EPISODES = "episodes.jsonl"
CONFIG = "config.yaml"
PROVENANCE = "provenance.json"
SUMMARY = "summary.json"
SPENT = "spent.json"

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Spent(NamedTuple):
    """Tokens and dollars."""

    tokens: int
    usd: float


class Owed(NamedTuple):
    """What makes an episode the same episode, whatever its place in a file."""

    task_digest: str
    settings_digest: str
    sample: int


class RunFolder:
    """An open run folder, owned by this process until `close`."""

    def __init__(self, path: Path, file: int, found: "_Found") -> None:
        self.path = path
        self.finished = found.finished
        self.spent = Spent(found.tokens, found.usd)
        """At the time of opening: as kept, and never less than the records say."""
        self._file = file
        self._size = os.fstat(file).st_size

    @classmethod
    def open(cls, path: Path, settings_digest: str) -> Self:
        """Create the folder or go on with it.

        Raises `RunFolderError` when it cannot be written, when another process is writing it, when
        it holds episodes of other settings, or when a line in its middle is broken.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            file = os.open(path / EPISODES, flags, 0o644)
        except OSError as error:
            raise RunFolderError(
                f"{path}: cannot be written ({error.strerror}); choose another run_dir"
            ) from error
        try:
            _lock(file, path)
            _cut_torn_line(file)
            return cls(path, file, _look_through(path, settings_digest))
        except BaseException:
            os.close(file)
            raise

    def append(self, record: EpisodeRecord) -> None:
        """Write one episode; raises `RunFolderError` and leaves no part of a line behind.

        `DiskFull` says that the same record may be written later.
        """
        line = encode(record) + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            os.ftruncate(self._file, self._size)
            kind = DiskFull if error.errno in NO_ROOM else RunFolderError
            raise kind(
                f"{self.path / EPISODES}: episode {record.id} cannot be written "
                f"({error.strerror}); what was finished before is safe: make room and run the "
                "same command again"
            ) from error
        self._size += len(line)
        if counts(record):
            self.finished.add(Owed(record.task_digest, record.settings_digest, record.sample))

    def write_spent(self, tokens: int, usd: float) -> None:
        """Keep what the run has spent, episodes that were given up included."""
        write_whole(self.path / SPENT, json.dumps([tokens, usd]) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Replace a file of the folder in one step."""
        write_whole(self.path / name, text)

    def add_provenance(self, session: Mapping[str, Any]) -> None:
        """Keep what each session of the run was started with, the first one first."""
        file = self.path / PROVENANCE
        sessions = []
        if file.exists():
            try:
                sessions = json.loads(file.read_text(encoding="utf-8"))["sessions"]
            except (ValueError, KeyError, TypeError) as error:
                raise RunFolderError(
                    f"{file}: is not what codeact wrote ({error}); move it away to go on"
                ) from error
        document = {"sessions": [*sessions, dict(session)]}
        write_whole(file, json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Give the folder up for other processes."""
        os.close(self._file)


def write_whole(path: Path, text: str) -> None:
    """Write to a temporary name and rename, so that no reader sees half a file."""
    try:
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written ({error.strerror})") from error


def read_records(path: Path) -> Iterator[EpisodeRecord]:
    """Every whole line of a run folder, as written; a torn last line is passed over."""
    file = path / EPISODES if path.is_dir() else path
    try:
        stream = file.open("rb")
    except OSError as error:
        raise RunFolderError(f"{file}: cannot be read ({error.strerror})") from error
    with stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decode(line)
            except msgspec.MsgspecError as error:
                raise RunFolderError(
                    f"{file}, line {number}: is no episode record ({error}); "
                    "remove that line to have its episode redone"
                ) from error


def latest_records(path: Path) -> list[EpisodeRecord]:
    """One record per episode, the last one written: a redone episode replaces its failure."""
    return list({record.id: record for record in read_records(path)}.values())


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunFolderError(
            f"{path}: another codeact is writing this run; wait for it, or choose another run_dir"
        ) from None


def _cut_torn_line(file: int) -> None:
    """Cut what stands after the last newline."""
    size = os.fstat(file).st_size
    end, block = size, 1 << 16
    while end > 0:
        start = max(0, end - block)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)


class _Found:
    """What a run folder holds when it is opened."""

    def __init__(self) -> None:
        self.finished: set[Owed] = set()
        self.tokens = 0
        self.usd = 0.0


def _look_through(path: Path, settings_digest: str) -> _Found:
    found = _Found()
    for record in read_records(path):
        if record.settings_digest != settings_digest:
            raise RunFolderError(
                f"{path}: holds episodes of other settings (see its {CONFIG}); a run folder is one "
                "experiment: choose another run_dir, or give the same settings to resume"
            )
        if counts(record):
            found.finished.add(Owed(record.task_digest, record.settings_digest, record.sample))
        tokens, usd = spent_on(record)
        found.tokens += tokens
        found.usd += usd
    if (file := path / SPENT).exists():
        try:
            kept = msgspec.json.decode(file.read_bytes(), type=Spent)
        except msgspec.MsgspecError as error:
            raise RunFolderError(
                f"{file}: is not what codeact wrote ({error}); move it away to go on"
            ) from error
        found.tokens, found.usd = max(found.tokens, kept.tokens), max(found.usd, kept.usd)
    return found
