"""Which trackers listen to a command's runs."""

from collections.abc import Callable, Sequence

from codeact.experiment.events import Job, Listener


def trackers(jobs: Sequence[Job], notice: Callable[[str], None]) -> list[Listener]:
    """The trackers that the runs' configurations ask for; `notice` takes a line for the user."""
    return []
