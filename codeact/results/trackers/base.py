"""The edge to trackers: what one is, and what it is told.

A tracker is called in a thread of its own, in order, and may take its time: episodes do not wait
for it. It learns numbers, and text without keys; the run folder has all else.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from codeact.experiment.config.schema import RunConfig
from codeact.experiment.config.trackers import TrackerSettings
from codeact.experiment.events import Job
from codeact.recordings.run_folder import RunFolder
from codeact.results.trackers.metrics import CurvePoint, MetricsRow, Scrubber

Notice = Callable[[str], None]
LONGEST_NAME = 128
"""Characters of a name."""


class SettingsLabels(NamedTuple):
    """By what runs are compared: equal digests are the same experiment."""

    digest: str
    model: str
    turns: str
    max_steps: int
    feedback: str
    grading: str
    prompt: str

    @classmethod
    def of(cls, config: RunConfig, digest: str) -> "SettingsLabels":
        """Return the labels of a run whose records have this settings digest."""
        return cls(
            digest,
            config.model.name,
            config.turns.name,
            config.turns.max_steps,
            config.feedback.label,
            config.grading.mode,
            config.prompt.strategy,
        )

    @property
    def name(self) -> str:
        """The settings in a few words; two of the same words differ in the digest."""
        return f"{self.model} {self.turns} {self.feedback} {self.digest[:8]}"


class TrackedRun(NamedTuple):
    """One run, as a tracker gets to know it when it begins; keys are removed from all text.

    `owed` counts the episodes that the folder lacks. `group` is the sweep that it belongs to, or
    the name of its settings.
    """

    name: str
    folder: RunFolder
    owed: int
    group: str
    in_sweep: bool
    labels: SettingsLabels
    config: dict[str, Any]
    settings: TrackerSettings
    scrubber: Scrubber

    @classmethod
    def of(cls, job: Job, settings: TrackerSettings, scrubber: Scrubber) -> "TrackedRun":
        """Describe a run. In a sweep it is named by its overrides, else by its folder."""
        labels = SettingsLabels.of(job.config, job.folder.digest)
        path = job.folder.path.absolute()
        name = path.name if job.sweep is None else job.name
        group = labels.name if job.sweep is None else Path(job.sweep).absolute().name
        return cls(
            scrubber.text(name)[:LONGEST_NAME],
            job.folder,
            len(job.owed),
            scrubber.text(group)[:LONGEST_NAME],
            job.sweep is not None,
            labels,
            scrubber.data(job.config.model_dump(mode="json")),
            settings,
            scrubber,
        )


class FinalUpdate(NamedTuple):
    """What is told at the end of a run: its last row, and ``summary.json`` with flat keys.

    `curve` is success against turns; `trajectories` are rows of `metrics.COLUMNS`. A run is
    `complete` when nothing is owed any more.
    """

    sent: MetricsRow
    summary: dict[str, Any]
    curve: Sequence[CurvePoint]
    trajectories: list[list[Any]]
    complete: bool


class Tracker(Protocol):
    """One tracking service, for the runs of one command. It is made with a `Notice`.

    What it raises is told to the user once, and then it is told nothing more. `obstacle` and
    `begin` are called by the event loop and must be quick; the rest in the tracker's own thread.
    """

    label: str
    """What the user calls it."""
    patience: float
    """Seconds to wait at the end for what it has not yet taken."""

    def obstacle(self, settings: TrackerSettings) -> str | None:
        """Return why it cannot be used here, None where it can."""
        ...

    def begin(self, run: TrackedRun) -> bool:
        """Hear that a run begins or is resumed; False if there is nothing to tell of it."""
        ...

    def open(self, run: TrackedRun) -> None:
        """Open a run, before the first row; of a sweep, only those that get to have one."""
        ...

    def log(self, run: TrackedRun, sent: MetricsRow) -> None:
        """Take a row of numbers, every two seconds at most."""
        ...

    def finish(self, run: TrackedRun, final: FinalUpdate) -> None:
        """Take the last of a run, and end it."""
        ...

    def close(self) -> None:
        """End; nothing more will be told."""
        ...

    def unsent(self, folders: Sequence[Path]) -> str:
        """Return what the user is told when its patience is over; `folders` are those of runs."""
        ...
