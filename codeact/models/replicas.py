"""Several servers of one model: which one a request goes to, and which are left out."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from codeact.models.base import Request
from codeact.models.pace import AdaptiveLimit, AdmissionQueue, Clock

log = logging.getLogger(__name__)

_TOLERATED = 2
"""How many failures in a row may be chance. A refused connection never is."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds for which a failing server is left out: doubled each time that it fails again."""
_FIRST_ABSENCE, _LONGEST_ABSENCE = 30.0, 600.0
"""The same for a server that rejects us, which takes a person to fix."""


State = Literal["closed", "open", "half-open"]


class CircuitBreaker:
    """A circuit breaker for one server; times are seconds of the caller's clock.

    ``closed``: it works. ``open``: it failed, and gets no request until `open_until`.
    ``half-open``: that time has come, and a single request tries it. The result of that one closes
    the circuit, or opens it for longer.
    """

    def __init__(self) -> None:
        self._in_a_row = self._pauses = 0
        self._trial = False
        self.open_until: float | None = None

    def state(self, now: float) -> State:
        """Return the state at a time."""
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half-open"

    def admits(self, now: float) -> bool:
        """Whether a request should go there."""
        state = self.state(now)
        return state == "closed" or (state == "half-open" and not self._trial)

    def begin(self, now: float) -> None:
        """A request is about to go there."""
        self._trial = self.state(now) == "half-open"

    def succeeded(self) -> None:
        """The server works: close the circuit."""
        self._in_a_row = self._pauses = 0
        self._trial = False
        self.open_until = None

    def abandoned(self) -> None:
        """A request was cancelled, which says nothing about the server."""
        self._trial = False

    def failed(self, now: float, *, for_certain: bool) -> bool:
        """Count a failure; True if the circuit opens now."""
        if self.open_until is not None:
            # Requests from before it opened say nothing new.
            return self.state(now) == "half-open" and self.trip(now)
        self._in_a_row += 1
        return (for_certain or self._in_a_row > _TOLERATED) and self.trip(now)

    def trip(self, now: float, pause: float | None = None, *, first: float | None = None) -> bool:
        """Open for `pause` seconds; None takes the next of growing pauses, from `first` on."""
        if pause is None:
            shortest = _FIRST_PAUSE if first is None else first
            longest = _LONGEST_PAUSE if first is None else _LONGEST_ABSENCE
            pause = min(longest, shortest * 2.0**self._pauses)
            self._pauses = min(self._pauses + 1, 10)
        self.open_until = now + pause
        self._trial = False
        self._in_a_row = 0
        return True


class EndpointStats(msgspec.Struct, frozen=True):
    """Statistics of one server so far; `errors` counts all but refusals for lack of room (429).

    `limit` of at most `most` requests may be under way now; `pacing` wait for a limit per minute,
    `waiting` for anything else. Nothing is sent for `closed_seconds`, as the server has asked.
    """

    base_url: str
    requests: int
    answers: int
    refused: int
    errors: int
    requests_per_second: float
    limit: int
    is_left_out: bool
    most: int = 0
    under_way: int = 0
    waiting: int = 0
    pacing: int = 0
    closed_seconds: float = 0.0

    def __add__(self, other: "EndpointStats") -> "EndpointStats":
        """Add up what two processes say of one server; it is left out if it is for both."""
        summed = {
            name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__[1:]
        }
        summed["is_left_out"] = self.is_left_out and other.is_left_out
        summed["closed_seconds"] = max(self.closed_seconds, other.closed_seconds)
        return EndpointStats(self.base_url, **summed)


@runtime_checkable
class HasServers(Protocol):
    """A client that can tell how its servers do."""

    def stats(self) -> list[EndpointStats]:
        """Return the statistics of each server so far."""
        ...


class Endpoint:
    """One server: its address, limit, circuit breaker and counts of requests.

    `rejection` is why it can answer nothing (a wrong address, key or model), or None.
    """

    def __init__(self, base_url: str, route: str, concurrency: int, clock: Clock) -> None:
        self.base_url = base_url
        self.url = f"{base_url}/{route}"
        self.limit = AdaptiveLimit(concurrency)
        self.queue = AdmissionQueue(self.limit, clock)
        self.breaker = CircuitBreaker()
        self.rejection: str | None = None
        self.requests = self.answers = self.refused = self.errors = 0
        self.pacing = 0
        self.answered_at = 0.0
        self._clock = clock
        self._first_asked = 0.0

    def count(self) -> None:
        """Count a request that goes out now."""
        if not self.requests:
            self._first_asked = self._clock()
        self.requests += 1

    @contextmanager
    def paced(self) -> Iterator[None]:
        """Count a request as waiting for a limit per minute."""
        self.pacing += 1
        try:
            yield
        finally:
            self.pacing -= 1

    def answered(self, wave: int) -> None:
        """Count an answer."""
        self.answers += 1
        self.answered_at = self._clock()
        self.limit.answered(wave)
        if self.rejection is not None:
            self.rejection = None
            log.warning("%s answers again and gets its episodes back", self.base_url)

    def was_refused(self, wave: int) -> bool:
        """Count a refusal for lack of room; True if it is the first of its wave."""
        self.refused += 1
        return self.limit.refused(wave)

    def stats(self) -> EndpointStats:
        """Return the statistics since the first request."""
        now = self._clock()
        seconds = now - self._first_asked
        under_way = self.limit.under_way - self.pacing
        return EndpointStats(
            self.base_url,
            self.requests,
            self.answers,
            self.refused,
            self.errors,
            self.requests / seconds if self.requests and seconds > 0 else 0.0,
            int(self.limit.level),
            self.breaker.open_until is not None,
            self.limit.upper,
            under_way,
            self.queue.load - self.limit.under_way,
            self.pacing,
            max(0.0, self.limit.closed_until - now),
        )


class Admission(NamedTuple):
    """The admission of a request to a server; `wave` is the group that it was sent with."""

    endpoint: Endpoint
    wave: int


class Endpoints:
    """All servers of one model.

    With affinity, every request of an episode goes to the same server, which has the conversation
    in its prefix cache. That is the first in the episode's own order of the servers (rendezvous
    hashing, Thaler and Ravishankar 1998): processes agree without talking, and when a server goes,
    only its own episodes move. Without affinity, a request goes to the server with the least to do.
    """

    def __init__(
        self,
        base_urls: list[str],
        route: str,
        concurrency: int,
        *,
        affinity: bool,
        clock: Clock = time.monotonic,
    ) -> None:
        self.members = tuple(Endpoint(url, route, concurrency, clock) for url in base_urls)
        self._affinity = affinity
        self._clock = clock

    async def enter(self, request: Request) -> Admission:
        """Wait for admission to the request's own server."""
        while True:
            endpoint = self.choose(request)
            endpoint.breaker.begin(self._clock())
            try:
                wave = await endpoint.queue.enter()
            except asyncio.CancelledError:
                endpoint.breaker.abandoned()
                raise
            if wave is not None:
                return Admission(endpoint, wave)

    def choose(self, request: Request) -> Endpoint:
        """Return the best server that is not left out; if all are, the one that returns first."""
        if len(self.members) == 1:
            return self.members[0]
        now = self._clock()
        ranked = self.ranked(request) if self._affinity else self._idlest_first()
        for endpoint in ranked:
            if endpoint.breaker.admits(now):
                return endpoint
        # A server that is down may come back by itself; a wrong one does not.
        return min(
            ranked, key=lambda one: (one.rejection is not None, one.breaker.open_until or now)
        )

    def ranked(self, request: Request) -> list[Endpoint]:
        """Return the servers in the order of the request's episode, the same in every process."""
        episode = request.episode
        words = (episode.task_name, episode.task_id, str(episode.sample), request.role)
        key = "\0".join(words).encode(errors="surrogatepass")

        def weight(endpoint: Endpoint) -> bytes:
            return blake2b(key + b"\0" + endpoint.base_url.encode(), digest_size=8).digest()

        return sorted(self.members, key=weight)

    def _idlest_first(self) -> list[Endpoint]:
        return sorted(self.members, key=lambda one: (one.queue.load, one.requests))

    def failed(
        self, endpoint: Endpoint, *, for_certain: bool = False, pause: float | None = None
    ) -> bool:
        """Count a failure; returns whether another server can be asked at once.

        `for_certain` is a failure that cannot be chance; `pause` is the time in seconds for which
        the server itself says that it is unavailable.
        """
        now = self._clock()
        if pause is not None:
            opened = endpoint.breaker.trip(now, pause)
        else:
            opened = endpoint.breaker.failed(now, for_certain=for_certain)
        return self._elsewhere(endpoint, now, opened=opened)

    def exclude(self, endpoint: Endpoint, why: str) -> bool:
        """Leave out a server that rejects us; returns whether another can be asked at once.

        The user is told the first time, if there are others.
        """
        now = self._clock()
        news = endpoint.rejection is None
        endpoint.rejection = why
        # Only the first of the requests that were sent together counts.
        if endpoint.breaker.state(now) != "open":
            endpoint.breaker.trip(now, first=_FIRST_ABSENCE)
        if news and len(self.members) > 1:
            log.warning("%s. It is left out; the other servers take its episodes", why)
        return self._elsewhere(endpoint, now, opened=True)

    def _elsewhere(self, endpoint: Endpoint, now: float, *, opened: bool) -> bool:
        if len(self.members) == 1 or not any(one.breaker.admits(now) for one in self.members):
            return False
        if opened:
            endpoint.queue.send_away()
        return not endpoint.breaker.admits(now)

    @property
    def hopeless(self) -> str | None:
        """Why no server can answer anything, if all reject us."""
        reasons = [one.rejection for one in self.members if one.rejection is not None]
        return "; ".join(reasons) if len(reasons) == len(self.members) else None
