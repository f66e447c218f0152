"""Plays recorded episodes through the live environment and reports where the two differ."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec

from codeact.datasets import Family
from codeact.episode.effects import Counts
from codeact.episode.prompts import PromptStrategy
from codeact.episode.record import EpisodeRecord
from codeact.episode.settings import (
    EpisodeSettings,
    FeedbackKind,
    FeedbackSettings,
    TurnSettings,
)
from codeact.exceptions import RecordingError
from codeact.experiment.comparing import (
    AFTER,
    DIFFERENT,
    EQUAL,
    OUTSIDE,
    RANDOM,
    STATE_DIFFERS,
    classify,
)
from codeact.experiment.driver import Assignment, Environment, RunIdentity, play_episode
from codeact.experiment.plan import LoadedSet
from codeact.experiment.priming import primed, starts_at_two
from codeact.experiment.skipped import Skipped, not_asked_for
from codeact.experiment.strategies import strategy_of
from codeact.graders.base import Grader
from codeact.models.recorded import RecordedModel, RecordedSettings
from codeact.recordings.episodes import RecordedEpisode, read_recordings
from codeact.recordings.files import recording_files
from codeact.sandboxes.base import Sandbox
from codeact.tools import ToolBox

_HEAD = "Observation:\n"
_TURN_SETTING = re.compile(r"max(?P<steps>\d+)_p(?P<proposals>\d+)(?P<tool>\+tool)?(?P<cd>\+cd)?")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between a recording and its replay; `turn` counts from 0, None is the end."""

    episode: str
    what: str
    kind: str
    turn: int | None = None
    action: str = ""
    recorded: Any = None
    live: Any = None


class Replayed(NamedTuple):
    """One episode after its replay.

    `observations` holds the class of every local observation, `network` that of turns whose code
    used the network, by the search tool or by itself. `messages` says of each message of the
    environment whether it is equal to the letter, its observation apart. `leaks` says of each
    comment whether it gives the answer away.
    """

    group: str
    same_end: bool
    observations: list[str]
    network: list[str]
    messages: list[bool]
    leaks: list[bool]
    differences: list[Difference]


class Replayer:
    """Replays episodes of recorded files in one sandbox, with one set of task files."""

    def __init__(
        self,
        sets: list[LoadedSet],
        sandbox: Sandbox,
        strategy: PromptStrategy,
        tools: ToolBox,
        concurrency: int,
    ) -> None:
        self._sets = {loaded.name: loaded for loaded in sets}
        self._tasks = {(s.name, task.id): task for s in sets for task in s.tasks}
        self._sandbox = sandbox
        self._strategy = strategy
        self._tools = tools
        self._concurrency = concurrency
        self.skipped = Skipped()

    async def replay_file(self, path: Path, limit: int | None) -> AsyncIterator[Replayed]:
        """Yield every episode of one file as it finishes, the first `limit` of them.

        Counts those that it skips.
        """
        episodes = self._chosen(path, limit)
        if not episodes:
            return
        policy = RecordedModel(RecordedSettings(kind="recorded", source=str(path)))
        hidden = any(starts_at_two(episode) for episode in episodes)
        sandbox: Sandbox = primed(self._sandbox) if hidden else self._sandbox
        gate = asyncio.Semaphore(self._concurrency)

        async def one(episode: RecordedEpisode) -> Replayed:
            async with gate:
                record = await play_episode(
                    self._assignment(episode), self._environment(episode, policy, sandbox)
                )
            return compare(episode, record)

        for finished in asyncio.as_completed([one(episode) for episode in episodes]):
            yield await finished

    def _chosen(self, path: Path, limit: int | None) -> list[RecordedEpisode]:
        episodes: list[RecordedEpisode] = []
        for episode in read_recordings(path):
            if episode.task_name not in self._sets:
                why = not_asked_for(episode.task_name, self._sets)
                self.skipped.add(episode.task_name, why)
            elif limit is not None and len(episodes) >= limit:
                self.skipped.add(episode.task_name, "beyond limit or total_limit")
            else:
                episodes.append(episode)
        return episodes

    def _assignment(self, episode: RecordedEpisode) -> Assignment:
        loaded = self._sets[episode.task_name]
        task = self._tasks.get((episode.task_name, episode.task_id))
        if task is None:
            raise RecordingError(
                f"{episode.place}: {episode.task_name}/{episode.task_id} is not in the task files; "
                "give the folder of the tasks that were recorded with data=FOLDER"
            )
        family: Family = loaded.family
        grader: Grader = loaded.grader
        return Assignment(task, family, grader, episode.sample)

    def _environment(
        self, episode: RecordedEpisode, policy: RecordedModel, sandbox: Sandbox
    ) -> Environment:
        feedback = parse_feedback(episode)
        return Environment(
            identity=RunIdentity(episode.model, episode.feedback_kind or "none", "replay"),
            settings=EpisodeSettings(turns=parse_turns(episode), feedback=feedback),
            strategy=strategy_of(episode, self._strategy),
            policy=policy,
            critic=policy if episode.feedback_model else None,
            sandbox=sandbox,
            tools=self._tools,
        )


def parse_turns(episode: RecordedEpisode) -> TurnSettings:
    """Return the turn settings for a recorded name such as ``max5_p2+tool+cd``."""
    found = _TURN_SETTING.fullmatch(episode.turn_setting)
    if found is None:
        raise RecordingError(f"{episode.place}: unknown turn setting {episode.turn_setting!r}")
    return TurnSettings(
        max_steps=int(found["steps"]),
        max_propose_solution=int(found["proposals"]),
        use_tools=found["tool"] is not None,
        count_down=found["cd"] is not None,
    )


def parse_feedback(episode: RecordedEpisode) -> FeedbackSettings:
    """Return the feedback settings for a recorded kind such as ``no_GT-textual-sparse``."""
    if not episode.feedback_model:
        return FeedbackSettings()
    for kind in get_args(FeedbackKind):
        for truth in (False, True):
            settings = FeedbackSettings(kind=kind, ground_truth=truth)
            if settings.published_kind == episode.feedback_kind:
                return settings
    raise RecordingError(f"{episode.place}: unknown kind of feedback {episode.feedback_kind!r}")


def chosen_files(source: str, pattern: str) -> list[Path]:
    """List the recorded files under `source` whose relative path matches the glob `pattern`."""
    root = Path(source)
    files = recording_files(root)
    if root.is_file():
        return files
    chosen = [file for file in files if fnmatch(str(file.relative_to(root)), pattern)]
    if not chosen:
        raise RecordingError(f"{root}: none of its {len(files)} recorded files matches {pattern!r}")
    return chosen


def compare(recorded: RecordedEpisode, live: EpisodeRecord) -> Replayed:
    """Return where a live record differs from the recorded episode."""
    name = f"{recorded.place} {live.task_name}/{live.task_id}"
    differences = list(_end_differences(name, recorded, live))
    same_end = not differences
    observations: list[str] = []
    network: list[str] = []
    parted = drawn = False
    for number, (was, now) in enumerate(zip(recorded.turns, live.turns, strict=False)):
        if was.environment is None or now.action != "execute":
            continue
        kind = classify(was.environment.observation, now.observation)
        outside = OUTSIDE.search(now.content) is not None
        drawn = drawn or "random" in now.content
        if kind == DIFFERENT and (drawn or parted):
            kind = RANDOM if drawn else AFTER
        parted = parted or kind in STATE_DIFFERS or (outside and kind != EQUAL)
        (network if outside else observations).append(kind)
        if kind != EQUAL:
            differences.append(
                Difference(
                    episode=name,
                    what="network observation" if outside else "observation",
                    kind=kind,
                    turn=number,
                    action=now.content,
                    recorded=was.environment.observation,
                    live=now.observation,
                )
            )
    messages = list(_messages(recorded, live))
    if same_end:
        differences += _message_differences(name, messages)
    group = "/".join([recorded.model, recorded.feedback_kind or "no feedback", recorded.task_name])
    leaks = [bool(turn.leaks) for turn in live.turns if turn.leaks is not None]
    equal = [was == now for _, was, now in messages]
    return Replayed(group, same_end, observations, network, equal, leaks, differences)


def _messages(recorded: RecordedEpisode, live: EpisodeRecord) -> Iterator[tuple[int, str, str]]:
    """Yield each turn's message of the environment, recorded and live, with one observation.

    Where that is several messages, as after calls, it is the last one.
    """
    ends = [turn.message or 0 for turn in live.turns[1:]] + [len(live.messages)]
    turns = zip(recorded.turns, live.turns, ends, strict=False)
    for number, (was, now, end) in enumerate(turns):
        if was.environment is None or end - 1 == now.message:
            continue
        message = live.messages[end - 1]["content"]
        there, here = was.environment.observation, now.observation
        if now.actions and live.messages[end - 1]["role"] == "tool":
            there, here = was.observations[-1], now.actions[-1].observation
        head = _HEAD if message.startswith(_HEAD) else ""
        said = was.environment.render() if was.said is None else was.said
        yield number, said, f"{head}{there}{message.removeprefix(head + here)}"


def _message_differences(name: str, messages: list[tuple[int, str, str]]) -> Iterator[Difference]:
    for turn, was, now in messages:
        if was != now:
            yield Difference(
                episode=name, what="message", kind=DIFFERENT, turn=turn, recorded=was, live=now
            )


def _end_differences(
    name: str, recorded: RecordedEpisode, live: EpisodeRecord
) -> Iterator[Difference]:
    pairs: Mapping[str, tuple[Any, Any]] = {
        "success": (recorded.outcome.success, live.outcome.success),
        "terminate reason": (recorded.outcome.terminate_reason, live.outcome.terminate_reason),
        "action counts": (_counts(recorded.counts), _counts(live.counts)),
    }
    for what, (was, now) in pairs.items():
        if was != now:
            yield Difference(
                episode=name,
                what=what,
                kind=live.outcome.cause or DIFFERENT,
                recorded=was,
                live=now,
                action=live.outcome.error,
            )


def _counts(counts: Counts) -> tuple[int, int, int]:
    return counts.propose_solution, counts.use_tool, counts.invalid_action


class Score(msgspec.Struct):
    """Counts over replayed episodes of one group."""

    episodes: int = 0
    same_end: int = 0
    observations: dict[str, int] = {}
    network: dict[str, int] = {}
    messages: int = 0
    same_messages: int = 0
    feedback: int = 0
    leaks: int = 0

    def add(self, replayed: Replayed) -> None:
        """Take one more episode in."""
        self.episodes += 1
        self.same_end += replayed.same_end
        self.observations = dict(Counter(self.observations) + Counter(replayed.observations))
        self.network = dict(Counter(self.network) + Counter(replayed.network))
        self.messages += len(replayed.messages)
        self.same_messages += sum(replayed.messages)
        self.feedback += len(replayed.leaks)
        self.leaks += sum(replayed.leaks)
