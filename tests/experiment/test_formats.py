"""The action formats played for real: what runs in the sandbox, and what is recorded of it.

A reference policy plays one sequence of acts through every format on the same tasks.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from codeact.cli import main
from codeact.datasets import get, load_tasks
from codeact.episode.effects import Completion
from codeact.episode.messages import Answer
from codeact.episode.prompts import PromptStrategy
from codeact.episode.prompts.called_examples import HOUSEHOLDS_CALLED
from codeact.episode.prompts.calls import SETUP
from codeact.episode.protocol import NO_OUTPUT, WRONG_ANSWER, render_output
from codeact.episode.record import EpisodeRecord
from codeact.episode.schemas import parameters_of
from codeact.episode.settings import EpisodeSettings, TurnSettings
from codeact.episode.task import Task, ToolSpec
from codeact.experiment.compute.local import LocalBackend
from codeact.experiment.config.compose import to_yaml
from codeact.experiment.driver import Assignment, Environment, RunIdentity, play_episode
from codeact.experiment.events import Job, NullListener
from codeact.experiment.plan import LoadedSet
from codeact.experiment.regrade import proposals
from codeact.experiment.runner import Runner
from codeact.experiment.skipped import Skipped
from codeact.experiment.strategies import STRATEGIES
from codeact.models.base import Request
from codeact.models.scripted import ScriptedModel
from codeact.recordings.run_folder import CONFIG, EPISODES, RunFolder, latest_records
from codeact.sample import encyclopaedia_path, tasks_path
from codeact.sandboxes.base import Sandbox, Session
from codeact.tools import Tool, ToolBox, open_toolbox
from codeact.tools.alfworld.functions import FUNCTIONS, SPECS
from codeact.tools.settings import SPEC, PageSearch
from codeact.tools.typed import spec_of
from tests.helpers.formats import BY_CODE, BY_TOOLS, FORMATS, Act, Call, Run, Say, written
from tests.helpers.records import asked, configured
from tests.helpers.sandboxes import started
from tests.tools.test_households import GOALS, HOMES, STEPS, bedroom, households, task_of

pytestmark = pytest.mark.usefixtures("local_sandbox")

SAMPLE = "pkg://codeact.sample/tasks"
MANY = EpisodeSettings(turns=TurnSettings(max_steps=12, max_propose_solution=2))
FIVE = EpisodeSettings(turns=TurnSettings(max_steps=5, max_propose_solution=2))
QUERIES = ("Grey Heron", "Jorun Adlek")
PLAYED = [name for name in FORMATS if name != "direct"]


@asynccontextmanager
async def sandboxed() -> AsyncIterator[Sandbox]:
    sandbox = await started("local", preload=())
    try:
        yield sandbox
    finally:
        await sandbox.close()


def environment(
    strategy: PromptStrategy, policy: ScriptedModel, sandbox: Sandbox, tools: ToolBox
) -> Environment:
    return Environment(
        identity=RunIdentity("scripted", "none", "test"),
        settings=MANY,
        strategy=strategy,
        policy=policy,
        critic=None,
        sandbox=sandbox,
        tools=tools,
    )


def assignment(family: str, number: int = 0) -> Assignment:
    known = get(family)
    task = load_tasks(known, tasks_path(family))[number]
    return Assignment(task, known, known.grader("strict"), 0)


def acts_of(name: str, one: Assignment) -> list[Act]:
    """A wrong answer, then what is looked up or worked out on the way, and the right answer."""
    steps: list[Act] = []
    if one.task.tools and name in BY_CODE:
        steps = [Run(f"page = wikipedia_search({query!r})\nprint(page)") for query in QUERIES]
    elif one.task.tools:
        steps = [Call("wikipedia_search", {"query": query}) for query in QUERIES]
    elif name in BY_CODE:
        steps = [Run("kept = 6 * 7"), Run("print(kept)")]
    return [Say("nobody knows"), *steps, Say(one.answer or "")]


def reference(name: str, ones: list[Assignment]) -> ScriptedModel:
    """A policy that knows what to do with each of these tasks."""
    known = {(one.task.name, one.task.id): acts_of(name, one) for one in ones}

    def play(request: Request) -> Completion:
        acts = known[request.episode.task_name, request.episode.task_id]
        return written(name, acts[min(request.turn, len(acts) - 1)])

    return ScriptedModel(play)


TASKS = ("gsm8k", "hotpotqa", "mbpp")


async def played(folder: Path) -> None:
    """Play the reference policy on three tasks in each format, into a run folder each."""
    async with sandboxed() as sandbox:
        for name in PLAYED:
            tools = open_toolbox(PageSearch(path=str(encyclopaedia_path())))
            ones = [assignment(family) for family in TASKS]
            config = configured(f"prompt={name}", "tracker=none")
            strategy = STRATEGIES.get(name)
            made = environment(strategy, reference(name, ones), sandbox, tools)
            run = RunFolder.open(folder / name, asked(name))
            run.write_text(CONFIG, to_yaml(config.model_dump()))
            made = made._replace(
                settings=FIVE, identity=RunIdentity("scripted", "none", asked(name).new.digest)
            )
            job = Job(name, config, run, ones)
            await Runner([job], LocalBackend({name: made}, {}), 3, NullListener()).run()
            run.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, local_sandbox: None) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    asyncio.run(played(folder))
    return folder


def by_task(folder: Path) -> dict[str, EpisodeRecord]:
    return {record.task_name: record for record in latest_records(folder)}


@pytest.mark.parametrize("name", PLAYED)
def test_the_reference_policy_solves_the_same_tasks_in_every_format(name: str, runs: Path) -> None:
    for family, record in by_task(runs / name).items():
        assert record.outcome.success, (family, record.turns)
        assert record.prompt == name
        acts = acts_of(name, assignment(family))
        assert len(record.turns) == len(acts)
        assert record.turns[0].observation == WRONG_ANSWER
        for act, turn in zip(acts, record.turns, strict=True):
            assert turn.action == ("propose" if isinstance(act, Say) else "execute")
            assert turn.status in (None, "ok")
    assert set(by_task(runs / name)) == set(TASKS)


def test_a_tool_says_the_same_in_every_format(runs: Path) -> None:
    seen = {
        name: [turn.observation for turn in by_task(runs / name)["hotpotqa"].turns[1:3]]
        for name in PLAYED
    }
    assert all(observed == seen["code"] for observed in seen.values())
    assert "Jorun Adlek" in seen["code"][0]


def test_runs_of_all_formats_are_replayed_each_by_its_own(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "differences.jsonl"
    words = ["replay", str(runs), f"data={SAMPLE}", "task=sample", "search=sample", f"out={out}"]
    assert main([*words, "grading=strict", "executor.preload=[]"]) == 0
    assert out.read_text() == ""
    assert f"{len(PLAYED)}/{len(PLAYED)} files" in capsys.readouterr().err


def test_answers_of_all_formats_are_graded_anew(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "verdicts.jsonl"
    words = ["regrade", str(runs), f"data={SAMPLE}", "task=sample", f"out={out}"]
    assert main([*words, "grading=strict", "executor.preload=[]"]) == 0
    assert out.read_text() == ""
    sets = [
        LoadedSet(name, get(name), get(name).grader("strict"), [assignment(name).task])
        for name in TASKS
    ]
    found = proposals(
        [runs / name / EPISODES for name in PLAYED], sets, STRATEGIES.get("code"), Skipped()
    )
    assert [len(one.recorded) for one in found] == [len(PLAYED)] * 2 * len(TASKS)


@pytest.mark.parametrize("name", PLAYED)
def test_a_run_of_any_format_is_continued_by_its_own_alone(
    name: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(runs / name)
    words = [f"data={SAMPLE}", "task=hotpotqa", "limit=1", "tracker=none", "executor.preload=[]"]
    words += [f"model.source={source}", "turn=2", f"run_dir={tmp_path}/run"]
    assert main(["fork", source, "model=recorded", "search=sample", *words, "samples=1"]) == 0
    (record,) = latest_records(tmp_path / "run")
    assert record.outcome.success
    assert record.prompt == name
    assert [turn.restored for turn in record.turns] == [True, True, False, False]
    assert [turn.content for turn in record.turns] == [
        turn.content for turn in by_task(runs / name)["hotpotqa"].turns
    ]
    other = "json" if name == "code" else "code"
    words = [*words[:-1], f"run_dir={tmp_path}/other", f"continue={source}", f"prompt={other}"]
    assert main(["run", "model=recorded", *words]) != 0
    assert f"was played with prompt={name}, and this run has prompt={other}" in (
        capsys.readouterr().err
    )


# households


@pytest.mark.parametrize("name", PLAYED)
async def test_a_household_is_solved_in_every_format_by_the_same_steps(name: str) -> None:
    task = task_of(bedroom())
    family = get("alfworld")
    acts: list[Act] = [
        Run(f"print({tool}{tuple(given)!r})".replace(",)", ")"))
        if name in BY_CODE
        else Call(tool, dict(zip(parameters_of(spec(tool))["properties"], given, strict=True)))
        for tool, *given in STEPS
    ]
    policy = ScriptedModel([written(name, act) for act in acts])
    async with sandboxed() as sandbox, households() as made:
        shared = environment(STRATEGIES.get(name), policy, sandbox, ToolBox({}, worlds=(made,)))
        one = Assignment(task, family, family.grader("strict"), 0)
        record = await play_episode(one, shared)
    assert record.outcome.success
    assert [turn.observation for turn in record.turns] == [
        "On the desk 1, you see a pen 2, and a pen 1.",
        "You pick up the pen 1 from the desk 1.",
        "On the bed 1, you see nothing.",
        "You put the pen 1 in/on the bed 1.",
    ]


async def test_several_calls_of_a_message_solve_a_household_in_one_turn() -> None:
    task, family = task_of(bedroom()), get("alfworld")
    made_calls = Completion(
        "All at once.",
        tool_calls=tuple(
            {
                "id": f"c{number}",
                "name": tool,
                "arguments": json.dumps(
                    dict(zip(parameters_of(spec(tool))["properties"], given, strict=True))
                ),
            }
            for number, (tool, *given) in enumerate([*STEPS, ("look",)])
        ),
    )
    async with sandboxed() as sandbox, households() as made:
        shared = environment(
            STRATEGIES.get("tool_calls"),
            ScriptedModel([made_calls]),
            sandbox,
            ToolBox({}, worlds=(made,)),
        )
        record = await play_episode(Assignment(task, family, family.grader("strict"), 0), shared)
    assert record.outcome.success
    (turn,) = record.turns
    assert len(turn.actions) == len(STEPS)  # what comes after the solution is not done


def spec(tool: str) -> ToolSpec:
    return next(one for one in SPECS if one.name == tool)


@pytest.mark.parametrize("kind", HOUSEHOLDS_CALLED)
async def test_an_example_that_calls_tools_is_an_episode_that_can_be_played(kind: str) -> None:
    worked = HOUSEHOLDS_CALLED[kind]
    told = worked.task.rpartition("Your task is to: ")[2]
    task = task_of({"task": told, "places": HOMES[kind], "goal": GOALS[kind]}, kind)
    async with households() as made:
        world = made.open(task)
        await world.ready()
        for step in worked.steps:
            assert not world.solved
            assert set(step.arguments) == set(parameters_of(spec(step.tool))["properties"])
            seen = await world.calls[step.tool](*step.arguments.values())
            assert seen != "Nothing happens." or step.observation == seen
            assert step.observation in (None, seen)
        assert world.solved


# what runs is what is recorded, and nothing else


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
         "value", "print(1)", "__import__('os')", "call_tool", "lambda: 0", "**", '{"tool": "echo", ',
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


# schemas


def search(query: str) -> str:
    """Look it up."""
    return query


def rich(number: int, style: list[str] | None = None, *, share: float = 1.5) -> dict[str, int]:
    """Do much."""
    return {"n": number, "s": len(style or ()), "f": math.floor(share)}


@pytest.mark.parametrize("function", [*FUNCTIONS.values(), search, rich])
def test_a_schema_is_the_same_by_the_function_and_by_its_signature(function: Any) -> None:
    made = spec_of(function)
    assert made.parameters is not None
    derived = parameters_of(ToolSpec(made.name, made.signature, made.description))
    bare = {
        name: {key: value for key, value in one.items() if key != "default"}
        for name, one in made.parameters["properties"].items()
    }
    assert derived == {**made.parameters, "properties": bare}


def test_the_search_and_the_households_say_what_their_functions_take() -> None:
    assert parameters_of(SPEC) == parameters_of(spec_of(search)) | {
        "properties": {"query": {"type": "string"}}
    }
    schemas: Mapping[str, Any] = {one.name: parameters_of(one) for one in SPECS}
    assert schemas["put"]["required"] == ["object", "receptacle"]
    assert schemas["look"] == {"type": "object", "properties": {}, "additionalProperties": False}
    assert parameters_of(ToolSpec("odd", "odd: whatever", ""))["additionalProperties"] is True
