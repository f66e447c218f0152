"""Several servers of one model: which of them a request goes to, and which are left for a while."""

import asyncio
import time
from hashlib import blake2b
from typing import NamedTuple

from codeact.edge.models.base import Request
from codeact.edge.models.limits import AdaptiveLimit, Clock, Gate

_TOLERATED = 2
"""How many failures in a row may be chance; a connection that is refused is none."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds for which a server that fails is left: doubled each time that it fails again."""


class Health:
    """Whether a server is worth asking; times are seconds of the caller's clock.

    One that fails is left for a pause. After that a single request tries it: what becomes of that
    one ends the time away, or begins a longer pause.
    """

    def __init__(self) -> None:
        self._in_a_row = self._pauses = 0
        self._trying = False
        self.left_until: float | None = None

    def is_open(self, now: float) -> bool:
        """Whether a request should go there."""
        return self.left_until is None or (now >= self.left_until and not self._trying)

    def asked(self, now: float) -> None:
        """A request is about to go there."""
        self._trying = self.left_until is not None and now >= self.left_until

    def answered(self) -> None:
        """It works, whatever it was before."""
        self._in_a_row = self._pauses = 0
        self._trying = False
        self.left_until = None

    def given_up(self) -> None:
        """A request was called off: nothing is known from it."""
        self._trying = False

    def failed(self, now: float, *, for_certain: bool) -> bool:
        """Count a failure; True if the server is left from now on."""
        if self.left_until is not None:
            # What was sent before it was left says nothing new.
            return now >= self.left_until and self.leave(now)
        self._in_a_row += 1
        return (for_certain or self._in_a_row > _TOLERATED) and self.leave(now)

    def leave(self, now: float, pause: float | None = None) -> bool:
        """Leave it for so many seconds; None is the next of the growing pauses."""
        if pause is None:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**self._pauses)
            self._pauses = min(self._pauses + 1, 10)
        self.left_until = now + pause
        self._trying = False
        self._in_a_row = 0
        return True


class Standing(NamedTuple):
    """How one server has done so far; `errors` counts all but refusals for lack of room (429)."""

    base_url: str
    requests: int
    answers: int
    refused: int
    errors: int
    requests_per_second: float
    limit: int
    is_left: bool


class Endpoint:
    """One server: its address, its own limit, its health and what has become of its requests."""

    def __init__(self, base_url: str, route: str, concurrency: int, clock: Clock) -> None:
        self.base_url = base_url
        self.url = f"{base_url}/{route}"
        self.limit = AdaptiveLimit(concurrency)
        self.gate = Gate(self.limit, clock)
        self.health = Health()
        self.requests = self.answers = self.refused = self.errors = 0
        self.answered_at = 0.0
        self._clock = clock
        self._first_asked = 0.0

    def count(self) -> None:
        """Count a request that goes out now."""
        if not self.requests:
            self._first_asked = self._clock()
        self.requests += 1

    def answered(self, wave: int) -> None:
        """Count an answer."""
        self.answers += 1
        self.answered_at = self._clock()
        self.limit.answered(wave)

    def was_refused(self, wave: int) -> bool:
        """Count a refusal for lack of room; True if it is the first of its wave."""
        self.refused += 1
        return self.limit.refused(wave)

    def standing(self) -> Standing:
        """How it has done since the first request."""
        seconds = self._clock() - self._first_asked
        return Standing(
            self.base_url,
            self.requests,
            self.answers,
            self.refused,
            self.errors,
            self.requests / seconds if self.requests and seconds > 0 else 0.0,
            int(self.limit.level),
            self.health.left_until is not None,
        )


class Place(NamedTuple):
    """A request's place at a server; `wave` is the crowd that it left with."""

    endpoint: Endpoint
    wave: int


class Endpoints:
    """All servers of one model.

    With affinity, every request of an episode goes to the same server, which has the conversation
    in its prefix cache: the first in the episode's own order of the servers (rendezvous hashing,
    Thaler and Ravishankar 1998), so that processes agree without talking and a server that is left
    moves no episode but its own. Without, it is the server with the least to do.
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

    async def enter(self, request: Request) -> Place:
        """Wait for a place at the server that is the request's."""
        while True:
            endpoint = self.choose(request)
            endpoint.health.asked(self._clock())
            try:
                wave = await endpoint.gate.enter()
            except asyncio.CancelledError:
                endpoint.health.given_up()
                raise
            if wave is not None:
                return Place(endpoint, wave)

    def choose(self, request: Request) -> Endpoint:
        """The best server that is not left; where all are, the one that is returned to first."""
        if len(self.members) == 1:
            return self.members[0]
        now = self._clock()
        ranked = self.ranked(request) if self._affinity else self._idlest_first()
        for endpoint in ranked:
            if endpoint.health.is_open(now):
                return endpoint
        return min(ranked, key=lambda endpoint: endpoint.health.left_until or now)

    def ranked(self, request: Request) -> list[Endpoint]:
        """The servers in the order of the request's episode, the same in every process."""
        episode = request.episode
        words = (episode.task_name, episode.task_id, str(episode.sample), request.role)
        key = "\0".join(words).encode(errors="surrogatepass")

        def weight(endpoint: Endpoint) -> bytes:
            return blake2b(key + b"\0" + endpoint.base_url.encode(), digest_size=8).digest()

        return sorted(self.members, key=weight)

    def _idlest_first(self) -> list[Endpoint]:
        return sorted(self.members, key=lambda one: (one.gate.load, one.requests))

    def failed(
        self, endpoint: Endpoint, *, for_certain: bool = False, pause: float | None = None
    ) -> bool:
        """Count a failure; True if the request can go to another server at once.

        `for_certain` is a failure that cannot be chance; `pause` is for how many seconds the server
        itself says that it is no use.
        """
        now = self._clock()
        if pause is not None:
            left = endpoint.health.leave(now, pause)
        else:
            left = endpoint.health.failed(now, for_certain=for_certain)
        if len(self.members) == 1 or not any(one.health.is_open(now) for one in self.members):
            return False
        if left:
            endpoint.gate.send_away()
        return not endpoint.health.is_open(now)
