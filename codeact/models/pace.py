"""How fast an endpoint may be asked: what it can handle at once, and limits per minute."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiolimiter

Clock = Callable[[], float]

_CUT = 0.7
"""What a refusal leaves of the limit: a level that swings between n and 0.7 n uses 85 % of n."""


class AdaptiveLimit:
    """How many requests may be under way at once: additive increase, multiplicative decrease.

    As TCP's congestion avoidance does it (Chiu and Jain, 1989): every answer that finds the limit
    in use raises it by one over itself, so a whole round of answers raises it by one; a refusal
    cuts it, once for all that was sent before the cut. Times are seconds of the caller's clock.
    """

    def __init__(self, upper: int) -> None:
        self.upper = upper
        self._wave = 0
        self.level = float(upper)
        self.under_way = 0
        self.closed_until = 0.0

    def bound(self, upper: int) -> None:
        """Change the upper bound of the limit; a limit that was never cut follows it."""
        untouched = self.level >= self.upper
        self.upper = upper
        self.level = float(upper) if untouched else min(self.level, float(upper))

    def is_free(self, now: float) -> bool:
        """Whether one more request may go out."""
        return self.under_way < int(self.level) and now >= self.closed_until

    def begin(self) -> int:
        """Count a request as under way; returns its wave."""
        self.under_way += 1
        return self._wave

    def end(self) -> None:
        """Count a request as over, however it ended."""
        self.under_way -= 1

    def answered(self, wave: int) -> None:
        """Raise the limit a little, where it was the limit that kept requests back."""
        if wave == self._wave and self.under_way >= int(self.level):
            self.level = min(float(self.upper), self.level + 1.0 / self.level)

    def refused(self, wave: int) -> bool:
        """Cut the limit; False if the wave's refusal has been counted already."""
        if wave != self._wave:
            return False
        self._wave += 1
        # The number under way was too much, even if the limit allowed more.
        self.level = max(1.0, min(self.level, float(self.under_way)) * _CUT)
        return True

    def close(self, until: float) -> None:
        """Let no request out before a time."""
        self.closed_until = max(self.closed_until, until)


class AdmissionQueue:
    """Requests wait here, first come first served, until an `AdaptiveLimit` lets them out."""

    def __init__(self, limit: AdaptiveLimit, clock: Clock = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._waiting: deque[asyncio.Future[int | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def load(self) -> int:
        """How many requests are under way or waiting."""
        return self.limit.under_way + len(self._waiting)

    async def enter(self) -> int | None:
        """Wait for admission; returns the wave, or None if all waiting requests were sent away."""
        if not self._waiting and self.limit.is_free(self._clock()):
            return self.limit.begin()
        place: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._let_out()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result() is not None:
                self.leave()
            raise

    def leave(self) -> None:
        """Return the admission of a finished request."""
        self.limit.end()
        self._let_out()

    def bound(self, upper: int) -> None:
        """Change the most that may be under way at once."""
        self.limit.bound(upper)
        self._let_out()

    async def reopened(self) -> None:
        """Wait until the queue is open; for a caller that is in, and waited for something else."""
        left = self.limit.closed_until - self._clock()
        while left > 0:
            await asyncio.sleep(left)
            left = self.limit.closed_until - self._clock()

    def send_away(self) -> None:
        """Send all waiting requests away, to another queue."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)

    def _let_out(self) -> None:
        now = self._clock()
        while self._waiting and (self._waiting[0].done() or self.limit.is_free(now)):
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(self.limit.begin())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and (left := self.limit.closed_until - now) > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._let_out)


class _Window:
    """Counts what was let in over the last `seconds`, never more than `limit` of it."""

    def __init__(self, limit: int, seconds: float = 60.0) -> None:
        self._limit = limit
        self._seconds = seconds
        self._entries: deque[Reservation] = deque()
        self._sum = 0

    def wait(self, amount: int, now: float) -> float:
        """Seconds until so much more fits; what is over the limit waits for an empty window."""
        self._drop_old(now)
        too_much = self._sum + min(amount, self._limit) - self._limit
        wait = 0.0
        for entry in self._entries:
            if too_much <= 0:
                break
            too_much -= entry.amount
            wait = entry.at + self._seconds - now
        return wait

    def _drop_old(self, now: float) -> None:
        while self._entries and self._entries[0].at + self._seconds <= now:
            self._sum -= self._entries.popleft().amount

    def add(self, entry: "Reservation") -> None:
        """Count what is let in now."""
        self._entries.append(entry)
        self._sum += entry.amount

    def correct(self, entry: "Reservation", amount: int, now: float) -> None:
        """Change what an entry counts as, if it still counts."""
        self._drop_old(now)
        if entry.at + self._seconds > now:
            self._sum += amount - entry.amount
        entry.amount = amount


class Reservation:
    """The tokens that a request was admitted for, and when; settled once."""

    __slots__ = ("amount", "at", "settled")

    def __init__(self, amount: int, at: float) -> None:
        self.amount = amount
        self.at = at
        self.settled = False


class RateLimiter:
    """At most so many requests and tokens in any minute; None is no limit.

    Requests leave evenly spaced, or a tenth of a second's worth together, and tokens in portions of
    a second's worth; over the last minute together they are never more than the limit. How many
    tokens a request takes is known only afterwards. What it paid too much goes to the next ones,
    within the limit of the minute in which it paid; what it paid too little they make up for. A
    request that was called off before it had paid gets nothing back.
    """

    def __init__(self, requests: int | None, tokens: int | None) -> None:
        self._requests: aiolimiter.AsyncLimiter | None = None
        self._tokens: aiolimiter.AsyncLimiter | None = None
        self._last_requests = None if requests is None else _Window(requests)
        self._last_tokens = None if tokens is None else _Window(tokens)
        self._portion = 0.0
        self._credit = 0.0
        self._turn = asyncio.Lock()
        self.limit(requests, tokens)

    def limit(self, requests: int | None, tokens: int | None) -> None:
        """Set the limits per minute from now on."""
        if requests is None and tokens is None:
            return
        from aiolimiter import AsyncLimiter

        if requests is not None:
            together = max(1.0, requests / 600)
            self._requests = AsyncLimiter(together, together * 60 / requests)
        if tokens is not None:
            self._portion = tokens / 60
            self._tokens = AsyncLimiter(self._portion, 1)

    async def admit(self, tokens: int) -> Reservation:
        """Wait until a request for this many tokens is within the limits."""
        if self._tokens is None and self._requests is None:
            return Reservation(tokens, 0.0)
        # One at a time, so that small requests do not overtake a large one forever.
        async with self._turn:
            if self._tokens is not None:
                await self._pay(self._tokens, tokens)
            if self._requests is not None:
                await self._requests.acquire()
            return await self._let_in(tokens)

    async def _pay(self, limiter: "aiolimiter.AsyncLimiter", tokens: int) -> None:
        taken = min(self._credit, tokens)
        owed = tokens - taken
        # The next request waits for this one, so the credit is still there.
        while owed > 0:
            portion = min(owed, self._portion)
            await limiter.acquire(portion)
            owed -= portion
        self._credit -= taken

    async def _let_in(self, tokens: int) -> Reservation:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            wait = max(
                0.0 if self._last_tokens is None else self._last_tokens.wait(tokens, now),
                0.0 if self._last_requests is None else self._last_requests.wait(1, now),
            )
            if wait <= 0:
                break
            await asyncio.sleep(wait)
        if self._last_requests is not None:
            self._last_requests.add(Reservation(1, now))
        reservation = Reservation(tokens, now)
        if self._last_tokens is not None:
            self._last_tokens.add(reservation)
        return reservation

    def settle(self, reservation: Reservation, taken: int | None) -> None:
        """Correct what a request was charged, now that it is known what it took.

        None is not known: it keeps what it paid for.
        """
        if self._last_tokens is None or reservation.settled:
            return
        reservation.settled = True
        charged = reservation.amount
        used = charged if taken is None else taken
        self._last_tokens.correct(reservation, used, asyncio.get_running_loop().time())
        # Ten seconds' worth at most: unused tokens must not add up to a burst.
        self._credit = min(self._credit + charged - used, 10 * self._portion)
