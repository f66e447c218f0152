"""Whether reasoning reached the model, by the growth of prompts: a server is played in numbers."""

import pytest

from codeact.episode.effects import Counts, Outcome, Turn, Usage
from codeact.episode.messages import Message
from codeact.episode.reasoning import reasoning_sent
from codeact.episode.record import EpisodeRecord

THOUGHT = 2000
"""Characters of reasoning in a turn, 500 tokens where four characters are one."""


def tokens(text: str, chars: float = 4.0) -> int:
    return round(len(text) / chars)


def played(
    kept: str, *, thoughts=(THOUGHT, THOUGHT, THOUGHT), observation=200, reported=True, digits=4.0
) -> EpisodeRecord:
    """An episode on a server that shows the model all reasoning, none, or the last message's.

    Observations have `digits` characters a token.
    """
    messages: list[Message] = [{"role": "user", "content": "t" * 4000}]
    turns = []
    for number, size in enumerate([*thoughts, 0]):
        prompt = 10 + 5 * len(messages)
        said = [m for m in messages if m["role"] == "assistant"]
        for message in messages:
            seen = kept == "keep" or (kept == "last" and message in said[-1:])
            is_observation = message["content"].startswith("9")
            prompt += tokens(message["content"], digits if is_observation else 4.0)
            prompt += tokens(message.get("reasoning", "")) if seen else 0
        written: Message = {"role": "assistant", "content": "w" * 120}
        if size:
            written["reasoning"] = "r" * size
        counted = Usage(
            prompt=prompt,
            completion=tokens("w" * 120) + tokens("r" * size),
            reasoning=tokens("r" * size) if reported else 0,
        )
        turns.append(Turn(action="execute", content="", message=len(messages), usage=counted))
        messages += [written, {"role": "user", "content": "9" * observation}]
        assert number < 10
    return EpisodeRecord(
        id="e", task_name="t", task_id="1", task_digest="", settings_digest="", sample=0,
        model="m", turn_setting="", feedback="none", messages=messages, turns=turns,
        counts=Counts(), outcome=Outcome(success=False, terminate_reason="max_steps"), version=2,
    )  # fmt: skip


def verdicts(record: EpisodeRecord) -> list[bool]:
    return [one.reached for one in reasoning_sent(record)]


@pytest.mark.parametrize("reported", [True, False])
@pytest.mark.parametrize(("kept", "reached"), [("keep", True), ("drop", False), ("last", True)])
def test_what_the_server_does_with_reasoning_is_seen_in_every_turn(kept, reached, reported):
    assert verdicts(played(kept, reported=reported)) == [reached] * 3


@pytest.mark.parametrize("kept", ["keep", "drop", "last"])
@pytest.mark.parametrize("digits", [1.0, 2.0, 6.0])
def test_observations_in_other_tokens_than_prompts_deceive_nobody(kept, digits):
    for observation in (0, 40, 200, 400, 1000, 4000):
        record = played(kept, observation=observation, digits=digits)
        expected = kept != "drop"
        assert set(verdicts(record)) <= {expected}, (observation, digits)


def test_nothing_is_said_of_reasoning_that_is_short_beside_what_is_not_known():
    assert verdicts(played("drop", thoughts=(100, 100))) == []
    assert verdicts(played("drop", observation=8000)) == []
    assert verdicts(played("keep", observation=8000)) == []


def test_only_turns_with_reasoning_are_looked_at():
    found = reasoning_sent(played("drop", thoughts=(0, THOUGHT, 0)))
    assert [(one.turn, one.reached) for one in found] == [(2, False)]
    assert found[0].reasoning == 500
    assert found[0].growth < found[0].expected + 50


def test_a_server_that_counts_no_tokens_tells_nothing():
    record = played("drop")
    for turn in record.turns:
        turn.usage = Usage()
    assert reasoning_sent(record) == []


def test_restored_and_edited_turns_are_not_judged():
    record = played("drop")
    record.turns[0].restored = True
    record.turns[2].original = "what the model wrote"
    assert [one.turn for one in reasoning_sent(record)] == [2]


def test_a_summary_of_hidden_reasoning_is_looked_for_by_its_own_length():
    """Thousands of tokens were counted, and only a summary of some hundred can come back."""
    record = played("keep", thoughts=(THOUGHT, THOUGHT))
    for turn in record.turns[:2]:
        more = Usage(completion=9000, reasoning=9000)
        turn.usage += more
    assert verdicts(record) == [True, True]


def test_text_that_was_cut_here_was_paid_for_and_did_not_go_back():
    record = played("keep")
    for turn in record.turns:
        turn.cut = True
        turn.usage += Usage(completion=3000)
    assert verdicts(record) == [True] * 3


def test_messages_that_contradict_their_turns_are_no_error():
    record = played("drop")
    record.turns[0].message = 99
    record.turns[1].message = None
    assert [one.turn for one in reasoning_sent(record)] == [3]
