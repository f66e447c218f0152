"""What a run may spend, and what it has spent so far."""

import math

from pydantic import Field

from codeact.episode.effects import Completion
from codeact.episode.settings import Settings
from codeact.exceptions import BudgetExhausted


class BudgetSettings(Settings):
    """Bounds on a whole run, over all its sessions; None is no bound.

    No request is sent once a bound is reached, so a run exceeds it at most by the requests that
    were in flight. Completions out of the response cache cost nothing.
    """

    tokens: int | None = Field(default=None, ge=1)
    """Prompt and completion tokens, of policy and feedback together."""
    usd: float | None = Field(default=None, gt=0)
    """USD, of policy and feedback together; needs `model.prices`."""


class Account:
    """The tokens and dollars of one run."""

    def __init__(self, budget: BudgetSettings, tokens: int = 0, usd: float = 0.0) -> None:
        self.budget = budget
        self.tokens = tokens
        self.usd = usd

    def charge(self, tokens: int, usd: float) -> None:
        """Add what was spent."""
        self.tokens += tokens
        self.usd += usd

    def charge_for(self, answer: Completion) -> None:
        """Add the tokens and cost of a completion; a cost that is no number (NaN) counts as 0."""
        if not answer.reused:
            cost = answer.cost or 0.0
            usd = cost if math.isfinite(cost) else 0.0
            self.charge(max(0, answer.usage.total), max(0.0, usd))

    def admit(self) -> None:
        """Raise `BudgetExhausted` if no further request may be sent."""
        budget = self.budget
        if budget.tokens is not None and self.tokens >= budget.tokens:
            raise BudgetExhausted(
                f"the budget of {budget.tokens:,} tokens is used up ({self.tokens:,} spent): "
                "raise budget.tokens and run the same command again to go on"
            )
        if budget.usd is not None and self.usd >= budget.usd:
            raise BudgetExhausted(
                f"the budget of {budget.usd:.2f} USD is used up ({self.usd:.2f} spent): "
                "raise budget.usd and run the same command again to go on"
            )
