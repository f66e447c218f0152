"""The record of one finished episode: one line of ``episodes.jsonl``."""

from typing import Any

import msgspec

from codeact.episode.effects import Counts, Message, Outcome, Turn, Usage
from codeact.exceptions import Cause


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier try at an episode that failed for no fault of the policy's, and what it took."""

    cause: Cause
    error: str
    usage: Usage = Usage()
    feedback_usage: Usage = Usage()
    cost: float | None = None
    feedback_cost: float | None = None
    seconds: float = 0.0


class EpisodeRecord(msgspec.Struct, kw_only=True):
    """All that a run keeps of an episode.

    `id` is unique within a run folder: ``<task name>/<task id>/<settings digest>/<sample>``.
    `seconds` is the episode's wall time. `cost` and `feedback_cost` are in USD, None where no
    prices are configured. Tokens and costs are those of the try that ended it; earlier tries are
    in `attempts`, with theirs. An imported record has no settings digest; its `extra` has, under
    the name of the format that it came from, what no other field has a place for.
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
    usage: Usage = Usage()
    feedback_usage: Usage = Usage()
    seconds: float = 0.0
    cost: float | None = None
    feedback_cost: float | None = None
    attempts: list[Attempt] = []
    reference: object = None
    extra: dict[str, Any] = {}


def encode(record: EpisodeRecord) -> bytes:
    """One JSON line, without the newline."""
    return msgspec.json.encode(record)


def decode(line: bytes) -> EpisodeRecord:
    """The record of a line; raises `msgspec.MsgspecError` (a ValueError) on anything else."""
    return msgspec.json.decode(line, type=EpisodeRecord)
