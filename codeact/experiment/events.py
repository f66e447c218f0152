"""Events of a run, and the listeners that hear them: progress displays and trackers."""

import logging
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from codeact.episode.record import EpisodeRecord
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.driver import Assignment
from codeact.experiment.services import ServiceStats
from codeact.experiment.summary import Summary
from codeact.recordings.run_folder import RunFolder, Spent

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """One run, ready to be played: `owed` are the episodes that its folder lacks.

    `name` is unique among the jobs of a command; `sweep` is the name that they share, None for a
    single run.
    """

    name: str
    config: RunConfig
    folder: RunFolder
    owed: list[Assignment]
    sweep: str | None = None


class Load(NamedTuple):
    """The load of all jobs together: episodes in flight, queued, and finished so far.

    `spent` is what all sessions of these runs have spent, and `services` how all that they depend
    on does.
    """

    in_flight: int
    queued: int
    finished: int
    spent: Spent = Spent(0, 0.0)
    services: ServiceStats = ServiceStats()


class Listener(Protocol):
    """Hears events in the order in which they happen; its methods must return quickly."""

    def run_started(self, job: Job) -> None:
        """A run begins or is resumed; its folder holds what earlier sessions played."""
        ...

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None:
        """One record was written."""
        ...

    def load(self, load: Load) -> None:
        """The load, every second."""
        ...

    def run_finished(self, job: Job, summary: Summary) -> None:
        """A run has ended, perhaps without all of its episodes."""
        ...

    def notice(self, text: str) -> None:
        """Something the user should read."""
        ...

    def close(self) -> None:
        """No more events will follow."""
        ...


class NullListener:
    """Ignores every event; a base class for listeners that need some of them."""

    def run_started(self, job: Job) -> None: ...

    def episode_finished(self, job: Job, record: EpisodeRecord) -> None: ...

    def load(self, load: Load) -> None: ...

    def run_finished(self, job: Job, summary: Summary) -> None: ...

    def notice(self, text: str) -> None: ...

    def close(self) -> None: ...


class Listeners:
    """Several listeners as one. A listener that raises is reported once and then left out."""

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
                # Episodes matter more than their listeners.
                self._listeners = [one for one in self._listeners if one is not listener]
                name = type(listener).__name__
                log.exception("%s failed at %s", name, event)
                failed.append(f"{name} failed and is left out from here on: {error}")
        # After the loop: a notice may fail too, and each failure removes a listener.
        for text in failed:
            self.notice(text)
