"""The attempts of one request: what has happened so far, and why one of them failed."""

import time

from codeact.exceptions import ProviderFailure
from codeact.models.remote.errors import ServerError
from codeact.models.remote.transport import RequestFailed
from codeact.models.replicas import Endpoint


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
