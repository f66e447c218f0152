"""Lays out the continuations of recorded episodes: which ones, from which turn, and which not.

Nothing is spent or run here: the state machine itself says, from the recorded words alone, whether
an episode is still going on after its prefix.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from codeact.episode.effects import Execute, Execution, Grade, Verdict
from codeact.episode.machine import Episode
from codeact.episode.prompts import CodeStrategy
from codeact.episode.record import EDITED, EpisodeOrigin
from codeact.episode.settings import EpisodeSettings
from codeact.episode.task import Task
from codeact.exceptions import RecordingError
from codeact.experiment.config.prompts import RECORDED_PROMPTS
from codeact.experiment.driver import Assignment
from codeact.experiment.priming import starts_at_two
from codeact.experiment.restoring import Prefix, restored_completion
from codeact.experiment.strategies import strategy
from codeact.jsonl import blocks
from codeact.models.base import EpisodeKey
from codeact.recordings.episodes import RecordedEpisode, read_recordings
from codeact.recordings.files import recording_files
from codeact.resources import resolve_path
from codeact.tools import ToolBox

_NAMED = 3


class Continuations(NamedTuple):
    """What of a source can be continued: prefixes by task, and the others by reason.

    `samples` is how many samples the source has of a task at most. Sample s of the k-th
    continuation is number ``k * samples + s``, so that more continuations change no number.
    """

    prefixes: dict[tuple[str, str], list[Prefix]]
    samples: int
    left_out: dict[str, list[str]]
    others: int
    missing: list[str]

    @property
    def notices(self) -> list[str]:
        """One line for each reason, with how many episodes it left out, and the first few."""
        lines = [
            f"not continued: {len(places):,} × {reason} ({_some(places)})"
            for reason, places in self.left_out.items()
        ]
        if self.missing:
            lines.append(
                f"not continued: {len(self.missing):,} × task without a recorded episode "
                f"({_some(self.missing)})"
            )
        if self.others:
            lines.append(f"not continued: {self.others:,} × recorded episode of another task")
        return lines


class Continuing:
    """Reads a source of recorded episodes for one run; `turn` None restores all that is there."""

    def __init__(
        self,
        source: str,
        turn: int | None,
        settings: EpisodeSettings,
        prompt: str,
        tools: ToolBox,
    ) -> None:
        self._source = resolve_path(source)
        self._turn = turn
        self._settings = settings
        self._strategy = strategy(prompt)
        self._tools = tools

    def continuations(self, assignments: Iterable[Assignment]) -> Continuations:
        """Return what can be continued of these tasks; raises `RecordingError` if nothing can."""
        tasks = {(one.task.name, one.task.id): one for one in assignments}
        found: dict[EpisodeKey, RecordedEpisode] = {}
        primed: set[str] = set()
        others = 0
        for episode in read_recordings(self._source):
            if (episode.task_name, episode.task_id) not in tasks:
                others += 1
                continue
            if starts_at_two(episode):
                primed.add(_file(episode))
            self._keep(episode, found)
        prefixes: dict[tuple[str, str], list[Prefix]] = {}
        left_out: dict[str, list[str]] = {}
        for episode in found.values():
            key = episode.task_name, episode.task_id
            prefix = self._prefix(episode, primed=_file(episode) in primed)
            if reason := self._unfit(episode, prefix, tasks[key]):
                place = episode.place.removeprefix(f"{self._source}/")
                left_out.setdefault(reason, []).append(place)
            else:
                prefixes.setdefault(key, []).append(prefix)
        samples = 1 + max((episode.sample for episode in found.values()), default=0)
        there = {(episode.task_name, episode.task_id) for episode in found.values()}
        missing = [one.task.key for key, one in tasks.items() if key not in there]
        continuations = Continuations(prefixes, samples, left_out, others, missing)
        if not prefixes:
            said = "".join(f"\n  {line}" for line in continuations.notices) or "\n  it is empty"
            raise RecordingError(f"{self._source}: holds no episode to continue:{said}")
        return continuations

    def _keep(self, episode: RecordedEpisode, found: dict[EpisodeKey, RecordedEpisode]) -> None:
        """Keep an episode; the last record of one counts, and two experiments are refused.

        A published file has no numbers of samples: a task that comes again is another sample.
        """
        key = EpisodeKey(episode.task_name, episode.task_id, episode.sample)
        earlier = found.get(key)
        if earlier is not None and _experiment(earlier) != _experiment(episode):
            raise RecordingError(
                f"{self._source}: {key.task_name}/{key.task_id} was recorded more than once, in "
                f"{earlier.place} and {episode.place}: continue one run, so name its folder"
            )
        while episode.record is None and key in found:
            key = EpisodeKey(key.task_name, key.task_id, key.sample + 1)
        found[key] = msgspec.structs.replace(episode, sample=key.sample)

    def _prefix(self, episode: RecordedEpisode, *, primed: bool) -> Prefix:
        turns = episode.turns[: self._turn]
        record = episode.record
        origin = EpisodeOrigin(
            episode=record.id if record else "",
            place=episode.place,
            model=episode.model,
            turn_setting=episode.turn_setting,
            sample=episode.sample,
            success=episode.outcome.success,
            turns=len(turns),
        )
        same = episode.turn_setting == self._settings.turns.name
        return Prefix(origin, turns, episode.opening if same else None, primed)

    def _unfit(self, recorded: RecordedEpisode, prefix: Prefix, assignment: Assignment) -> str:
        """Return why an episode cannot be continued, or an empty text."""
        task = assignment.task
        if self._turn is not None and len(recorded.turns) < self._turn:
            return f"has fewer than {self._turn} turns"
        if (there := _prompt(recorded)) != (here := self._strategy.name) and there:
            return f"was played with prompt={there}, and this run has prompt={here}"
        if recorded.outcome.success and len(prefix.turns) == len(recorded.turns):
            return "was solved by then"
        if not recorded.first_message:
            return "failed before its first message"
        if task.prompt.strip() not in recorded.first_message:
            return "its task reads otherwise in this run's task files"
        return self._ending(task, assignment.family.task_type, prefix)

    def _ending(self, task: Task, task_type: str, prefix: Prefix) -> str:
        """Play the recorded words through the state machine, which runs nothing."""
        episode = Episode(
            task,
            task_type,
            self._settings,
            self._strategy,
            tools=self._tools.specs(task),
            opening=prefix.opening,
        )
        for number, turn in enumerate(prefix.turns, 1):
            episode.advance(restored_completion(turn))
            while isinstance(effect := episode.pending, Execute | Grade):
                execute = isinstance(effect, Execute)
                episode.advance(Execution("") if execute else Verdict(correct=False))
            if episode.outcome is not None:
                reason, name = episode.outcome.terminate_reason, self._settings.turns.name
                return f"ends with turn {number} under {name} ({reason}); allow more turns"
            if turn.environment and turn.environment.observation.strip() != (
                episode.turns[-1].observation.strip()
            ):
                return f"turn {number} is another action by this run's prompt and turns"
        return ""


def continued(
    assignments: Iterable[Assignment], found: Continuations, seed: int | None
) -> Iterator[Assignment]:
    """Yield, for each assignment, one continuation of each recorded episode of its task.

    Seeds begin after those of the recorded samples, so that a continuation draws anew.
    """
    for one in assignments:
        for prefix in found.prefixes.get((one.task.name, one.task.id), ()):
            sample = one.sample * found.samples + prefix.origin.sample
            drawn = None if seed is None else seed + found.samples + sample
            yield one._replace(sample=sample, seed=drawn, prefix=prefix)


def content_digest(source: str) -> str:
    """Return the SHA-256 of all recorded files of a source, decompressed, in path order."""
    digest = hashlib.sha256()
    for file in recording_files(resolve_path(source)):
        try:
            for block in blocks(file):
                digest.update(block)
        except (OSError, EOFError) as error:
            raise RecordingError(f"{file}: cannot be read: {error}") from error
    return digest.hexdigest()


def _experiment(episode: RecordedEpisode) -> tuple[str, ...]:
    settings = episode.record.settings_digest if episode.record else episode.split
    return episode.model.removesuffix(EDITED), episode.feedback, episode.turn_setting, settings


def _prompt(episode: RecordedEpisode) -> str:
    """Return the strategy that finds a record's actions; empty where it does not say."""
    name = episode.record.prompt if episode.record else ""
    return CodeStrategy.name if name == RECORDED_PROMPTS else name


def _file(episode: RecordedEpisode) -> str:
    return str(Path(episode.place.rpartition(":")[0]))


def _some(places: list[str]) -> str:
    more = f", and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return ", ".join(places[:_NAMED]) + more
