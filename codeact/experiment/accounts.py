"""The accounts of a run: what each kind of request took, and whether all of it adds up."""

from collections.abc import Iterable
from typing import Any

import msgspec

from codeact.episode.accounts import NOTHING, AccountLine, PlayAccounts
from codeact.episode.effects import Turn, Usage
from codeact.episode.record import EpisodeRecord
from codeact.episode.spending import plays_of
from codeact.recordings.run_folder import Spent, beyond


class CountedTokens(msgspec.Struct):
    """The policy's turns of which we have counted the tokens ourselves, by their ids.

    `reported` is what the servers said of the same turns, and `differ` is in how many of them it is
    something else.
    """

    turns: int = 0
    differ: int = 0
    counted: Usage = Usage()
    reported: Usage = Usage()

    def add(self, turn: Turn) -> None:
        """Take a turn in, if it was counted."""
        if (counted := turn.counted) is None:
            return
        self.turns += 1
        self.counted += counted
        self.reported += turn.usage
        own, told = (counted.prompt, counted.completion), (turn.usage.prompt, turn.usage.completion)
        self.differ += own != told


class RunAccounts(msgspec.Struct):
    """Everything that a run took, each request in one line.

    `policy`, `feedback` and `discarded` are of the plays that ended the episodes as they are
    recorded; `lost` is all that their earlier attempts took. `replaced` was recorded as a failure
    in an earlier session and played again; `abandoned` episodes have no record, since the run was
    interrupted, killed or out of budget. `checks` ask models whether they work. `unlisted` is what
    ``spent.json`` has beyond all that: sessions before requests were listed abandoned episodes,
    too. `spent` is the sum of these.

    `reused`, `reused_feedback` (out of the response cache) and the `restored` turns were free.
    `unknown` counts requests that may have been charged and whose usage is unknown; `unpriced`
    counts answers without a known cost.
    """

    policy: AccountLine = NOTHING
    feedback: AccountLine = NOTHING
    discarded: AccountLine = NOTHING
    lost: AccountLine = NOTHING
    replaced: AccountLine = NOTHING
    abandoned: AccountLine = NOTHING
    checks: AccountLine = NOTHING
    unlisted: AccountLine = NOTHING
    reused: AccountLine = NOTHING
    reused_feedback: AccountLine = NOTHING
    restored: int = 0
    unknown: int = 0
    unpriced: int = 0
    counted: CountedTokens = msgspec.field(default_factory=CountedTokens)
    mismatches: int = 0
    """How often two places tell different things of one play or sum; 0 is what should be."""
    first_mismatch: str = ""

    @property
    def spent(self) -> AccountLine:
        """All that the run took; the free lines are no part of it."""
        return sum((getattr(self, name) for name in SPENT_LINES), NOTHING)

    def document(self) -> dict[str, Any]:
        """Return the accounts as JSON data, with their sum and all numbers of a line."""
        lines = {name: _numbers(getattr(self, name)) for name in (*SPENT_LINES, *FREE_LINES)}
        whole: dict[str, Any] = msgspec.to_builtins(self)
        return {**whole, **lines, "spent": _numbers(self.spent)}

    def add(self, record: EpisodeRecord) -> AccountLine:
        """Take in an episode as it is recorded now; returns what it took, all attempts included."""
        *earlier, play = plays = plays_of(record)
        self.policy += play.policy
        self.feedback += play.feedback
        self.discarded += play.discarded
        self.reused += play.reused
        self.reused_feedback += play.reused_feedback
        lost = _spent(earlier)
        self.lost += lost
        self._count(plays)
        for turn in record.turns:
            self.restored += turn.restored
            self.counted.add(turn)
        if record.accounts is not None and play.policy.usage + play.reused.usage != record.usage:
            self.complain(f"{record.id}: its usage is not the sum of its requests")
        return play.spent + lost

    def add_replaced(self, record: EpisodeRecord) -> AccountLine:
        """Take in an earlier record of an episode; returns what it took."""
        plays = plays_of(record)
        spent = _spent(plays)
        self.replaced += spent
        self._count(plays)
        return spent

    def add_abandoned(self, play: PlayAccounts) -> None:
        """Take in a play that has no record."""
        self.abandoned += play.spent
        self._count([play])

    def add_checks(self, checks: PlayAccounts) -> None:
        """Take in what checks of models took."""
        self.checks += checks.spent
        self._count([checks])

    def add_unlisted(self, kept: Spent) -> None:
        """Add what ``spent.json`` has beyond everything else; add everything else before."""
        self.unlisted += beyond(kept, self.spent)

    def compare(self, account: Spent, unlisted: AccountLine) -> None:
        """Hold the sum against the account that the run itself kept while it asked.

        `unlisted` is what could not be told apart when the run folder was opened.
        """
        listed = msgspec.structs.replace(self, unlisted=unlisted).spent
        usd = listed.cost or 0.0
        if listed.tokens != account.tokens or abs(usd - account.usd) > _CLOSE:
            self.complain(
                f"the requests add up to {listed.tokens:,} tokens and {usd:.6f} USD, and the run "
                f"has counted {account.tokens:,} tokens and {account.usd:.6f} USD"
            )

    def complain(self, what: str) -> None:
        """Note that something does not add up."""
        self.mismatches += 1
        self.first_mismatch = self.first_mismatch or what

    def _count(self, plays: Iterable[PlayAccounts]) -> None:
        for play in plays:
            self.unknown += play.unknown
            self.unpriced += play.unpriced


_CLOSE = 1e-9
"""USD. Costs are kept as floats of whole pico-dollars."""
SPENT_LINES = (
    "policy",
    "feedback",
    "discarded",
    "lost",
    "replaced",
    "abandoned",
    "checks",
    "unlisted",
)
FREE_LINES = ("reused", "reused_feedback")


def _spent(plays: Iterable[PlayAccounts]) -> AccountLine:
    return sum((play.spent for play in plays), NOTHING)


def _numbers(line: AccountLine) -> dict[str, Any]:
    """Return every number of a line, those that are 0 as well."""
    usage: dict[str, int] = msgspec.to_builtins(line.usage)
    return {"requests": line.requests, "tokens": line.tokens, **usage, "cost": line.cost}
