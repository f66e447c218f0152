"""How quickly runs of many episodes are indexed, listed, searched, resumed and summed up.

    python benchmarks/index.py TRANSCRIPTS [--episodes 100000] [--folder DIR] [--only STEP ...]

Makes a run folder of recordings, repeated under new ids, and prints what each step takes in a
process of its own: wall and CPU seconds after imports, the peak of resident memory, and how much of
the folder is read in a second. A busy machine slows all; CPU seconds tell less of it. `--folder`
keeps the run folder for the next time, and its index is made anew.
"""

# ruff: noqa: D103 (a program, not a library)

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from codeact.episode.record import EpisodeRecord, encode, episode_id
from codeact.recordings.exchange import ImportConfig, import_trees
from codeact.recordings.run_folder import EPISODES, read_records

NEW = 100
MORE = "more.jsonl"
COMMON = "text='number'"
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
run, new = Path(sys.argv[1]), Path(sys.argv[2])
from codeact.recordings.index import Index
{before}
wall, cpu = time.perf_counter(), time.process_time()
{step}
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
children = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu += children.ru_utime + children.ru_stime
print(json.dumps([wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


class Step(NamedTuple):
    """What is measured, after what was done `before`; `whole` ones read the folder whole."""

    step: str
    before: str = "index = Index.open(run)"
    whole: bool = False
    goal: str = ""


STEPS = {
    "built": Step(
        *("index = Index.open(run)", "(run / 'index.sqlite').unlink(missing_ok=True)"),
        whole=True,
        goal=">= 200 MB/s",
    ),
    "opened, nothing new": Step("Index.open(run)", ""),
    f"{NEW} new lines": Step(
        "assert index.update() == 100",
        "index = Index.open(run)\n"
        "with (run / 'episodes.jsonl').open('ab') as file: file.write(new.read_bytes())",
        goal="<= 50 ms",
    ),
    "first 50 rows": Step("Index.open(run).rows(limit=50)", "", goal="<= 1 s"),
    "filtered, sorted": Step(
        "index.rows({'task_name': 'math', 'success': True}, sort=['-prompt'], limit=50)",
        goal="<= 200 ms",
    ),
    "9 columns of all": Step(
        "index.columns(['task_digest', 'sample', 'success', 'counted', 'turns', 'prompt', "
        "'completion', 'cost', 'seconds'])"
    ),
    "words taken in": Step("index.search('nothing')", whole=True),
    "searched": Step("index.rows(text='ZeroDivisionError', limit=50)", goal="<= 200 ms"),
    "searched, common": Step(f"index.rows({COMMON}, limit=50)", goal="<= 200 ms"),
    "counted, common": Step(f"index.count({COMMON})", goal="<= 200 ms"),
    "one episode": Step(
        "index.read(key)",
        "index = Index.open(run); key = index.rows(limit=1, offset=index.count() // 2)[0].key",
        goal="<= 50 ms",
    ),
    "summarized": Step(
        "summarize_folder(run)",
        "from codeact.experiment.summary import summarize_folder",
        whole=True,
    ),
    "resumed": Step(
        "RunFolder.open(run, asked()).close()",
        "from codeact.recordings.run_folder import RunFolder\n"
        "from tests.helpers.records import asked",
        whole=True,
    ),
}


def repeated(source: Path, episodes: int) -> Iterator[EpisodeRecord]:
    """The episodes of imported runs, again and again, each under an id of its own."""
    from tests.helpers.records import SETTINGS

    runs = sorted(source.rglob(EPISODES))
    records = (record for run in cycle(runs) for record in read_records(run))
    for number, record in enumerate(islice(records, episodes)):
        task = f"{record.task_id}-{number}"
        record.task_id, record.settings_digest = task, SETTINGS
        record.id = episode_id(record.task_name, task, SETTINGS, record.sample)
        record.task_digest = f"{number:016x}"
        yield record


def make_run(transcripts: Path, folder: Path, episodes: int) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as imported:
        import_trees(ImportConfig(source=str(transcripts), out=imported))
        folder.mkdir(exist_ok=True)
        with (folder / EPISODES).open("wb") as whole, (folder / MORE).open("wb") as more:
            for number, record in enumerate(repeated(Path(imported), episodes + NEW)):
                (whole if number < episodes else more).write(encode(record) + b"\n")


def measured(step: Step, folder: Path) -> list[float]:
    program = PROGRAM.format(before=step.before, step=step.step)
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(folder / MORE)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    return list(msgspec.json.decode(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transcripts", type=Path)
    parser.add_argument("--episodes", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", nargs="*", default=list(STEPS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "run"
        if not (folder / MORE).exists():
            make_run(arguments.transcripts, folder, arguments.episodes)
        size = (folder / EPISODES).stat().st_size / 1e6
        table = Table(title=f"{arguments.episodes:,} episodes, {size:,.0f} MB")
        for name in ("step", "wall", "CPU", "peak", "speed", "goal"):
            table.add_column(name, justify="left" if name == "step" else "right")
        found = {}
        for name in arguments.only:
            wall, cpu, peak = found[name] = measured(STEPS[name], folder)
            speed = f"{size / wall:,.0f} MB/s" if STEPS[name].whole else ""
            cells = (f"{wall:.3f} s", f"{cpu:.3f} s", f"{peak:.0f} MB", speed, STEPS[name].goal)
            table.add_row(name, *cells)
        Console(width=120).print(table)
        print(json.dumps(found))


if __name__ == "__main__":
    main()
