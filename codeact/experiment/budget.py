"""What a run may spend, and what it has spent so far."""

from collections.abc import Callable

from pydantic import Field

from codeact.episode.effects import total_cost
from codeact.episode.settings import Settings
from codeact.exceptions import BudgetExhausted
from codeact.recordings.ledger import RequestLine
from codeact.recordings.run_folder import RunFolder, Spent


class BudgetSettings(Settings):
    """Bounds on a whole run, over all its sessions; None is no bound.

    No request is sent once a bound is reached, so a run exceeds it at most by the requests that
    were in flight. Completions out of the response cache cost nothing. A request of which the
    server does not say what it took counts as nothing; the run tells how many there were.
    """

    tokens: int | None = Field(default=None, ge=1)
    """Prompt and completion tokens, of policy and feedback together."""
    usd: float | None = Field(default=None, gt=0)
    """USD, of policy and feedback together; needs `model.prices`."""


class Account:
    """The tokens and dollars of one run, and where its requests are listed.

    `plays` counts the plays of its episodes so far, and `checks` what was booked of its models'.
    """

    def __init__(self, budget: BudgetSettings, tokens: int = 0, usd: float = 0.0) -> None:
        self.budget = budget
        self.tokens = tokens
        self.usd = usd
        self.plays = 0
        self.checks = 0
        self._waiting: list[RequestLine] = []
        self._write: Callable[[RequestLine], None] = self._waiting.append

    @property
    def spent(self) -> Spent:
        """What was spent so far."""
        return Spent(self.tokens, self.usd)

    def charge(self, tokens: int, usd: float) -> None:
        """Add what was spent."""
        self.tokens += tokens
        self.usd = total_cost([self.usd, usd]) or 0.0

    def begin_play(self) -> int:
        """Return the number of another play of an episode."""
        self.plays += 1
        return self.plays

    def list_in(self, write: Callable[[RequestLine], None]) -> None:
        """Have all requests written, those that were booked before included."""
        for line in self._waiting:
            write(line)
        self._waiting.clear()
        self._write = write

    def go_on(self, folder: RunFolder) -> None:
        """Go on from what a run folder holds, and list requests there."""
        self.charge(*folder.spent)
        self.plays += folder.plays
        self.list_in(folder.requests.write)

    def book(self, line: RequestLine) -> None:
        """List a request, and add what it took."""
        self._write(line)
        spent = line.accounts.spent
        self.charge(spent.tokens, spent.cost or 0.0)

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
