"""Candidates, the steps over all of them, and the conversations that are written.

A step decides over many trajectories: near-duplicates, the best of each task, a balance. It takes
the stream of candidates and returns those to keep.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codeact.collection.conversion import conversation_id
from codeact.collection.origins import add_kept
from codeact.collection.report import ByTask, DropCount, SelectionReport
from codeact.collection.scan import Scan
from codeact.collection.settings import ConversionSettings
from codeact.collection.tiers import TIERS, Tiers, by_name
from codeact.jsonl import SourceLine
from codeact.recordings.trajectory import Experiment, TaskKey


class Candidate(NamedTuple):
    """A success that passed every filter. `row` is its row in the scan's table."""

    row: int
    tier: str
    task: TaskKey
    experiment: Experiment
    sample: int
    turns: int
    messages: int
    characters: int
    place: SourceLine
    read: Callable[[], bytes]


class SelectionStep(NamedTuple):
    """A step over many candidates, with its name in the report."""

    name: str
    choose: Callable[[Iterator[Candidate]], Iterator[Candidate]]


_COLUMNS = ["file", "line", "task", "experiment", "sample", "turns"]
_COLUMNS += ["length", "offset", "messages", "characters"]


class Spools:
    """The open spool files of a scan."""

    def __init__(self, scan: Scan, stack: ExitStack) -> None:
        opened = {path: stack.enter_context(path.open("rb")).fileno() for path in set(scan.spools)}
        self._of_file = [opened[path] for path in scan.spools]

    def read(self, file: int, offset: int, length: int) -> bytes:
        return os.pread(self._of_file[file], length, offset)


def candidates(
    scan: Scan, tiers: Tiers, spools: Spools, *, by_task: bool = False
) -> Iterator[Candidate]:
    """Yield every remaining record, tier by tier, in the order of files and lines, or of tasks."""
    files = [str(path) for path in scan.files]
    for tier in TIERS:
        members = np.flatnonzero((tiers.labels == tier) & (scan.rows["dropped_by"] == 0))
        if by_task:
            members = members[_order_of_tasks(scan, members)]
        for block in np.array_split(members, len(members) // 4096 + 1):
            values = zip(block.tolist(), scan.rows[_COLUMNS][block].tolist(), strict=True)
            for row, values_of in values:
                file, line, task, experiment, sample, turns, length, offset, messages, chars = (
                    values_of
                )
                yield Candidate(
                    row,
                    tier.word,
                    scan.tasks[task],
                    scan.experiments[experiment],
                    sample,
                    turns,
                    messages,
                    chars,
                    SourceLine(files[file], line),
                    partial(spools.read, file, offset, length),
                )


def _order_of_tasks(scan: Scan, members: NDArray[np.intp]) -> NDArray[np.intp]:
    """Sorts by task, experiment and sample; equal ones stay as they are."""
    rows = scan.rows[members]
    tasks = _ranks([by_name(task) for task in scan.tasks])
    experiments = _ranks(scan.experiments)
    keys = (rows["sample"], experiments[rows["experiment"]], tasks[rows["task"]])
    return np.lexsort(keys)


def _ranks(values: Sequence[tuple[object, ...]]) -> NDArray[np.intp]:
    """The place of each value among all of them in order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = np.empty(len(values), np.intp)
    ranks[order] = np.arange(len(values))
    return ranks


def counted_steps(
    found: Iterator[Candidate], steps: Sequence[SelectionStep], report: SelectionReport
) -> Iterator[Candidate]:
    """Yield what the steps keep; the report has what each dropped, once the stream has ended."""
    for step in steps:
        found = _counted(step, found, report)
    return found


def _counted(
    step: SelectionStep, found: Iterator[Candidate], report: SelectionReport
) -> Iterator[Candidate]:
    taken: Counter[tuple[str, str]] = Counter()

    def entering() -> Iterator[Candidate]:
        for one in found:
            taken[one.tier, one.task.task_name] += 1
            yield one

    entered = entering()
    for one in step.choose(entered):
        taken[one.tier, one.task.task_name] -= 1
        yield one
    for _ in entered:
        pass  # count the rest too where a step stopped early
    for tier, tier_report in report.tiers.items():
        by_task: ByTask = {
            task: count for (of, task), count in sorted(taken.items()) if of == tier and count
        }
        tier_report.taken.append(DropCount(step.name, sum(by_task.values()), by_task))


def write_conversations(
    found: Iterator[Candidate], folder: Path, settings: ConversionSettings, report: SelectionReport
) -> list[Path]:
    """Write ``<tier>.jsonl`` into `folder`, and count what is in them; returns the files."""
    ids: dict[str, set[int]] = {tier: set() for tier in report.tiers}
    played: Counter[Experiment] = Counter()
    by_task: dict[str, Counter[str]] = {tier: Counter() for tier in report.tiers}
    with ExitStack() as stack:
        paths = {tier: folder / f"{tier}.jsonl" for tier in report.tiers}
        files: dict[str, IO[bytes]] = {
            tier: stack.enter_context(path.open("wb")) for tier, path in paths.items()
        }
        for one in found:
            tier = report.tiers[one.tier]
            files[one.tier].write(one.read())
            tier.kept += 1
            tier.messages += one.messages
            tier.characters += one.characters
            by_task[one.tier][one.task.task_name] += 1
            played[one.experiment] += 1
            ids[one.tier].add(hash(conversation_id(one.task, one.experiment, one.sample, settings)))
    for name, tier in report.tiers.items():
        tier.kept_by_task = dict(sorted(by_task[name].items()))
        tier.duplicate_ids = tier.kept - len(ids[name])
    add_kept(report.origins, played)
    return list(paths.values())
