"""ALFWorld's games side by side: commands a second, seconds to load one, and memory.

``python benchmarks/alfworld.py --data FOLDER [--games 16] [--seconds 30]``

FOLDER holds the `alfworld.jsonl` that `codeact prepare task=alfworld` makes; the extra has to be
installed. Each game walks from receptacle to receptacle as fast as it can. The rival is textworld
as it comes, one game in a process alone: what the engine's shortcuts save is the ratio of the two
processor times.
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from base64 import b64decode
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil
import uvloop

from codeact.datasets import get, load_tasks
from codeact.episode.task import Task
from codeact.tools import AlfworldSettings
from codeact.tools.alfworld.households import AlfworldHousehold, AlfworldHouseholds

PLAIN = """\
import sys, time
import textworld, textworld.gym
from alfworld.agents.environment.alfred_tw_env import AlfredDemangler, AlfredInfos
wrappers = [AlfredDemangler(), AlfredInfos]
name = textworld.gym.register_games([sys.argv[1]], textworld.EnvInfos(won=True), batch_size=1,
                                    max_episode_steps=10_000, wrappers=wrappers)
env = textworld.gym.make(name)
start = time.process_time()
env.reset()
loaded = time.process_time()
for place in sys.argv[2:]:
    env.step(["go to " + place])
print(loaded - start, (time.process_time() - loaded) / len(sys.argv[2:]))
"""


def places_of(task: Task) -> list[str]:
    """The receptacles that a prompt names."""
    return re.findall(r"\ba (\w+ \d+)", task.prompt)


def plain(task: Task) -> tuple[float, float]:
    """Processor seconds of textworld as it comes: to load a game, and for a command."""
    with tempfile.NamedTemporaryFile(suffix=".tw-pddl") as file:
        file.write(zlib.decompress(b64decode(task.metadata["game"])))
        file.flush()
        words = [sys.executable, "-c", PLAIN, file.name, *places_of(task)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
    load, step = done.stdout.split()
    return float(load), float(step)


def processes() -> list[psutil.Process]:
    """The server of the games, and the games."""
    return psutil.Process().children(recursive=True)


def processor_seconds() -> float:
    """Of all of them together, so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes())


async def walk(task: Task, world: AlfworldHousehold, until: float) -> list[float]:
    """Go from place to place; seconds of each command."""
    taken = []
    for place in cycle(places_of(task)):
        start = time.perf_counter()
        if start >= until:
            return taken
        await world.calls["goto"](place)
        taken.append(time.perf_counter() - start)
    raise AssertionError


async def ours(tasks: list[Task], seconds: float) -> dict[str, Any]:
    """Load a game for each task, walk in all of them, and say what that took."""
    households = AlfworldHouseholds(AlfworldSettings(), "goal")
    households.require()
    try:
        first = households.open(tasks[0])
        await first.ready()
        first.close()
        warm = processor_seconds()
        start = time.perf_counter()
        worlds = [households.open(task) for task in tasks]
        await asyncio.gather(*(world.ready() for world in worlds))
        loaded = time.perf_counter() - start
        cost = (processor_seconds() - warm) / len(tasks)
        before, start = processor_seconds(), time.perf_counter()
        pairs = zip(tasks, worlds, strict=True)
        walks = await asyncio.gather(*(walk(t, w, start + seconds) for t, w in pairs))
        wall = time.perf_counter() - start
        taken = sorted(second for one in walks for second in one)
        memory = [process.memory_full_info() for process in processes()]
        return {
            "games": len(tasks),
            "seconds until all are loaded": round(loaded, 2),
            "CPU seconds to load one": round(cost, 3),
            "commands/s": round(len(taken) / wall, 1),
            "CPU ms/command": round(1000 * (processor_seconds() - before) / len(taken), 1),
            "command p50 ms": round(1000 * statistics.median(taken), 1),
            "command p99 ms": round(1000 * taken[int(len(taken) * 0.99)], 1),
            "MB in all (PSS)": round(sum(one.pss for one in memory) / 2**20),
            "MB of one game (USS, median)": round(
                statistics.median(one.uss for one in memory) / 2**20, 1
            ),
        }
    finally:
        await households.close()


def main() -> None:
    """Print one JSON object for ours, and one for textworld as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--games", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30.0)
    words = parser.parse_args()
    tasks = load_tasks(get("alfworld"), words.data / "alfworld.jsonl")[: words.games]
    found = uvloop.run(ours(tasks, words.seconds))
    print(json.dumps(found))
    loads, steps = zip(*map(plain, tasks[:4]), strict=True)
    load, step = statistics.median(loads), 1000 * statistics.median(steps)
    print(
        json.dumps(
            {
                "textworld as it comes": "4 games, one after the other",
                "CPU seconds to load one": round(load, 3),
                "CPU ms/command": round(step, 1),
                "ours loads quicker by": round(load / found["CPU seconds to load one"], 1),
                "ours commands quicker by": round(step / found["CPU ms/command"], 1),
            }
        )
    )


if __name__ == "__main__":
    main()
