"""The sandbox's speed and weight, each figure beside its rival in the same run.

    python benchmarks/sandbox.py [local] [docker] [--live 1000] [--image host] [--json OUT]

Rivals: `docker exec python -c` (the same container), and IPython in this process without any
isolation. Medians and p99; a busy machine makes all of them slower, so read the ratios.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from codeact.datasets import get, load_tasks
from codeact.graders.code import CodeGrader
from codeact.sample import tasks_path
from codeact.sandboxes.docker.executor import DockerSandbox
from codeact.sandboxes.sandbox import GuestSandbox
from codeact.sandboxes.settings import DockerSettings, LocalSettings
from codeact.sandboxes.start import start_sandbox

CELL = "x = 1\nfor i in range(10):\n    x += i\nx"
SMALL_CELL = "1 + 1"
GOALS = {
    "session ready, ms": "<= 4 (docker)",
    "ready + first result, ms": "<= 10",
    "later cell, ms": "<= 0.4 / p99 <= 1.0",
    "later cell of one line, ms": "",
    "docker exec python -c, ms": "(rival)",
    "times faster than docker exec": ">= 100",
    "IPython in-process, ms": "(rival, no isolation)",
    "IPython in-process, one line, ms": "(rival, no isolation)",
    "cells/s, 8 sessions": ">= 3500",
    "cells/s, 32 sessions": ">= 3500",
    "private MB, fresh session": "<= 6",
    "private MB, numpy+pandas+sympy": "<= 28",
    "code verdict, ms": "<= 20",
    "five-cell episodes/s": "(prototype: 96-130)",
    "live sessions": ">= 1000",
}


def spread(times: list[float]) -> str:
    """Write a median and a 99th percentile, in ms."""
    times = sorted(1e3 * t for t in times)
    return f"{statistics.median(times):.2f} / {times[int(len(times) * 0.99)]:.2f}"


async def ready(sandbox: GuestSandbox, rounds: int = 100) -> dict[str, str]:
    """Time a session until it is ready, and until its first cell has answered."""
    opened, answered = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        session = await sandbox.session()
        opened.append(time.perf_counter() - began)
        await session.execute(CELL)
        answered.append(time.perf_counter() - began)
        await session.close()
    return {"session ready, ms": spread(opened), "ready + first result, ms": spread(answered)}


async def later_cells(sandbox: GuestSandbox, cell: str, rounds: int = 2000) -> list[float]:
    """Time the cells of a session that is warm."""
    times = []
    async with await sandbox.session() as session:
        for _ in range(50):
            await session.execute(cell)
        for _ in range(rounds):
            began = time.perf_counter()
            await session.execute(cell)
            times.append(time.perf_counter() - began)
    return times


async def throughput(sandbox: GuestSandbox, width: int, seconds: float = 3.0) -> float:
    """Count cells per second over many sessions."""
    sessions = await asyncio.gather(*[sandbox.session() for _ in range(width)])
    await asyncio.gather(*[s.execute(CELL) for s in sessions])
    count, began = 0, time.perf_counter()

    async def work(session: Any) -> None:
        nonlocal count
        while time.perf_counter() - began < seconds:
            await session.execute(CELL)
            count += 1

    await asyncio.gather(*[work(s) for s in sessions])
    rate = count / (time.perf_counter() - began)
    await asyncio.gather(*[s.close() for s in sessions])
    return rate


async def episodes(sandbox: GuestSandbox, width: int = 8, total: int = 200) -> float:
    """Count episodes of five cells per second."""
    limit = asyncio.Semaphore(width)

    async def one() -> None:
        async with limit, await sandbox.session() as session:
            for _ in range(5):
                await session.execute(CELL)

    began = time.perf_counter()
    await asyncio.gather(*[one() for _ in range(total)])
    return total / (time.perf_counter() - began)


async def verdicts(sandbox: GuestSandbox, rounds: int = 50) -> list[float]:
    """Time strict verdicts on a right program: its tests in one session, itself in another."""
    family = get("mbpp")
    (task, *_) = load_tasks(family, tasks_path("mbpp"))
    grader = family.grader("strict")
    assert isinstance(grader, CodeGrader)
    answer = grader._solution(task)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        verdict = await grader(task, answer, sandbox)
        times.append(time.perf_counter() - began)
        assert verdict.correct, verdict
    return times


def private_megabytes(uid: int) -> float:
    """Sum what only the processes of this uid hold."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.joinpath("status").read_text().split("Uid:")[1].split()[0] != str(uid):
                continue
            for line in folder.joinpath("smaps_rollup").read_text().splitlines():
                if line.startswith("Private_"):
                    total += int(line.split()[1])
        except (OSError, IndexError):
            continue
    return total / 1024


async def memory(sandbox: GuestSandbox) -> dict[str, str]:
    """Weigh a fresh session, and one that has used the libraries."""
    if os.geteuid() != 0:
        return {}
    found = {}
    work = (
        "import numpy as np, pandas as pd, sympy\nx = sympy.Symbol('x')\n"
        "pd.DataFrame({'a': np.arange(100), 'b': np.random.rand(100)}).groupby('a').sum()\n"
        "sympy.integrate(sympy.sin(x) ** 2, x)"
    )
    for name, cell in (("fresh session", "1"), ("numpy+pandas+sympy", work)):
        async with await sandbox.session() as session:
            uid = (await session.evaluate("import os; RESULT = os.getuid()", seconds=5)).value
            result = await session.execute(cell)
            assert result.status == "ok", result.output
            found[f"private MB, {name}"] = f"{private_megabytes(uid):.1f}"
    return found


async def docker_exec(sandbox: GuestSandbox, rounds: int = 15) -> list[float]:
    """Time the rival: a new interpreter in the same container for every cell."""
    assert isinstance(sandbox, DockerSandbox)
    container = sandbox._server._process._container  # type: ignore[union-attr]
    python = sandbox._python.executable if sandbox._python is not None else "python3"
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        done = await asyncio.to_thread(container.exec_run, [python, "-c", CELL.replace("\nx", "")])
        times.append(time.perf_counter() - began)
        assert done.exit_code in (0, 1)
    return times


def in_process(cell: str, rounds: int = 2000) -> list[float]:
    """Time IPython without isolation, in a process of its own for a clean slate."""
    program = (
        "import contextlib, io, json, time\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from traitlets.config import Config\n"
        "config = Config(); config.HistoryManager.enabled = False\n"
        "shell = InteractiveShell.instance(config=config)\ntimes = []\n"
        f"for _ in range({rounds}):\n    began = time.perf_counter()\n"
        "    with contextlib.redirect_stdout(io.StringIO()):\n"
        f"        shell.run_cell({cell!r}, store_history=True)\n"
        "    times.append(time.perf_counter() - began)\nprint(json.dumps(times[50:]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    times: list[float] = json.loads(done.stdout)
    return times


async def live(sandbox: GuestSandbox, count: int) -> dict[str, str]:
    """Show so many sessions alive at once, a cell run in each, and all of them still there."""
    before = available_megabytes()
    began = time.perf_counter()
    limit = asyncio.Semaphore(32)

    async def one(number: int) -> Any:
        async with limit:
            session = await sandbox.session()
            result = await session.execute(f"mine = {number}\nmine")
            assert result.status == "ok", result
            return session

    sessions = await asyncio.gather(*[one(number) for number in range(count)])
    took = time.perf_counter() - began
    used = before - available_megabytes()
    outputs = await asyncio.gather(*[s.execute("mine") for s in sessions])
    good = sum(o.output.endswith(f"]: {n}\n") for n, o in enumerate(outputs))
    await asyncio.gather(*[s.close() for s in sessions])
    return {"live sessions": f"{good} of {count} in {took:.1f} s, {used:.0f} MB of the machine"}


def available_megabytes() -> float:
    """Return what the machine has left."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) / 1024


async def measure(kind: str, image: str, live_count: int) -> dict[str, str]:
    """Take every figure of one executor."""
    limits: dict[str, Any] = {"slots": max(64, live_count), "warm": 8, "processes": 32}
    sandbox = await start_sandbox(
        LocalSettings(**limits) if kind == "local" else DockerSettings(image=image, **limits)
    )
    assert isinstance(sandbox, GuestSandbox)
    try:
        await ready(sandbox, 10)
        rows = await ready(sandbox)
        cells = await later_cells(sandbox, CELL)
        rows["later cell, ms"] = spread(cells)
        rows["IPython in-process, ms"] = spread(in_process(CELL))
        rows["later cell of one line, ms"] = spread(await later_cells(sandbox, SMALL_CELL))
        rows["IPython in-process, one line, ms"] = spread(in_process(SMALL_CELL))
        if kind == "docker":
            rival = await docker_exec(sandbox)
            rows["docker exec python -c, ms"] = spread(rival)
            ratio = statistics.median(rival) / statistics.median(cells)
            rows["times faster than docker exec"] = f"{ratio:.0f}"
        for width in (8, 32):
            rows[f"cells/s, {width} sessions"] = f"{await throughput(sandbox, width):.0f}"
        rows["five-cell episodes/s"] = f"{await episodes(sandbox):.0f}"
        rows |= await memory(sandbox)
        rows["code verdict, ms"] = spread(await verdicts(sandbox))
        if live_count:
            rows |= await live(sandbox, live_count)
    finally:
        await sandbox.close()
    return rows


def main() -> None:
    """Measure the executors asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("executors", nargs="*", default=["local", "docker"])
    parser.add_argument("--live", type=int, default=0, help="show so many sessions at once")
    parser.add_argument("--image", default="host")
    parser.add_argument("--json", help="write the figures here")
    chosen = parser.parse_args()
    print(f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    tables = {k: uvloop.run(measure(k, chosen.image, chosen.live)) for k in chosen.executors}
    print(f"{'median / p99':34}" + "".join(f"{k:>30}" for k in tables) + "   goal")
    for name, goal in GOALS.items():
        if any(name in t for t in tables.values()):
            row = "".join(f"{t.get(name, '-'):>30}" for t in tables.values())
            print(f"{name:34}{row}   {goal}")
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(tables, indent=2))


if __name__ == "__main__":
    main()
