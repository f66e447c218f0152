"""ALFWorld's processes and tools, with a small household of our own in place of the games."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from codeact.datasets import get
from codeact.episode import protocol
from codeact.episode.effects import Execution
from codeact.episode.prompts.households import HOUSEHOLDS
from codeact.episode.record import EpisodeRecord
from codeact.episode.settings import EpisodeSettings, TurnSettings
from codeact.episode.task import Task
from codeact.exceptions import ToolFailure
from codeact.experiment.compute.local import LocalBackend
from codeact.experiment.driver import Assignment, Environment, RunIdentity, play_episode
from codeact.experiment.events import Job, NullListener
from codeact.experiment.resources import Resources
from codeact.experiment.runner import Runner
from codeact.experiment.strategies import strategy
from codeact.models.scripted import ScriptedModel
from codeact.recordings.run_folder import RunFolder, latest_records
from codeact.sandboxes.base import Sandbox
from codeact.tools import AlfworldSettings, ToolBox
from codeact.tools.alfworld.functions import FUNCTIONS
from codeact.tools.alfworld.households import AlfworldHousehold, AlfworldHouseholds
from tests.helpers.household import first_words
from tests.helpers.records import asked, configured
from tests.helpers.sandboxes import EXECUTORS, started

ENGINE = Path(__file__).parents[1] / "helpers" / "household.py"
PUT = "goto('desk 1'); take_from('pen 1', 'desk 1'); goto('bed 1'); put('pen 1', 'bed 1')"
STEPS = (
    ("goto", "desk 1"),
    ("take_from", "pen 1", "desk 1"),
    ("goto", "bed 1"),
    ("put", "pen 1", "bed 1"),
)


def place(*holds: str, closed: bool = False) -> dict[str, Any]:
    return {"holds": list(holds), "open": False if closed else None}


def task_of(game: dict[str, Any], kind: str = "put", number: int = 0) -> Task:
    return Task(
        name="alfworld",
        id=f"{kind}/{number}",
        prompt=f"Interact.\n{first_words(game)}",
        reference="",
        metadata={"task_type": kind, "game": json.dumps(game)},
        tools=tuple(FUNCTIONS),
    )


def bedroom(**changes: Any) -> dict[str, Any]:
    """A pen has to go from the desk to the bed."""
    return {
        "task": "put a pen in bed.",
        "places": {"desk 1": place("pen 1", "pen 2"), "bed 1": place()},
        "goal": {"do": "", "object": "pen", "place": "bed"},
        **changes,
    }


@asynccontextmanager
async def households(success: Any = "goal", **settings: Any) -> AsyncIterator[AlfworldHouseholds]:
    made = AlfworldHouseholds(AlfworldSettings(**settings), success, engine=ENGINE)
    try:
        yield made
    finally:
        await made.close()


async def play(world: AlfworldHousehold, *steps: tuple[str, ...]) -> list[str]:
    return [await world.calls[name](*words) for name, *words in steps]


def children() -> list[psutil.Process]:
    """The server of households and what it has forked; other tests leave children, too."""
    return [one for one in psutil.Process().children(recursive=True) if is_ours(one)]


def is_ours(process: psutil.Process) -> bool:
    try:
        return str(ENGINE) in process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return False


async def gone(processes: list[psutil.Process]) -> None:
    async with asyncio.timeout(20):
        while any(process.is_running() for process in processes):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_household_is_solved_when_it_says_so_and_then_stands_still() -> None:
    async with households() as made:
        world = made.open(task_of(bedroom()))
        await world.ready()
        assert await play(world, *STEPS[:3]) == [
            "On the desk 1, you see a pen 2, and a pen 1.",
            "You pick up the pen 1 from the desk 1.",
            "On the bed 1, you see nothing.",
        ]
        assert not world.solved
        (last,) = await play(world, STEPS[3])
        assert world.solved
        assert await play(world, ("take_from", "pen 1", "bed 1"), ("look",)) == [last, last]
        assert world.solved


async def test_what_a_household_does_not_understand_changes_nothing() -> None:
    async with households() as made:
        world = made.open(task_of(bedroom()))
        strange: Any = [1, None, "desk 1\n{}", "x" * 100_000, {"a": 1}]
        for words in strange:
            assert await world.calls["goto"](words) == "Nothing happens."
        with pytest.raises(TypeError, match=r"goto\(\) missing 1 required positional argument"):
            await world.calls["goto"]()
        assert (await play(world, *STEPS))[-1].startswith("You put the pen 1")


async def test_published_success_counts_the_fiftieth_command() -> None:
    async with households("published") as published, households("goal") as goal:
        worlds = [kind.open(task_of(bedroom())) for kind in (published, goal)]
        for world in worlds:
            await play(world, *[("look",)] * 49)
            assert not world.solved
            await play(world, ("look",))
        assert [world.solved for world in worlds] == [True, False]


async def test_each_episode_has_a_household_of_its_own() -> None:
    async with households() as made:
        one, other = made.open(task_of(bedroom())), made.open(task_of(bedroom()))
        await play(one, *STEPS)
        assert (one.solved, other.solved) == (True, False)
        assert (await play(other, *STEPS))[0] == "On the desk 1, you see a pen 2, and a pen 1."


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("hang", "a command took longer than 0.5 s"),
        ("spin", "a command took longer than 0.5 s"),
        ("exit", "it was killed or ended during a command"),
        ("memory", "a command failed: MemoryError"),
        ("garbage", "it sent what is no answer to a command"),
    ],
)
async def test_a_game_that_goes_wrong_is_the_tools_fault_and_is_ended(
    trouble: str, words: str
) -> None:
    async with households(step_seconds=0.5) as made:
        neighbour = made.open(task_of(bedroom()))
        world = made.open(task_of(bedroom(trouble=trouble), number=1))
        await asyncio.gather(world.ready(), neighbour.ready())
        before = children()
        with pytest.raises(ToolFailure, match=words):
            await play(world, ("look",))
        with pytest.raises(ToolFailure):
            await play(world, STEPS[0])
        assert not world.solved
        async with asyncio.timeout(20):
            while len(children()) != len(before) - 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await play(neighbour, *STEPS)
        assert neighbour.solved


async def test_processor_time_is_bounded() -> None:
    async with households(cpu_seconds=10, step_seconds=60) as made:
        world = made.open(task_of(bedroom(trouble="spin")))
        await world.ready()
        (process,) = [p for p in children() if p.children() == [] and p.ppid() != os.getpid()]
        assert process.rlimit(psutil.RLIMIT_CPU) == (10, 15)
        used = process.cpu_times().user
        spinning = asyncio.create_task(play(world, ("look",)))
        async with asyncio.timeout(20):
            while process.cpu_times().user < used + 0.1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        # The kernel sends it at the bound; waiting for that would take ten seconds.
        process.send_signal(signal.SIGXCPU)
        with pytest.raises(ToolFailure, match=r"a command failed: .* processor time is used up"):
            await spinning


async def test_a_process_holds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    async with households(memory_mb=300) as made:
        await made.open(task_of(bedroom())).ready()
        for process in children():
            assert set(process.environ()) <= {"LANG", "LC_CTYPE"}
            assert process.cwd() == "/"
            assert [file.path for file in process.open_files()] == []
        assert process.rlimit(psutil.RLIMIT_AS) == (300 << 20, 300 << 20)
        assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)


async def test_a_server_that_was_killed_is_started_again() -> None:
    async with households() as made:
        world = made.open(task_of(bedroom()))
        await world.ready()
        before = children()
        (server,) = [process for process in before if process.ppid() == os.getpid()]
        server.kill()
        await gone(before)
        with pytest.raises(ToolFailure, match="killed or ended"):
            await play(world, *STEPS)
        again = made.open(task_of(bedroom()))
        await play(again, *STEPS)
        assert again.solved
        await made.probe()


async def test_an_engine_that_cannot_be_loaded_is_told_with_its_reason(tmp_path: Path) -> None:
    engine = tmp_path / "engine.py"
    engine.write_text("import there_is_no_such_module\n")
    made = AlfworldHouseholds(AlfworldSettings(), "goal", engine=engine)
    with pytest.raises(ToolFailure, match="No module named 'there_is_no_such_module'"):
        await made.open(task_of(bedroom())).ready()
    await made.close()


async def test_a_game_of_another_task_is_not_played() -> None:
    async with households() as made:
        task = task_of(bedroom())
        other = Task(name="alfworld", id="x", prompt="Another room.", reference="",
                     metadata=task.metadata, tools=task.tools)  # fmt: skip
        with pytest.raises(ToolFailure, match="begins with other words than its prompt ends with"):
            await made.open(other).ready()


async def test_announced_games_are_ready_before_they_are_asked_for() -> None:
    tasks = [task_of(bedroom(), number=number) for number in range(4)]
    async with households(ready=2) as made:
        for task in tasks:
            made.announce(task)
            made.announce(task)
        async with asyncio.timeout(20):
            while len(children()) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        forked = {process.pid for process in children()}
        worlds = [made.open(task) for task in tasks[:2]]
        for world in worlds:
            await play(world, *STEPS)
        assert {process.pid for process in children()} == forked
        assert all(world.solved for world in worlds)
    assert children() == []


async def test_what_a_cancelled_call_did_is_taken_in() -> None:
    async with households() as made:
        world = made.open(task_of(bedroom()))
        await play(world, *STEPS[:3])
        call = asyncio.ensure_future(world.calls["put"]("pen 1", "bed 1"))
        await asyncio.sleep(0)
        call.cancel()
        assert (await play(world, ("look",))) == ["You put the pen 1 in/on the bed 1."]
        assert world.solved


# -- whole episodes


def environment(sandbox: Sandbox, made: AlfworldHouseholds, texts: list[str]) -> Environment:
    return Environment(
        identity=RunIdentity("scripted", "none", "test"),
        settings=EpisodeSettings(turns=TurnSettings(max_steps=5, max_propose_solution=2)),
        strategy=strategy("code"),
        policy=ScriptedModel(texts),
        critic=None,
        sandbox=sandbox,
        tools=ToolBox({}, worlds=(made,)),
    )


async def episode(sandbox: Sandbox, task: Task, *texts: str, **settings: Any) -> EpisodeRecord:
    family = get("alfworld")
    assignment = Assignment(task, family, family.grader("strict"), 0)
    async with households(**settings) as made:
        return await play_episode(assignment, environment(sandbox, made, list(texts)))


@pytest.mark.parametrize("kind", EXECUTORS)
async def test_an_episode_succeeds_by_its_household_and_no_proposal(kind: str) -> None:
    sandbox = await started(kind, preload=())
    try:
        record = await episode(
            sandbox,
            task_of(bedroom()),
            "<solution> done </solution>",
            "<execute> print(goto('desk 1')) </execute>",
            f"<execute> {PUT}\nraise SystemExit </execute>",
            "<execute> print('not reached') </execute>",
        )
        assert record.outcome.success
        assert record.outcome.terminate_reason == "task_success"
        assert [turn.correct for turn in record.turns] == [False, None, None]
        assert record.turns[1].observation == "On the desk 1, you see a pen 2, and a pen 1."
        assert record.messages[-1]["role"] == "assistant"
        assert record.counts.steps == 3
        words = record.messages[0]["content"]
        assert "[3] take_from(object: str, receptacle: str) -> str\nTake an object" in words
    finally:
        await sandbox.close()


async def test_no_word_from_the_sandbox_solves_a_task(local_sandbox: None) -> None:
    """What a cell makes of its functions, and what it prints, is nothing to the household."""
    sandbox = await started("local", preload=())
    forged = json.dumps({"text": "You put it there.", "won": True, "solved": True})
    try:
        record = await episode(
            sandbox,
            task_of(bedroom()),
            f"<execute> put = lambda *_: {forged!r}\nprint(put('pen 1', 'bed 1')) </execute>",
            "<execute> import os; [os.write(n, b'{\"won\":true}\\n') for n in (1, 2)] </execute>",
            "<execute> solved = won = True; print('task_success') </execute>",
        )
        assert not record.outcome.success
        assert record.outcome.terminate_reason == "max_steps"
    finally:
        await sandbox.close()


async def test_a_lost_game_fails_its_episode_as_the_tools_fault(local_sandbox: None) -> None:
    sandbox = await started("local", preload=())
    try:
        task = task_of(bedroom(trouble="exit"))
        record = await episode(sandbox, task, "<execute> print(look()) </execute>")
        assert record.outcome.cause == "tool"
        assert "the process of an ALFWorld game is lost" in record.outcome.error
    finally:
        await sandbox.close()


async def test_an_episode_whose_game_was_killed_is_played_again(
    local_sandbox: None, tmp_path: Path
) -> None:
    task = task_of(bedroom(trouble=str(tmp_path / "died")))
    family = get("alfworld")
    owed = [Assignment(task, family, family.grader("strict"), 0)]
    folder = RunFolder.open(tmp_path / "run", asked())
    sandbox = await started("local", preload=())
    try:
        async with households() as made:
            text = f"<execute> look()\n{PUT} </execute>"
            backend = LocalBackend({"a": environment(sandbox, made, [text])}, {}, Resources(print))
            job = Job("a", configured(), folder, owed)
            await Runner([job], backend, 1, NullListener()).run()
    finally:
        folder.close()
        await sandbox.close()
    (record,) = latest_records(folder.path)
    assert record.outcome.success
    assert [attempt.cause for attempt in record.attempts] == ["tool"]
    assert "killed or ended during a command" in record.attempts[0].error


async def test_a_solved_household_outlives_the_interpreter(local_sandbox: None) -> None:
    sandbox = await started("local", preload=())
    try:
        end = "import os; os._exit(1)"
        record = await episode(sandbox, task_of(bedroom()), f"<execute> {PUT}\n{end} </execute>")
        assert record.outcome.success
        assert record.turns[0].status == "killed"
    finally:
        await sandbox.close()


# -- the examples of prompts

HOMES: dict[str, dict[str, Any]] = {
    "put": {
        "bed 1": place("pillow 1"),
        "desk 1": place("creditcard 1", "pen 1"),
        "desk 2": place("keychain 1", "laptop 1"),
        "drawer 1": place(closed=True),
        "drawer 2": place(closed=True),
        "garbagecan 1": place(),
        "shelf 1": place(),
    },
    "examine": {
        "armchair 1": place(),
        "dresser 1": place("floorlamp 1", "vase 1"),
        "sidetable 1": place(),
        "sidetable 2": place("book 1"),
        "sofa 1": place("newspaper 1", "pillow 1"),
    },
    "clean": {
        "cabinet 1": place("plate 1", closed=True),
        "cabinet 2": place(closed=True),
        "countertop 1": place("bread 1", "knife 1"),
        "diningtable 1": place("cup 1", "fork 1"),
        "fridge 1": place(closed=True),
        "sinkbasin 1": place("spoon 1"),
    },
    "heat": {
        "countertop 1": place("bowl 1", "butterknife 1"),
        "countertop 2": place("bread 1", "mug 1"),
        "diningtable 1": place(),
        "fridge 1": place(closed=True),
        "garbagecan 1": place(),
        "microwave 1": place(closed=True),
    },
    "cool": {
        "countertop 1": place("pot 2", "tomato 1"),
        "fridge 1": place(closed=True),
        "shelf 1": place(),
        "shelf 2": place("pot 1"),
        "sinkbasin 1": place("potato 1"),
        "stoveburner 1": place(),
    },
    "puttwo": {
        "cabinet 1": place("candle 2", "cloth 1", closed=True),
        "countertop 1": place("soapbar 1"),
        "drawer 1": place(closed=True),
        "drawer 2": place("candle 1", closed=True),
        "garbagecan 1": place(),
        "toilet 1": place(),
    },
}
GOALS: dict[str, dict[str, Any]] = {
    "put": {"do": "", "object": "keychain", "place": "drawer"},
    "examine": {"do": "examine", "object": "newspaper", "place": ""},
    "clean": {"do": "clean", "object": "plate", "place": "cabinet"},
    "heat": {"do": "heat", "object": "bread", "place": "diningtable"},
    "cool": {"do": "cool", "object": "pot", "place": "shelf"},
    "puttwo": {"do": "", "object": "candle", "place": "toilet", "count": 2},
}


@pytest.mark.parametrize("kind", HOUSEHOLDS)
async def test_an_example_of_a_prompt_is_an_episode_that_can_be_played(
    kind: str, local_sandbox: None
) -> None:
    shown, *turns = HOUSEHOLDS[kind].split("\n\nAssistant:\n")
    told = shown.rpartition("Your task is to: ")[2]
    task = task_of({"task": told, "places": HOMES[kind], "goal": GOALS[kind]}, kind)
    assert shown == task.prompt.replace("Interact.", "Task:")
    acting = [turn.split("\n\nObservation:\n") for turn in turns]
    assert all(turn.startswith("<thought> ") for turn in turns)
    sandbox = await started("local", preload=())
    try:
        async with households() as made:
            world = made.open(task)
            async with await sandbox.session(tools=world.calls) as session:
                for message, *observation in acting:
                    assert not world.solved
                    cell = protocol.between_tags(message, "execute")
                    execution: Execution = await session.execute(cell)
                    seen = protocol.render_output(execution.output)
                    assert "Nothing happens." not in seen or observation
                    assert [seen][: len(observation)] == observation
            assert world.solved
    finally:
        await sandbox.close()


def test_each_kind_of_task_has_an_example_and_the_family_its_tools() -> None:
    family = get("alfworld")
    assert family.tools == tuple(FUNCTIONS)
    assert all(family.fields["task_type"](kind) == "" for kind in HOUSEHOLDS)
    assert family.fields["task_type"]("slice") != ""
    for kind, example in HOUSEHOLDS.items():
        assert len(example.split()) < 450, kind
