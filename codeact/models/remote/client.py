"""A client for models behind HTTP addresses: limits, retries, several servers; whatever the API.

What a request and its answer look like is the subclass's part.
"""

import asyncio
import logging
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar

from codeact.episode.effects import Completion, Usage
from codeact.episode.messages import RequestOptions
from codeact.exceptions import ConfigError, ModelFailure, ProviderFailure
from codeact.models.base import EpisodeKey, Request, RequestMeter, Role
from codeact.models.pace import RateLimiter, Reservation
from codeact.models.remote.attempts import AttemptFailed, ContextOverflow, RequestHistory
from codeact.models.remote.booking import book_failure
from codeact.models.remote.encoding import (
    InvalidResponse,
    ServerCompletion,
    UnusableAnswer,
    cut_at_stop,
    encode,
)
from codeact.models.remote.errors import (
    ServerError,
    context_limit,
    is_context_overflow,
    parse_error,
    room_left,
)
from codeact.models.remote.exchange import Response
from codeact.models.remote.headers import reset_after
from codeact.models.remote.parameters import refused_parameter
from codeact.models.remote.probe import Demands, Probe, ServerCheck, no_server, serving_of
from codeact.models.remote.refusals import refusal, rejection
from codeact.models.remote.settings import RemoteSettings
from codeact.models.remote.transport import Connections, FailureKind, RequestFailed
from codeact.models.replicas import Admission, Endpoint, Endpoints, EndpointStats
from codeact.web import retry_after

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_PROBE_PAUSES = (1.0, 4.0)
"""Seconds before a server that may come back is asked again whether it has."""


class RemoteClient(ABC):
    """Completes requests through one pool of connections; bound to the loop of its first use."""

    plain = False
    busy: ClassVar[frozenset[int]] = frozenset({429})
    """Statuses by which a server asks for fewer requests."""
    length_key = "max_tokens"
    """What a request calls the most tokens of an answer."""
    demands: Demands | None = None
    """What every answer has to have beside a text."""

    def __init__(self, settings: RemoteSettings, route: str) -> None:
        """`route` is what comes after the server's address."""
        self._settings = settings
        self._endpoints = Endpoints(
            settings.addresses, route, settings.concurrency, affinity=settings.affinity
        )
        self._rate_limiter = RateLimiter(settings.requests_per_minute, settings.tokens_per_minute)
        self._connections = Connections(settings)
        self._probe = Probe(
            settings,
            route,
            self._connections,
            self._question,
            read_usage=self._usage,
            demands=self.demands,
        )
        self._checks: list[ServerCheck] | None = None
        self._rehearsed: dict[str, Any] | None = None
        self._told_no_usage = False

    @abstractmethod
    def _body(self, request: Request) -> dict[str, Any]:
        """Return the body of a request."""

    @abstractmethod
    def _question(self, words: str, carried: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a request for one token, which carries these parameters."""

    @abstractmethod
    def _usage(self, usage: object) -> Usage | None:
        """Read the field ``usage`` of an answer; None where it is none."""

    @abstractmethod
    def _parameters(self, options: RequestOptions, seed: int | None) -> dict[str, Any]:
        """Return what a request carries beside messages and model; raises `ProviderFailure`."""

    @abstractmethod
    def _parse(self, body: bytes, request: Request) -> ServerCompletion:
        """Read a completion; raises `InvalidResponse` for anything else."""

    async def check(self, episodes: Collection[EpisodeKey] = (), role: Role = "policy") -> None:
        """Refuse a missing key, and servers of which none can answer.

        A server that cannot answer is left out from the start if another one can.
        """
        self._connections.read_key()
        if self._checks is not None or not (self._settings.probe or self.demands):
            return
        self._checks = await self._probe.check()
        refused = [(check, why) for check in self._checks if (why := check.refusal) is not None]
        if len(refused) == len(self._checks):
            self._checks = None
            raise ConfigError(no_server([check for check, _ in refused]))
        for check, why in refused:
            members = self._endpoints.members
            endpoint = next(one for one in members if one.base_url == check.base_url)
            if check.wrong is not None:
                self._endpoints.exclude(endpoint, why)
            else:
                self._endpoints.failed(endpoint, for_certain=True)
                log.warning("%s; the other servers take its episodes", why)

    async def rehearse(self, options: RequestOptions, seed: int | None) -> None:
        """Ask for one token with what the run's requests carry; `probe=false` skips it."""
        try:
            carried = self._parameters(options, seed)
        except ProviderFailure as failure:
            raise ConfigError(str(failure)) from failure
        if carried and self._settings.probe and carried != self._rehearsed:
            if refused := await self._probe.rehearse(carried):
                raise ConfigError(f"{'; '.join(refused)} (model.probe=false skips this check)")
            self._rehearsed = carried

    async def probe(self) -> None:
        """Ask every server for one token; raises `ProviderFailure` if none gives it."""
        for pause in (*_PROBE_PAUSES, None):
            found = await self._probe.ask()
            failures = [failure for failure in found if failure is not None]
            if len(failures) < len(found):
                return
            if pause is None or all(failure.lasting for failure in failures):
                raise ProviderFailure("; ".join(failure.why for failure in failures))
            await asyncio.sleep(pause)

    async def serving(self) -> list[dict[str, Any]]:
        """What each server says that it serves, or its address where it only names the model."""
        checks = self._checks
        if checks is None:
            self._connections.read_key()
            checks = await self._probe.check()
        return serving_of(checks, self._settings.name)

    @property
    def checks(self) -> RequestMeter:
        """What the probes take."""
        return self._probe.meter

    def share(self, workers: int) -> None:
        """Use one of `workers` shares of the limits: other processes use the same servers."""
        share = self._settings.shared_by(workers)
        self._rate_limiter.limit(share.requests_per_minute, share.tokens_per_minute)
        for endpoint in self._endpoints.members:
            endpoint.queue.bound(share.concurrency)

    def stats(self) -> list[EndpointStats]:
        """Return the statistics of each server so far."""
        return [endpoint.stats() for endpoint in self._endpoints.members]

    async def complete(self, request: Request) -> Completion:
        history = RequestHistory()
        body = self._body(request)
        while True:
            try:
                answer = await self._attempt(request, body, history)
            except ContextOverflow as overflow:
                room = room_left(overflow.error)
                self._shrink(body, room, overflow.error)
                history.add(f"context full: asked again for {room} tokens")
            except AttemptFailed as attempt:
                if not attempt.elsewhere:
                    await self._pause(history, attempt)
            else:
                return self._completion(answer, request, history)

    async def _attempt(
        self, request: Request, body: dict[str, Any], history: RequestHistory
    ) -> ServerCompletion:
        content = encode(body)
        charged = len(content) // 4 + (body.get(self.length_key) or 0)
        reservation: Reservation | None = None
        response: Response | None = None
        answer: ServerCompletion | None = None
        taken: int | None = 0
        admission = await self._endpoints.enter(request)
        try:
            reservation = await self._admitted(admission, charged)
            admission.endpoint.count()
            taken = None
            response = await self._connections.post(admission.endpoint.url, content)
            answer = self._read(response, admission, request, body)
            taken = None if answer.usage is None else answer.usage.total
        except RequestFailed as failed:
            # A request that broke off may have been processed.
            taken = 0 if failed.kind in ("busy", "unreachable", "rejected") else None
            raise self._after(failed, admission, history) from failed
        except UnusableAnswer as unusable:
            why = self._connections.words(str(unusable))
            raise ProviderFailure(f"{admission.endpoint.url}: {why}") from None
        except (ProviderFailure, ContextOverflow):
            taken = 0
            raise
        except asyncio.CancelledError:
            admission.endpoint.breaker.abandoned()
            raise
        finally:
            if reservation is not None:
                self._rate_limiter.settle(reservation, taken)
            admission.endpoint.queue.leave()
            if answer is None:
                prices, sent = self._settings.prices, taken is None
                book_failure(request.meter, prices, response, self._usage, perhaps_charged=sent)
        return answer

    async def _admitted(self, admission: Admission, charged: int) -> Reservation:
        """Wait until a request may be sent: within the limits per minute, and the queue is open."""
        while True:
            await admission.endpoint.queue.reopened()
            with admission.endpoint.paced():
                reservation = await self._rate_limiter.admit(charged)
            if time.monotonic() >= admission.endpoint.limit.closed_until:
                return reservation
            # It closed meanwhile, and a long wait would end in another minute.
            self._rate_limiter.settle(reservation, 0)

    def _read(
        self, response: Response, admission: Admission, request: Request, body: dict[str, Any]
    ) -> ServerCompletion:
        """Read a completion; its headers say when the next request may be sent."""
        endpoint = admission.endpoint
        if response.status != 200:
            raise self._failure(response, endpoint, body)
        try:
            answer = self._parse(response.body, request)
        except InvalidResponse as invalid:
            rejected = self._rejection(response, endpoint)
            raise rejected or RequestFailed(self._connections.words(str(invalid))) from None
        finally:
            self._close(endpoint, reset_after(response.headers))
        endpoint.breaker.succeeded()
        endpoint.answered(admission.wave)
        return answer

    def _rejection(self, response: Response, endpoint: Endpoint) -> RequestFailed | None:
        rejected = rejection(self._settings, endpoint.url, response, self._connections.words)
        if rejected is None:
            return None
        return RequestFailed(rejected.why, "rejected", may_pass=rejected.may_pass)

    def _close(self, endpoint: Endpoint, wait: float | None) -> None:
        # Too long a wait fails each request instead of closing the queue.
        if wait is not None and wait <= self._settings.timeout.wait:
            endpoint.limit.close(time.monotonic() + wait)

    def _failure(
        self, response: Response, endpoint: Endpoint, body: dict[str, Any]
    ) -> ProviderFailure | RequestFailed | ContextOverflow:
        status = response.status
        error = parse_error(response.body)
        message = self._connections.words(error.message)
        full = is_context_overflow(error) and status not in (401, 403, 404, 429)
        if not full and (rejected := self._rejection(response, endpoint)) is not None:
            return rejected
        if status < 500:
            endpoint.breaker.succeeded()
        if full:
            return ContextOverflow(error)
        if status not in (408, 409, 425, 429) and status < 500:
            refused = refused_parameter(status, error, body, self._settings.advice)
            return ProviderFailure(
                refusal(self._settings, endpoint.url, status, message, refused=refused),
                final=refused is not None,
            )
        wait = retry_after(response.headers)
        if wait is None and status == 429:
            wait = reset_after(response.headers)
        broken: FailureKind = "broken" if status >= 500 else "other"
        kind: FailureKind = "busy" if status in self.busy else broken
        return RequestFailed(f"HTTP {status}: {message}", kind, wait)

    def _after(
        self, failed: RequestFailed, admission: Admission, history: RequestHistory
    ) -> Exception:
        """Report a failure to the server's limit and circuit; returns what the request raises."""
        if failed.kind == "rejected":
            return self._after_rejection(failed, admission.endpoint, history)
        endpoint, weight, elsewhere = admission.endpoint, 1.0, False
        self._close(endpoint, failed.wait)
        if failed.kind == "busy":
            is_first = endpoint.was_refused(admission.wave)
            if failed.wait is not None and failed.wait > self._settings.timeout.wait:
                elsewhere = self._endpoints.failed(endpoint, pause=failed.wait)
            else:
                weight = history.weight_of_refusal(endpoint, first=is_first)
        else:
            endpoint.errors += 1
            if failed.kind == "other":
                endpoint.breaker.succeeded()
            else:
                for_certain = failed.kind == "unreachable"
                left = self._endpoints.failed(endpoint, for_certain=for_certain)
                elsewhere = left and for_certain
        history.add(failed.reason, 0.0 if elsewhere else weight)
        return AttemptFailed(failed, endpoint, elsewhere=elsewhere)

    def _after_rejection(
        self, failed: RequestFailed, endpoint: Endpoint, history: RequestHistory
    ) -> Exception:
        """Leave out a server that rejects us; if all do, no retry helps."""
        endpoint.errors += 1
        elsewhere = self._endpoints.exclude(endpoint, failed.reason)
        hopeless = self._endpoints.hopeless
        if hopeless is not None:
            history.pages += 1
            if not failed.may_pass or history.pages > 1:
                history.add(hopeless)
                return (
                    history.failure(endpoint.url) if failed.may_pass else ProviderFailure(hopeless)
                )
        # Another server is down for a while, or this was one page of a proxy.
        history.add(failed.reason, 0.0 if elsewhere or hopeless else 1.0)
        return AttemptFailed(failed, endpoint, elsewhere=elsewhere)

    def _shrink(self, body: dict[str, Any], room: int | None, error: ServerError) -> None:
        """Shorten the request to fit, once; raises `ModelFailure` if that is impossible."""
        key = self.length_key
        wanted, limit = body.get(key), context_limit(error)
        if wanted is not None and limit is not None and wanted >= limit:
            raise ProviderFailure(
                f"{key}={wanted} leaves no room for any prompt in the context of "
                f"{self._settings.name}, {limit} tokens: lower sampling.max_tokens"
            )
        fits = room is not None and room > 0 and (wanted is None or room < wanted)
        if self._settings.overflow == "fail" or not fits:
            raise ModelFailure(
                f"the conversation no longer fits the context of {self._settings.name}: "
                f"{self._connections.words(error.message)}"
            )
        body[key] = room

    async def _pause(self, history: RequestHistory, attempt: AttemptFailed) -> None:
        settings = self._settings
        wait = attempt.wait
        too_long = wait is not None and wait > settings.timeout.wait
        if history.spent > settings.max_retries or too_long:
            because = f" (it asks to wait {wait:.0f} s, too long)" if too_long else ""
            raise history.failure(attempt.url, because)
        longest = min(
            _LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(max(0, math.ceil(history.spent) - 1), 10)
        )
        jittered = longest * random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, no secret)
        # The server's wait is a minimum; the jitter spreads the requests that return.
        await asyncio.sleep(jittered if wait is None else wait + jittered / 10)

    def _completion(
        self, answer: ServerCompletion, request: Request, history: RequestHistory
    ) -> Completion:
        if answer.usage is None:
            request.meter.miss()
            if not self._told_no_usage:
                url = self._settings.base_url
                log.warning("%s reports no token usage: it counts as unknown", url)
            self._told_no_usage = True
        prices = self._settings.prices
        text, cut = cut_at_stop(answer.text, request.stop)
        return Completion(
            text=text,
            reasoning=answer.reasoning,
            reasoning_details=answer.reasoning_details,
            tool_calls=answer.tool_calls,
            cut=cut,
            tokens=answer.tokens,
            counted=None if answer.tokens is None else Usage(*answer.tokens.numbers),
            usage=answer.usage or Usage(),
            seconds=history.seconds,
            finish_reason="stop" if cut else answer.finish_reason,
            retries=tuple(history.failures),
            cost=prices.cost(answer.usage) if prices and answer.usage else None,
        )

    async def close(self) -> None:
        await self._connections.close()
