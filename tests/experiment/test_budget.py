"""The budget of a run: what it counts, and when no further request may be sent."""

from collections.abc import Collection
from typing import Any

import pytest

from codeact.episode.accounts import AccountLine
from codeact.episode.effects import Completion, Usage
from codeact.exceptions import BudgetExhausted
from codeact.experiment.booking import PlayBook
from codeact.experiment.budget import Account, BudgetSettings
from codeact.models.base import EpisodeKey, Request, Role
from codeact.recordings.ledger import RequestLine


def admits(account: Account) -> bool:
    try:
        account.admit()
    except BudgetExhausted:
        return False
    return True


def test_nothing_is_spent_at_first() -> None:
    account = Account(BudgetSettings())
    assert (account.tokens, account.usd) == (0, 0.0)
    assert admits(account)


@pytest.mark.parametrize(("spent", "admitted"), [(99, True), (100, False), (101, False)])
def test_tokens_are_bounded(spent: int, admitted: bool) -> None:
    account = Account(BudgetSettings(tokens=100))
    account.charge(spent, 1e9)
    assert admits(account) is admitted


@pytest.mark.parametrize(("spent", "admitted"), [(0.99, True), (1.0, False), (1.01, False)])
def test_dollars_are_bounded(spent: float, admitted: bool) -> None:
    account = Account(BudgetSettings(usd=1.0))
    account.charge(10**9, spent)
    assert admits(account) is admitted


def test_a_resumed_run_goes_on_from_what_was_spent() -> None:
    account = Account(BudgetSettings(), tokens=5, usd=0.5)
    account.charge(1, 0.25)
    assert (account.tokens, account.usd) == (6, 0.75)


def ended(**what: Any) -> RequestLine:
    return RequestLine(play=1, request=1, asked_by="policy", part="ends", answered=True, **what)


def test_a_request_costs_its_tokens_and_dollars_unless_it_is_reused() -> None:
    account, listed = Account(BudgetSettings()), list[RequestLine]()
    begun = RequestLine(play=1, request=1, asked_by="policy", part="begins")
    lines = [
        begun,
        ended(usage=Usage(3, 2), cost=0.5),
        ended(usage=Usage(30, 20), cost=5.0, reused=True),
        ended(usage=Usage(1, 1)),
        ended(discarded=AccountLine(2, Usage(100, 0), 0.25)),
    ]
    account.book(lines[0])
    account.book(lines[1])
    account.list_in(listed.append)
    for line in lines[2:]:
        account.book(line)
    assert account.spent == (107, 0.75)
    assert listed == lines, "none is lost that was booked before the run folder was there"


class Strange:
    """A model whose usage or costs nobody can believe."""

    plain = False

    def __init__(self, answer: Completion) -> None:
        self._answer = answer

    async def check(self, episodes: Collection[EpisodeKey] = (), role: Role = "policy") -> None:
        """It has nothing to check."""

    async def complete(self, request: Request) -> Completion:
        return self._answer

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("usage", "cost", "spent", "unknown"),
    [
        (Usage(1, 1), float("nan"), (2, 0.5), 0),
        (Usage(1, 1), float("-inf"), (2, 0.5), 0),
        (Usage(1, 1), -5.0, (2, 0.5), 0),
        (Usage(-100, 1), 0.25, (0, 0.5), 1),
        (Usage(10**30, 1), 1e24, (0, 0.5), 1),
        (Usage(1.5, 1), 0.25, (0, 0.5), 1),  # type: ignore[arg-type]
    ],
    ids=["nan", "inf", "negative cost", "negative", "huge", "fraction"],
)
async def test_what_nobody_can_believe_neither_ends_nor_lifts_a_budget(
    usage: Usage, cost: float, spent: tuple[int, float], unknown: int
) -> None:
    account = Account(BudgetSettings(usd=1.0), usd=0.5)
    book = PlayBook(account, 1, "t/1/s/0")
    ask = Request((), (), EpisodeKey("t", "1"), 0)
    answer = await book.complete(Strange(Completion("x", usage, cost=cost)), ask)
    assert account.spent == spent
    assert (book.accounts.unknown, book.accounts.unpriced) == (unknown, 1)
    assert (answer.usage.total, answer.cost) == (spent[0], None)
    good = Strange(Completion("x", Usage(1, 1), cost=0.75))
    await book.complete(good, Request((), (), EpisodeKey("t", "1"), 1))
    with pytest.raises(BudgetExhausted):
        await book.complete(good, Request((), (), EpisodeKey("t", "1"), 2))
    assert book.accounts.policy.requests == 2
