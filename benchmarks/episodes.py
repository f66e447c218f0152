"""Whole five-turn episodes per second, with a model in this process that answers at once.

``python benchmarks/episodes.py [--episodes 400] [--concurrency 8] [--executor local docker]``

Each episode runs four cells in a fresh interpreter of its own, proposes an answer, is graded and
written to disk. The rival in the same run is a bare loop over the same sessions and cells, without
episodes, grading or records: the share of it that is reached is what the harness costs. Docker
needs an engine (DOCKER_HOST); ``--image host`` builds nothing.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from codeact.commands.arguments import configuration, parse
from codeact.datasets import get, load_tasks
from codeact.episode.prompts import CodeStrategy
from codeact.episode.settings import EpisodeSettings, TurnSettings
from codeact.experiment.compute.local import LocalBackend
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.driver import Assignment, Environment, RunIdentity
from codeact.experiment.events import Job, NullListener
from codeact.experiment.identity import RequestedRun
from codeact.experiment.runner import Runner
from codeact.models.scripted import ScriptedModel
from codeact.recordings.run_folder import RunFolder, read_records
from codeact.sample import tasks_path
from codeact.sandboxes.base import Sandbox
from codeact.sandboxes.settings import AnyExecutorSettings, DockerSettings, LocalSettings
from codeact.sandboxes.start import start_sandbox
from codeact.tools import ToolBox

CELLS = ["a = 6", "b = a * 7", "print(a, b)", "sum(range(b))"]
TEXTS = [f"<thought> Next. </thought>\n<execute> {cell} </execute>" for cell in CELLS]


async def episodes(sandbox: Sandbox, count: int, concurrency: int, folder: Path) -> float:
    """Play `count` episodes through the real runner; seconds."""
    family = get("gsm8k")
    (task, *_) = load_tasks(family, tasks_path("gsm8k"))
    answer = f"The answer is <solution> {task.reference} </solution>"
    environment = Environment(
        identity=RunIdentity("scripted", "none", "benchmark"),
        settings=EpisodeSettings(turns=TurnSettings(max_steps=5, max_propose_solution=2)),
        strategy=CodeStrategy(),
        policy=ScriptedModel([*TEXTS, answer]),
        critic=None,
        sandbox=sandbox,
        tools=ToolBox({}),
    )
    owed = [Assignment(task, family, family.grader("strict"), n) for n in range(count)]
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
                taken = await episodes(sandbox, count, concurrency, Path(folder) / "run")
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
    chosen = parser.parse_args()
    for kind in chosen.executor:
        settings: AnyExecutorSettings = (
            LocalSettings() if kind == "local" else DockerSettings(image=chosen.image)
        )
        row = uvloop.run(measure(settings, chosen.episodes, chosen.concurrency))
        print(json.dumps(row))


if __name__ == "__main__":
    main()
