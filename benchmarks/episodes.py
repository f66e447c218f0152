"""Whole five-turn episodes per second, with a model in this process that answers at once.

``python benchmarks/episodes.py [--episodes 400] [--concurrency 8] [--executor local docker]``
``python benchmarks/episodes.py --formats`` plays them in every action format in turn, and compares
what they take of both processors with `code`: four acts and an answer each.

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
from pathlib import Path
from typing import Any

import msgspec
import psutil
import uvloop

from codeact.commands.arguments import configuration, parse
from codeact.datasets import get, load_tasks
from codeact.episode.effects import Completion
from codeact.episode.prompts import CodeStrategy, PromptStrategy
from codeact.episode.settings import EpisodeSettings, TurnSettings
from codeact.episode.task import ToolSpec
from codeact.experiment.compute.local import LocalBackend
from codeact.experiment.config.schema import RunConfig
from codeact.experiment.driver import Assignment, Environment, RunIdentity
from codeact.experiment.events import Job, NullListener
from codeact.experiment.identity import RequestedRun
from codeact.experiment.runner import Runner
from codeact.experiment.strategies import strategy
from codeact.models.scripted import ScriptedModel
from codeact.recordings.run_folder import RunFolder, read_records
from codeact.sample import tasks_path
from codeact.sandboxes.base import Sandbox
from codeact.sandboxes.settings import AnyExecutorSettings, DockerSettings, LocalSettings
from codeact.sandboxes.start import start_sandbox
from codeact.tools import Tool, ToolBox

CELLS = ["a = 6", "b = a * 7", "print(a, b)", "sum(range(b))"]
TEXTS = [f"<thought> Next. </thought>\n<execute> {cell} </execute>" for cell in CELLS]


ADD = ToolSpec("add", "add(first: int, second: int) -> int", "Adds two numbers.")


async def add(first: int, second: int) -> int:
    """Add on the host, as a tool of a task."""
    return first + second


def scripts(answer: str) -> dict[str, list[str | Completion]]:
    """Four acts and the answer, in every format that acts: cells, or calls of a tool."""

    def called(name: str, **given: object) -> Completion:
        call = {"id": "c", "name": name, "arguments": json.dumps(given)}
        return Completion("Next.", tool_calls=(call,))  # type: ignore[arg-type]

    calls = [{"first": n, "second": 42} for n in range(4)]
    return {
        "code": [*TEXTS, f"The answer is <solution> {answer} </solution>"],
        "code_fenced": [*(f"Next.\n```python\n{c}\n```" for c in CELLS), f"ANSWER: {answer}"],
        "code_tool": [*(called("python", code=c) for c in CELLS), called("answer", value=answer)],
        "json_code": [
            *(json.dumps({"thought": "Next.", "code": c}) for c in CELLS),
            json.dumps({"answer": answer}),
        ],
        "json": [
            *(json.dumps({"thought": "Next.", "tool": "add", "arguments": c}) for c in calls),
            json.dumps({"answer": answer}),
        ],
        "text": [
            *(f"Next.\nAction: add(first={c['first']}, second={c['second']})" for c in calls),
            f"Answer: {answer}",
        ],
        "tool_calls": [*(called("add", **c) for c in calls), called("answer", value=answer)],
    }


async def episodes(
    sandbox: Sandbox,
    count: int,
    concurrency: int,
    folder: Path,
    *,
    prompt: PromptStrategy | None = None,
) -> float:
    """Play `count` episodes through the real runner; seconds."""
    family = get("gsm8k")
    (task, *_) = load_tasks(family, tasks_path("gsm8k"))
    prompt = prompt or CodeStrategy()
    if prompt.name != "code":
        task = msgspec.structs.replace(task, tools=("add",))
    environment = Environment(
        identity=RunIdentity("scripted", "none", "benchmark"),
        settings=EpisodeSettings(turns=TurnSettings(max_steps=5, max_propose_solution=2)),
        strategy=prompt,
        policy=ScriptedModel(scripts(str(task.reference))[prompt.name]),
        critic=None,
        sandbox=sandbox,
        tools=ToolBox({"add": Tool(ADD, add)}),
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
    """Every format in turn, five times; CPU milliseconds of an episode, the median of each."""
    sandbox = await start_sandbox(settings)
    taken: dict[str, list[float]] = {}
    try:
        for round_ in range(6):
            for name in scripts(""):
                before = cpu_of_all()
                with tempfile.TemporaryDirectory() as folder:
                    run = Path(folder) / "run"
                    await episodes(sandbox, count, concurrency, run, prompt=strategy(name))
                if round_:  # the first one warms up
                    spent = 1000 * (cpu_of_all() - before) / count
                    taken.setdefault(name, []).append(spent)
    finally:
        await sandbox.close()
    medians = {name: statistics.median(spent) for name, spent in taken.items()}
    return {
        name: {"CPU ms/episode": round(spent, 2), "of code": round(spent / medians["code"], 2)}
        for name, spent in medians.items()
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
