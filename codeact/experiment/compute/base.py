"""What plays episodes for the runner, wherever that is."""

from collections.abc import Mapping
from typing import Any, Protocol

from codeact.episode.record import EpisodeRecord
from codeact.exceptions import Cause
from codeact.experiment.driver import Assignment


class ComputeBackend(Protocol):
    """Plays episodes of one or many runs; safe to call concurrently from one event loop."""

    facts: Mapping[str, dict[str, Any]]
    """What the provenance of each run, by its name, says of where it is played, as JSON data."""

    async def play_episode(self, run: str, assignment: Assignment) -> EpisodeRecord:
        """Play an episode of the run of that name to its end.

        Raises `BudgetExhausted`, and `ComputeUnavailable` when nothing is left to play it.
        """
        ...

    async def probe(self, run: str, cause: Cause) -> None:
        """Try what episodes of the run need that failed with `cause`.

        Raises a `CodeactError` that says what does not work.
        """
        ...
