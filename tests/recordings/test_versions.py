"""Records of every version are read for ever; those of a later one are refused with a reason."""

import json
from pathlib import Path

import pytest

from codeact.episode.effects import ActionRecord, Turn
from codeact.episode.messages import ToolCall
from codeact.episode.record import VERSION, EpisodeRecord, encode
from codeact.exceptions import RecordingError, RunFolderError
from codeact.recordings.episodes import read_recordings
from codeact.recordings.run_folder import EPISODES, read_records
from tests.helpers.records import make_record

DATA = Path(__file__).parents[1] / "data"


def written(folder: Path, *records: EpisodeRecord) -> Path:
    (folder / EPISODES).write_bytes(b"".join(encode(record) + b"\n" for record in records))
    return folder


@pytest.mark.parametrize(
    ("folder", "version"),
    [("run_of_version_1", 1), ("run_of_version_2", 1), ("run_of_version_3", 2)],
)
def test_a_folder_of_every_version_is_read(folder: str, version: int) -> None:
    records = list(read_records(DATA / folder))
    assert {record.version for record in records} == {version}
    episodes = list(read_recordings(DATA / folder))
    assert len(episodes) == len(records) == 2
    for record, episode in zip(records, episodes, strict=True):
        assert episode.opening == tuple(record.messages[:1])
        assert len(episode.turns) == len(record.turns)
        shown = [turn.environment.observation for turn in episode.turns if turn.environment]
        assert shown == [turn.observation for turn in record.turns][: len(shown)]
        assert [turn.text for turn in episode.turns] == [
            message["content"].removeprefix("Assistant:\n").removesuffix("\n")
            for message in record.messages
            if message["role"] == "assistant"
        ]


def test_a_folder_of_today_keeps_reasoning_and_calls_for_ever() -> None:
    for episode in read_recordings(DATA / "run_of_version_3"):
        assert {turn.answer.reasoning for turn in episode.turns} == {"Six times seven."}
        assert [len(turn.answer.tool_calls) for turn in episode.turns] == [1, 0, 0]
        assert episode.turns[0].answer.tool_calls[0]["arguments"] == "{not JSON"
        assert episode.turns[0].observations == ("42",)


def test_a_record_of_a_later_version_is_refused_with_its_line(tmp_path: Path) -> None:
    line = json.loads(encode(make_record())) | {"version": VERSION + 1}
    (tmp_path / EPISODES).write_text(json.dumps(line) + "\n")
    with pytest.raises(RunFolderError, match=rf"line 1.*version {VERSION + 1}.*update codeact"):
        list(read_records(tmp_path))
    with pytest.raises(RecordingError, match="update codeact"):
        list(read_recordings(tmp_path))


def today(**changes: object) -> EpisodeRecord:
    record = make_record()
    call = ToolCall(id="c", name="python", arguments="{not JSON")
    record.version = VERSION
    record.messages = [
        {"role": "system", "content": "Call functions."},
        {"role": "user", "content": "Task:\n?\n"},
        {"role": "assistant", "content": "", "reasoning": "Hm.", "tool_calls": [call]},
        {"role": "tool", "content": "1", "tool_call_id": "c"},
    ]
    record.turns = [
        Turn(
            action="execute",
            content="{not JSON",
            message=2,
            observation="1\n2",
            feedback="Go on.",
            actions=(
                ActionRecord(action="execute", content="", observation="1", tool_call_id="c"),
                ActionRecord(action="execute", content="", observation="2"),
            ),
        )
    ]
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def test_reasoning_calls_and_results_are_read_back(tmp_path: Path) -> None:
    (episode,) = read_recordings(written(tmp_path, today()))
    assert [message["role"] for message in episode.opening] == ["system", "user"]
    (turn,) = episode.turns
    assert (turn.text, turn.answer.reasoning) == ("", "Hm.")
    assert turn.answer.tool_calls[0]["arguments"] == "{not JSON"
    assert turn.observations == ("1", "2")
    assert turn.environment is not None
    assert (turn.environment.observation, turn.environment.feedback) == ("1\n2", "Go on.")


def test_the_text_is_that_of_the_turn_where_the_message_has_another(tmp_path: Path) -> None:
    record = today()
    record.messages[2] = {"role": "assistant", "content": "Assistant:\nx\n"}
    record.turns[0].text = "Assistant:\nx\n"
    (episode,) = read_recordings(written(tmp_path, record))
    assert episode.turns[0].text == "Assistant:\nx\n"


@pytest.mark.parametrize(
    ("message", "words"),
    [(None, "names no message"), (9, "names no message"), (3, "names a message of the tool")],
)
def test_a_turn_that_names_no_message_of_the_policy_is_refused(
    tmp_path: Path, message: int | None, words: str
) -> None:
    record = today()
    record.turns[0].message = message
    with pytest.raises(RecordingError, match=f"turn 1 {words}"):
        list(read_recordings(written(tmp_path, record)))


def test_a_failure_before_the_first_turn_is_all_opening(tmp_path: Path) -> None:
    record = today(turns=[])
    record.messages = record.messages[:2]
    record.outcome = make_record(cause="provider").outcome
    (episode,) = read_recordings(written(tmp_path, record))
    assert len(episode.opening) == 2
    assert episode.turns == ()
