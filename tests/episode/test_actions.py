"""Messages that are several actions, and conversations that begin and go on with any messages."""

from collections.abc import Sequence
from typing import Any

import pytest

from codeact.episode import protocol
from codeact.episode.effects import (
    Complete,
    Completion,
    Counts,
    Critique,
    Execute,
    Execution,
    Failure,
    Grade,
    Verdict,
)
from codeact.episode.machine import Episode
from codeact.episode.messages import (
    Answer,
    Message,
    RequestOptions,
    ToolCall,
    ToolSchema,
)
from codeact.episode.prompts import Action, CodeStrategy, Observation, PromptStrategy
from codeact.episode.settings import EpisodeSettings, FeedbackSettings, TurnSettings
from codeact.episode.task import Task, ToolSpec
from tests.helpers.calling_strategy import KINDS, CallingStrategy

TASK = Task(name="gsm8k", id="0", prompt="How many?", reference="42")
FIVE = TurnSettings(max_steps=5, max_propose_solution=2)
PYTHON = ToolSchema("python", "Runs code.", {"type": "object"})


class Calls(CallingStrategy):
    """Arguments are code and answers as they stand, and observations are all that comes back."""

    name = "calls"
    instruction = "Call functions."
    functions = (PYTHON,)

    def actions(
        self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
    ) -> list[Action]:
        return [
            Action(
                KINDS.get(call["name"], "invalid"),
                call["arguments"],
                None if call["name"] in KINDS else "No such function.",
                call["id"],
            )
            for call in answer.tool_calls
        ] or [Action("invalid", "", "Call a function.")]

    def environment(self, observations: Sequence[Observation], *rest: Any) -> list[Message]:
        return [
            {"role": "tool", "content": one.text, "tool_call_id": one.tool_call_id or ""}
            for one in observations
        ]


def episode(feedback: FeedbackSettings | None = None) -> Episode:
    settings = EpisodeSettings(turns=FIVE, feedback=feedback or FeedbackSettings())
    return Episode(TASK, "reasoning", settings, Calls())


def calls(*made: tuple[str, str], text: str = "", reasoning: str | None = None) -> Completion:
    listed = tuple(
        ToolCall(id=f"c{number}", name=name, arguments=arguments)
        for number, (name, arguments) in enumerate(made)
    )
    return Completion(text, tool_calls=listed, reasoning=reasoning)


def test_the_request_has_the_strategys_messages_and_options() -> None:
    assert isinstance(Calls(), PromptStrategy)
    effect = episode().pending
    assert isinstance(effect, Complete)
    assert [message["role"] for message in effect.messages] == ["system", "user"]
    assert effect.options == RequestOptions(tools=(PYTHON,))


def test_several_calls_run_in_order_in_one_turn_and_each_has_its_own_message() -> None:
    played = episode()
    played.advance(calls(("python", "a"), ("fly", "b"), ("python", "c"), reasoning="Both."))
    assert played.pending == Execute("a", 0)
    played.advance(Execution("1", seconds=1.0))
    assert played.pending == Execute("c", 0)
    played.advance(Execution("2", "error", seconds=2.0))
    assert isinstance(played.pending, Complete)
    assert played.counts == Counts(use_tool=1)
    (turn,) = played.turns
    assert (turn.action, turn.content, turn.observation) == (
        "execute",
        "a\nb\nc",
        "1\nNo such function.\n2",
    )
    assert turn.status == "error"
    assert turn.seconds["sandbox"] == 3.0
    assert [(one.action, one.observation, one.tool_call_id) for one in turn.actions] == [
        ("execute", "1", "c0"),
        ("invalid", "No such function.", "c1"),
        ("execute", "2", "c2"),
    ]
    assert turn.message == 2
    assistant = played.messages[turn.message]
    assert assistant["reasoning"] == "Both."
    assert [call["id"] for call in assistant["tool_calls"]] == ["c0", "c1", "c2"]
    assert [(one["role"], one.get("tool_call_id")) for one in played.messages[3:]] == [
        ("tool", "c0"),
        ("tool", "c1"),
        ("tool", "c2"),
    ]


def test_a_message_is_one_proposal_however_many_answers_it_has() -> None:
    played = episode()
    played.advance(calls(("python", "a"), ("answer", "41"), ("answer", "42"), ("python", "b")))
    played.advance(Execution("1"))
    assert played.pending == Grade("41", 0)
    played.advance(Verdict(correct=False))
    assert isinstance(played.pending, Complete)
    assert played.counts == Counts(propose_solution=1)
    assert [one.observation for one in played.turns[0].actions] == [
        "1",
        protocol.WRONG_ANSWER,
        protocol.NOT_PERFORMED,
        protocol.NOT_PERFORMED,
    ]
    assert [message["content"] for message in played.messages[-2:]] == [protocol.NOT_PERFORMED] * 2
    played.advance(calls(("answer", "42"), ("python", "c")))
    played.advance(Verdict(correct=True))
    assert played.outcome is not None
    assert played.outcome.success
    assert played.turns[1].correct


def test_a_world_that_is_solved_ends_the_turn_at_once() -> None:
    played = episode()
    played.advance(calls(("python", "a"), ("python", "b")))
    played.advance(Execution("1", solved=True))
    assert played.outcome is not None
    assert played.outcome.success
    assert [one.content for one in played.turns[0].actions] == ["a"]


def test_a_failure_in_the_middle_of_a_turn_keeps_what_was_done() -> None:
    played = episode()
    played.advance(calls(("python", "a"), ("python", "b")))
    played.advance(Execution("1"))
    played.advance(Failure("sandbox", "it is gone"))
    assert played.outcome is not None
    assert played.outcome.cause == "sandbox"
    assert [one.observation for one in played.turns[0].actions] == ["1"]


def test_the_feedback_model_reads_calls_and_results_and_no_reasoning() -> None:
    played = episode(FeedbackSettings(kind="textual"))
    played.advance(calls(("python", "print(6 * 7)"), text="So:", reasoning="a secret plan"))
    played.advance(Execution("It prints 42"))
    assert isinstance(played.pending, Critique)
    (asked,) = played.pending.messages
    assert "So:\npython(print(6 * 7))\n\nIt prints 42" in asked["content"]
    assert "secret" not in asked["content"]
    assert "Call functions." not in asked["content"]


def test_what_was_written_is_kept_where_the_message_does_not_give_it() -> None:
    played = episode()
    played.advance(Completion("Assistant:\nx\n"))
    played.advance(Completion("x"))
    assert [turn.text for turn in played.turns] == ["Assistant:\nx\n", None]


def test_a_strategy_that_finds_no_action_is_at_fault() -> None:
    class Silent(Calls):
        def actions(
            self, answer: Answer, turns: TurnSettings, tools: tuple[ToolSpec, ...]
        ) -> list[Action]:
            return []

    played = Episode(TASK, "reasoning", EpisodeSettings(turns=FIVE), Silent())
    with pytest.raises(ValueError, match="found no action"):
        played.advance(Completion("x"))


def test_code_is_read_from_the_text_alone_and_reasoning_is_kept() -> None:
    settings = EpisodeSettings(turns=FIVE)
    played = Episode(TASK, "reasoning", settings, CodeStrategy())
    played.advance(Completion("", reasoning="<solution> 42 </solution>"))
    played.advance(
        Completion("<execute> 1 </execute>", reasoning="", tool_calls=calls(("f", "{")).tool_calls)
    )
    assert played.pending == Execute("1", 1)
    first, second = (played.messages[turn.message or 0] for turn in played.turns)
    assert played.turns[0].observation == protocol.PARSE_FAILURE
    assert (first["content"], first["reasoning"]) == (
        "Assistant:\n",
        "<solution> 42 </solution>",
    )
    assert (second["reasoning"], second["tool_calls"][0]["arguments"]) == ("", "{")
