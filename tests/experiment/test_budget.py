"""The budget of a run: what it counts, and when no further request may be sent."""

import pytest

from codeact.episode.effects import Completion, Usage
from codeact.exceptions import BudgetExhausted
from codeact.experiment.budget import Account, BudgetSettings


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


def test_a_completion_costs_its_tokens_and_dollars_unless_it_is_reused() -> None:
    account = Account(BudgetSettings())
    account.charge_for(Completion("", usage=Usage(3, 2), cost=0.5))
    account.charge_for(Completion("", usage=Usage(30, 20), cost=5.0, reused=True))
    account.charge_for(Completion("", usage=Usage(1, 1)))
    assert (account.tokens, account.usd) == (7, 0.5)
