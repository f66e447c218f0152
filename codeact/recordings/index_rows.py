"""A row of the index: the part of an episode's record that is filtered, sorted and summed."""

from typing import Any, NamedTuple, Self

import msgspec

from codeact.episode.accounts import NOTHING
from codeact.episode.causes import is_counted
from codeact.episode.effects import Turn
from codeact.episode.record import EpisodeRecord
from codeact.episode.spending import plays_of
from codeact.exceptions import Cause
from codeact.recordings.published_lines import MINT, Imported

_LONGEST_ERROR, _LONGEST_METADATA = 500, 2000
"""Characters that a row keeps."""


class IndexRow(msgspec.Struct, frozen=True, array_like=True):
    """One episode as its newest line has it; `read` of the index gives the whole record.

    `key` is unique in the index: the record's id, in a tree behind its experiment or run folder.
    `file` is relative to what was opened; the line has `length` bytes from byte `start` on, of an
    archive those of its content. `task_type` and `split` are empty where the line does not say
    them.
    """

    key: str
    file: str
    line: int
    start: int
    length: int
    id: str
    model: str
    feedback: str
    """``none``, or the feedback model and its kind."""
    turn_setting: str
    task_type: str
    task_name: str
    split: str
    task_id: str
    task_digest: str
    settings_digest: str
    sample: int
    success: bool
    counted: bool
    """Whether the outcome is the policy's own; other episodes are missing data."""
    edited: bool
    """Whether a person edited a message, so that the success rate leaves the episode out."""
    cause: Cause | None
    terminate_reason: str
    error: str
    turns: int
    executions: int
    erred: int | None
    """Executions that did not end well; None where the record does not tell of any."""
    proposals: int
    invalid: int
    """Turns without an action that could be parsed."""
    prompt: int
    """Tokens of the policy that ended the episode, as are the next ones; earlier attempts aside."""
    completion: int
    cached: int
    reasoning: int
    feedback_prompt: int
    feedback_completion: int
    cost: float | None
    """USD, None without prices; of the policy, and next of the feedback model."""
    feedback_cost: float | None
    seconds: float
    retries: int
    """Requests of the policy that failed at the provider and were repeated."""
    attempts: int
    """Earlier attempts at the episode, which failed for no fault of the policy."""
    restored: int
    """Turns that are those of the episode which this one continues."""
    session: int | None
    metadata: str | None
    """The task's metadata as a JSON object, where the line has it and it is short."""

    @property
    def tokens(self) -> int:
        """The policy's tokens."""
        return self.prompt + self.completion

    @property
    def own_success(self) -> bool | None:
        """Whether the policy succeeded; None where the outcome is not its own."""
        return self.success if self.counted and not self.edited else None


COLUMNS = IndexRow.__struct_fields__
TYPES: dict[str, str] = {
    name: "REAL"
    if name in ("cost", "feedback_cost", "seconds")
    else "TEXT"
    if str in (hint, *getattr(hint, "__args__", ())) or name == "cause"
    else "INTEGER"
    for name, hint in IndexRow.__annotations__.items()
}
"""SQLite's type of each column."""


class Place(NamedTuple):
    """Where a line is: the number of its file, and its bytes; lines count from 1."""

    file: int
    line: int
    start: int
    length: int


SPENT = {"spent_tokens": "", "spent_usd": "REAL", "plays": "TEXT"}
"""SQLite's type of the columns that tell what a line took, and in which plays. Tokens are text
where they are beyond SQLite's integers."""
PLAYED = (
    *("id", "task_digest", "settings_digest", "sample", "counted", "session", "attempts"),
    *SPENT,
)


class PlayedLine(NamedTuple):
    """A line of a run as resuming sees it; `plays` are the numbers of its plays that are known."""

    id: str
    task_digest: str
    settings_digest: str
    sample: int
    counted: bool
    session: int | None
    attempts: int
    tokens: int
    cost: float | None
    """What the line and its earlier attempts took, in USD; None where no cost is known."""
    plays: list[int]

    @classmethod
    def of(cls, *values: Any) -> Self:
        """Make one of the values of `PLAYED`."""
        *known, tokens, cost, plays = values
        numbers = [int(play) for play in plays.split()] if plays else []
        return cls._make([*known, int(tokens), cost, numbers])


def spent_of(record: EpisodeRecord) -> tuple[Any, ...]:
    """Return the values of the columns `SPENT`."""
    plays = plays_of(record)
    spent = sum((play.spent for play in plays), NOTHING)
    numbers = " ".join(str(play.play) for play in plays if play.play is not None)
    tokens = spent.tokens if spent.tokens < 1 << 63 else str(spent.tokens)
    return tokens, spent.cost, numbers or None


def row_of(record: EpisodeRecord, key: str, place: Place) -> tuple[Any, ...]:
    """Return the values of a record's row, in the order of `COLUMNS`; `file` is its number."""
    outcome, usage, told = record.outcome, record.usage, record.feedback_usage
    turns, counts = record.turns, record.counts
    imported = record.extra.get(MINT)
    task_type, split, metadata = ("", "", None) if imported is None else _of_published(imported)
    executed = _executions(turns)
    return (
        key,
        *place,
        record.id,
        record.model,
        record.feedback,
        record.turn_setting,
        task_type,
        record.task_name,
        split,
        record.task_id,
        record.task_digest,
        record.settings_digest,
        record.sample,
        outcome.success,
        is_counted(record),
        record.edited > 0,
        outcome.cause,
        outcome.terminate_reason,
        outcome.error[:_LONGEST_ERROR],
        len(turns),
        *executed,
        counts.propose_solution,
        counts.invalid_action,
        usage.prompt,
        usage.completion,
        usage.cached,
        usage.reasoning,
        told.prompt,
        told.completion,
        record.cost,
        record.feedback_cost,
        record.seconds,
        sum(len(turn.retries) for turn in turns),
        len(record.attempts),
        record.origin.turns if record.origin else 0,
        record.session,
        metadata,
    )


def _executions(turns: list[Turn]) -> tuple[int, int | None]:
    """Return how many cells ran, and how many of them did not end well, if that is recorded."""
    ran = erred = told = 0
    for turn in turns:
        for one in turn.actions or (turn,):
            if one.action == "execute":
                ran += 1
                told += one.status is not None
                erred += one.status not in (None, "ok")
    return ran, erred if told or not ran else None


def _of_published(imported: object) -> tuple[str, str, str | None]:
    """Return task type, split and metadata of an imported line, as far as it has them."""
    try:
        found = msgspec.convert(imported, Imported)
        metadata = found.line["task"]["metadata"]
    except (msgspec.ValidationError, KeyError, TypeError):
        return "", "", None
    if not metadata or not isinstance(metadata, dict):
        return found.task_type, found.split, None
    text = msgspec.json.encode(metadata).decode()
    return found.task_type, found.split, text if len(text) <= _LONGEST_METADATA else None
