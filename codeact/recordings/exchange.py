"""Imports published recordings into run folders, and exports run folders as published trees.

Both stream line by line. A line that holds no episode is left out and listed.
"""

import gzip
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Literal, NamedTuple, cast

import msgspec
from pydantic import field_validator

from codeact import __version__
from codeact.episode.causes import is_counted
from codeact.episode.record import EpisodeRecord, decode, encode
from codeact.episode.settings import Settings
from codeact.exceptions import ConfigError, RecordingError
from codeact.folders import whole_folder
from codeact.jsonl import SourceLine, Unreadable
from codeact.recordings.files import is_run, source_files
from codeact.recordings.lines import OfLine, published_lines, run_lines
from codeact.recordings.provenance import file_digest
from codeact.recordings.published import (
    another_sample,
    published_path,
    to_published,
    to_record,
)
from codeact.recordings.published_lines import MINT
from codeact.recordings.published_paths import PublishedPath
from codeact.recordings.run_folder import CONFIG, EPISODES, PROVENANCE
from codeact.recordings.task_types import SplitOf, Splits, TaskTypeOf, TaskTypes
from codeact.recordings.trajectory import Problem

_LEVEL = 6
"""Of gzip: higher ones take several times as long for a twentieth."""


_Placed = tuple[SourceLine, EpisodeRecord]


class ImportConfig(Settings):
    """``codeact import``. Sources are published files or trees of them; `out` is a folder."""

    source: str | list[str]
    """A published `results.jsonl`, or a tree of them."""
    out: str
    """The folder for the run folders."""

    @property
    def sources(self) -> list[str]:
        return [self.source] if isinstance(self.source, str) else self.source


class ExportConfig(ImportConfig):
    """``codeact export``. Sources are run folders or trees of them; `gzip` compresses the files."""

    format: Literal["mint"]
    """The form that is written."""
    gzip: bool
    """Whether files are gzipped."""

    @field_validator("format", mode="before")
    @classmethod
    def _a_format_of_episodes(cls, value: object) -> object:
        if value in ("sft", "openai", "hf", "preference"):
            raise ValueError(
                f"{value} is a format of conversations: codeact select RUN... out=DIR makes them, "
                f"and codeact convert DIR format={value} out=OTHER writes them so"
            )
        return value


class Exchange(NamedTuple):
    """What was read and written. `places` are run folders or files, with their number of lines."""

    places: dict[str, int]
    problems: list[Problem]

    @property
    def episodes(self) -> int:
        return sum(self.places.values())


# In


def _nothing(_folder: str, _record: EpisodeRecord) -> None:
    """Do nothing with a record."""


def import_trees(
    config: ImportConfig, seen: Callable[[str, EpisodeRecord], None] = _nothing
) -> Exchange:
    """Make a run folder of each experiment: ``<out>/<model>/<feedback>/<turn setting>``.

    `seen` is called with every record and the folder that it is written to, below `out`.

    Raises `RecordingError` where a path does not say what was recorded or there is no episode, and
    `ConfigError` where a run folder exists already.
    """
    experiments: dict[str, list[Path]] = {}
    for path in source_files(config.sources):
        if is_run(path):
            raise RecordingError(f"{path}: is of a run folder already; give published files")
        folder = str(PublishedPath.parse(path).experiment)
        experiments.setdefault(folder, []).append(path)
    out = Path(config.out)
    for folder in experiments:
        if (out / folder / EPISODES).exists():
            raise ConfigError(
                f"{out / folder}: holds episodes already; remove it or choose another out"
            )
    found = Exchange({}, [])
    for folder, paths in experiments.items():
        records = _records_of(paths, found.problems, partial(seen, folder))
        found.places[folder] = _import_experiment(out / folder, paths, records)
    if not found.episodes:
        said = "".join(f"\n{one.place}: {one.reason}" for one in found.problems[:20])
        raise RecordingError(f"{', '.join(config.sources)}: holds no episode{said}")
    return found


def _records_of(
    paths: list[Path], problems: list[Problem], seen: Callable[[EpisodeRecord], None]
) -> Iterator[EpisodeRecord]:
    samples: Counter[tuple[str, str]] = Counter()
    for path in paths:
        for record in _published_records(path, samples, problems):
            seen(record)
            yield record


def _import_experiment(folder: Path, paths: list[Path], records: Iterable[EpisodeRecord]) -> int:
    written = 0
    with whole_folder(folder) as unfinished:
        with (unfinished / EPISODES).open("wb") as file:
            for record in records:
                file.write(encode(record) + b"\n")
                written += 1
        sources = {str(path): file_digest(path) for path in paths}
        session = {"codeact": __version__, "imported": {"format": "mint", "sha256": sources}}
        (unfinished / PROVENANCE).write_bytes(
            msgspec.json.format(msgspec.json.encode({"sessions": [session]}), indent=2) + b"\n"
        )
    return written


def _published_records(
    path: Path, samples: Counter[tuple[str, str]], problems: list[Problem]
) -> Iterator[EpisodeRecord]:
    """The records of a file. A task that comes again is another sample of it, and is listed."""
    for found in published_lines(path, _of_published):
        if isinstance(found, Unreadable):
            problems.append(Problem.of(found))
            continue
        place, record = found
        if sample := samples[record.task_name, record.task_id]:
            record = another_sample(record, sample)
            reason = f"repeats the task {record.task_id}; it is kept as sample {sample}"
            problems.append(Problem(str(place), reason))
        samples[record.task_name, record.task_id] += 1
        yield record


def _of_published(where: PublishedPath) -> OfLine[_Placed]:
    return lambda content, place: (place, to_record(where, content, place))


# Out


def export_runs(config: ExportConfig, task_type_of: TaskTypeOf, split_of: SplitOf) -> Exchange:
    """Write the finished episodes of run folders as a published tree below `out`.

    Only the last record of an episode counts. The published format has no form for an episode that
    failed for no fault of the model's: it is listed. Raises `RecordingError` if nothing is left,
    and `ConfigError` if two runs would be written to one file.
    """
    files = source_files(config.sources)
    found = Exchange({}, [])
    out = Path(config.out)
    with whole_folder(out) as unfinished:
        for path in files:
            if not is_run(path):
                raise RecordingError(f"{path}: is a published file; give run folders")
            run = path.with_name(CONFIG)
            sets = _Sets(TaskTypes(run, task_type_of), Splits(run, split_of))
            _export_run(path, unfinished, config, sets, found)
        if not found.episodes:
            raise RecordingError(f"{', '.join(config.sources)}: holds no finished episode")
    return found


class _Sets(NamedTuple):
    """What a published path says of a run's data sets, by their names."""

    task_types: TaskTypes
    splits: Splits


def _export_run(path: Path, out: Path, config: ExportConfig, sets: _Sets, found: Exchange) -> None:
    last = {record.id: place for place, record in _run_records(path, [])}
    mine: dict[str, IO[bytes]] = {}
    with ExitStack() as stack:
        for where, record in _run_records(path, found.problems):
            if last[record.id] != where:
                continue
            try:
                line = _line_of(record, sets)
            except ValueError as error:
                found.problems.append(Problem(str(where), str(error)))
                continue
            name = f"{line.file}{'.gz' if config.gzip else ''}"
            if name not in mine:
                if name in found.places:
                    raise ConfigError(
                        f"{path}: an earlier run has written {name}; export them one by one"
                    )
                mine[name] = _open(out / name, stack)
            mine[name].write(line.content + b"\n")
            found.places[name] = found.places.get(name, 0) + 1


class _Line(NamedTuple):
    file: PurePosixPath
    content: bytes


def _line_of(record: EpisodeRecord, sets: _Sets) -> _Line:
    """The published line of a record; raises `ValueError` where it has none."""
    if not is_counted(record):
        raise ValueError(f"failed for no fault of the model's ({record.outcome.cause}); left out")
    try:
        known = MINT in record.extra
        task_type = "" if known else sets.task_types[record.task_name]
        split = "" if known else sets.splits[record.task_name]
    except ConfigError as error:
        raise ValueError(f"is of a task of unknown type: {error}") from error
    try:
        line = to_published(record, task_type)
    except ValueError as error:
        said = f"{error}, for which the published form has no place; left out"
        raise ValueError(said) from error
    return _Line(published_path(record, task_type, split).file, msgspec.json.encode(line))


def _run_records(path: Path, problems: list[Problem]) -> Iterator[_Placed]:
    for found in run_lines(path, lambda line, place: (place, decode(line))):
        if isinstance(found, Unreadable):
            problems.append(Problem.of(found))
        else:
            yield found


def _open(path: Path, stack: ExitStack) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".gz":
        return stack.enter_context(path.open("wb"))
    # Without name and time in its head, equal content is an equal file.
    raw = stack.enter_context(path.open("wb"))
    return cast(IO[bytes], stack.enter_context(gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0)))
