"""The record of one finished episode: one line of ``episodes.jsonl``."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from codeact.episode.accounts import PlayAccounts
from codeact.episode.effects import Counts, Outcome, Turn, Usage, valid_seconds
from codeact.episode.messages import Message
from codeact.episode.tokens import PackedTurn, TokenReport
from codeact.exceptions import Cause

VERSION = 2
"""Of records, as they are written now; CHANGELOG.md says what each version brought.

1: one user message in front, then texts of the policy and of the environment by turns.
2: any messages in front, reasoning, tool calls and tools' messages; turns name their message.
"""
LONGEST_LINE = 1 << 28
"""The most bytes of a record's line, so that readers need bounded memory."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier attempt at an episode, which failed for no fault of the policy, and its cost.

    Its `tokens` are on their way to their own file, as those of the record.
    """

    cause: Cause
    error: str
    usage: Usage = Usage()
    feedback_usage: Usage = Usage()
    cost: float | None = None
    feedback_cost: float | None = None
    seconds: float = 0.0
    tokens: list[PackedTurn] | msgspec.UnsetType = msgspec.UNSET
    accounts: PlayAccounts | None = None


class PrefixDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Where a recorded prefix could not be restored: `turn` counts from 1, `kind` is the class."""

    turn: int
    kind: str
    recorded: str
    live: str


class EpisodeOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded episode that another one continues.

    `episode` is its id in its run folder, empty where it was published; `place` is file and line.
    Its first `turns` turns were restored: run again in the sandbox, and shown as recorded. An
    episode whose prefix came out otherwise ended there, and has the `difference`.
    """

    episode: str
    place: str
    model: str
    turn_setting: str
    sample: int
    success: bool
    turns: int
    difference: PrefixDifference | None = None


class EpisodeRecord(msgspec.Struct, kw_only=True):
    """All that a run keeps of an episode.

    `id` is unique within a run folder (`episode_id`). `session` is the number of the session in
    ``provenance.json`` that played it, None in records from before there were numbers, and in
    imported ones. `seconds` is the episode's wall time. `cost` and `feedback_cost` are in USD, None
    where no prices are configured. Tokens and costs are those of the try that ended it; earlier
    tries are in `attempts`, with theirs. An imported record has no settings digest; its `extra`
    has, under the name of the format that it came from, what no other field has a place for.
    `origin` is the recorded episode that this one continues, None where it began by itself. Of
    `edited` turns, the message is not the policy's own but a person's, and so is the `model`.
    `accounts` tell by whom tokens and costs were taken and what was free; records from before they
    were kept have none. A record without a `version` is of the first one. Where exact tokens are
    recorded, `token_report` is what they come to; the `tokens` themselves are with the record until
    a run folder writes them to a file of their own, and in no line.
    """

    id: str
    task_name: str
    task_id: str
    task_digest: str
    settings_digest: str
    sample: int
    model: str
    turn_setting: str
    feedback: str
    """``none``, or the feedback model and its kind, such as ``gpt-4/no_GT-textual``."""
    messages: list[Message]
    turns: list[Turn]
    counts: Counts
    outcome: Outcome
    version: int = 1
    prompt: str = ""
    """The prompt strategy, by which a message's actions are found; empty in older and in imported
    records, whose actions are those of `code`."""
    usage: Usage = Usage()
    feedback_usage: Usage = Usage()
    seconds: float = 0.0
    cost: float | None = None
    feedback_cost: float | None = None
    attempts: list[Attempt] = []
    reference: object = None
    extra: dict[str, Any] = {}
    session: int | None = None
    origin: EpisodeOrigin | None = None
    edited: int = 0
    token_report: TokenReport | None = None
    tokens: list[PackedTurn] | msgspec.UnsetType = msgspec.UNSET
    accounts: PlayAccounts | None = None

    def __post_init__(self) -> None:
        refuse_later(self.version)

    @property
    def opening(self) -> list[Message]:
        """The messages in front of the policy's first one."""
        if self.version == 1:
            return self.messages[:1]
        first = self.turns[0].message if self.turns else None
        return self.messages[:first]


def refuse_later(version: int) -> None:
    """Raise `ValueError` for a record's version that is later than ours."""
    if version > VERSION:
        raise ValueError(
            f"it is of version {version}, and this codeact reads versions up to {VERSION}: "
            "update codeact"
        )


EDITED = "+person"
"""Ends the name of a model in records whose messages a person has edited."""


def episode_id(task_name: str, task_id: str, settings_digest: str, sample: int) -> str:
    """Name an episode within its run folder."""
    return f"{task_name}/{task_id}/{settings_digest}/{sample}"


def without_tokens(record: EpisodeRecord) -> EpisodeRecord:
    """Return a record as its line has it: exact tokens have a file of their own."""
    attempts = [msgspec.structs.replace(one, tokens=msgspec.UNSET) for one in record.attempts]
    return msgspec.structs.replace(record, attempts=attempts, tokens=msgspec.UNSET)


def encode(record: EpisodeRecord) -> bytes:
    """Return one JSON line, without the newline."""
    return msgspec.json.encode(record)


def decode(line: bytes) -> EpisodeRecord:
    """The record of a line; raises `msgspec.MsgspecError` (a ValueError) on anything else.

    A duration that was no number, which stands as null in older lines, is read as 0.
    """
    try:
        return _DECODER.decode(line)
    except msgspec.ValidationError:
        mended = _with_durations(line)
        if mended is None:
            raise
        return mended


_DECODER = msgspec.json.Decoder(EpisodeRecord)


def _with_durations(line: bytes) -> EpisodeRecord | None:
    """The record of a line whose only fault is null for a duration; None for any other."""
    record = msgspec.json.decode(line)
    if not isinstance(record, dict):
        return None
    for part in (record, *_objects(record.get("attempts"))):
        if part.get("seconds", 0.0) is None:
            part["seconds"] = 0.0
    for turn in _objects(record.get("turns")):
        if isinstance(seconds := turn.get("seconds"), dict):
            turn["seconds"] = {k: 0.0 if v is None else v for k, v in seconds.items()}
    try:
        return msgspec.convert(record, EpisodeRecord)
    except msgspec.ValidationError:
        return None


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


class UnwritableRecord(ValueError):
    """A record holds what its line could not give back; says what and where."""


def checked_line(record: EpisodeRecord) -> bytes:
    """Return one JSON line that `decode` can read back; raises `UnwritableRecord`."""
    try:
        line = encode(record)
        # Comparing is quick; unequal values may still be equal JSON, as a tuple and a list are.
        same = _DECODER.decode(line) == record
        lost = None if same else _not_finite(msgspec.to_builtins(record), "")
    except Exception as error:
        # A field may hold anything, and fail in any way.
        raise UnwritableRecord(f"{type(error).__name__}: {_text(error)}") from error
    if lost is not None:
        raise UnwritableRecord(f"{lost or 'a value'} is no finite number")
    if b"\n" in line:
        raise UnwritableRecord("it holds JSON of more than one line")
    if len(line) > LONGEST_LINE:
        raise UnwritableRecord(f"it takes {len(line):,} bytes, and {LONGEST_LINE:,} are the limit")
    return line


def valid_line(record: EpisodeRecord) -> bytes:
    """Return the line of a record, or of its placeholder if it is an `UnwritableRecord`."""
    try:
        return checked_line(record)
    except UnwritableRecord as error:
        return checked_line(placeholder_record(record, str(error)))


def _not_finite(value: object, place: str) -> str | None:
    """Return where a number is not finite, so that JSON would write null; None if nowhere."""
    if isinstance(value, float):
        return None if math.isfinite(value) else place
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple | set | frozenset):
        items = enumerate(value)
    for key, part in items:
        if isinstance(part, str):
            continue
        if (found := _not_finite(part, f"{place}.{key}" if place else str(key))) is not None:
            return found
    return None


def placeholder_record(record: EpisodeRecord, why: str) -> EpisodeRecord:
    """Return a failure, not counted, in place of a record that is an `UnwritableRecord`.

    Texts are left out; tokens, costs and times stay, as far as they are numbers.
    """
    before = record.outcome.error if isinstance(record.outcome, Outcome) else ""
    error = f"the episode's record cannot be written: {_text(why)}"
    if before:
        error += f"; the episode itself had failed: {_text(before)}"
    return EpisodeRecord(
        id=_text(record.id),
        task_name=_text(record.task_name),
        task_id=_text(record.task_id),
        task_digest=_text(record.task_digest),
        settings_digest=_text(record.settings_digest),
        sample=_count(record.sample),
        model=_text(record.model),
        turn_setting=_text(record.turn_setting),
        feedback=_text(record.feedback),
        version=VERSION,
        prompt=_text(record.prompt),
        messages=[],
        turns=[_bare(turn) for turn in _list(record.turns) if isinstance(turn, Turn)],
        counts=_counts(record.counts),
        outcome=Outcome(
            success=False, terminate_reason="error", cause="harness", error=error[:_LONGEST_ERROR]
        ),
        usage=_usage(record.usage),
        feedback_usage=_usage(record.feedback_usage),
        seconds=_seconds(record.seconds),
        cost=_cost(record.cost),
        feedback_cost=_cost(record.feedback_cost),
        attempts=[_attempt(one) for one in _list(record.attempts) if isinstance(one, Attempt)],
        session=_count(record.session) if record.session is not None else None,
        accounts=_accounts(record.accounts),
    )


_LONGEST_ERROR = 4000
_CAUSES = (*Cause.__args__,)  # type: ignore[attr-defined]


def _bare(turn: Turn) -> Turn:
    return Turn(
        action=turn.action if turn.action in ("execute", "propose", "invalid") else "invalid",
        content="",
        usage=_usage(turn.usage),
        feedback_usage=_usage(turn.feedback_usage),
        asked_again=_count(turn.asked_again),
        seconds={
            _text(effect): _seconds(seconds)
            for effect, seconds in (turn.seconds if isinstance(turn.seconds, dict) else {}).items()
        },
        cost=_cost(turn.cost),
        feedback_cost=_cost(turn.feedback_cost),
        reused=turn.reused is True,
        feedback_reused=turn.feedback_reused is True,
    )


def _attempt(attempt: Attempt) -> Attempt:
    return Attempt(
        cause=attempt.cause if attempt.cause in _CAUSES else "harness",
        error=_text(attempt.error)[:_LONGEST_ERROR],
        usage=_usage(attempt.usage),
        feedback_usage=_usage(attempt.feedback_usage),
        cost=_cost(attempt.cost),
        feedback_cost=_cost(attempt.feedback_cost),
        seconds=_seconds(attempt.seconds),
        accounts=_accounts(attempt.accounts),
    )


def _accounts(value: object) -> PlayAccounts | None:
    """Return accounts as far as a line can hold them, else None."""
    if not isinstance(value, PlayAccounts):
        return None
    try:
        return msgspec.json.decode(msgspec.json.encode(value), type=PlayAccounts)
    except Exception:
        return None


def _text(value: object) -> str:
    """Return text that UTF-8 can encode."""
    try:
        return str(value).encode("utf-8", "replace").decode()
    except Exception:
        # An object whose str() fails, or an integer too long to be written.
        return f"<{type(value).__name__}>"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: object) -> int:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
    return value if fits else 0  # type: ignore[return-value]


def _counts(value: object) -> Counts:
    names = Counts.__struct_fields__
    return Counts(**{name: _count(getattr(value, name, 0)) for name in names})


def _usage(value: object) -> Usage:
    names = Usage.__struct_fields__
    return Usage(**{name: _count(getattr(value, name, 0)) for name in names})


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return 0.0
    try:
        return valid_seconds(float(value))
    except OverflowError:
        return 0.0


def _cost(value: object) -> float | None:
    return None if value is None else _seconds(value)
