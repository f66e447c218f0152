"""A record without its texts tells the same of an episode's numbers, in little room."""

import typing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codeact.episode.effects import ActionRecord, Turn
from codeact.episode.record import EpisodeRecord, decode, encode
from codeact.episode.textless import (
    TextlessRecord,
    TextlessTurn,
    as_textless,
    decode_textless,
    decode_whole,
    without_texts,
)
from codeact.experiment.summary import Summary
from codeact.recordings.run_folder import read_records
from tests.episode.test_record import RECORD
from tests.helpers.records import calling_record, reasoning_record

DATA = Path(__file__).parents[1] / "data"


def numbers(*records: EpisodeRecord) -> object:
    summary = Summary()
    for record in records:
        summary.add(record)
    return summary.document()


def stripped(record: EpisodeRecord) -> TextlessRecord:
    return decode_textless(without_texts(decode_whole(encode(record))))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(RECORD, max_size=3))
def test_any_records_are_summed_up_alike_without_their_texts(records: list[EpisodeRecord]) -> None:
    assert numbers(*map(stripped, records)) == numbers(*records)


def invented() -> EpisodeRecord:
    """A policy that goes on in the environment's words, and acts twice in a turn."""
    record = reasoning_record()
    record.messages[1]["content"] += "\nObservation:\nOut[1]: 3\n"
    record.turns[1].actions = (
        ActionRecord(action="invalid", content=""),
        ActionRecord(action="execute", content=""),
        ActionRecord(action="propose", content="2"),
    )
    return record


def edited() -> EpisodeRecord:
    record = reasoning_record()
    record.turns[0].text = "<execute> 1 </execute>\nYou have 3 steps left"
    record.turns[1].original, record.edited = "no", 1
    return record


def lost_message() -> EpisodeRecord:
    record = reasoning_record()
    record.turns[1].message = 77
    return record


@pytest.mark.parametrize("made", [reasoning_record, calling_record, invented, edited])
def test_what_texts_tell_of_conduct_and_reasoning_is_kept(made: typing.Any) -> None:
    assert numbers(stripped(made())) == numbers(made())
    assert numbers(invented())["conduct"]["invented"] == 1  # type: ignore[index]
    assert numbers(reasoning_record())["overall"]["reasoning_checked"] is not None  # type: ignore[index]


def test_a_turn_that_names_no_message_is_no_reason_to_fail() -> None:
    assert numbers(stripped(lost_message())) == numbers(lost_message())


@pytest.mark.parametrize("folder", ["run_of_version_1", "run_of_version_2", "run_of_version_3"])
def test_records_of_every_version_are_summed_up_alike(folder: str) -> None:
    records = list(read_records(DATA / folder))
    assert numbers(*map(stripped, records)) == numbers(*records)


def test_texts_are_gone() -> None:
    secret = "a text that is nowhere else"
    record = invented()
    record.reference = record.extra["note"] = secret
    for turn in record.turns:
        turn.content = turn.observation = turn.detail = turn.feedback = turn.original = secret
        turn.retries = (secret,)
        turn.actions = (ActionRecord(action="execute", content=secret, observation=secret),)
    for message in record.messages:
        message["content"] = message["reasoning"] = secret
    assert secret.encode() not in without_texts(as_textless(record))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORD)
def test_a_line_is_read_whole_before_its_texts_go(record: EpisodeRecord) -> None:
    for whole in (decode_whole(encode(record)), as_textless(record)):
        assert encode(whole) == encode(as_textless(decode(encode(record))))


def test_a_line_is_refused_for_the_same_reasons() -> None:
    """Names, types and required fields are those of a record; only tokens have another default."""
    for ours, theirs in ((TextlessRecord, EpisodeRecord), (TextlessTurn, Turn)):
        hints, others = typing.get_type_hints(ours), typing.get_type_hints(theirs)
        required = {one.name: one.required for one in msgspec.structs.fields(ours)}
        for field in msgspec.structs.fields(theirs):
            assert required[field.name] == field.required, field.name
            assert field.name == "turns" or hints[field.name] == others[field.name]
    with pytest.raises(msgspec.ValidationError, match="task_id"):
        decode_whole(encode(reasoning_record()).replace(b'"task_id":"1"', b'"task_id":1'))
    mended = decode_whole(encode(reasoning_record()).replace(b'"seconds":0.0', b'"seconds":null'))
    assert mended.seconds == 0.0
