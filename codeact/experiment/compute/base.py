"""What a compute backend is: it plays the runner's episodes, here or elsewhere."""

from collections.abc import Mapping
from typing import Any, Protocol

from codeact.episode.record import EpisodeRecord
from codeact.exceptions import Cause
from codeact.experiment.driver import Assignment
from codeact.experiment.services import ServiceStats


class ComputeBackend(Protocol):
    """Plays episodes of one or more runs; safe to call concurrently from one event loop."""

    facts: Mapping[str, dict[str, Any]]
    """For each run, by name: what its provenance says about this backend, as JSON data."""

    async def play_episode(self, run: str, assignment: Assignment) -> EpisodeRecord:
        """Play one episode of the named run to its end.

        Raises `BudgetExhausted`, or `ComputeUnavailable` when nothing is left to play it on.
        """
        ...

    def announce(self, run: str, assignment: Assignment) -> None:
        """Hear of an episode that begins soon, to get ready what takes time."""
        ...

    async def probe(self, run: str, cause: Cause) -> None:
        """Test what episodes with this cause of failure depend on.

        Raises a `CodeactError` that says what does not work.
        """
        ...

    def stats(self) -> ServiceStats:
        """Return how servers, sandboxes and workers do, as far as is known now."""
        ...

    async def settle(self) -> None:
        """Learn what requests took of which the accounts do not know yet, once no more is played.

        Takes a few seconds at most.
        """
        ...
