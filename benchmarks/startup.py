"""What a command costs besides its work: from the shell to the first word, and to the table.

    python benchmarks/startup.py [--times 5] [--before CHECKOUT] [--rivals PYTHON]

Each row is a command in a process of its own, run several times; the least wall and CPU seconds
count, CPU with all that the command started and waited for. The 200 episodes are played at once, so
the longest of them is what the episodes themselves take. ``--before`` is a checkout of another
version. Its commands take turns with ours, so that a busy machine is so for both, and have the same
interpreter and packages. ``--rivals`` is the interpreter of an environment that has inspect-ai and
smolagents; their start-up is then shown beside ours.
"""

# ruff: noqa: D103 (a program, not a library)

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

CODEACT = [sys.executable, "-m", "codeact"]
ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ("data=pkg://codeact.sample/tasks", "task=gsm8k")
AT_ONCE = 200
TEXTS = ["<execute>print(6 * 7)</execute>", "<solution>42</solution>"]


class Took(NamedTuple):
    """Wall and CPU seconds of a command, and of its longest episode."""

    wall: float
    cpu: float
    longest: float = 0.0


def timed(words: list[str], checkout: Path) -> Took:
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=checkout, env=environment
    )
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        sys.exit(f"{' '.join(words)}\nended with {done.returncode}:\n{done.stderr}")
    cpu = after.children_user + after.children_system
    return Took(wall, cpu - before.children_user - before.children_system)


def played(words: Sequence[str], checkout: Path) -> Took:
    """A run in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        took = timed([*CODEACT, "run", *SAMPLE, *words, f"run_dir={run_dir}"], checkout)
        lines = (run_dir / "episodes.jsonl").read_text().splitlines()
        return took._replace(longest=max(json.loads(line)["seconds"] for line in lines))


def show(name: str, take: Callable[[Path], Took], checkouts: list[Path], times: int) -> None:
    """Print a row for each checkout: the least of what was found in turns."""
    found: dict[Path, list[Took]] = {checkout: [] for checkout in checkouts}
    for _ in range(times):
        for checkout in checkouts:
            found[checkout].append(take(checkout))
    for checkout, ones in found.items():
        quickest = min(ones)
        label = name if checkout == ROOT else f"  the same in {checkout}"
        more = ""
        if quickest.longest:
            above = min(one.wall - one.longest for one in ones)
            more = f"episodes {quickest.longest:.2f}, {above:.2f} above them"
        cpu = min(one.cpu for one in ones)
        print(f"{label:<44} {quickest.wall:7.2f} {cpu:7.2f}  {more}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--before", type=Path, help="a checkout of another version")
    parser.add_argument("--rivals", help="an interpreter with inspect-ai and smolagents")
    arguments = parser.parse_args()
    before = [arguments.before.resolve()] if arguments.before else []
    checkouts, times = [*before, ROOT], arguments.times
    print(f"{'':<44} {'wall s':>7} {'CPU s':>7}")
    commands = {
        "codeact --help": [*CODEACT, "--help"],
        "codeact run --help": [*CODEACT, "run", "--help"],
        "import codeact": [sys.executable, "-c", "import codeact"],
    }
    for name, words in commands.items():
        show(name, lambda checkout, words=words: timed(words, checkout), checkouts, times)
    many = ("model=scripted", f"model.texts={json.dumps(TEXTS)}", "samples=25", "limit=8")
    runs = {
        "one recorded episode, tracker=none": ("limit=1", "tracker=none"),
        "one recorded episode, tracker=wandb": ("limit=1", "tracker=wandb"),
        f"{AT_ONCE} scripted episodes at once": (
            *(*many, f"compute.concurrency={AT_ONCE}", "tracker=none"),
        ),
    }
    for name, words in runs.items():
        show(name, lambda checkout, words=words: played(words, checkout), checkouts, times)
    if arguments.rivals:
        inspect = str(Path(arguments.rivals).with_name("inspect"))
        smolagents = [arguments.rivals, "-c", "import smolagents"]
        rivals = {
            "inspect eval --help": [inspect, "eval", "--help"],
            "import smolagents": smolagents,
        }
        for name, words in rivals.items():
            show(name, lambda checkout, words=words: timed(words, checkout), [ROOT], times)


if __name__ == "__main__":
    main()
