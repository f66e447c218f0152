"""Scans recorded files in parallel: a compact row per record, a spooled line per kept one."""

import gc
import multiprocessing
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from codeact.collection.conversion import convert
from codeact.collection.filters import FILTERS
from codeact.collection.settings import SelectionSettings
from codeact.datasets import task_type_of
from codeact.exceptions import RecordingError
from codeact.jsonl import SourceLine, Unreadable
from codeact.recordings.trajectory import (
    Experiment,
    Rename,
    TaskKey,
    Trajectory,
    read_trajectories,
)

ROW = np.dtype(
    [
        ("file", np.uint32),
        ("line", np.uint32),
        ("task", np.uint32),
        ("experiment", np.uint32),
        ("sample", np.uint32),
        ("turns", np.uint32),
        ("success", np.bool_),
        ("dropped_by", np.uint8),
        ("length", np.uint32),
        ("offset", np.uint64),
        ("messages", np.uint32),
        ("characters", np.uint32),
    ]
)
"""`task` and `experiment` are places in tables. `dropped_by` is 0, or the place of the filter that
took a success, counted from 1. A kept one's line of `length` bytes stands at `offset` of the spool
file of its `file`."""

Rows = NDArray[np.void]
Key = TypeVar("Key", TaskKey, Experiment)

UNCONVERTIBLE = "unconvertible"
"""Named like a filter: the success has no form as a conversation."""


class _Read(msgspec.Struct, kw_only=True):
    """What was read: rows in the order of files and lines, and the tables that they point into."""

    rows: Rows
    tasks: list[TaskKey]
    experiments: list[Experiment]
    unreadable: list[Unreadable]
    redone: int
    uncounted: int
    skipped: int


class Scan(_Read, kw_only=True):
    """Everything that was read."""

    files: list[Path]
    spools: list[Path]
    """The spool file of each file's conversations."""

    def place(self, row: np.void) -> SourceLine:
        """Return where a row's record is."""
        return SourceLine(str(self.files[row["file"]]), int(row["line"]))


class _Scanned(_Read, kw_only=True):
    """What was read from one file, with small tables of its own."""

    file: int
    spool: int


def drop_names(settings: SelectionSettings) -> list[str]:
    """Return the names of what `dropped_by` counts, from 1."""
    return [*settings.filters, UNCONVERTIBLE]


def nothing() -> None:
    """Do nothing meanwhile."""


def scan(
    files: Sequence[Path],
    settings: SelectionSettings,
    folder: Path,
    workers: int | None = None,
    meanwhile: Callable[[], None] = nothing,
) -> Scan:
    """Read `files`; conversations are spooled into `folder`. `workers` None is one a core.

    This process only waits while several workers read, so it does something else `meanwhile`.

    Raises `RecordingError` where a path does not say what it holds, or a worker is killed.
    """
    workers = min(workers or _cores(), max(len(files), 1))
    # The longest first, so that no worker is left alone with one at the end.
    wanted = sorted(enumerate(files), key=lambda item: (-_size(item[1]), item[0]))
    merged = _Merged()
    for one in _scan_all(wanted, settings, folder, workers, meanwhile):
        merged.add(one)
    return merged.scan(files, folder)


def _cores() -> int:
    """The cores that this process may use; of macOS and others, all that there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_method() -> str:
    """How workers are started: the quickest way that is safe here.

    A fork copies only the thread that asks for it, and whatever lock another one holds stays locked
    in the child. On macOS the system's own libraries have threads, too.
    """
    if sys.platform == "darwin" or "fork" not in multiprocessing.get_all_start_methods():
        return "spawn"
    return "fork" if threading.active_count() == 1 else "forkserver"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror})") from error


def _scan_all(
    wanted: list[tuple[int, Path]],
    settings: SelectionSettings,
    folder: Path,
    workers: int,
    meanwhile: Callable[[], None],
) -> Iterator[_Scanned]:
    if workers == 1:
        worker = _Worker(settings, folder)
        try:
            for number, path in wanted:
                yield worker.scan(number, path)
        finally:
            worker.close()
        return
    context = multiprocessing.get_context(start_method())
    start = partial(_start_worker, settings, folder)
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=start) as pool:
            found = pool.map(_scan_one, wanted)
            meanwhile()
            yield from found
    except BrokenProcessPool as error:
        raise RecordingError(
            "a process that read recorded files was killed, perhaps because memory ran out; "
            "nothing was written: try again with workers=1"
        ) from error


_worker: "_Worker"


def _start_worker(settings: SelectionSettings, folder: Path) -> None:
    global _worker  # noqa: PLW0603 - a pool's initializer has no other way
    gc.disable()  # records hold no cycles, and there are many of them
    _worker = _Worker(settings, folder)


def _scan_one(item: tuple[int, Path]) -> _Scanned:
    return _worker.scan(*item)


class _Worker:
    """Reads one file after another, and spools into a file of its own."""

    def __init__(self, settings: SelectionSettings, folder: Path) -> None:
        self._settings = settings
        self._filters = [FILTERS[name].keeps for name in settings.filters]
        self._rename = renaming(settings)
        self._spool: IO[bytes] = (folder / _spool_name(os.getpid())).open("wb")
        self._encode = msgspec.json.Encoder().encode

    def close(self) -> None:
        self._spool.close()

    def scan(self, number: int, path: Path) -> _Scanned:
        found = _File(number)
        for one in read_trajectories(path, task_type_of, self._rename):
            if isinstance(one, Unreadable):
                found.unreadable.append(one)
            elif self._settings.feedback == "none" and one.experiment.feedback_model:
                found.skipped += 1
            else:
                self._add(found, one)
        self._spool.flush()
        return found.scanned(os.getpid())

    def _add(self, found: "_File", one: Trajectory) -> None:
        if one.record:
            found.replace(one)
        if not one.counted:
            return
        try:
            entry = self._spool_entry(one) if one.success else _NOT_SPOOLED
        except ValueError as error:
            found.unreadable.append(Unreadable(one.place, f"holds what is no message: {error}"))
            return
        found.add(one, entry)

    def _spool_entry(self, one: Trajectory) -> "_SpoolEntry":
        """Apply the filters to a success; spools its conversation if all of them keep it."""
        for place, keeps in enumerate(self._filters, 1):
            if not keeps(one, self._settings):
                return _SpoolEntry(place)
        one.messages  # noqa: B018 - what is no message is the record's fault, not the rules'
        try:
            conversation = convert(one, self._settings.conversion)
        except ValueError:
            return _SpoolEntry(len(self._filters) + 1)
        messages = conversation.conversations
        line = self._encode(conversation) + b"\n"
        offset = self._spool.tell()
        self._spool.write(line)
        return _SpoolEntry(
            0, len(line), offset, len(messages), sum(len(one["content"]) for one in messages)
        )


class _SpoolEntry(NamedTuple):
    """The last columns of a row."""

    dropped_by: int
    length: int = 0
    offset: int = 0
    messages: int = 0
    characters: int = 0


_NOT_SPOOLED = _SpoolEntry(0)
_PACK = struct.Struct("<IIIIII?BIQII").pack


class _File:
    """What has been read of a file so far. Rows are bytes, because there may be a million."""

    def __init__(self, number: int) -> None:
        self.unreadable: list[Unreadable] = []
        self.skipped = 0
        self._number = number
        self._tasks: dict[TaskKey, int] = {}
        self._experiments: dict[Experiment, int] = {}
        self._rows = bytearray()
        self._records: dict[str, int | None] = {}
        self._replaced: list[int] = []
        self._redone = 0

    def replace(self, one: Trajectory) -> None:
        """Replace an earlier line of the same episode of a run folder."""
        if one.record in self._records:
            self._redone += 1
            earlier = self._records[one.record]
            if earlier is not None:
                self._replaced.append(earlier)
        self._records[one.record] = len(self._rows) // ROW.itemsize if one.counted else None

    def add(self, one: Trajectory, entry: _SpoolEntry) -> None:
        self._rows += _PACK(
            self._number,
            one.place.line,
            self._tasks.setdefault(one.task, len(self._tasks)),
            self._experiments.setdefault(one.experiment, len(self._experiments)),
            one.sample,
            one.turns,
            one.success,
            *entry,
        )

    def scanned(self, spool: int) -> _Scanned:
        rows = np.frombuffer(self._rows, ROW)
        return _Scanned(
            file=self._number,
            spool=spool,
            rows=np.delete(rows, self._replaced) if self._replaced else rows,
            tasks=list(self._tasks),
            experiments=list(self._experiments),
            unreadable=self.unreadable,
            redone=self._redone,
            uncounted=sum(place is None for place in self._records.values()),
            skipped=self.skipped,
        )


def renaming(settings: SelectionSettings) -> Rename:
    """Return the function that renames recorded models."""

    def rename(model: str) -> str:
        for suffix in settings.suffixes:
            model = model.removesuffix(suffix)
        return settings.aliases.get(model, model)

    return rename


def _places(own: Sequence[Key], table: dict[Key, int]) -> NDArray[np.uint32]:
    """Return the positions of a file's keys in the table of all files, which grows by new ones."""
    return np.array([table.setdefault(key, len(table)) for key in own], np.uint32)


class _Merged:
    """All files together. Text of a file is dropped once it is numbers."""

    def __init__(self) -> None:
        self._tasks: dict[TaskKey, int] = {}
        self._experiments: dict[Experiment, int] = {}
        self._rows: dict[int, Rows] = {}
        self._spools: dict[int, int] = {}
        self._unreadable: dict[int, list[Unreadable]] = {}
        self._redone = self._uncounted = self._skipped = 0

    def add(self, one: _Scanned) -> None:
        rows = one.rows.copy()
        rows["task"] = _places(one.tasks, self._tasks)[rows["task"]]
        rows["experiment"] = _places(one.experiments, self._experiments)[rows["experiment"]]
        self._rows[one.file] = rows
        self._spools[one.file] = one.spool
        self._unreadable[one.file] = one.unreadable
        self._redone += one.redone
        self._uncounted += one.uncounted
        self._skipped += one.skipped

    def scan(self, files: Sequence[Path], folder: Path) -> Scan:
        order = range(len(files))
        return Scan(
            files=list(files),
            rows=np.concatenate([np.empty(0, ROW), *(self._rows.pop(file) for file in order)]),
            tasks=list(self._tasks),
            experiments=list(self._experiments),
            unreadable=[problem for file in order for problem in self._unreadable[file]],
            redone=self._redone,
            uncounted=self._uncounted,
            skipped=self._skipped,
            spools=[folder / _spool_name(self._spools[file]) for file in order],
        )


def _spool_name(process: int) -> str:
    return f"{process}.spool"
