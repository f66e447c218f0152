"""What a record and its earlier attempts took, those of older records included."""

from collections.abc import Iterable

from codeact.episode.accounts import AccountLine, PlayAccounts
from codeact.episode.effects import Usage, total_cost
from codeact.episode.record import Attempt, EpisodeRecord


def accounts_of(record: EpisodeRecord) -> PlayAccounts:
    """Return what the play that ended a record took, without its earlier attempts.

    That of a record without accounts is what its turns tell.
    """
    if record.accounts is not None:
        return record.accounts
    turns = record.turns
    asked = [turn for turn in turns if not (turn.reused or turn.restored)]
    said = [turn for turn in turns if turn.fresh_feedback.total]
    again = [turn for turn in turns if turn.reused]
    said_again = [turn for turn in turns if turn.feedback_reused]
    cost = record.cost
    if cost is None:
        cost = total_cost(turn.cost for turn in turns)
    feedback_cost = record.feedback_cost
    if feedback_cost is None:
        feedback_cost = total_cost(turn.feedback_cost for turn in turns)
    return PlayAccounts(
        policy=AccountLine(len(asked), _total(turn.usage for turn in asked), cost),
        feedback=AccountLine(
            sum(1 + turn.asked_again for turn in said),
            _total(turn.feedback_usage for turn in said),
            feedback_cost,
        ),
        reused=AccountLine(len(again), _total(turn.usage for turn in again)),
        reused_feedback=AccountLine(
            len(said_again), _total(turn.feedback_usage for turn in said_again)
        ),
    )


def accounts_of_attempt(attempt: Attempt) -> PlayAccounts:
    """Return what an earlier attempt took; one without accounts does not say what was free."""
    if attempt.accounts is not None:
        return attempt.accounts
    return PlayAccounts(
        policy=AccountLine(0, attempt.usage, attempt.cost),
        feedback=AccountLine(0, attempt.feedback_usage, attempt.feedback_cost),
    )


def plays_of(record: EpisodeRecord) -> list[PlayAccounts]:
    """Return the accounts of every play of a record: earlier attempts, and last what ended it."""
    return [*map(accounts_of_attempt, record.attempts), accounts_of(record)]


def spent_on(record: EpisodeRecord) -> AccountLine:
    """Return what a record and its earlier attempts took; reused completions are free."""
    return sum((play.spent for play in plays_of(record)), AccountLine())


def _total(usages: Iterable[Usage]) -> Usage:
    return sum(usages, Usage())
