"""Takes the prompts of a run from recorded episodes: ``prompt=recorded prompt.source=RECORDINGS``.

A prompt belongs to a data set, to a turn setting, and to runs with or without feedback, since its
instruction speaks of all three.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from codeact.episode.prompts.recorded import KIND, Preambles, RecordedStrategy, preamble_of
from codeact.episode.task import Task
from codeact.exceptions import ConfigError, RecordingError
from codeact.recordings.episodes import RecordedEpisode, Selection, read_recordings
from codeact.resources import resolve_path


class Wanted(NamedTuple):
    """What prompts are looked for.

    `sets` has the family of each data set by its name: recordings of the family serve where there
    are none of the name.
    """

    sets: Mapping[str, str]
    turn_setting: str
    feedback: bool


def read_strategy(source: str, wanted: Wanted, tasks: Iterable[Task]) -> RecordedStrategy:
    """Read the recordings, and return the strategy that has the prompts of all `tasks`.

    Raises `RecordingError` where the source cannot be read, and `ConfigError` where it has no
    prompt for a task, or several.
    """
    path = resolve_path(source)
    names = frozenset({*wanted.sets, *wanted.sets.values()})
    recorded: dict[str, _SetPrompts] = {}
    try:
        selection = Selection(turn_setting=wanted.turn_setting, task_names=names)
        for episode in read_recordings(path, selection):
            if bool(episode.feedback_model) == wanted.feedback and episode.first_message:
                recorded.setdefault(episode.task_name, _SetPrompts()).add(episode)
    except RecordingError as error:
        raise RecordingError(f"prompt.source: {error}") from error
    chosen = {
        name: recorded[own]
        for name, family in wanted.sets.items()
        if (own := name if name in recorded else family) in recorded
    }
    made = RecordedStrategy({name: prompts.preambles for name, prompts in chosen.items()})
    lacking = made.unprompted(tasks)
    if absent := sorted({task.name for task in lacking if task.name not in chosen}):
        raise _absent(path, wanted, absent)
    for task in lacking:
        raise _undecided(path, task, chosen[task.name])
    return made


def digests(strategy: RecordedStrategy) -> dict[str, str]:
    """Return the SHA-256 of each data set's prompts, for a run's identity."""
    return {
        name: hashlib.sha256("\0".join(sorted(preambles.texts)).encode()).hexdigest()
        for name, preambles in strategy.preambles.items()
    }


class _SetPrompts:
    """The recorded prompts of one data set; `places` says where each was seen first."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}
        self._own: dict[str, str] = {}
        self._by_task: dict[str, set[str]] = {}
        self._by_kind: dict[str, set[str]] = {}

    def add(self, episode: RecordedEpisode) -> None:
        """Take in one episode; raises `RecordingError`."""
        try:
            text = preamble_of(episode.first_message, episode.prompt)
        except ValueError as error:
            raise RecordingError(f"{episode.place}: {error}") from error
        text = self._own.setdefault(text, text)  # one object, however many episodes have it
        self.places.setdefault(text, episode.place)
        self._by_task.setdefault(episode.task_id, set()).add(text)
        self._by_kind.setdefault(str(episode.metadata.get(KIND, "")), set()).add(text)

    @property
    def preambles(self) -> Preambles:
        return Preambles(tuple(self.places), _single(self._by_task), _single(self._by_kind))


def _single(found: Mapping[str, set[str]]) -> dict[str, str]:
    """Keep what has one prompt only."""
    return {key: next(iter(texts)) for key, texts in found.items() if len(texts) == 1}


def _absent(path: Path, wanted: Wanted, names: list[str]) -> ConfigError:
    held: dict[str, set[str]] = {}
    for one in read_recordings(path, Selection(task_names=frozenset(names))):
        setting = f"{one.turn_setting} {_with(bool(one.feedback_model))}"
        held.setdefault(setting, set()).add(one.task_name)
    there = [
        setting if len(found) == len(names) else f"{setting} ({', '.join(sorted(found))})"
        for setting, found in sorted(held.items())
    ]
    return ConfigError(
        f"prompt.source={path}: has no prompt of {', '.join(names)} for "
        f"{wanted.turn_setting} {_with(wanted.feedback)}, "
        f"{'but for ' + ', '.join(there) if there else 'nor for any other setting'}; choose turns= "
        "and feedback= accordingly, other recordings, or prompt=code"
    )


def _undecided(path: Path, task: Task, prompts: _SetPrompts) -> ConfigError:
    places = " and ".join(list(prompts.places.values())[:2])
    return ConfigError(
        f"prompt.source={path}: has {len(prompts.places)} different prompts of {task.name}, such "
        f"as those of {places}, and none that is surely for {task.key}; name a narrower source, "
        "or other tasks"
    )


def _with(feedback: bool) -> str:
    return "with feedback" if feedback else "without feedback"
