"""What happens in a run, told to whoever listens: progress displays and trackers."""

import logging
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from codeact.episode.record import EpisodeRecord
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.driver import Assignment
from codeact.experiment.summary import Summary
from codeact.recordings.run_folder import RunFolder

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """One run, ready to be played: `owed` are the episodes that its folder lacks.

    `name` is unique among the jobs of a command; `sweep` is what they share, None for a single run.
    """

    name: str
    config: RunConfig
    folder: RunFolder
    owed: list[Assignment]
    sweep: str | None = None


class Load(NamedTuple):
    """How busy all jobs together are: episodes being played, waiting, and finished so far."""

    in_flight: int
    queued: int
    finished: int


class Listener(Protocol):
    """Hears what happens, in the order in which it happens; must be quick."""

    def run_started(self, job: Job) -> None:
        """A run is about to be played, or gone on with: its folder holds what was there before."""
        ...

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None:
        """One record was written."""
        ...

    def load(self, load: Load) -> None:
        """How busy the command is, every few seconds."""
        ...

    def run_finished(self, job: Job, summary: Summary) -> None:
        """A run has ended, though not always with all its episodes."""
        ...

    def notice(self, text: str) -> None:
        """Something the user should read."""
        ...

    def close(self) -> None:
        """Nothing more will happen."""
        ...


class NullListener:
    """Hears everything and does nothing; a base for listeners that care about some of it."""

    def run_started(self, job: Job) -> None: ...

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None: ...

    def load(self, load: Load) -> None: ...

    def run_finished(self, job: Job, summary: Summary) -> None: ...

    def notice(self, text: str) -> None: ...

    def close(self) -> None: ...


class Listeners:
    """Several listeners as one. One that fails is heard of once and told nothing more."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = list(listeners)

    def run_started(self, job: Job) -> None:
        self._tell("run_started", job)

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None:
        self._tell("episode_finished", job, record)

    def load(self, load: Load) -> None:
        self._tell("load", load)

    def run_finished(self, job: Job, summary: Summary) -> None:
        self._tell("run_finished", job, summary)

    def notice(self, text: str) -> None:
        self._tell("notice", text)

    def close(self) -> None:
        self._tell("close")

    def _tell(self, event: str, *args: object) -> None:
        failed: list[str] = []
        for listener in list(self._listeners):
            try:
                getattr(listener, event)(*args)
            except Exception as error:
                # The episodes matter more than who watches them.
                self._listeners = [one for one in self._listeners if one is not listener]
                name = type(listener).__name__
                log.exception("%s failed at %s", name, event)
                failed.append(f"{name} failed and is left out from here on: {error}")
        # Only now: a notice may fail, too, and each failure leaves one listener less.
        for text in failed:
            self.notice(text)
