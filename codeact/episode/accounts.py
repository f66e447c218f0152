"""What requests took: the one definition that records, run folders, tables and trackers share.

Every request of a run ends in one line of its accounts, and what was spent is the sum of the lines
that are not free.
"""

import msgspec

from codeact.episode.effects import Usage, total_cost


class AccountLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """Requests of one kind: how many, their tokens, and what they cost in USD.

    `cost` is None where no cost is known. `unsplit` are tokens of which it is unknown whether they
    were prompt or completion.
    """

    requests: int = 0
    usage: Usage = Usage()
    cost: float | None = None
    unsplit: int = 0

    @property
    def tokens(self) -> int:
        return self.usage.total + self.unsplit

    def __add__(self, other: "AccountLine") -> "AccountLine":
        return AccountLine(
            self.requests + other.requests,
            self.usage + other.usage,
            total_cost([self.cost, other.cost]),
            self.unsplit + other.unsplit,
        )

    def __bool__(self) -> bool:
        return self != AccountLine()


NOTHING = AccountLine()


class PlayAccounts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one play of an episode took; `play` is its number in the run's ``requests.jsonl``.

    `policy` and `feedback` are answers that a server gave now. `discarded` ones came with their
    usage and could not be used, so the same was asked again. `reused` and `reused_feedback` came
    out of the response cache and cost nothing; their usage is what they took once. `unknown` counts
    requests that may have been charged and whose usage is unknown: no line has their tokens.
    `unpriced` counts answers without a known cost.
    """

    play: int | None = None
    policy: AccountLine = NOTHING
    feedback: AccountLine = NOTHING
    discarded: AccountLine = NOTHING
    reused: AccountLine = NOTHING
    reused_feedback: AccountLine = NOTHING
    unknown: int = 0
    unpriced: int = 0

    @property
    def spent(self) -> AccountLine:
        """What the play took; the free lines are no part of it."""
        return self.policy + self.feedback + self.discarded

    def __add__(self, other: "PlayAccounts") -> "PlayAccounts":
        return PlayAccounts(
            play=self.play,
            policy=self.policy + other.policy,
            feedback=self.feedback + other.feedback,
            discarded=self.discarded + other.discarded,
            reused=self.reused + other.reused,
            reused_feedback=self.reused_feedback + other.reused_feedback,
            unknown=self.unknown + other.unknown,
            unpriced=self.unpriced + other.unpriced,
        )
