"""Books what the requests of an episode take, before the episode gets their answers."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import msgspec

from codeact.episode.accounts import AccountLine, PlayAccounts
from codeact.episode.effects import Completion, Usage
from codeact.episode.record import Attempt, EpisodeRecord
from codeact.experiment.budget import Account
from codeact.models.base import Metered, ModelClient, Request, RequestMeter
from codeact.recordings.ledger import RequestLine

_MOST = 1 << 40
"""Tokens of one request that can be believed."""


class PlayBook:
    """The requests of one play of an episode; whatever becomes of one, its line is written."""

    def __init__(self, account: Account, play: int, episode: str) -> None:
        self._account = account
        self._episode = episode
        self._asked = 0
        self.accounts = PlayAccounts(play=play)

    async def complete(self, client: ModelClient, request: Request) -> Completion:
        """Complete a request within the budget; raises what the client raises.

        What a client says that no request can have taken counts as unknown.
        """
        self._account.admit()
        self._asked += 1
        line = RequestLine(
            play=self.accounts.play or 0,
            request=self._asked,
            asked_by=request.role,
            part="begins",
        )
        self._book(msgspec.structs.replace(line, episode=self._episode))
        request.meter.listen = partial(self._book_attempt, line)
        ends = msgspec.structs.replace(line, part="ends")
        try:
            answer = _believable(await client.complete(request), request.meter)
            ends = msgspec.structs.replace(
                ends, answered=True, reused=answer.reused, usage=answer.usage, cost=answer.cost
            )
        finally:
            self._book(ends)
        return answer

    def _book_attempt(self, line: RequestLine, discarded: AccountLine, unknown: int) -> None:
        self._book(
            msgspec.structs.replace(line, part="attempt", discarded=discarded, unknown=unknown)
        )

    def _book(self, line: RequestLine) -> None:
        self.accounts += line.accounts
        self._account.book(line)


def enter(record: EpisodeRecord, accounts: PlayAccounts) -> None:
    """Give a record the tokens and costs of the play that ended it."""
    record.accounts = accounts
    record.usage, record.cost = _all(accounts.policy, accounts.reused)
    record.feedback_usage, record.feedback_cost = _all(accounts.feedback, accounts.reused_feedback)


def attempt_of(error: str, accounts: PlayAccounts, seconds: float) -> Attempt:
    """Return the attempt of a worker that was lost, with what is known of its requests."""
    usage, cost = _all(accounts.policy, accounts.reused)
    feedback_usage, feedback_cost = _all(accounts.feedback, accounts.reused_feedback)
    return Attempt(
        cause="harness",
        error=error,
        usage=usage,
        feedback_usage=feedback_usage,
        cost=cost,
        feedback_cost=feedback_cost,
        seconds=round(seconds, 6),
        accounts=accounts,
    )


def _all(asked: AccountLine, reused: AccountLine) -> tuple[Usage, float | None]:
    line = asked + reused
    return line.usage, line.cost


def book_checks(account: Account, clients: Iterable[ModelClient | None]) -> None:
    """Book what checks of models have taken before there was an account."""
    for client in clients:
        if isinstance(client, Metered):
            meter = client.checks.take()
            if meter.discarded or meter.unknown:
                _book_check(account, meter.discarded, meter.unknown)


@contextmanager
def booking_checks(account: Account, client: ModelClient) -> Iterator[None]:
    """Book what checks of a model take, as they take it."""
    if not isinstance(client, Metered):
        yield
        return
    meter = client.checks
    meter.listen = partial(_book_check, account)
    try:
        yield
    finally:
        meter.listen = None
        meter.take()


def _book_check(account: Account, discarded: AccountLine, unknown: int) -> None:
    account.checks += 1
    account.book(
        RequestLine(
            play=0,
            request=account.checks,
            asked_by="check",
            part="ends",
            discarded=discarded,
            unknown=unknown,
        )
    )


def _believable(answer: Completion, meter: RequestMeter) -> Completion:
    """Return an answer whose usage and cost can be added up."""
    usage, cost = answer.usage, answer.cost
    if not all(type(n) is int and 0 <= n <= _MOST for n in msgspec.structs.astuple(usage)):
        if not answer.reused:
            meter.miss()
        return msgspec.structs.replace(answer, usage=Usage(), cost=0.0 if answer.reused else None)
    if cost is not None and not (math.isfinite(cost) and cost >= 0):
        return msgspec.structs.replace(answer, cost=None)
    return answer
