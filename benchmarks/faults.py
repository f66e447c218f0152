"""What is lost, and what is played twice, when parts of a run are killed under it.

    python benchmarks/faults.py [FAULT ...]

Every fault strikes a real `codeact run` with real sandboxes, against a server on loopback. A run
that ended early is started again with the same command until it is whole. Then the run folder is
counted: episodes that are missing, episodes that were played again although they had finished, and
whether the summary adds up. All three must be nothing to speak of; the exit status says so.
"""

# ruff: noqa: D103 (a program, not a library)

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
TASKS, SAMPLES, AT_ONCE, TURNS = 8, 20, 16, 5
LATENCY = 0.1
KILLS = 20


class Run:
    """One run folder, and the command that fills it."""

    def __init__(self, folder: Path, url: str, *words: str) -> None:
        self.folder = folder
        self.starts = 0
        self.command = [
            *(sys.executable, "-m", "codeact", "run", "model=server", "model.name=m"),
            *(f"model.base_url={url}", "model.max_retries=12", "tracker=none"),
            *("task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"),
            *(f"samples={SAMPLES}", f"turns=max{TURNS}_p1", f"run_dir={folder}"),
            *(f"compute.concurrency={AT_ONCE}", "progress_seconds=600", *words),
        ]

    def start(self, **options: Any) -> subprocess.Popen[bytes]:
        self.starts += 1
        log = (self.folder.parent / "log").open("ab")
        return subprocess.Popen(self.command, stdout=log, stderr=log, cwd=ROOT, **options)

    def finished(self) -> int:
        file = self.folder / "episodes.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    def wait_for(self, episodes: int, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.finished() < episodes:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"no progress:\n{(self.folder.parent / 'log').read_text()[-3000:]}"
                )
            time.sleep(0.05)

    def to_the_end(self) -> None:
        """Start it until it ends well; three more times at most."""
        for _ in range(4):
            if self.start().wait(240) == 0:
                return
        raise SystemExit(f"it never ends:\n{(self.folder.parent / 'log').read_text()[-3000:]}")


class Count(NamedTuple):
    """What a run folder holds in the end."""

    lost: int
    twice: int
    adds_up: bool
    tried_again: dict[str, int]


def count(folder: Path) -> Count:
    from codeact.episode.causes import is_counted
    from codeact.recordings.run_folder import read_records

    finished = Counter(record.id for record in read_records(folder) if is_counted(record))
    summary = json.loads((folder / "summary.json").read_text())
    overall, parts = summary["overall"], summary["by_task"].values()
    return Count(
        lost=TASKS * SAMPLES - len(finished),
        twice=sum(finished.values()) - len(finished),
        adds_up=overall["counted"] == TASKS * SAMPLES
        and all(sum(part[key] for part in parts) == overall[key] for key in ("counted", "turns")),
        tried_again=overall["retried"],
    )


@contextmanager
def server(port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    scale = Path(__file__).with_name("scale.py")
    command = [sys.executable, str(scale), "--serve", str(LATENCY), str(TURNS), str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def driver_killed(folder: Path) -> Run:
    """The driver is killed at 20 random moments, from start-up to the end."""
    draw = random.Random(7)
    with server() as (_, url):
        run = Run(folder, url)
        while run.starts < KILLS:
            process = run.start()
            time.sleep(draw.uniform(0.2, 3.5))
            process.kill()
            process.wait()
        run.to_the_end()
    return run


def _struck(
    folder: Path, strike: Callable[[int], None], moments: tuple[int, ...], *words: str
) -> Run:
    """Play a run whose driver's pid is given to `strike` when so many episodes have finished."""
    with server() as (_, url):
        run = Run(folder, url, *words)
        process = run.start()
        for done in moments:
            run.wait_for(done)
            strike(process.pid)
        if process.wait(240):
            run.to_the_end()
    return run


def worker_killed(folder: Path) -> Run:
    """One of two Ray workers is killed, twice."""
    words = ("compute=ray", "compute.workers=2")
    return _struck(folder, lambda driver: _kill_one(driver, "EpisodeWorker"), (20, 60), *words)


def sandbox_killed(folder: Path) -> Run:
    """The process that holds all the interpreters is killed, three times."""
    return _struck(folder, lambda driver: _kill_one(driver, "-sP"), (20, 50, 80))


def container_killed(folder: Path) -> Run:
    """The container with all the interpreters is killed, twice."""
    import docker

    def strike(driver: int) -> None:
        for container in docker.from_env().containers.list(filters={"label": "codeact.owner"}):
            if f"/{driver}/" in container.labels["codeact.owner"]:
                container.kill()

    return _struck(folder, strike, (20, 60), "executor=docker", "executor.image=host")


def server_killed(folder: Path) -> Run:
    """The model's server is killed, and back on the same port after two seconds."""
    with server() as (process, url):
        run = Run(folder, url)
        driver = run.start()
        run.wait_for(30)
        process.kill()
        process.wait()
        time.sleep(2)
        with server(int(url.split(":")[2].split("/")[0])):
            if driver.wait(240):
                run.to_the_end()
    return run


def bad_answers(folder: Path) -> Run:
    """30 % answered 429, 10 % 500, 2 % never, 2 % cut off in the middle."""
    from tests.helpers.fake_api import FakeApi, Reply, Seen
    from tests.helpers.serving import threaded

    draw = random.Random(11)

    def answer(seen: Seen, number: int) -> Reply | str:
        fault = draw.random()
        if fault < 0.30:
            return Reply(status=429, headers={"Retry-After": "0.2"})
        if fault < 0.40:
            return Reply(status=500)
        if fault < 0.42:
            return Reply(hang="before")
        if fault < 0.44:
            return Reply(cut=True)
        turn = sum(message["role"] == "assistant" for message in seen.body["messages"])
        return "<execute> 6 * 7 </execute>" if turn < TURNS - 1 else "<solution> 1 </solution>"

    with threaded(FakeApi(answer, latency=LATENCY)) as api:
        run = Run(folder, api.base_url, "model.timeout.total=3")
        run.to_the_end()
    return run


def disk_full(folder: Path) -> Run:
    """No room for records, for a minute."""
    small = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder.parent)]
    subprocess.run(small, check=True)
    try:
        with server() as (_, url):
            run = Run(folder, url)
            # What the command says is not to fill the disk as well.
            driver = subprocess.Popen(
                run.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
            )
            run.starts = 1
            run.wait_for(15)
            time.sleep(60)
            remount = ["mount", "-o", "remount,size=64m", str(folder.parent)]
            subprocess.run(remount, check=True)
            if driver.wait(240):
                run.to_the_end()
        kept = Path(tempfile.mkdtemp()) / "run"
        subprocess.run(["cp", "-r", str(folder), str(kept)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(folder.parent)], check=True)
    run.folder = kept
    return run


def clock_stepped(folder: Path) -> Run:
    """The driver's clock jumps by an hour, back and forth, every half second."""
    step = textwrap.dedent(
        """
        import time
        real, clock = time.time, time.monotonic
        time.time = lambda: real() + (3600 if int(clock() * 2) % 2 else -3600)
        """
    )
    with tempfile.TemporaryDirectory() as site, server() as (_, url):
        Path(site, "sitecustomize.py").write_text(step)
        run = Run(folder, url)
        process = run.start(env={**os.environ, "PYTHONPATH": site})
        if process.wait(240):
            run.to_the_end()
    return run


def _kill_one(parent: int, words: str) -> None:
    for process in psutil.Process(parent).children(recursive=True):
        if words in " ".join(process.cmdline()) and "bwrap" not in process.name():
            os.kill(process.pid, signal.SIGKILL)
            return
    raise SystemExit(f"no process {words!r} beneath {parent}")


FAULTS: dict[str, Callable[[Path], Run]] = {
    "driver killed": driver_killed,
    "worker killed": worker_killed,
    "sandbox killed": sandbox_killed,
    "container killed": container_killed,
    "server killed": server_killed,
    "bad answers": bad_answers,
    "disk full": disk_full,
    "clock stepped": clock_stepped,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("faults", nargs="*", default=list(FAULTS), help=", ".join(FAULTS))
    parser.add_argument("--skip", nargs="*", default=[])
    chosen = parser.parse_args()
    good = True
    print(f"{'fault':18}{'starts':>8}{'lost':>6}{'twice':>7}  adds up   seconds  tried again")
    for name in chosen.faults:
        if name in chosen.skip:
            continue
        with tempfile.TemporaryDirectory() as parent:
            began = time.monotonic()
            run = FAULTS[name](Path(parent) / "run")
            found = count(run.folder)
            seconds = time.monotonic() - began
        good = good and not found.lost and not found.twice and found.adds_up
        print(
            f"{name:18}{run.starts:8}{found.lost:6}{found.twice:7}  {found.adds_up!s:8}"
            f"{seconds:9.0f}  {found.tried_again}",
            flush=True,
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
