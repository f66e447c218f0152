"""What ``codeact view`` takes with many episodes: first rows, filters, search, one episode, memory.

    python benchmarks/view.py TRANSCRIPTS [--episodes 100000] [--work DIR] [--json OUT]

The recordings are repeated under new ids until there are as many episodes as wanted, in one run
folder, which stays in DIR for the next time. The server is a process of its own. Requests are
measured from outside: each one three times, of which the quickest counts, and of all the median and
the slowest are shown; the page by a real browser (Debian's Chromium, with playwright), from the
address to the first row. Memory is the server's resident set after all of that, and its peak; the
process that takes in words for the search is another one, and ends. Bounds are what is promised.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import requests
from rich.console import Console
from rich.table import Table

from codeact.episode.record import encode
from codeact.recordings.index import Index

CODEACT = Path(sys.executable).with_name("codeact")
SEARCHES = [
    "ZeroDivisionError",
    "sympy",
    '"syntax error"',
    "knife countertop",
    "import*",
    "Paris",
    "xyzzy",
]
FILTERS = [
    {"result": "solved"},
    {"result": "failed", "task": "gsm8k"},
    {"turns": "5"},
    {"task": "math", "sort": "-completion"},
    {"model": "gpt-4-0613"},
    {"sort": "-turns"},
    {"sort": "-recorded"},
]


def write_episodes(source: Path, run: Path, wanted: int) -> None:
    """Repeat the recordings under new ids until there are enough."""
    run.mkdir(parents=True, exist_ok=True)
    with Index.open(source) as index, (run / "episodes.jsonl").open("wb") as out:
        keys = [key for (key,) in index.columns(["key"])]
        for number in range(wanted):
            record = index.read(keys[number % len(keys)])
            record.task_id = f"{record.task_id}-{number}"
            record.id = f"{record.task_name}/{record.task_id}//0"
            record.task_digest = f"{number % (wanted // 2):016x}"
            out.write(encode(record) + b"\n")


class Server:
    """``codeact view`` on a run, and what asks it."""

    def __init__(self, run: Path) -> None:
        start = self.begun = time.perf_counter()
        self.process = subprocess.Popen(
            [CODEACT, "view", str(run), "port=0"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.started = time.perf_counter() - start
        parts = urlsplit(self.address)
        self.base = f"{parts.scheme}://{parts.netloc}/api/"
        self.session = requests.Session()
        token = parse_qs(parts.query)["token"][0]
        self.session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, path: str, **query: str) -> tuple[float, Any]:
        """Return the seconds that an answer took, and what it was."""
        start = time.perf_counter()
        answer = self.session.get(self.base + path, params=query, timeout=600)
        seconds = time.perf_counter() - start
        answer.raise_for_status()
        return seconds, answer.json()

    def quickest(self, path: str, **query: str) -> float:
        """Return the least seconds of three equal requests: a busy machine slows some of them."""
        return min(self.ask(path, **query)[0] for _ in range(3))

    def ready(self, name: str) -> float:
        """Wait until a search is answered; returns the seconds since the server's start."""
        while True:
            query = {"run": name, "q": "warm"}
            answer = self.session.get(f"{self.base}rows", params=query, timeout=600)
            if answer.status_code != 503:
                answer.raise_for_status()
                return time.perf_counter() - self.begun
            time.sleep(0.5)

    def memory(self) -> tuple[int, int]:
        """Return the resident set and its peak, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return psutil.Process(self.process.pid).memory_info().rss, int(peak.split()[1]) * 1024


def first_rows(address: str, rounds: int = 5) -> float | None:
    """Return the seconds from the address to the first row in a browser; None without one."""
    from tests.helpers.viewing import CHROMIUM, chromium

    if CHROMIUM is None:
        return None
    found = []
    with chromium() as browser:
        for _ in range(rounds):
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            start = time.perf_counter()
            page.goto(address)
            page.wait_for_selector(".line .name")
            found.append(time.perf_counter() - start)
    return min(found)


def measured(server: Server, name: str) -> dict[str, float | None]:
    """Ask for everything; returns seconds and megabytes by what they are of."""
    found: dict[str, float | None] = {}
    _, page = server.ask("rows", run=name, limit="500")
    keys = [row["key"] for row in page["rows"]]
    server.ask("facets", run=name)
    filters = [server.quickest("rows", run=name, **one) for one in FILTERS]
    found["filter, median"], found["filter, slowest"] = median(filters), max(filters)
    found["until the search is ready"] = server.ready(name)
    searches = [server.quickest("rows", run=name, q=one) for one in SEARCHES]
    found["search, median"], found["search, slowest"] = median(searches), max(searches)
    drawn = random.Random(1).sample(keys, 100)
    episodes = [server.quickest("episode", run=name, key=key) for key in drawn]
    found["one episode, median"], found["one episode, slowest"] = median(episodes), max(episodes)
    found["pairs with itself, first time"] = server.ask("pairs", a=name, b=name)[0]
    found["pairs with itself, then"] = server.ask("pairs", a=name, b=name, offset="5000")[0]
    memory, peak = server.memory()
    found["server, MB"], found["server at its peak, MB"] = memory / 1e6, peak / 1e6
    return found


BOUNDS = {
    "first rows in the browser": 1.0,
    "filter, slowest": 0.2,
    "search, slowest": 0.2,
    "one episode, slowest": 0.05,
    "server, MB": 200.0,
}


def main() -> int:
    """Run the benchmark; returns 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transcripts", type=Path)
    parser.add_argument("--episodes", type=int, default=100_000)
    parser.add_argument("--work", type=Path, default=Path("/tmp/codeact-view"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    run = given.work / f"episodes-{given.episodes}"
    if not (run / "episodes.jsonl").exists():
        write_episodes(given.transcripts, run, given.episodes)
    for rest in run.glob("index.sqlite*"):
        rest.unlink()
    server = Server(run)
    found: dict[str, float | None] = {"start, with the index made": server.started}
    try:
        found |= measured(server, run.name)
    finally:
        server.process.terminate()
        server.process.wait(10)
    again = Server(run)
    found["start, with the index there"] = again.started
    found["first rows in the browser"] = first_rows(again.address)
    again.process.terminate()
    again.process.wait(10)
    size = (run / "episodes.jsonl").stat().st_size
    table = Table(title=f"{given.episodes:,} episodes, {size / 1e6:,.0f} MB", title_justify="left")
    for column in ("what", "measured", "bound"):
        table.add_column(column)
    for what, value in found.items():
        shown = (
            "-" if value is None else f"{value:.0f}" if "MB" in what else f"{value * 1000:,.0f} ms"
        )
        bound = BOUNDS.get(what)
        limit = (
            "" if bound is None else f"{bound:.0f}" if "MB" in what else f"{bound * 1000:.0f} ms"
        )
        table.add_row(what, shown, limit)
    Console().print(table)
    if given.json:
        given.json.write_text(
            json.dumps({"episodes": given.episodes, "bytes": size, **found}, indent=1)
        )
    return int(any((found[what] or 0) > bound for what, bound in BOUNDS.items()))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
