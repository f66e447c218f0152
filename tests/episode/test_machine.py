"""The state machine: counters, endings, messages, feedback, limits (docs/protocol.md)."""

import math
import re
from pathlib import Path

import pytest

from codeact.datasets.families import get, names
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
    Usage,
    Verdict,
)
from codeact.episode.machine import Episode
from codeact.episode.prompts import CodeStrategy
from codeact.episode.settings import EpisodeSettings, FeedbackSettings, LimitSettings, TurnSettings
from codeact.episode.task import Task, ToolSpec
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.config.validation import validated
from codeact.resources import data_folder
from codeact.sample import encyclopaedia_path
from codeact.tools import open_toolbox
from codeact.tools.settings import SPEC

TASK = Task(name="gsm8k", id="0", prompt="How many?", reference="42")
FIVE = TurnSettings(max_steps=5, max_propose_solution=2)


def episode(
    steps: int = 5,
    proposals: int = 2,
    *,
    use_tools: bool = True,
    count_down: bool = True,
    feedback: FeedbackSettings | None = None,
    limits: LimitSettings | None = None,
    tools: tuple[ToolSpec, ...] = (),
) -> Episode:
    settings = EpisodeSettings(
        turns=TurnSettings(
            max_steps=steps,
            max_propose_solution=proposals,
            use_tools=use_tools,
            count_down=count_down,
        ),
        feedback=feedback or FeedbackSettings(),
        limits=limits or LimitSettings(),
    )
    return Episode(TASK, "reasoning", settings, CodeStrategy(), tools=tools)


def say(played: Episode, text: str) -> None:
    assert isinstance(played.pending, Complete)
    played.advance(Completion(text))


def test_a_right_proposal_ends_the_episode_and_logs_no_further_message() -> None:
    played = episode()
    say(played, "It is <solution> 42 </solution>")
    assert played.pending == Grade("42", 0)
    played.advance(Verdict(correct=True))
    assert played.pending is None
    assert played.outcome is not None
    assert played.outcome.terminate_reason == "task_success"
    assert [m["role"] for m in played.messages] == ["user", "assistant"]
    assert played.messages[-1]["content"] == "Assistant:\nIt is <solution> 42 </solution>\n"


def test_a_world_that_reports_the_task_solved_ends_the_episode_without_a_proposal() -> None:
    asks = FeedbackSettings(kind="textual")
    for status in ("ok", "error", "timeout", "killed"):
        one = episode(steps=2, feedback=asks)
        one.advance(Completion("<execute> act() </execute>"))
        one.advance(Execution("Done.", status=status, solved=True))
        assert one.pending is None
        assert one.outcome is not None
        assert (one.outcome.success, one.outcome.terminate_reason) == (True, "task_success")
        assert [message["role"] for message in one.messages] == ["user", "assistant"]
        assert one.counts == Counts(use_tool=1)
        assert (one.turns[0].observation, one.turns[0].correct) == ("Done.", None)


def test_a_world_may_be_solved_in_the_last_step() -> None:
    one = episode(steps=1, proposals=1)
    one.advance(Completion("<execute> act() </execute>"))
    one.advance(Execution("Done.", solved=True))
    assert one.outcome is not None
    assert one.outcome.success


def test_the_environment_counts_down_and_nudges_before_the_last_step() -> None:
    played = episode(steps=2)
    say(played, "<execute> print(1) </execute>")
    assert played.pending == Execute("print(1)", 0)
    played.advance(Execution("1\n"))
    assert played.messages[-1]["content"] == (
        "Observation:\n1\n"
        "You have 1 steps left and 2 chances to propose solution left.\n"
        "You should take the last step to propose a solution.\n"
    )


def test_without_count_down_the_message_is_the_observation_alone() -> None:
    played = episode(count_down=False)
    say(played, "<solution>1</solution>")
    played.advance(Verdict(correct=False))
    assert played.messages[-1]["content"] == "Observation:\nYour answer is wrong.\n"


def test_proposals_run_out_before_steps_do() -> None:
    played = episode(steps=5, proposals=2)
    for _ in range(2):
        say(played, "<solution>1</solution>")
        played.advance(Verdict(correct=False))
    assert played.outcome is not None
    assert played.outcome.terminate_reason == "max_propose_steps"
    assert played.messages[-1]["content"].startswith("Observation:\nYour answer is wrong.\n")


def test_when_both_run_out_the_proposals_are_named() -> None:
    played = episode(steps=1, proposals=1)
    say(played, "<solution>1</solution>")
    played.advance(Verdict(correct=False))
    assert played.outcome is not None
    assert played.outcome.terminate_reason == "max_propose_steps"


def test_an_unparsed_proposal_counts_as_a_proposal_and_is_not_graded() -> None:
    played = episode()
    say(played, "<solution> never closed")
    assert isinstance(played.pending, Complete)
    assert (played.counts.propose_solution, played.counts.invalid_action) == (1, 0)
    assert protocol.PARSE_FAILURE in played.messages[-1]["content"]


@pytest.mark.parametrize("text", ["", "  \n ", "no tags", "<execute></execute>", "<execute> open"])
def test_what_cannot_be_parsed_is_an_invalid_action(text: str) -> None:
    played = episode(steps=1, proposals=1)
    say(played, text)
    assert played.counts.invalid_action == 1
    assert played.outcome is not None
    assert played.outcome.terminate_reason == "max_steps"


def test_a_solution_wins_over_code_in_the_same_message() -> None:
    played = episode()
    say(played, "<execute> 1 </execute> <solution> a </solution> <solution> b </solution>")
    assert played.pending == Grade("a\nb", 0)


def test_all_cells_of_a_message_run_as_one() -> None:
    played = episode()
    say(played, "<execute> a = 1 </execute> and <execute>\na\n</execute>")
    assert played.pending == Execute("a = 1\na", 0)


def test_code_is_an_invalid_action_without_tools() -> None:
    played = episode(use_tools=False)
    say(played, "<execute> 1 </execute>")
    assert played.counts.invalid_action == 1


@pytest.mark.parametrize(
    ("output", "observation"),
    [
        ("", protocol.NO_OUTPUT),
        ("\n", ""),
        ("x" * 2000, "x" * 2000),
        ("x" * 2001, "x" * 2000 + "...\n[Output Truncated]"),
        (" " * 1999 + "yyy", "y...\n[Output Truncated]"),
    ],
)
def test_observations_are_cut_and_stripped_in_the_published_order(
    output: str, observation: str
) -> None:
    assert protocol.render_output(output) == observation


def test_a_lost_interpreter_is_told_however_long_the_output() -> None:
    played = episode()
    say(played, "<execute> 1 </execute>")
    lost = Execution("x" * 5000 + "\n[stopped]", status="killed", state_lost=True)
    played.advance(lost)
    assert played.turns[0].observation == "x" * 2000 + "...\n[Output Truncated]\n[stopped]"
    assert protocol.render_execution("[stopped]", state_lost=True) == "[stopped]"


def test_feedback_is_asked_for_only_while_the_episode_goes_on() -> None:
    played = episode(steps=2, feedback=FeedbackSettings(kind="textual", ground_truth=True))
    say(played, "<execute> 1 </execute>")
    played.advance(Execution("Out[1]: 1\n"))
    assert isinstance(played.pending, Critique)
    question = played.pending.messages[0]["content"]
    assert "Correct solution:\n42" in question
    assert "Task:\nHow many?" in question
    assert "Out[1]: 1" in question
    played.advance(Completion(" Good. \n", Usage(7, 3)))
    assert played.messages[-1]["content"].endswith("\n\nExpert feedback:\nGood.\n")
    assert (played.usage.total, played.feedback_usage.total) == (0, 10)
    say(played, "<execute> 2 </execute>")
    played.advance(Execution("Out[2]: 2\n"))
    assert played.pending is None


def test_the_reference_stays_hidden_from_feedback_without_ground_truth() -> None:
    played = episode(feedback=FeedbackSettings(kind="textual", ground_truth=False))
    say(played, "nothing")
    assert isinstance(played.pending, Critique)
    assert "42" not in played.pending.messages[0]["content"].split("---", 1)[1].replace(
        protocol.PARSE_FAILURE.strip(), ""
    )


def test_a_failure_ends_the_episode_with_its_cause() -> None:
    played = episode()
    played.advance(Failure("provider", "the server is down"))
    assert played.pending is None
    assert played.outcome is not None
    assert played.outcome.cause == "provider"
    assert played.outcome.terminate_reason == "error"


def test_tokens_are_bounded_over_the_episode() -> None:
    played = episode(limits=LimitSettings(max_tokens=100))
    played.advance(Completion("<execute> 1 </execute>", Usage(60, 39)))
    played.advance(Execution("1"))
    assert played.outcome is None
    played.advance(Completion("<execute> 1 </execute>", Usage(60, 39)))
    played.advance(Execution("1"))
    assert played.outcome is not None
    assert played.outcome.terminate_reason == "max_tokens"


def test_wall_time_is_the_sum_of_what_effects_took() -> None:
    played = episode(limits=LimitSettings(max_seconds=2.0))
    played.advance(Completion("<execute> 1 </execute>", seconds=1.5))
    played.advance(Failure("harness", "cut short", seconds=0.5, out_of_time=True))
    assert played.outcome is not None
    assert played.outcome.terminate_reason == "max_seconds"
    assert played.outcome.cause is None


def test_every_result_belongs_to_its_own_turn() -> None:
    feedback = FeedbackSettings(kind="textual")
    played = episode(feedback=feedback)
    for number, text in enumerate(("<execute> 1 </execute>", "<solution> 7 </solution>") * 2):
        played.advance(Completion(text, Usage(number, 1), seconds=1.0 + number))
        if "execute" in text:
            played.advance(Execution(str(number), "error", seconds=10.0 + number))
        else:
            played.advance(Verdict(number == 3, str(number), seconds=10.0 + number))
        if played.outcome is None:
            played.advance(Completion(f"Say {number}.", Usage(5, number), seconds=20.0 + number))
    cells, proposals = played.turns[::2], played.turns[1::2]
    assert [(turn.observation, turn.status) for turn in cells] == [("0", "error"), ("2", "error")]
    assert [(turn.correct, turn.detail) for turn in proposals] == [(False, "1"), (True, "3")]
    assert [turn.feedback for turn in played.turns] == ["Say 0.", "Say 1.", "Say 2.", None]
    assert [turn.usage.prompt for turn in played.turns] == [0, 1, 2, 3]
    assert [turn.feedback_usage.completion for turn in played.turns] == [0, 1, 2, 0]
    assert [turn.seconds.get("sandbox") for turn in cells] == [10.0, 12.0]
    assert [turn.seconds.get("grader") for turn in proposals] == [11.0, 13.0]
    assert played.seconds == sum(sum(turn.seconds.values()) for turn in played.turns)


def test_what_takes_no_time_and_no_tokens_costs_none() -> None:
    played = episode()
    played.advance(Completion("<execute> 1 </execute>"))
    played.advance(Execution("1"))
    played.advance(Completion("<solution> 42 </solution>"))
    played.advance(Verdict(correct=True))
    assert (played.seconds, played.usage, played.feedback_usage) == (0.0, Usage(), Usage())
    assert (played.cost, played.feedback_cost) == (None, None)
    assert (Failure("provider", "gone").seconds, Usage().total, Counts().steps) == (0.0, 0, 0)


@pytest.mark.parametrize(
    ("seconds", "counted"),
    [(1.5, 1.5), (0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (math.inf, 0.0)],
)
def test_only_a_duration_moves_the_clock(seconds: float, counted: float) -> None:
    played = episode()
    played.advance(Completion("<execute> 1 </execute>", seconds=seconds))
    assert (played.seconds, played.turns[0].seconds) == (counted, {"model": counted})


def test_a_result_must_answer_the_pending_effect() -> None:
    with pytest.raises(TypeError, match="Verdict does not answer Complete"):
        episode().advance(Verdict(correct=True))


def test_the_first_message_has_four_parts_and_states_the_limits() -> None:
    tool = ToolSpec("wikipedia_search", "wikipedia_search(query: str) -> str", "Looks it up.")
    parts = episode(tools=(tool,)).messages[0]["content"].split(protocol.SEPARATOR)
    head, example, task = parts
    assert "5 turns" in head
    assert "2 times" in head
    assert "[1] wikipedia_search(query: str) -> str" in head
    assert example.startswith("Task:\n")
    assert task == "Task:\nHow many?\n"


SEARCHES = sorted({path.stem for path in data_folder("conf").glob("search/*.yaml")} - {"corpus"})
"""All but the one that has the same function, and wants an index first (tools/test_corpus.py)."""


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("use_tools", [True, False])
def test_the_example_shows_no_function_that_the_episode_lacks(
    search: str, use_tools: bool, tmp_path: Path
) -> None:
    """Every family with every search; and a family that has a tool of another kind."""
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"query": "q", "result": "r"}')
    files = {"pages": encyclopaedia_path(), "recorded": answers}
    path = [f"search.path={files[search]}"] if search in files else []
    words = (f"search={search}", "model=scripted", *path)
    config = validated(RunConfig, compose_config(Invocation("run", words)))
    toolbox = open_toolbox(config.search)
    other = ToolSpec("steer", "steer(course: str) -> str", "Steers there.")
    turns = TurnSettings(max_steps=5, max_propose_solution=2, use_tools=use_tools)
    for name in names():
        family = get(name)
        task = Task(name=name, id="0", prompt="How many?", reference="2", tools=family.tools)
        for tools in (toolbox.specs(task), (other,)):
            first = CodeStrategy().first_message(task, family.task_type, turns, tools)
            instruction, example, _ = first.split(protocol.SEPARATOR)
            has_search = use_tools and SPEC in tools
            shown = {"wikipedia_search"} & set(re.findall(r"\w+", example))
            assert bool(shown) == (has_search and family.task_type == "reasoning"), (name, tools)
            assert ("wikipedia_search" in instruction) == has_search
            assert ("steer" in instruction) == (use_tools and other in tools)
            assert ("<execute>" in example) == ("<execute>" in instruction) == use_tools
            by_acting = use_tools and family.solved_by_tools
            assert bool(protocol.between_tags(example, "solution")) is not by_acting


def test_a_megabyte_of_unclosed_tags_is_parsed_in_linear_time() -> None:
    text = "<execute>" * 120_000
    assert protocol.between_tags(text, "execute") == ""
    assert protocol.between_tags("<execute>a" * 100_000 + "</execute>", "execute").endswith("a")


def test_the_plain_completion_stop_strings_have_one_more() -> None:
    strategy = CodeStrategy()
    plain, chat = (strategy.options(FIVE, (), plain=plain).stop for plain in (True, False))
    assert set(plain) - set(chat) == {"\nHuman:"}
