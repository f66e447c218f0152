"""Records without their texts: what summaries and accounts need of an episode, in little room."""

from collections.abc import Sequence
from typing import Any

import msgspec

from codeact.episode.conduct import could_be_invented, written_in
from codeact.episode.effects import ActionRecord, Turn, Usage
from codeact.episode.reasoning import ReasoningSent, reasoning_sent
from codeact.episode.record import EpisodeRecord, decode

_NO_TOKENS = Usage()
"""One object for all, since only a default that is the very same is left out of the bytes."""


class TextlessTurn(Turn, omit_defaults=True, kw_only=True):
    """A turn without what was said and run in it."""

    usage: Usage = _NO_TOKENS
    feedback_usage: Usage = _NO_TOKENS


class TextlessRecord(EpisodeRecord, omit_defaults=True, kw_only=True):
    """A record without messages, reference and `extra`; all numbers and the outcome are there.

    `judged` is what its messages told of reasoning that was sent back.
    """

    turns: list[TextlessTurn]  # type: ignore[assignment]
    usage: Usage = _NO_TOKENS
    feedback_usage: Usage = _NO_TOKENS
    judged: tuple[ReasoningSent, ...] = ()


_LINE = msgspec.json.Decoder(TextlessRecord)
_ENCODER = msgspec.json.Encoder()


def decode_whole(line: bytes) -> TextlessRecord:
    """Return the record of a line with all its texts, which `without_texts` removes later.

    Raises `msgspec.MsgspecError` (a ValueError) for exactly what `codeact.episode.record.decode`
    does.
    """
    try:
        return _LINE.decode(line)
    except msgspec.ValidationError:
        return as_textless(decode(line))


def as_textless(record: EpisodeRecord) -> TextlessRecord:
    """Return a record, its texts still there, in the form that `without_texts` takes."""
    turns = [TextlessTurn(**_fields(turn)) for turn in record.turns]
    return TextlessRecord(**{**_fields(record), "turns": turns})


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def without_texts(record: TextlessRecord) -> bytes:
    """Take the texts out of a record, and return the rest in bytes for `decode_textless`.

    Of what was run or proposed a character stays, since it counts whether there was anything. What
    the policy wrote stays only where it may have invented an observation.
    """
    record.judged = tuple(reasoning_sent(record))
    for turn in record.turns:
        text = written_in(turn, record)
        turn.text = text if could_be_invented(text) else ""
    record.messages, record.reference, record.extra = [], None, {}
    for turn in record.turns:
        turn.content = turn.content[:1]
        turn.actions = tuple(map(_textless_action, turn.actions))
        turn.observation = turn.detail = ""
        turn.original = turn.feedback = None
        turn.retries = ()
        _share_nothing(turn)
    _share_nothing(record)
    return _ENCODER.encode(record)


def _textless_action(action: ActionRecord) -> ActionRecord:
    return ActionRecord(action=action.action, content=action.content[:1], status=action.status)


def _share_nothing(taken: TextlessTurn | TextlessRecord) -> None:
    if taken.usage == _NO_TOKENS:
        taken.usage = _NO_TOKENS
    if taken.feedback_usage == _NO_TOKENS:
        taken.feedback_usage = _NO_TOKENS


decode_textless = _LINE.decode


def reasoning_of(record: EpisodeRecord) -> Sequence[ReasoningSent]:
    """Return what a record tells of reasoning that was sent back, with its texts or without."""
    return record.judged if isinstance(record, TextlessRecord) else reasoning_sent(record)
