"""Which trackers listen to a command's runs."""

import os
from collections.abc import Callable, Sequence

from codeact.experiment.config import WandbTracker
from codeact.experiment.events import Job, Listener


def trackers(jobs: Sequence[Job], notice: Callable[[str], None]) -> list[Listener]:
    """The trackers that the runs' configurations ask for; `notice` takes a line for the user.

    ``WANDB_MODE=disabled`` in the environment switches W&B off whatever the configuration says.
    """
    tracked = {
        job.name: job.config.tracker for job in jobs if isinstance(job.config.tracker, WandbTracker)
    }
    if not tracked or os.environ.get("WANDB_MODE") == "disabled":
        return []
    from codeact.results.trackers.wandb import WandbListener

    return [WandbListener(tracked, notice)]
