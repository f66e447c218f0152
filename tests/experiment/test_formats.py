"""The action formats played for real: what runs in the sandbox, and what is recorded of it.

A reference policy plays one sequence of acts through every format on the same tasks.
"""

import asyncio
import json
from pathlib import Path

import pytest

from codeact.cli import main
from codeact.datasets import get, load_tasks
from codeact.episode.effects import Completion
from codeact.episode.prompts.called_examples import HOUSEHOLDS_CALLED
from codeact.episode.protocol import WRONG_ANSWER
from codeact.episode.record import EpisodeRecord
from codeact.episode.schemas import parameters_of
from codeact.episode.settings import EpisodeSettings, TurnSettings
from codeact.episode.task import ToolSpec
from codeact.experiment.compute.local import LocalBackend
from codeact.experiment.config.compose import to_yaml
from codeact.experiment.driver import Assignment, RunIdentity, play_episode
from codeact.experiment.events import Job, NullListener
from codeact.experiment.plan import LoadedSet
from codeact.experiment.regrade import proposals
from codeact.experiment.resources import Resources
from codeact.experiment.runner import Runner
from codeact.experiment.skipped import Skipped
from codeact.experiment.strategies import STRATEGIES
from codeact.models.base import Request
from codeact.models.scripted import ScriptedModel
from codeact.recordings.run_folder import CONFIG, EPISODES, RunFolder, latest_records
from codeact.sample import encyclopaedia_path, tasks_path
from codeact.sandboxes.base import Sandbox
from codeact.tools import ToolBox, open_toolbox
from codeact.tools.alfworld.functions import SPECS
from codeact.tools.settings import PageSearch
from tests.helpers.format_runs import environment, sandboxed
from tests.helpers.formats import BY_CODE, FORMATS, Act, Call, Run, Say, written
from tests.helpers.records import asked, configured
from tests.tools.test_households import GOALS, HOMES, STEPS, bedroom, households, task_of

pytestmark = pytest.mark.usefixtures("local_sandbox")

SAMPLE = "pkg://codeact.sample/tasks"
FIVE = EpisodeSettings(turns=TurnSettings(max_steps=5, max_propose_solution=2))
QUERIES = ("Grey Heron", "Jorun Adlek")
PLAYED = [name for name in FORMATS if name != "direct"]


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
            await Runner(
                [job], LocalBackend({name: made}, {}, Resources(print)), 3, NullListener()
            ).run()
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


@pytest.mark.parametrize("name", ["code_fenced", "json", "tool_calls"])
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


async def test_a_household_is_solved_in_every_format_by_the_same_steps() -> None:
    async with sandboxed() as sandbox:
        for name in PLAYED:
            await solve_household(name, sandbox)


async def solve_household(name: str, sandbox: Sandbox) -> None:
    task = task_of(bedroom())
    family = get("alfworld")
    acts: list[Act] = [
        Run(f"print({tool}{tuple(given)!r})".replace(",)", ")"))
        if name in BY_CODE
        else Call(tool, dict(zip(parameters_of(spec(tool))["properties"], given, strict=True)))
        for tool, *given in STEPS
    ]
    policy = ScriptedModel([written(name, act) for act in acts])
    async with households() as made:
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
