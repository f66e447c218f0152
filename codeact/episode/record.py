"""The record of one finished episode: one line of ``episodes.jsonl``."""

import msgspec

from codeact.episode.effects import Counts, Message, Outcome, Turn, Usage


class EpisodeRecord(msgspec.Struct, kw_only=True):
    """All that a run keeps of an episode.

    `id` is unique within a run folder: ``<task name>/<task id>/<settings digest>/<sample>``.
    `seconds` is the episode's wall time; `cost` in USD, None where no prices are configured.
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
    reference: object = None


def encode(record: EpisodeRecord) -> bytes:
    """One JSON line, without the newline."""
    return msgspec.json.encode(record)


def decode(line: bytes) -> EpisodeRecord:
    """The record of a line; raises `msgspec.MsgspecError` (a ValueError) on anything else."""
    return msgspec.json.decode(line, type=EpisodeRecord)
