"""Whole five-turn episodes per second, with a model in this process that answers at once.

``python benchmarks/episodes.py [--episodes 400] [--concurrency 8] [--executor local docker]``
``python benchmarks/episodes.py --formats`` plays a task of toolbench in each action format in turn,
with four calls of its tools and an answer each, and compares what they take with `code`: seconds,
and those of both processors.

Each episode runs four cells in a fresh interpreter of its own, proposes an answer, is graded and
written to disk. The rival in the same run is a bare loop over the same sessions and cells, without
episodes, grading or records: the share of it that is reached is what the harness costs. Docker
needs an engine (DOCKER_HOST); ``--image host`` builds nothing.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import uvloop

from codeact.commands.arguments import configuration, parse
from codeact.datasets import get, load_tasks
from codeact.episode.effects import Completion
from codeact.episode.prompts import ActionFormat, CodeStrategy, PromptStrategy
from codeact.episode.prompts.worked import Step
from codeact.episode.settings import EpisodeSettings, TurnSettings
from codeact.episode.task import Task
from codeact.experiment.compute.local import LocalBackend
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.driver import Assignment, Environment, RunIdentity
from codeact.experiment.events import Job, NullListener
from codeact.experiment.identity import RequestedRun
from codeact.experiment.runner import Runner
from codeact.experiment.strategies import strategy
from codeact.experiment.toolboxes import tools_of
from codeact.experiment.walkthroughs import written_as
from codeact.models.scripted import ScriptedModel
from codeact.recordings.run_folder import RunFolder, read_records
from codeact.sample import tasks_path
from codeact.sandboxes.base import Sandbox
from codeact.sandboxes.settings import AnyExecutorSettings, DockerSettings, LocalSettings
from codeact.sandboxes.start import start_sandbox
from codeact.tools import ToolBox

CELLS = ["a = 6", "b = a * 7", "print(a, b)", "sum(range(b))"]
FORMATS = ("code", "code_fenced", "code_tool", "json_code", "json", "text", "tool_calls")
TEXTS = [f"<thought> Next. </thought>\n<execute> {cell} </execute>" for cell in CELLS]


class Played(NamedTuple):
    """What is played: a task, what the policy writes in its five turns, and how it is read."""

    task: Task
    texts: Sequence[str | Completion]
    prompt: PromptStrategy
    tools: ToolBox


def in_cells() -> Played:
    """A task of mathematics, and four cells that call nothing."""
    (task, *_) = load_tasks(get("gsm8k"), tasks_path("gsm8k"))
    answer = f"The answer is <solution> {task.reference} </solution>"
    return Played(task, [*TEXTS, answer], CodeStrategy(), ToolBox({}))


def in_format(name: str) -> Played:
    """A task of toolbench with four calls, one a turn, in an action format."""
    format_ = strategy(name)
    assert isinstance(format_, ActionFormat)
    family = get("toolbench")
    assert family.walkthrough is not None
    tasks = load_tasks(family, "seed://0")
    task = next(one for one in tasks if len(family.walkthrough(one).calls) == 4)
    steps = [
        Step("Next.", code=f"print({tool}(**{given!r}))", tool=tool, arguments=given)
        for tool, given in family.walkthrough(task).calls
    ]
    steps.append(Step("So.", answer=str(task.reference)))
    texts = [written_as(format_, step, number) for number, step in enumerate(steps)]
    tools = ToolBox({}, in_session=tools_of(["toolbench"]))
    return Played(task, texts, format_, tools)


async def episodes(
    sandbox: Sandbox, count: int, concurrency: int, folder: Path, played: Played
) -> float:
    """Play `count` episodes through the real runner; seconds."""
    family = get(played.task.name)
    environment = Environment(
        identity=RunIdentity("scripted", "none", "benchmark"),
        settings=EpisodeSettings(turns=TurnSettings(max_steps=5, max_propose_solution=2)),
        strategy=played.prompt,
        policy=ScriptedModel(played.texts),
        critic=None,
        sandbox=sandbox,
        tools=played.tools,
    )
    owed = [Assignment(played.task, family, family.grader("strict"), n) for n in range(count)]
    config = configuration("run", parse("run", []), RunConfig)
    run = RunFolder.open(folder, RequestedRun(config=config, values={"benchmark": "episodes"}))
    start = time.perf_counter()
    backend = LocalBackend({"b": environment}, {})
    await Runner([Job("b", config, run, owed)], backend, concurrency, NullListener()).run()
    seconds = time.perf_counter() - start
    run.close()
    records = list(read_records(folder))
    solved = [r for r in records if r.outcome.success and len(r.turns) == 5]
    if len(solved) != count:
        raise SystemExit(f"only {len(solved)} of {count} episodes went as written: {records[0]}")
    return seconds


async def bare(sandbox: Sandbox, count: int, concurrency: int) -> float:
    """The same sessions and cells and nothing else; seconds."""
    owed = iter(range(count))

    async def work() -> None:
        for _ in owed:
            async with await sandbox.session() as session:
                for cell in CELLS:
                    await session.execute(cell)

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return time.perf_counter() - start


def cpu() -> float:
    """CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cpu_of_all() -> float:
    """CPU seconds of this process and of all that it started, whether they run or have ended."""
    own = psutil.Process()
    total = 0.0
    for process in [own, *own.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            spent = process.cpu_times()
            total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


async def compare(settings: AnyExecutorSettings, count: int, concurrency: int) -> dict[str, Any]:
    """Every format in turn, five times; the medians of what an episode takes."""
    sandbox = await start_sandbox(settings)
    spent: dict[str, list[float]] = {name: [] for name in FORMATS}
    waited: dict[str, list[float]] = {name: [] for name in FORMATS}
    try:
        for round_ in range(6):
            for name in FORMATS:
                before = cpu_of_all()
                with tempfile.TemporaryDirectory() as folder:
                    run = Path(folder) / "run"
                    took = await episodes(sandbox, count, concurrency, run, in_format(name))
                if round_:  # the first one warms up
                    spent[name].append(1000 * (cpu_of_all() - before) / count)
                    waited[name].append(1000 * took / count)
    finally:
        await sandbox.close()
    cpu_ms = {name: statistics.median(found) for name, found in spent.items()}
    wall_ms = {name: statistics.median(found) for name, found in waited.items()}
    return {
        name: {
            "CPU ms/episode": round(cpu_ms[name], 2),
            "CPU of code": round(cpu_ms[name] / cpu_ms["code"], 2),
            "ms/episode": round(wall_ms[name], 2),
            "time of code": round(wall_ms[name] / wall_ms["code"], 2),
        }
        for name in FORMATS
    }


async def measure(settings: AnyExecutorSettings, count: int, concurrency: int) -> dict[str, Any]:
    """Both in turn, three times; the round with the median rate."""
    sandbox = await start_sandbox(settings)
    try:
        await bare(sandbox, concurrency * 2, concurrency)
        rounds = []
        for _ in range(3):
            floor = await bare(sandbox, count, concurrency)
            before = cpu()
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                taken = await episodes(sandbox, count, concurrency, run, in_cells())
            rounds.append((count / taken, count / floor, 1000 * (cpu() - before) / count))
    finally:
        await sandbox.close()
    rate, floor_rate, host = sorted(rounds)[1]
    return {
        "executor": settings.kind,
        "episodes/s": round(rate, 1),
        "bare sessions/s": round(floor_rate, 1),
        "share of bare": round(rate / floor_rate, 2),
        "host CPU ms/episode": round(host, 2),
    }


def main() -> None:
    """Print one JSON line for each executor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--executor", nargs="+", default=["local"], choices=["local", "docker"])
    parser.add_argument("--image", default="host")
    parser.add_argument("--formats", action="store_true")
    chosen = parser.parse_args()
    for kind in chosen.executor:
        settings: AnyExecutorSettings = (
            LocalSettings() if kind == "local" else DockerSettings(image=chosen.image)
        )
        measured = compare if chosen.formats else measure
        row = uvloop.run(measured(settings, chosen.episodes, chosen.concurrency))
        print(json.dumps(row))


if __name__ == "__main__":
    main()
