"""Which trackers listen to a command's runs."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from codeact.experiment.config.schema import RunConfig, WandbTracker
from codeact.experiment.events import Job, Listener


@contextmanager
def expected_trackers(configs: Iterable[RunConfig]) -> Iterator[None]:
    """Have what `trackers` will need imported and started while sandboxes start."""
    if not any(map(_tracked, configs)):
        yield
        return
    from codeact.results.trackers.wandb_library import EarlyStart

    early = EarlyStart()
    try:
        yield
    finally:
        early.close()


def trackers(jobs: Sequence[Job], notice: Callable[[str], None]) -> list[Listener]:
    """Return the trackers that the runs ask for; `notice` takes a line for the user.

    ``WANDB_MODE=disabled`` in the environment switches W&B off in any case.
    """
    tracked = {job.name: settings for job in jobs if (settings := _tracked(job.config))}
    if not tracked:
        return []
    from codeact.results.trackers.wandb import WandbListener

    return [WandbListener(tracked, notice)]


def _tracked(config: RunConfig) -> WandbTracker | None:
    switched_off = os.environ.get("WANDB_MODE") == "disabled"
    settings = config.tracker
    return settings if isinstance(settings, WandbTracker) and not switched_off else None
