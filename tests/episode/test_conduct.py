"""Actions a message, refusals and invented observations, of every format."""

import pytest

from codeact.episode.conduct import Conduct, conduct_of, is_invented
from codeact.episode.effects import ActionRecord, Turn
from tests.helpers.formats import BY_CODE, BY_TEXT, FORMATS, Act, Call, Run, Say, format_of, written
from tests.helpers.records import make_record

FAKES = ("\nObservation:\n42\n", "\n**Observation**: 42", "\nOut[1]: 42", "\nYour answer is wrong.")


def act_of(name: str) -> Act:
    if name == "direct":
        return Say("42")
    return Run("print(42)") if name in BY_CODE else Call("look", {})


@pytest.mark.parametrize("name", BY_TEXT)
def test_text_after_an_action_that_imitates_the_environment_is_invented(name: str) -> None:
    text = written(name, act_of(name)).text
    assert not is_invented(text, format_of(name))
    assert not is_invented(f"{text}\nI wait for the observation: then I go on.", format_of(name))
    for fake in FAKES:
        assert is_invented(text + fake, format_of(name))
        # Before the action, it is a thought of what was read.
        assert not is_invented(f"{fake}\n{text}", format_of(name))
        assert not is_invented(fake, format_of(name))


def test_text_beside_calls_is_no_place_for_the_environments_words() -> None:
    for name in ("code_tool", "tool_calls"):
        assert not is_invented("I look it up.", format_of(name))
        assert is_invented("I look it up.\nObservation: found", format_of(name))


def test_messages_and_actions_are_counted_over_a_record() -> None:
    record = make_record()
    record.messages = [
        {"role": "user", "content": "Task:\n?\n"},
        {"role": "assistant", "content": "Assistant:\n<execute>1</execute>\nObservation:\n1\n"},
        {"role": "user", "content": "Observation:\n1\n"},
        {"role": "assistant", "content": "Assistant:\n\n"},
    ]
    done = ActionRecord(action="execute", content="1")
    refused = ActionRecord(action="invalid", content="")
    record.turns = [
        Turn(action="execute", content="0", message=1, restored=True),
        Turn(action="execute", content="1", message=1),
        Turn(action="execute", content="1\n", message=3, actions=(done, refused)),
        Turn(action="propose", content="", message=3),
        Turn(action="propose", content="4", message=3),
    ]
    counted = conduct_of(record, format_of("code"))
    assert counted == Conduct(messages=4, actions=5, refused=2, invented=1)
    assert counted + counted == Conduct(messages=8, actions=10, refused=4, invented=2)


def test_a_megabyte_is_looked_through_at_once() -> None:
    for name in FORMATS:
        assert not is_invented("Observation " * 80_000 + "*" * 100_000, format_of(name))
