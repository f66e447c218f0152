"""From recordings to training conversations: time and memory, beside pandas in the same run.

    python benchmarks/collection.py TRANSCRIPTS [--times 10] [--rounds 3] [--json OUT]

Each rendering runs in its own process, which is measured from outside: wall and CPU seconds of all
its processes, and the peak of their memory together. Memory is given as resident sets (shared pages
count once for each process) and as proportional shares (they count once). "Work" is the part after
imports, as the process itself measured it. The last rows show the same recordings several times
over, under other models' names: memory should not follow. The quickest round counts, and one more
round looks at memory; a busy machine slows all.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

OURS = """
import sys, time
from codeact.collection.pipeline import select
from codeact.collection.settings import SelectConfig
from codeact.experiment.config.compose import Invocation, compose_config
from codeact.experiment.config.validation import validated
words = (f"source={sys.argv[1]!r}", f"out={sys.argv[2]}", "selection=published")
config = validated(SelectConfig, compose_config(Invocation("select", words)))
start = time.perf_counter()
report = select(config)
print(time.perf_counter() - start, *(tier.kept for tier in report.tiers.values()))
"""
COMMAND = """
import sys
from codeact.cli import main
sys.exit(main(["select", sys.argv[1], f"out={sys.argv[2]}", "selection=published"]))
"""
SAMPLE_SECONDS = 0.03


def pandas_rendering(source: Path, out: Path) -> None:
    """Apply the published rules as one would with data frames; prints seconds and counts."""
    import gzip
    import re

    import pandas as pd

    def load(path: Path) -> Iterator[dict]:
        parts = path.relative_to(source).parts
        model, feedback, *rest, task_type, task, _ = parts
        kind = rest[0] if len(rest) == 2 else ""
        for line in gzip.decompress(path.read_bytes()).splitlines():
            record = json.loads(line)
            state = record["state"]
            yield {
                "model": model.removesuffix("-hf").replace("-16k", ""),
                "feedback": feedback + kind,
                "setting": rest[-1],
                "type": task_type,
                "task": task,
                "id": str(record["task"]["task_id"]),
                "history": state["history"],
                "n_turns": len(state["history"]) // 2,
                "success": state["success"],
                "invalid": state["agent_action_count"]["invalid_action"],
            }

    def useful(row: pd.Series) -> bool:
        between = [message["content"] for message in row["history"][1:-1]]
        return len(between) % 2 == 0 and any(
            "<solution>" not in answer and not ("<execute>" in answer and "Error" in observation)
            for answer, observation in zip(between[::2], between[1::2], strict=True)
        )

    def conversation(row: pd.Series) -> dict:
        first, *rest = row["history"]
        instruction, _, task = first["content"].split("\n---\n\nTask:", 2)
        instruction = re.sub(r"Your thought process.*?</thought>\.\n\n", "", instruction)
        messages = [("system", instruction.strip()), ("user", f"Task:\n{task.strip()}")]
        for message in rest[:-1] if rest[-1]["role"] == "user" else rest:
            text = message["content"].strip()
            if message["role"] == "assistant":
                text = text.removeprefix("Assistant:").strip()
                text = re.sub("<thought>(.*?)</thought>", lambda m: m[1].strip(), text, flags=re.S)
                text = re.sub("Assistant[:：]", "", text)
            messages.append((message["role"], text))
        return {
            "id": "/".join(row[["type", "task", "id", "model", "setting"]]),
            "conversations": [{"role": role, "content": text} for role, text in messages],
        }

    start = time.perf_counter()
    files = sorted(source.rglob("results.jsonl.gz"))
    frame = pd.DataFrame(record for path in files for record in load(path))
    identity = ["type", "task", "id", "model", "feedback", "setting"]
    frame = frame.drop_duplicates(identity)
    strong = frame["model"].str.startswith("gpt-4")
    tasks = frame.drop_duplicates(["type", "task", "id"]).groupby(["type", "task"]).size()
    experiment = ["model", "feedback", "setting"]
    sizes = frame[~strong].groupby([*experiment, "type", "task"]).size().unstack(["type", "task"])
    complete = sizes.index[(sizes.reindex(columns=tasks.index) == tasks).all(axis=1)]
    weaker = frame[~strong & frame.set_index(experiment).index.isin(complete)]
    long = frame["n_turns"] > 2
    tiers = {
        "easy": weaker[weaker["success"] & ~long.loc[weaker.index]],
        "medium": weaker[weaker["success"] & long.loc[weaker.index]],
        "strong": frame[strong & frame["success"] & long],
    }
    out.mkdir(parents=True, exist_ok=True)
    kept = []
    for name, tier in tiers.items():
        chosen = tier[(tier["task"] != "strategyqa") & (tier["n_turns"] - 1 != tier["invalid"])]
        chosen = chosen[chosen.apply(useful, axis=1)]
        kept.append(len(chosen))
        with (out / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for line in chosen.apply(conversation, axis=1):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(time.perf_counter() - start, *kept)


class Figures(NamedTuple):
    """Seconds, peak memory of all processes in MB (0 where nobody looked), and what was kept."""

    work: float
    wall: float
    cpu: float
    rss: float
    pss: float
    kept: str


def measured(arguments: list[str], *, memory: bool = False) -> Figures:
    """Run a program. To look at its memory takes time from it, so that is asked for apart."""
    before, start = os.times(), time.perf_counter()
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    resident = shared = 0.0
    while memory and child.poll() is None:
        sizes = [size for pid in (child.pid, *children(child.pid)) for size in [memory_of(pid)]]
        resident = max(resident, sum(size[0] for size in sizes))
        shared = max(shared, sum(size[1] for size in sizes))
        time.sleep(SAMPLE_SECONDS)
    output = child.communicate()[0].split()
    wall, after = time.perf_counter() - start, os.times()
    if child.returncode:
        sys.exit(f"{arguments} failed")
    work, *kept = output if arguments[1] != COMMAND else ["nan"]
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return Figures(float(work), wall, cpu, resident, shared, " ".join(kept))


def children(pid: int) -> list[int]:
    """The processes that a process has started, whichever of its threads did."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def memory_of(pid: int) -> tuple[float, float]:
    """Resident and proportional set of a process, in MB; nothing if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0.0, 0.0
    sizes = {name: float(rest.split()[0]) / 1e3 for name, rest in (x.split(":") for x in lines)}
    return sizes.get("Rss", 0.0), sizes.get("Pss", 0.0)


@contextmanager
def repeated(source: Path, times: int) -> Iterator[Path]:
    """The recordings `times` over, under other models' names, as links where that can be."""
    with tempfile.TemporaryDirectory(prefix="collection-") as folder:
        root = Path(folder)
        for path in source.rglob("results.jsonl.gz"):
            model, *rest = path.relative_to(source).parts
            for number in range(times):
                copy = root.joinpath(f"{model}-{number}", *rest)
                copy.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(path, copy)
                except OSError:
                    shutil.copyfile(path, copy)
        yield root


def best(name: str, arguments: list[str], rounds: int) -> tuple[str, Figures]:
    """The quickest of the rounds, with the memory of one more."""
    found = min((measured(arguments) for _ in range(rounds)), key=lambda one: one.wall)
    looked_at = measured(arguments, memory=True)
    return name, found._replace(rss=looked_at.rss, pss=looked_at.pss)


def main() -> None:
    """Measure, print, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pandas", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.pandas:
        pandas_rendering(options.source, options.pandas)
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="collection-out-") as out:
        source = str(options.source)
        rows = [
            best("ours", ["-c", OURS, source, f"{out}/ours"], options.rounds),
            best("codeact select", ["-c", COMMAND, source, f"{out}/cli"], options.rounds),
        ]
        rival = [__file__, source, "--pandas", f"{out}/pandas"]
        rows.append(best("pandas", rival, 1))
        if rows[-1][1].kept != rows[0][1].kept:
            sys.exit(f"not the same work: {rows[0][1].kept} and {rows[-1][1].kept}")
        with repeated(options.source, options.times) as many:
            title = f"ours, {options.times} times the recordings"
            rows.append(best(title, ["-c", OURS, str(many), f"{out}/many"], 1))
    table = Table(title=f"load average {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    for head in ("", "work s", "wall s", "CPU s", "peak RSS MB", "peak PSS MB", "kept"):
        table.add_column(head, justify="left" if head in ("", "kept") else "right")
    for name, row in rows:
        seconds = (f"{value:.2f}" for value in row[:3])
        table.add_row(name, *seconds, f"{row.rss:.0f}", f"{row.pss:.0f}", row.kept)
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(
            json.dumps({"load": load} | {name: row._asdict() for name, row in rows}, indent=2)
            + "\n"
        )


if __name__ == "__main__":
    main()
