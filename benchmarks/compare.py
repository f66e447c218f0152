"""How long two runs of many episodes take to be compared, and how much memory that needs.

    python benchmarks/compare.py TRANSCRIPTS [EPISODES]

Takes two models' published recordings of the same tasks, repeated under new ids and digests until
there are so many episodes (100,000) in each, and indexes both. Then the command is run in a process
of its own, three times: wall and CPU seconds from start to end, and the peak of resident memory.
The index is built once and not part of it (`benchmarks/index.py` measures that).
"""

# ruff: noqa: D103 (a program, not a library)

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

from codeact.episode.record import EpisodeRecord, encode, episode_id
from codeact.recordings.exchange import ImportConfig, import_trees
from codeact.recordings.index import Index
from codeact.recordings.run_folder import EPISODES, read_records

RUNS = ("gpt-3.5-turbo-0613/F=None/max5_p2+tool+cd", "claude-2/F=None/max5_p2+tool+cd")
TIMES = 3


def repeated(records: list[EpisodeRecord]) -> Iterator[bytes]:
    for number in count():
        for record in records:
            record.task_id = f"{record.id.split('/', 1)[1].split('//')[0]}-{number}"
            record.task_digest = f"{record.task_digest[:10]}{number:06x}"
            yield encode_as(record) + b"\n"


def encode_as(record: EpisodeRecord) -> bytes:
    before, record.id = record.id, episode_id(record.task_name, record.task_id, "", 0)
    try:
        return encode(record)
    finally:
        record.id = before


def make_run(source: Path, folder: Path, episodes: int) -> Path:
    import_trees(ImportConfig(source=str(source), out=str(folder / "imported")))
    (imported,) = (folder / "imported").rglob(EPISODES)
    run = folder / "run"
    run.mkdir()
    with (run / EPISODES).open("wb") as file:
        file.writelines(islice(repeated(list(read_records(imported))), episodes))
    with Index.open(run) as index:
        print(f"{source}: {index.count():,} episodes, {file_size(run):,} MB", flush=True)
    return run


def file_size(run: Path) -> int:
    return (run / EPISODES).stat().st_size >> 20


def main(transcripts: Path, episodes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for number, name in enumerate(RUNS):
            place = Path(folder, str(number))
            place.mkdir()
            runs.append(make_run(transcripts / name, place, episodes))
        words = [sys.executable, "-m", "codeact", "compare", *map(str, runs), "accept=tasks"]
        for _ in range(TIMES):
            begun = time.perf_counter()
            child = os.posix_spawn(
                sys.executable,
                [*words, "flips=0"],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
            )
            _, status, used = os.wait4(child, 0)
            took = time.perf_counter() - begun
            assert status == 0
            cpu, memory = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
            print(f"{took:.2f} s, {cpu:.2f} s CPU, {memory:.0f} MB", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
