"""Two runs task by task: which tasks one of them solved and the other did not, and where they part.

Tasks are the same where their digests are. A run's value for a task is the mean over its samples
that count.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from codeact.view.runs import ListedEpisode, ViewedRun
from codeact.view.transcript import ShownTurn, ViewedEpisode

Flip = Literal["won", "lost", "both", "neither", "unpaired"]
FLIPS: tuple[Flip, ...] = ("won", "lost", "both", "neither", "unpaired")


class TaskPair(msgspec.Struct, frozen=True):
    """A task with the episodes of both runs. `won` is what B solved more often than A."""

    digest: str
    task: str
    task_id: str
    flip: Flip
    a: list[ListedEpisode]
    b: list[ListedEpisode]


class TaskPairs(msgspec.Struct, frozen=True):
    """Some tasks of two runs, with how many there are in all, and of each kind."""

    total: int
    counts: dict[Flip, int]
    rows: list[TaskPair]


class _Flips:
    """The tasks of both runs by what became of them: flips first, the surest in front."""

    def __init__(self, a: ViewedRun, b: ViewedRun) -> None:
        mine, others = _values(a), _values(b)
        found: list[tuple[float, str, str, Flip]] = []
        for digest in {**mine, **others}:
            one, other = mine.get(digest), others.get(digest)
            task = (one or other or _NOTHING).task
            before = one.mean if one else None
            after = other.mean if other else None
            by = 0.0 if before is None or after is None else abs(after - before)
            found.append((-by, task, digest, _flip(before, after)))
        found.sort(key=lambda each: each[:2])
        self.digests = [digest for _, _, digest, _ in found]
        self.flips = [flip for *_, flip in found]
        self.counts = {flip: self.flips.count(flip) for flip in FLIPS}


class _Value:
    """A run's samples of one task: how many count, and how many of those were solved."""

    __slots__ = ("counted", "solved", "task")

    def __init__(self, task: str = "") -> None:
        self.task = task
        self.counted = self.solved = 0

    @property
    def mean(self) -> float | None:
        return self.solved / self.counted if self.counted else None


_NOTHING = _Value()


def _values(run: ViewedRun) -> dict[str, _Value]:
    found: dict[str, _Value] = {}
    columns = ("task_digest", "task_name", "counted", "edited", "success")
    for digest, task, counted, edited, success in run.index.columns(columns, run.where):
        value = found.get(digest)
        if value is None:
            value = found[digest] = _Value(task)
        if counted and not edited:
            value.counted += 1
            value.solved += success
    return found


def _flip(before: float | None, after: float | None) -> Flip:
    if before is None or after is None:
        return "unpaired"
    if after != before:
        return "won" if after > before else "lost"
    return "both" if after > 0 else "neither"


def task_pairs(
    a: ViewedRun,
    b: ViewedRun,
    *,
    only: Sequence[str] = (),
    digest: str = "",
    offset: int = 0,
    limit: int,
) -> TaskPairs:
    """Return tasks of two runs: of some kinds only where `only` names any, or one by its digest."""
    flips: _Flips = a.kept(("flips", b.name, b.version), lambda: _Flips(a, b))
    found = [
        (one, flip)
        for one, flip in zip(flips.digests, flips.flips, strict=True)
        if (not only or flip in only) and (not digest or one == digest)
    ]
    shown = found[offset : offset + limit]
    digests = [one for one, _ in shown]
    mine, others = a.of_tasks(digests), b.of_tasks(digests)
    rows = [
        TaskPair(one, first.task, first.task_id, flip, mine[one], others[one])
        for one, flip in shown
        for first in [*mine[one], *others[one]][:1]
    ]
    return TaskPairs(len(found), flips.counts, rows)


class SideBySide(msgspec.Struct, frozen=True):
    """Two episodes of a task, and the turn in which they part; 0 is before the first one.

    `parts_by` says in what: opening, action, observation, feedback or length.
    """

    a: ViewedEpisode | None
    b: ViewedEpisode | None
    parts_at: int | None
    parts_by: str


def side_by_side(a: ViewedEpisode | None, b: ViewedEpisode | None) -> SideBySide:
    """Return two episodes aligned by their turns."""
    if a is None or b is None:
        return SideBySide(a, b, None, "")
    for number in range(max(len(a.turns), len(b.turns))):
        if number >= min(len(a.turns), len(b.turns)):
            return SideBySide(a, b, number + 1, "length")
        if by := _difference(a.turns[number], b.turns[number]):
            return SideBySide(a, b, number + 1, by)
    # Prompts differ by turn settings alone, too: where turns differ, that says more.
    differ = a.opening != b.opening
    return SideBySide(a, b, 0 if differ else None, "opening" if differ else "")


def _difference(one: ShownTurn, other: ShownTurn) -> str:
    if _said(one) != _said(other):
        return "action"
    if [seen.text for seen in one.observed] != [seen.text for seen in other.observed]:
        return "observation"
    return "feedback" if (one.feedback or "") != (other.feedback or "") else ""


def _said(turn: ShownTurn) -> tuple[str, list[tuple[str, str]]]:
    """Return what a policy wrote; the ids of its calls are the server's."""
    text = "".join(part.text for part in turn.parts)
    return text, [(call["name"], call["arguments"]) for call in turn.calls]
