"""The run folder: what is on disk is the truth, and everything else derives from it.

``episodes.jsonl`` is append-only, one finished episode a line. A line counts once its newline is on
disk: a torn last line, left by a crash, is cut off when the folder is opened again and its episode
is redone.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from codeact.episode.record import EpisodeRecord, decode, encode
from codeact.exceptions import RunFolderError

EPISODES = "episodes.jsonl"
CONFIG = "config.yaml"
PROVENANCE = "provenance.json"
SUMMARY = "summary.json"

COUNTED_CAUSES = (None, "model")
"""Outcomes with these causes say something about the policy; all others are owed again."""


class Owed(NamedTuple):
    """What makes an episode the same episode, whatever its place in a file."""

    task_digest: str
    settings_digest: str
    sample: int


def counts(record: EpisodeRecord) -> bool:
    """Whether the outcome is the policy's own: it is in the success rate, and never redone."""
    return record.outcome.cause in COUNTED_CAUSES


class RunFolder:
    """An open run folder, owned by this process until `close`."""

    def __init__(self, path: Path, file: int, finished: set[Owed]) -> None:
        self.path = path
        self.finished = finished
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
            return cls(path, file, _finished(path, settings_digest))
        except BaseException:
            os.close(file)
            raise

    def append(self, record: EpisodeRecord) -> None:
        """Write one episode; raises `RunFolderError` and leaves no part of a line behind."""
        line = encode(record) + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            os.ftruncate(self._file, self._size)
            raise RunFolderError(
                f"{self.path / EPISODES}: episode {record.id} cannot be written "
                f"({error.strerror}); what was finished before is safe: make room and run the "
                "same command again"
            ) from error
        self._size += len(line)
        if counts(record):
            self.finished.add(Owed(record.task_digest, record.settings_digest, record.sample))

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
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
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


def _finished(path: Path, settings_digest: str) -> set[Owed]:
    finished: set[Owed] = set()
    for record in read_records(path):
        if record.settings_digest != settings_digest:
            raise RunFolderError(
                f"{path}: holds episodes of other settings (see its {CONFIG}); a run folder is one "
                "experiment: choose another run_dir, or give the same settings to resume"
            )
        if counts(record):
            finished.add(Owed(record.task_digest, record.settings_digest, record.sample))
    return finished
