"""What a command costs besides its work: from the shell to the first word, and to the table.

    python benchmarks/startup.py [--times 5] [--rivals PYTHON]

Each row is a command in a process of its own, run several times; the least wall and CPU seconds
count, CPU with all that the command started and waited for. The 200 episodes are played at once, so
the longest of them is what the episodes themselves take. ``--rivals`` is the interpreter of an
environment that has inspect-ai and smolagents; their start-up is then shown beside ours.
"""

# ruff: noqa: D103 (a program, not a library)

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

CODEACT = [sys.executable, "-m", "codeact"]
SAMPLE = ("data=pkg://codeact.sample/tasks", "task=gsm8k")
AT_ONCE = 200
TEXTS = ["<execute>print(6 * 7)</execute>", "<solution>42</solution>"]


class Took(NamedTuple):
    """Wall and CPU seconds of a command."""

    wall: float
    cpu: float


def timed(words: list[str]) -> Took:
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        sys.exit(f"{' '.join(words)}\nended with {done.returncode}:\n{done.stderr}")
    cpu = after.children_user + after.children_system
    return Took(wall, cpu - before.children_user - before.children_system)


def least(words: list[str], times: int) -> Took:
    found = [timed(words) for _ in range(times)]
    return Took(min(one.wall for one in found), min(one.cpu for one in found))


def show(name: str, took: Took, more: str = "") -> None:
    print(f"{name:<44} {took.wall:7.2f} {took.cpu:7.2f}  {more}", flush=True)


def played(folder: Path, words: tuple[str, ...], times: int) -> tuple[Took, float]:
    """A run, each time in a new folder; of the quickest, what its longest episode took, too."""
    found = []
    for n in range(times):
        run_dir = folder / str(n)
        took = timed([*CODEACT, "run", *SAMPLE, *words, f"run_dir={run_dir}"])
        lines = (run_dir / "episodes.jsonl").read_text().splitlines()
        found.append((took, max(json.loads(line)["seconds"] for line in lines)))
        shutil.rmtree(run_dir)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--rivals", help="an interpreter with inspect-ai and smolagents")
    arguments = parser.parse_args()
    times = arguments.times
    print(f"{'':<44} {'wall s':>7} {'CPU s':>7}")
    show("codeact --help", least([*CODEACT, "--help"], times))
    show("codeact run --help", least([*CODEACT, "run", "--help"], times))
    show("import codeact", least([sys.executable, "-c", "import codeact"], times))
    many = ("model=scripted", f"model.texts={json.dumps(TEXTS)}", "samples=25", "limit=8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for tracker in ("none", "wandb"):
            words = ("limit=1", f"tracker={tracker}")
            took, longest = played(folder, words, times)
            show(f"one recorded episode, tracker={tracker}", took, f"episode {longest:.2f}")
        words = (*many, f"compute.concurrency={AT_ONCE}", "tracker=none")
        took, longest = played(folder, words, times)
        more = f"episodes {longest:.2f}, {took.wall - longest:.2f} above them"
        show(f"{AT_ONCE} scripted episodes at once", took, more)
    if arguments.rivals:
        inspect = str(Path(arguments.rivals).with_name("inspect"))
        show("inspect eval --help", least([inspect, "eval", "--help"], times))
        smolagents = [arguments.rivals, "-c", "import smolagents"]
        show("import smolagents", least(smolagents, times))


if __name__ == "__main__":
    main()
