"""Grades recorded answers again, each distinct answer of a task once."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from codeact.episode.prompts import PromptStrategy
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task
from codeact.exceptions import EpisodeFailure
from codeact.experiment.plan import LoadedSet
from codeact.experiment.skipped import Skipped, not_asked_for
from codeact.experiment.strategies import strategy_of
from codeact.graders.base import Mode
from codeact.recordings.episodes import RecordedEpisode, read_recordings
from codeact.sandboxes.base import Sandbox

Against = Literal["recorded", "mint", "strict"]
_TURNS = TurnSettings(max_steps=1, max_propose_solution=1)
"""Answers are found whatever the setting was."""
_NO_TASK = "the task is not in the task file, or beyond its limit (data, limit, total_limit, ids)"


class Proposal(NamedTuple):
    """A distinct answer to a task, its recorded verdicts, and where it first occurs."""

    task: Task
    answer: str
    recorded: tuple[bool, ...]
    place: str


class Regraded(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal's verdicts, None where a grader failed; `times` is how often it was recorded."""

    task: str
    answer: str
    reference: object
    old: bool | None
    new: bool | None
    detail: str
    times: int
    place: str

    @property
    def differs(self) -> bool:
        return self.old != self.new


def proposals(
    files: Iterable[Path], sets: list[LoadedSet], strategy: PromptStrategy, skipped: Skipped
) -> list[Proposal]:
    """Return every distinct (task, answer) of the recorded files, in order of occurrence.

    `strategy` finds them in recordings that do not name their own. Episodes without an answer to
    grade are `skipped`.
    """
    asked = [loaded.name for loaded in sets]
    tasks = {(loaded.name, task.id): task for loaded in sets for task in loaded.tasks}
    found: dict[tuple[str, str, str], tuple[list[bool], str]] = {}
    for file in files:
        for episode in read_recordings(file):
            if episode.task_name not in asked:
                skipped.add(episode.task_name, not_asked_for(episode.task_name, asked))
                continue
            if (episode.task_name, episode.task_id) not in tasks:
                skipped.add(episode.task_name, _NO_TASK)
                continue
            answers = list(_answers(episode, strategy_of(episode, strategy)))
            if not answers:
                skipped.add(episode.task_name, "gave no answer")
            for answer, correct in answers:
                key = (episode.task_name, episode.task_id, answer)
                found.setdefault(key, ([], episode.place))[0].append(correct)
    return [
        Proposal(tasks[name, task_id], answer, tuple(recorded), place)
        for (name, task_id, answer), (recorded, place) in found.items()
    ]


def _answers(episode: RecordedEpisode, strategy: PromptStrategy) -> Iterator[tuple[str, bool]]:
    """Yield each proposal with its recorded verdict; only the last of a solved one was right."""
    last = len(episode.turns) - 1
    for number, turn in enumerate(episode.turns):
        for action in strategy.actions(turn.answer, _TURNS, ()):
            if action.kind == "propose" and action.refusal is None:
                yield action.content, episode.outcome.success and number == last
                break  # a turn is one proposal


class Regrader:
    """Grades proposals in one mode and compares with another mode or with the recording."""

    def __init__(
        self,
        sets: list[LoadedSet],
        sandbox: Sandbox,
        mode: Mode,
        against: Against,
        concurrency: int,
    ) -> None:
        self._families = {loaded.name: loaded.family for loaded in sets}
        self._sandbox = sandbox
        self._mode: Mode = mode
        self._against = against
        self._gate = asyncio.Semaphore(concurrency)

    async def regrade(self, chosen: list[Proposal]) -> AsyncIterator[Regraded]:
        """Yield the proposals with both verdicts, as they are reached."""
        for finished in asyncio.as_completed([self._one(proposal) for proposal in chosen]):
            yield await finished

    async def _one(self, proposal: Proposal) -> Regraded:
        async with self._gate:
            new, detail = await self._verdict(proposal, self._mode)
            if self._against == "recorded":
                old: bool | None = any(proposal.recorded)
            else:
                old, why = await self._verdict(proposal, self._against)
                detail = f"{self._mode}: {detail} | {self._against}: {why}"
        return Regraded(
            task=proposal.task.key,
            answer=proposal.answer,
            reference=proposal.task.reference,
            old=old,
            new=new,
            detail=detail,
            times=len(proposal.recorded),
            place=proposal.place,
        )

    async def _verdict(self, proposal: Proposal, mode: Mode) -> tuple[bool | None, str]:
        grader = self._families[proposal.task.name].grader(mode)
        try:
            verdict = await grader(proposal.task, proposal.answer, self._sandbox)
        except EpisodeFailure as error:
            return None, str(error)
        return verdict.correct, verdict.detail
