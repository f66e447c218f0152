"""How a failed episode is handled, by its cause: the one table for it."""

from typing import NamedTuple

from codeact.episode.record import EpisodeRecord
from codeact.exceptions import Cause


class CauseHandling(NamedTuple):
    """How episodes with one cause are handled.

    `counted` episodes are in the success rate and final; all others are owed again. `retries` is
    how often a run plays the episode again before it writes the failure.
    """

    counted: bool
    retries: int


HANDLING: dict[Cause | None, CauseHandling] = {
    # No failure: solved, or not solved within the protocol's limits.
    None: CauseHandling(counted=True, retries=0),
    # The policy is the cause, with a full context for example: it would happen again.
    "model": CauseHandling(counted=True, retries=0),
    # The client has retried several times already: only an outage gets here.
    "provider": CauseHandling(counted=False, retries=1),
    # As with the provider: the feedback model's client has retried too. A person who left is final.
    "user": CauseHandling(counted=False, retries=1),
    # A container that was killed is replaced at once.
    "sandbox": CauseHandling(counted=False, retries=2),
    # As with the provider: the tool has retried several times already.
    "tool": CauseHandling(counted=False, retries=1),
    "grader": CauseHandling(counted=False, retries=1),
    # A fault of ours would happen again. A lost worker is none: the pool plays its episodes again.
    "harness": CauseHandling(counted=False, retries=0),
}


def is_counted(record: EpisodeRecord) -> bool:
    """Whether the outcome is final: no failure of what the policy ran on."""
    return HANDLING[record.outcome.cause].counted


def is_own_success(record: EpisodeRecord) -> bool | None:
    """Whether the policy succeeded; None where the outcome is not its own.

    A person who edited a message had a part in it, so that the success rate leaves it out.
    """
    return record.outcome.success if is_counted(record) and not record.edited else None


def should_retry(record: EpisodeRecord) -> bool:
    """Whether the run plays this episode again before it writes the record."""
    cause = record.outcome.cause
    if record.outcome.final:
        return False
    tried = sum(attempt.cause == cause for attempt in record.attempts)
    return tried < HANDLING[cause].retries
