"""What was counted at each step, as in ``report.json``."""

from collections import Counter
from collections.abc import Iterable

import msgspec
import numpy as np

from codeact.collection.origins import Origin, origins, preset
from codeact.collection.scan import Scan, drop_names
from codeact.collection.settings import SelectionSettings
from codeact.collection.tiers import TIERS, Label, Tiers
from codeact.recordings.trajectory import Problem

ByTask = dict[str, int]
"""Counts by the data set's name."""


class DropCount(msgspec.Struct):
    """How many records one filter or step dropped from a tier; `by_task` by data set."""

    name: str
    records: int
    by_task: ByTask


class TierReport(msgspec.Struct):
    """One tier, from its records to its conversations.

    `taken` has the filters and then the steps, in their order. `duplicate_ids` are the
    conversations whose id an earlier one of the tier has. `characters` are of the contents.
    """

    records: int
    tasks: int
    by_task: ByTask
    taken: list[DropCount]
    kept: int = 0
    kept_by_task: ByTask = {}
    duplicate_ids: int = 0
    messages: int = 0
    characters: int = 0


class SelectionReport(msgspec.Struct):
    """One collection.

    `records` counts what was read, and `reasons` those of them that are in no tier. Four kinds are
    counted apart: lines that are `unreadable`, episodes of a run folder that were `redone` later,
    those that failed `uncounted` (for no fault of the model's), and those `skipped` because they
    have feedback. Experiments are of all models; `complete_records` counts the weaker models'
    records in complete ones, without duplicates. `preset` names the rules, and `origins` who played
    what. `whole` is the file with the conversations of all tiers, empty where none was asked for.
    """

    files: int
    skipped_files: int
    records: int
    unreadable: int
    redone: int
    uncounted: int
    skipped: int
    strong_records: int
    weaker_records: int
    experiments: int
    complete_experiments: int
    complete_records: int
    tasks: int
    unsolved: int
    unsolved_by_task: ByTask
    reasons: dict[str, int]
    tiers: dict[str, TierReport]
    problems: list[Problem]
    preset: str = ""
    origins: list[Origin] = []
    whole: str = ""


def make_report(
    scan: Scan, tiers: Tiers, settings: SelectionSettings, skipped_files: int
) -> SelectionReport:
    """Count what is decided so far, without what steps drop and what is written."""
    rows, labels = scan.rows, tiers.labels
    names = [task.task_name for task in scan.tasks]
    strong = tiers.strong[rows["experiment"]]
    distinct = labels != Label.DUPLICATE
    weaker = ~strong & distinct
    problems = [Problem.of(one) for one in scan.unreadable]
    problems += [
        Problem(str(one.place), f"repeats the episode of line {one.first.line}; that one counts")
        for one in tiers.repeats
    ]
    return SelectionReport(
        files=len(scan.files),
        skipped_files=skipped_files,
        records=len(rows),
        unreadable=len(scan.unreadable),
        redone=scan.redone,
        uncounted=scan.uncounted,
        skipped=scan.skipped,
        strong_records=int((strong & distinct).sum()),
        weaker_records=int(weaker.sum()),
        experiments=len(scan.experiments),
        complete_experiments=int(tiers.complete.sum()),
        complete_records=int((weaker & tiers.complete[rows["experiment"]]).sum()),
        tasks=len(scan.tasks),
        unsolved=len(tiers.unsolved),
        unsolved_by_task=by_task(names[task] for task in tiers.unsolved),
        reasons={one.word: int((labels == one).sum()) for one in Label if one not in TIERS},
        tiers={
            one.word: _tier(scan, np.flatnonzero(labels == one), names, settings) for one in TIERS
        },
        problems=problems,
        preset=preset(settings),
        origins=origins(scan),
    )


def _tier(
    scan: Scan,
    members: "np.ndarray[tuple[int], np.dtype[np.intp]]",
    names: list[str],
    settings: SelectionSettings,
) -> TierReport:
    rows = scan.rows[members]
    taken = []
    for place, name in enumerate(drop_names(settings), 1):
        tasks = rows["task"][rows["dropped_by"] == place]
        taken.append(DropCount(name, len(tasks), by_task(names[task] for task in tasks.tolist())))
    return TierReport(
        records=len(rows),
        tasks=len(np.unique(rows["task"])),
        by_task=by_task(names[task] for task in rows["task"].tolist()),
        taken=taken,
    )


def by_task(names: Iterable[str]) -> ByTask:
    """Count names, in order."""
    return dict(sorted(Counter(names).items()))
