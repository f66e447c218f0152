"""What the host reads of a model's text takes time that grows no faster than the text.

Every part gets texts made to be slow. Processor time of this thread is measured, the best of
several runs, at one size and at twice that size; the bounds leave room for a slow machine.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from codeact import wording
from codeact.datasets import get
from codeact.episode import protocol
from codeact.episode.messages import Answer, ToolCall
from codeact.episode.prompts import CodeStrategy
from codeact.episode.settings import TurnSettings
from codeact.episode.task import Task
from codeact.graders import cues, denotation, lists
from codeact.graders import text as short_text
from codeact.graders.base import Mode
from codeact.graders.commitment import LONGEST, cleaned, commitment
from codeact.sandboxes.base import Evaluation, Sandbox
from codeact.tools.alfworld.functions import SPECS as TOOLS
from tests.helpers.formats import FORMATS, format_of

MEGABYTE = 1_000_000
MOST_SECONDS = 0.4
"""For a megabyte; on an idle machine no part takes more than 0.05 s (mint theoremqa: 0.2 s)."""
NOTHING = 0.02
MOST_GROWTH = 3.2
"""Twice the text may take so many times as long: quadratic work takes four times as long."""

OPTIONS = "Which?\nOptions: A ) H2O , B ) HBr , C ) 1.5 , D ) the moon, and stars"
TASKS = (
    ("gsm8k", "36", "How many?", ""),
    ("math", "-1.0", "Compute.", ""),
    ("math_train", "\\frac{1}{2}", "Compute.", ""),
    ("hotpotqa", "Matt Flynn", "Who is older, Matt Flynn or Al Fay?", ""),
    ("hotpotqa", "Matt Flynn", "Who?", ""),
    ("strategyqa", "yes", "Would it?", ""),
    ("mmlu", "b", OPTIONS, ""),
    ("theoremqa", 4.5, "Compute.", "float"),
    ("theoremqa", [1, 4], "Compute.", "list of integer"),
    ("theoremqa", True, "Is it?", "bool"),
    ("theoremqa", "b", OPTIONS, "option"),
    ("wiki_table_questions", "a|b", "Which?", ""),
)
PIECES = (
    *"([{9-+*/.,;:?!'\"`$|_~=≈≠<>—\n\t \x00\u0301İﬁ①ﷺ",
    "\\boxed{", "<execute>", "</execute>", "<solution>", "</solution>", "<s>", "<del>", "~~", "1,",
    "\u0301\u0316", "e9", "10^", "10^-1", "**", "a ) ", "A. ", "answer is ", "answer: ", "not ",
    "no, ", "\\text{", "B or ", "1. ", "x = ", "[1,2] ", "London, ", "and ", "\\frac{1}{2}", "H. ",
    "because ", "(not ", ", not ", " (a b", "wait ", "1/", "0.", "True ", "yes ", " - ", " (",
    " []", '"a" (b)', "[1]", "key=", "key ", "sk-", "://a", "a@", "token: ", "final answer ", "½",
    "9e9", "```\n", "```python\n1\n```\n", "ANSWER:", "ANSWER: 1\n", "Answer:\n",
    "Action: look()\n", "Action: goto(", '{"a":', '{"tool":"look"}', '{"\\"', '"', "{} ", "[1,",
    '{"code":"', "\n   ",
)  # fmt: skip


class NoAnswer:
    """Stands where a session is: whatever is evaluated there fails at once."""

    async def __aenter__(self) -> "NoAnswer":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def session(self, **_: Any) -> "NoAnswer":
        return self

    async def evaluate(self, _source: str, *, seconds: float) -> Evaluation:
        return Evaluation(ok=False, error=f"nothing in {seconds} s", status="error")


def grading(number: int, mode: Mode) -> Callable[[str], object]:
    name, reference, prompt, kind = TASKS[number]
    task = Task(
        name=name, id="0", prompt=prompt, reference=reference, metadata={"answer_type": kind}
    )
    grade = get(name).grader(mode)
    sandbox = cast(Sandbox, NoAnswer())
    return lambda text: asyncio.run(cast(Any, grade(task, text, sandbox)))


GRADINGS = {
    f"{mode} {TASKS[number][0]} {TASKS[number][3]}{number}": grading(number, cast(Mode, mode))
    for number in range(len(TASKS))
    for mode in ("mint", "strict")
}
SMALL: dict[str, Callable[[str], object]] = {
    **GRADINGS,
    "normal form": denotation.normal,
    "cues": lambda text: cues.found(text, bounds=True),
    "listed": lambda text: lists.listed(text, ["matt", "flynn"], short_text.normalise),
    "cleaned": cleaned,
    "commitment": lambda text: commitment(text, lambda part: part),
}
TURNS = TurnSettings(max_steps=5, max_propose_solution=2)


def parsing(name: str) -> Callable[[str], object]:
    """What a format makes of a text, and of a call whose arguments it is."""
    shown = format_of(name)

    def read(text: str) -> None:
        shown.actions(Answer(text=text), TURNS, TOOLS)
        shown.acted_until(text)
        if shown.options(TURNS, (), plain=False).tools:
            for function in ("python", "goto", "answer"):
                call = ToolCall(id="0", name=function, arguments=text)
                shown.actions(Answer(tool_calls=(call,)), TURNS, TOOLS)

    return read


LARGE: dict[str, Callable[[str], object]] = {
    **GRADINGS,
    **{f"actions of {name}": parsing(name) for name in FORMATS},
    "assistant": lambda text: CodeStrategy().assistant(Answer(text=text)),
    "render_output": protocol.render_output,
    "render_execution": lambda text: protocol.render_execution(text, state_lost=True),
    "without_secrets": wording.without_secrets,
}
TEXTS = st.tuples(
    st.sampled_from(["", "5", "The answer is ", "a", "["]),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join),
    st.sampled_from(["", "x", ")", "]", "</execute>"]),
)


def text(form: tuple[str, str, str], size: int) -> str:
    before, piece, after = form
    return before + (piece * (size // len(piece) + 1))[: size - len(before) - len(after)] + after


def seconds(read: Callable[[str], object], given_text: str, enough: float) -> float:
    best = float("inf")
    for _ in range(4):
        began = time.thread_time()
        read(given_text)
        best = min(best, time.thread_time() - began)
        if best < enough:
            break
    return best


@pytest.mark.parametrize("part", LARGE)
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(form=TEXTS)
def test_a_megabyte_is_read_at_once(part: str, form: tuple[str, str, str]) -> None:
    assert seconds(LARGE[part], text(form, MEGABYTE), MOST_SECONDS) < MOST_SECONDS


@pytest.mark.parametrize("part", SMALL)
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(form=TEXTS)
def test_twice_the_text_takes_about_twice_the_time(part: str, form: tuple[str, str, str]) -> None:
    longer = seconds(SMALL[part], text(form, LONGEST), NOTHING)
    if longer >= NOTHING:
        shorter = seconds(SMALL[part], text(form, LONGEST // 2), 0)
        assert longer < MOST_GROWTH * shorter
    assert longer < MOST_SECONDS


MADE = (
    '{"answer":[' + "1," * 500_000 + "1]}",
    '{"tool":"look","arguments":{' + ",".join(f'"{n}":{n}' for n in range(70_000)) + "}}",
    '{"tool":"look","arguments":{"a":' + "[{}," * 9_000 + "1" + "]" * 9_000 + "}}",
    '{"code":"' + "\\n" * 500_000 + '"}',
    '{"a":"' + '\\"{' * 330_000,
    "Answer:\n" + "```\n" * 999 + "x" * MEGABYTE,
    "Action: goto(" + "-" * 9_900 + "1)",
    "Action: goto(" + "(" * 9_900,
    "ANSWER:\n" + "`" * MEGABYTE,
    "```python\n" + "ANSWER:\n" * 125_000,
    ("```\nANSWER:\n```\n" * 400) + "ANSWER " * 140_000,
)
"""Texts that are actions, or nearly: what chance does not make."""


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("number", range(len(MADE)))
def test_a_megabyte_made_for_a_format_is_read_at_once(name: str, number: int) -> None:
    assert seconds(parsing(name), MADE[number], MOST_SECONDS) < MOST_SECONDS


@pytest.mark.parametrize("piece", PIECES)
def test_every_slow_piece_alone(piece: str) -> None:
    """What chance may leave out above: each piece for itself, in every part."""
    for read in SMALL.values():
        assert seconds(read, text(("", piece, ""), LONGEST), NOTHING) < MOST_SECONDS
