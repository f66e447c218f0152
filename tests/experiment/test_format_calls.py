"""Calls of tools out of any format: the sandbox runs what the record says, and no more."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from codeact.datasets import get
from codeact.episode.effects import Completion
from codeact.episode.messages import Answer
from codeact.episode.prompts.calls import SETUP
from codeact.episode.protocol import NO_OUTPUT, render_output
from codeact.episode.settings import EpisodeSettings, TurnSettings
from codeact.episode.task import Task, ToolSpec
from codeact.experiment.driver import Assignment, play_episode
from codeact.experiment.strategies import STRATEGIES
from codeact.models.scripted import ScriptedModel
from codeact.sandboxes.base import Sandbox, Session
from codeact.tools import Tool, ToolBox
from tests.helpers.format_runs import environment, sandboxed
from tests.helpers.formats import BY_CODE, BY_TOOLS, FORMATS, Act, Call, Run, Say, written

pytestmark = pytest.mark.usefixtures("local_sandbox")

FIVE = EpisodeSettings(turns=TurnSettings(max_steps=5, max_propose_solution=2))
PLAYED = [name for name in FORMATS if name != "direct"]


class Echo:
    """A tool that keeps what it was called with."""

    spec = ToolSpec("echo", "echo(value) -> object", "Gives back what it is given.")

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def __call__(self, value: Any) -> Any:
        self.heard.append(value)
        return value


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(
        ["'", '"', "'''", "\\", "\n", "\r\n", "\u2028", "\0", "%x", "!ls", "?", "In [1]: 1", "{}",
         "')\nprint(1)#", "await x", "\\N{BULLET}", "run_line_magic('x')", "</execute>", "```"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5).filter(
        lambda key: key.isprintable()), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def echoing() -> Iterator[tuple[Echo, Any]]:
    """A session with the tool, and a function that runs cells in it."""
    loop = asyncio.new_event_loop()
    echo = Echo()
    context = sandboxed()
    sandbox = loop.run_until_complete(context.__aenter__())

    async def opened() -> Session:
        return await sandbox.session(setup=SETUP, tools={"echo": echo})

    session = loop.run_until_complete(opened())
    yield echo, lambda cell: loop.run_until_complete(session.execute(cell))
    loop.run_until_complete(session.close())
    loop.run_until_complete(context.__aexit__(None, None, None))
    loop.close()


@settings(max_examples=120, deadline=None, derandomize=True)
@given(value=VALUES)
def test_an_argument_arrives_as_it_was_written(echoing: tuple[Echo, Any], value: Any) -> None:
    echo, execute = echoing
    for name in BY_TOOLS:
        (action,) = STRATEGIES.get(name).actions(
            written(name, Call("echo", {"value": value})), FIVE.turns, (Echo.spec,)
        )
        assert action.refusal is None
        echo.heard.clear()
        done = execute(action.content)
        assert done.status == "ok"
        (heard,) = echo.heard
        assert json.dumps(heard) == json.dumps(value)
        if value is None:
            assert (done.output, render_output(done.output)) == ("", NO_OUTPUT)
        elif isinstance(value, str):
            assert done.output == value.replace("\r\n", "\r\n")
        else:
            assert json.loads(done.output) == json.loads(json.dumps(value))


HOSTILE = st.lists(
    st.sampled_from(
        ["'", '"', "\\", "\n", "(", ")", "{", "}", "[", "]", ",", ":", "=", "#", " ", "echo",
         "value", "print(1)", "__import__('os')", "call_tool", "lambda: 0", "**",
         '{"tool": "echo", ',
         '"arguments": {"value": ', "}}", "Action: echo(value=", "Answer:", "\nAction:", "\0",
         "1e999", "NaN", "\u2028", "é", "exec", "f'{1}'", "```python\n", "\n```\n", "ANSWER:",
         "<execute>", "</execute>", '{"code": "', '"}', "<solution>", "</solution>"]
    ),
    max_size=14,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=HOSTILE)
def test_no_text_runs_more_than_its_format_names(echoing: tuple[Echo, Any], text: str) -> None:
    """A text that several formats read may do different things, and each only what is its own."""
    echo, execute = echoing
    message = Answer(
        text=text,
        tool_calls=({"id": "c", "name": "echo", "arguments": text},),
    )
    for name in FORMATS:
        for action in STRATEGIES.get(name).actions(message, FIVE.turns, (Echo.spec,)):
            if action.kind != "execute":
                continue
            assert action.refusal is None
            if name in BY_CODE:
                # The code stands in the text, to the letter or as JSON has it.
                assert all(
                    line.strip() in text or json.dumps(line.strip())[1:-1] in text
                    for line in action.content.splitlines()
                )
                continue
            echo.heard.clear()
            execute(action.content)
            assert len(echo.heard) == 1


async def test_the_sandbox_is_given_what_the_record_says() -> None:
    """Every cell that a session runs is the content of an action that the record has."""
    ran: list[str] = []

    class Noting:
        """A sandbox whose sessions note their cells."""

        def __init__(self, sandbox: Sandbox) -> None:
            self._sandbox = sandbox

        async def session(self, *, setup: str = "", tools: Any = None) -> Any:
            session = await self._sandbox.session(setup=setup, tools=tools)
            execute = session.execute

            async def noted(code: str, *, seconds: float | None = None) -> Any:
                ran.append(code)
                return await execute(code, seconds=seconds)

            session.execute = noted  # type: ignore[method-assign]
            return session

        async def close(self) -> None:
            await self._sandbox.close()

    task = Task(name="gsm8k", id="0", prompt="How many?", reference="7", tools=("echo",))
    family = get("gsm8k")
    async with sandboxed() as sandbox:
        for name in PLAYED:
            acts: list[Act] = [
                Run("print(1)") if name in BY_CODE else Call("echo", {"value": "1"}),
                Run("1 / 0") if name in BY_CODE else Call("echo", {"value": {"a": [1.5]}}),
                Say("8"),
            ]
            texts = [*(written(name, act) for act in acts), Completion("hm"), Completion("")]
            tools = ToolBox({"echo": Tool(Echo.spec, Echo())})
            shared = environment(STRATEGIES.get(name), ScriptedModel(texts), sandbox, tools)
            ran.clear()
            record = await play_episode(
                Assignment(task, family, family.grader("strict"), 0),
                shared._replace(sandbox=Noting(sandbox), settings=FIVE),
            )
            assert ran == [turn.content for turn in record.turns if turn.action == "execute"]
            assert len(ran) == 2


class Unlucky(Exception):
    """Not the tool's service, so the policy reads of it."""


async def unlucky(value: Any) -> Any:
    if value == "big":
        return "x" * 5000
    raise Unlucky("no luck\ntoday")


def test_what_goes_wrong_in_a_tool_is_one_line_that_the_policy_reads(
    echoing: tuple[Echo, Any],
) -> None:
    _, execute = echoing
    refused = execute("call_tool(echo, value={1, 2})")
    assert refused.status == "error"
    assert refused.output == (
        "ToolError: echo takes plain data only: Object of type set is not JSON serializable\n"
    )


async def test_errors_and_long_results_are_observations_in_every_format() -> None:
    task = Task(name="gsm8k", id="0", prompt="How many?", reference="7", tools=("echo",))
    family = get("gsm8k")
    async with sandboxed() as sandbox:
        for name in BY_TOOLS:
            acts: list[Act] = [
                Call("echo", {"value": "x"}),
                Call("echo", {"value": "big"}),
                Say("7"),
            ]
            shared = environment(
                STRATEGIES.get(name),
                ScriptedModel([written(name, act) for act in acts]),
                sandbox,
                ToolBox({"echo": Tool(Echo.spec, unlucky)}),
            )
            record = await play_episode(
                Assignment(task, family, family.grader("strict"), 0), shared
            )
            failed, long, _ = record.turns
            assert (failed.status, failed.observation) == ("error", "ToolError: no luck\ntoday")
            assert long.observation == "x" * 2000 + "...\n[Output Truncated]"
            assert record.outcome.success
