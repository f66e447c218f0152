"""Feedback: its kinds, how a comment is read, and when it is asked for anew."""

import pytest

from codeact.episode import protocol
from codeact.episode.effects import Completion, Critique, Execution, Usage, Verdict
from codeact.episode.feedback import binary, words_digest
from codeact.episode.machine import Episode
from codeact.episode.prompts import CodeStrategy
from codeact.episode.settings import (
    EpisodeSettings,
    FeedbackKind,
    FeedbackSettings,
    TurnSettings,
)
from codeact.episode.task import Task

TASK = Task(name="gsm8k", id="0", prompt="How many eggs are left?", reference="42")
CELL = "<execute> 1 </execute>"


def episode(kind: FeedbackKind, *, ask_again: int = 0, ground_truth: bool = False) -> Episode:
    settings = EpisodeSettings(
        turns=TurnSettings(max_steps=5, max_propose_solution=2),
        feedback=FeedbackSettings(kind=kind, ask_again=ask_again, ground_truth=ground_truth),
    )
    return Episode(TASK, "reasoning", settings, CodeStrategy())


def act(played: Episode, text: str = CELL) -> None:
    played.advance(Completion(text))
    if "<execute>" in text:
        played.advance(Execution("Out[1]: 1\n"))
    elif "</solution>" in text:
        played.advance(Verdict(correct=False))


def comment(played: Episode, *texts: str) -> None:
    for text in texts:
        assert isinstance(played.pending, Critique)
        played.advance(Completion(text, Usage(10, 5), seconds=2.0, cost=0.25))


def heard(played: Episode) -> str:
    return played.messages[-1]["content"].partition("\n\nExpert feedback:\n")[2]


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("This is GOOD.", protocol.GOOD),
        ("This is BAD. The idea was good.", protocol.BAD),
        ("This is NOT GOOD. Divide by 3.", protocol.BAD),
        ("This is INCORRECT.", protocol.BAD),
        ("\n\nThis isn't good: 3.14 is not pi", protocol.BAD),
        ("This is not bad at all!", protocol.GOOD),
        ("GOOD\nBut the loop is wrong.", protocol.GOOD),
        ("The approach is correct, but the code is wrong.", None),
        ("This is CONFUSING. It is BAD.", None),
        ("Goodness.", None),
        ("", None),
    ],
)
def test_the_first_sentence_decides_whether_a_turn_is_good(said: str, read: str | None) -> None:
    assert binary(said) == read


def test_the_policy_reads_nothing_of_a_binary_comment_but_its_judgement() -> None:
    played = episode("binary")
    act(played)
    comment(played, "This is NOT GOOD. The answer is 42.")
    assert heard(played) == "This is BAD.\n"
    assert (played.turns[0].feedback, played.turns[0].leaks) == ("This is BAD.", ())


def test_a_binary_comment_without_a_judgement_is_asked_for_anew_and_then_the_users_failure() -> (
    None
):
    played = episode("binary")
    act(played)
    comment(played, "Hm.", "Let me see.", "This is GOOD.")
    assert (heard(played), played.turns[0].asked_again) == ("This is GOOD.\n", 2)
    assert played.feedback_usage == Usage(30, 15)
    act(played)
    comment(played, "Hm.", "Hm.", "Who knows.")
    assert played.outcome is not None
    assert (played.outcome.cause, played.pending) == ("user", None)
    assert "'Who knows.'" in played.outcome.error


def test_sparse_feedback_is_asked_for_after_proposals_alone() -> None:
    played = episode("textual_sparse")
    act(played)
    assert heard(played) == "NOT GIVEN\n"
    act(played, "no action")
    assert heard(played) == "NOT GIVEN\n"
    act(played, "<solution> without an end")
    comment(played, "Close the tag.")
    assert heard(played) == "Close the tag.\n"
    act(played)
    assert [turn.feedback for turn in played.turns].count("NOT GIVEN") == 3
    assert [turn.leaks for turn in played.turns] == [None, None, (), None]
    assert played.feedback_usage == Usage(10, 5)


def test_a_comment_that_gives_the_answer_away_is_flagged_and_passed_on() -> None:
    played = episode("textual")
    act(played)
    comment(played, "You should get 42.")
    assert heard(played) == "You should get 42.\n"
    assert (played.turns[0].leaks, played.turns[0].asked_again) == (("number: 42",), 0)
    act(played)
    comment(played, "As I said, 42.")
    assert played.turns[1].leaks == ()


def test_a_leaking_comment_is_asked_for_anew_so_often_and_everything_is_counted() -> None:
    played = episode("textual", ask_again=2)
    act(played)
    first = played.pending
    comment(played, "You should get 42.")
    assert isinstance(first, Critique)
    assert isinstance(played.pending, Critique)
    assert played.pending.messages[:1] == first.messages
    assert played.pending.messages[1] == {"role": "assistant", "content": "You should get 42."}
    comment(played, "Count again.")
    assert heard(played) == "Count again.\n"
    turn = played.turns[0]
    assert (turn.leaks, turn.asked_again, turn.feedback_usage) == ((), 1, Usage(20, 10))
    assert (turn.feedback_cost, turn.seconds["feedback"]) == (0.5, 4.0)
    act(played)
    comment(played, "It is 42.", "Really, 42.", "42!")
    assert heard(played) == "42!\n"
    assert (played.turns[1].leaks, played.turns[1].asked_again) == (("number: 42",), 2)


def test_reused_feedback_is_free_only_if_no_request_was_made() -> None:
    played = episode("textual", ask_again=1)
    act(played)
    played.advance(Completion("It is 42.", Usage(10, 5), reused=True))
    played.advance(Completion("Count.", Usage(10, 5)))
    assert not played.turns[0].feedback_reused
    act(played)
    played.advance(Completion("Go on.", Usage(10, 5), reused=True))
    assert played.turns[1].feedback_reused


@pytest.mark.parametrize("kind", ["textual", "binary", "textual_sparse"])
@pytest.mark.parametrize("ground_truth", [True, False])
def test_only_with_the_truth_is_the_reference_shown(kind: FeedbackKind, ground_truth: bool) -> None:
    played = episode(kind, ground_truth=ground_truth)
    act(played, "<solution> 7 </solution>")
    assert isinstance(played.pending, Critique)
    asked = played.pending.messages[0]["content"]
    assert ("Correct solution:\n42" in asked) is ground_truth
    assert "How many eggs are left?" in asked
    assert "<solution> 7 </solution>" in asked


def test_each_kind_has_its_own_words() -> None:
    digests = {
        words_digest(FeedbackSettings(kind=kind, ground_truth=truth))
        for kind in ("textual", "binary")
        for truth in (True, False)
    }
    assert len(digests) == 4
