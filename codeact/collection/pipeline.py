"""The steps from sources to an output folder, for both commands.

Outputs appear when all of them are complete, ``report.json`` last: where it exists, the rest is
complete.
"""

import csv
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

from codeact.collection.conversations import REPORT, whole_file
from codeact.collection.report import SelectionReport, make_report
from codeact.collection.scan import Scan, drop_names, nothing, scan
from codeact.collection.selection import (
    SelectionStep,
    Spools,
    candidates,
    counted_steps,
    write_conversations,
)
from codeact.collection.settings import CollectionSettings, SelectConfig, TiersConfig
from codeact.collection.steps import get_ready, steps
from codeact.collection.tiers import TIERS, Label, Tiers, decide
from codeact.datasets import get, read_tasks
from codeact.exceptions import ConfigError, RecordingError
from codeact.experiment.plan import refuse_missing
from codeact.folders import whole_folder
from codeact.recordings.files import is_run, source_files
from codeact.recordings.published_paths import PublishedPath
from codeact.recordings.trajectory import Problem, TaskKey

RECORDS = "records.csv"
UNSOLVED = "unsolved.tsv"
HARD = "hard"


def select(config: SelectConfig, more: Sequence[SelectionStep] = ()) -> SelectionReport:
    """Run tiers, selection and conversion: ``<tier>.jsonl``, ``unsolved.tsv`` and the report.

    A file of all tiers that an earlier selection left in the folder goes.
    """
    chosen = [*steps(config.selection.steps), *more]
    with _output(config.out) as (folder, spools):
        ready = partial(get_ready, config.selection.steps)
        scanned, tiers, report = _decided(config, spools, ready)
        with ExitStack() as stack:
            by_task = config.selection.order == "tasks"
            found = candidates(scanned, tiers, Spools(scanned, stack), by_task=by_task)
            found = counted_steps(found, chosen, report)
            tier_files = write_conversations(found, folder, config.selection.conversion, report)
        if not any(tier.kept for tier in report.tiers.values()):
            raise ConfigError(f"nothing is left to train on: {_where_all_went(report)}")
        if config.name is not None:
            report.whole = f"{config.name}.jsonl"
            _join(tier_files, folder / report.whole)
        _write_unsolved(folder, scanned, tiers)
        _write_report(folder, report)
        before = whole_file(Path(config.out))
    if before and before != report.whole:
        (Path(config.out) / before).unlink(missing_ok=True)
    return report


def _join(files: Sequence[Path], out: Path) -> None:
    with out.open("wb") as joined:
        for path in files:
            with path.open("rb") as one:
                shutil.copyfileobj(one, joined)


def sort_into_tiers(config: TiersConfig) -> SelectionReport:
    """Tiers alone: ``records.csv``, ``unsolved.tsv``, ``hard/<task>.jsonl`` and the report."""
    with _output(config.out) as (folder, spools):
        scanned, tiers, report = _decided(config, spools)
        _write_records(folder, scanned, tiers, drop_names(config.selection))
        _write_unsolved(folder, scanned, tiers)
        _write_hard(folder, config, [scanned.tasks[task] for task in tiers.unsolved], report)
        _write_report(folder, report)
    return report


def _decided(
    config: CollectionSettings, spools: Path, meanwhile: Callable[[], None] = nothing
) -> tuple[Scan, Tiers, SelectionReport]:
    found = source_files(config.sources)
    files = [path for path in found if _is_wanted(path, config.selection.feedback)]
    if not files:
        raise RecordingError(
            f"{', '.join(config.sources)}: every file has feedback, and selection.feedback=none; "
            "give selection.feedback=all"
        )
    scanned = scan(files, config.selection, spools, config.workers, meanwhile)
    tiers = decide(scanned, config.selection)
    return scanned, tiers, make_report(scanned, tiers, config.selection, len(found) - len(files))


def _is_wanted(path: Path, feedback: str) -> bool:
    """Check a published path before anything is read; raises `RecordingError`."""
    return is_run(path) or not PublishedPath.parse(path).feedback_model or feedback == "all"


class _Folders(NamedTuple):
    """The folders of outputs and of spool files, on one disk; the latter are removed."""

    output: Path
    spools: Path


@contextmanager
def _output(out: str) -> Iterator[_Folders]:
    with (
        whole_folder(Path(out), last=REPORT) as folder,
        TemporaryDirectory(prefix=".spools-", dir=folder) as spools,
    ):
        yield _Folders(folder, Path(spools))


def _write_report(folder: Path, report: SelectionReport) -> None:
    text = msgspec.json.format(msgspec.json.encode(report), indent=2)
    (folder / REPORT).write_bytes(text + b"\n")


def _write_unsolved(folder: Path, scanned: Scan, tiers: Tiers) -> None:
    with (folder / UNSOLVED).open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, delimiter="\t", lineterminator="\n")
        lines.writerows(scanned.tasks[task] for task in tiers.unsolved)


def _write_records(folder: Path, scanned: Scan, tiers: Tiers, drops: list[str]) -> None:
    """One line a record: what it is, its tier or why it has none, and the filter that takes it."""
    head = "file line task_type task_name task_id model feedback turn_setting sample turns success"
    files = [str(path) for path in scanned.files]
    words = [label.word for label in Label]
    columns = ["file", "line", "task", "experiment", "sample", "turns", "success", "dropped_by"]
    with (folder / RECORDS).open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow([*head.split(), "tier", "dropped_by"])
        rows = scanned.rows[columns]
        for start in range(0, len(rows), 4096):
            for values, label in zip(
                rows[start : start + 4096].tolist(),
                tiers.labels[start : start + 4096].tolist(),
                strict=True,
            ):
                path, line, task, played, sample, turns, success, drop = values
                experiment = scanned.experiments[played]
                taken_by = drops[drop - 1] if drop and label in TIERS else ""
                lines.writerow(
                    [
                        files[path],
                        line,
                        *scanned.tasks[task],
                        experiment.model,
                        experiment.feedback,
                        experiment.turn_setting,
                        sample,
                        turns,
                        int(success),
                        words[label],
                        taken_by,
                    ]
                )


def _write_hard(
    folder: Path, config: TiersConfig, unsolved: Sequence[TaskKey], report: SelectionReport
) -> None:
    """Write the unsolved lines of each task file unchanged."""
    if config.task is None:
        return
    (folder / HARD).mkdir()
    for name, chosen in config.task.sets.items():
        family = get(chosen.family)
        refuse_missing(config.data, name, chosen)
        path = chosen.path
        wanted = {task.task_id for task in unsolved if task[:2] == (family.task_type, name)}
        if not wanted:
            continue
        with (folder / HARD / f"{name}.jsonl").open("wb") as file:
            for task, line in read_tasks(family, path):
                if task.id in wanted:
                    file.write(line + b"\n")
                    wanted.remove(task.id)
        report.problems += [
            Problem(path, f"lacks the unsolved task {task_id}") for task_id in sorted(wanted)
        ]


def _where_all_went(report: SelectionReport) -> str:
    """Counts of every reason and filter, the largest first."""
    taken = dict(report.reasons)
    for tier in report.tiers.values():
        for one in tier.taken:
            taken[one.name] = taken.get(one.name, 0) + one.records
    for name in ("unreadable", "uncounted", "skipped"):
        taken[name] = getattr(report, name)
    words = [
        f"{name} {count}"
        for name, count in sorted(taken.items(), key=lambda item: -item[1])
        if count
    ]
    return f"of {report.records} records, {', '.join(words) or 'none was found'}"
