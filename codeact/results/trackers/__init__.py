"""Which trackers listen to a command's runs."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from codeact.exceptions import ConfigError
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.config.trackers import TrackerSettings, WandbSettings, trackers_of
from codeact.experiment.events import Job, Listener
from codeact.plugins import resolve
from codeact.wording import first_line

if TYPE_CHECKING:
    from codeact.results.trackers.base import Notice, Tracker


@contextmanager
def expected_trackers(configs: Iterable[RunConfig]) -> Iterator[None]:
    """Have what `trackers` will need imported and started while sandboxes start.

    Raises `ConfigError` for a tracker that is required and cannot be used.
    """
    wanted = [one for config in configs for one in _tracked(config).items()]
    for name, settings in wanted:
        if settings.required:
            _usable(name, settings, lambda _: None)
    if not any(isinstance(settings, WandbSettings) for _, settings in wanted):
        yield
        return
    from codeact.results.trackers.wandb_library import EarlyStart

    early = EarlyStart()
    try:
        yield
    finally:
        early.close()


def trackers(jobs: Sequence[Job], notice: "Notice") -> list[Listener]:
    """Return what tells the trackers that the runs ask for; `notice` takes a line for the user.

    One that cannot be used is left out with a notice. ``WANDB_MODE=disabled`` in the environment
    switches W&B off in any case.
    """
    tracked = {job.name: found for job in jobs if (found := _tracked(job.config))}
    settings = {name: one for found in tracked.values() for name, one in found.items()}
    made = {name: _made(name, one, notice) for name, one in settings.items()}
    usable = {name: tracker for name, tracker in made.items() if tracker is not None}
    if not usable:
        return []
    from codeact.results.trackers.listener import TrackingListener

    return [TrackingListener(usable, tracked, notice)]


def _tracked(config: RunConfig) -> Mapping[str, TrackerSettings]:
    switched_off = os.environ.get("WANDB_MODE") == "disabled"
    return {
        name: settings
        for name, settings in trackers_of(config.tracker).items()
        if not (switched_off and isinstance(settings, WandbSettings))
    }


def _made(name: str, settings: TrackerSettings, notice: "Notice") -> "Tracker | None":
    try:
        return _usable(name, settings, notice)
    except ConfigError as error:
        if settings.required:
            raise
        notice(f"{error}. The run goes on without it; the run folder has all of its results.")
        return None


def _usable(name: str, settings: TrackerSettings, notice: "Notice") -> "Tracker":
    """Make a tracker; raises `ConfigError` where it cannot be used here."""
    try:
        tracker: Tracker = resolve(settings.tracker_class)(notice)
        why = tracker.obstacle(settings)
    except Exception as error:  # of a plug-in, or of a library that is broken
        why = first_line(error)
    if why is not None:
        raise ConfigError(f"tracker {name} cannot be used: {why}")
    return tracker
