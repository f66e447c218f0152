"""The attempts of one request: what has happened so far, and why one of them failed."""

import time

from codeact.exceptions import ProviderFailure
from codeact.models.remote.errors import ServerError
from codeact.models.remote.transport import RequestFailed
from codeact.models.replicas import Endpoint

_UNLUCKY = 0.25
"""How much of a retry it takes to be refused (429) by a server that answers others meanwhile.

To be refused with the crowd of a wave, whose first refusal has lowered the limit, takes nothing.
"""


class ContextOverflow(Exception):
    """The server refused since the conversation and its answer do not fit the context."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(error.message)
        self.error = error


class RequestHistory:
    """What has happened to a request so far; `spent` counts the retries it has used up."""

    def __init__(self) -> None:
        self.started = self.last = time.monotonic()
        self.failures: list[str] = []
        self.spent = 0.0
        self.pages = 0

    def add(self, reason: str, weight: float = 1.0) -> None:
        self.failures.append(reason)
        self.spent += weight
        self.last = time.monotonic()

    def weight_of_refusal(self, endpoint: Endpoint, *, first: bool) -> float:
        """Return how much of a retry a refusal takes; `first` says that it is its wave's first."""
        if not first:
            return 0.0
        return _UNLUCKY if endpoint.answered_at > self.last else 1.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def failure(self, url: str, because: str = "") -> ProviderFailure:
        """Return the failure of a request whose retries are used up."""
        times = "1 attempt" if len(self.failures) == 1 else f"{len(self.failures)} attempts"
        return ProviderFailure(
            f"{url} gave no usable answer in {times} over {self.seconds:.1f} s; "
            f"the last: {self.failures[-1]}{because}"
        )


class AttemptFailed(Exception):
    """An attempt failed. `elsewhere`: another server can be asked at once."""

    def __init__(self, failed: RequestFailed, endpoint: Endpoint, *, elsewhere: bool) -> None:
        super().__init__(failed.reason)
        self.wait = failed.wait
        self.url = endpoint.url
        self.elsewhere = elsewhere
