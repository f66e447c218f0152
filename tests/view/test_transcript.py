"""An episode in parts: nothing is lost or added, and what was invented is told apart."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.episode.effects import ActionRecord, Turn
from codeact.view.pairs import side_by_side
from codeact.view.text import transcript_text, visible
from codeact.view.transcript import parts_of, transcript_of
from tests.helpers.records import calling_record, make_record, reasoning_record
from tests.helpers.viewing import played

PIECES = [
    "<execute>",
    "</execute>",
    "<solution>",
    "</solution>",
    "\nObservation:\n",
    "x = 1",
    "\n",
    " ",
]


@given(st.lists(st.sampled_from(PIECES)).map("".join), st.lists(st.sampled_from(PIECES[5:])))
@settings(max_examples=200, deadline=None)
def test_parts_joined_are_the_text(text: str, contents: list[str]) -> None:
    done = [ActionRecord(action="execute", content=one) for one in contents]
    assert "".join(part.text for part in parts_of(text, done)) == text


def test_code_and_answers_are_told_from_what_is_said() -> None:
    text = "I add. <execute>1 + 1</execute> so <solution>2</solution>"
    found = [(one.kind, one.text) for one in parts_of(text, ())]
    assert ("code", "1 + 1") in found
    assert ("answer", "2") in found
    assert found[0] == ("text", "I add. <execute>")


def test_code_without_tags_is_found_by_what_ran() -> None:
    text = "Like this:\n```python\nprint(2)\n```"
    (code,) = [
        one
        for one in parts_of(text, [Turn(action="execute", content="print(2)")])
        if one.kind == "code"
    ]
    assert code.text == "print(2)"


def test_an_imitated_observation_is_marked_and_nothing_before_it() -> None:
    text = "<execute>f()</execute>\nObservation:\n42\n<solution>42</solution>"
    parts = parts_of(text, ())
    assert "".join(one.text for one in parts if not one.invented) == "<execute>f()</execute>\n"
    assert [one.kind for one in parts if one.invented] == ["text", "answer", "text"]


def test_reasoning_calls_and_tokens_stand_with_their_turns() -> None:
    first, second = transcript_of(reasoning_record()).turns
    assert (first.reasoning, second.reasoning) == ("I add.\n", "So it is 2.")
    assert (first.usage.prompt, second.usage.prompt) == (30, 50)
    called = transcript_of(calling_record()).turns[0]
    assert [call["name"] for call in called.calls] == ["python", "python"]
    assert [one.text for one in called.observed] == ["2", "NameError: no"]


def test_a_record_that_contradicts_itself_keeps_its_messages() -> None:
    record = reasoning_record()
    record.turns[1].message = 2
    found = transcript_of(record)
    assert "turn 2" in found.problem
    assert [one["content"] for one in found.messages] == [one["content"] for one in record.messages]
    assert "Add 1 and 1." in transcript_text(found)


def test_what_is_printed_can_command_no_terminal() -> None:
    record = played("1", ("<execute>x</execute>", "\x1b]0;owned\x07\x1b[2J\r\x9b5A\u202eabc"))
    text = transcript_text(transcript_of(record))
    assert [one for one in text if ord(one) < 32 and one not in "\n\t"] == []
    assert not set(text) & {"\x9b", "\u202e", "\x7f"}
    assert "\u241b]0;owned\u2407" in text
    assert visible("tab\tand\r\nline") == "tab\tand\nline"


@pytest.mark.parametrize(
    ("other", "at", "by"),
    [
        (played("1", ("<execute>a</execute>", "1"), ("<solution>2</solution>", "")), None, ""),
        (played("1", ("<execute>b</execute>", "1"), ("<solution>2</solution>", "")), 1, "action"),
        (
            played("1", ("<execute>a</execute>", "9"), ("<solution>2</solution>", "")),
            1,
            "observation",
        ),
        (played("1", ("<execute>a</execute>", "1"), ("<solution>3</solution>", "")), 2, "action"),
        (played("1", ("<execute>a</execute>", "1")), 2, "length"),
        (
            played(
                "1", ("<execute>a</execute>", "1"), ("<solution>2</solution>", ""), task="Add 2."
            ),
            0,
            "opening",
        ),
        (
            played("1", ("<execute>b</execute>", "1"), task="Add 2."),
            1,
            "action",
        ),
    ],
)
def test_runs_part_where_they_first_differ(other: object, at: int | None, by: str) -> None:
    one = transcript_of(played("1", ("<execute>a</execute>", "1"), ("<solution>2</solution>", "")))
    both = side_by_side(one, transcript_of(other))  # type: ignore[arg-type]
    assert (both.parts_at, both.parts_by) == (at, by)
    turned = side_by_side(transcript_of(other), one)  # type: ignore[arg-type]
    assert (turned.parts_at, turned.parts_by) == (at, by)


def test_records_of_the_first_version_are_read_too() -> None:
    found = transcript_of(make_record(observation="3"))
    assert len(found.turns) == 1
    assert found.turns[0].observed[0].text == "3"
