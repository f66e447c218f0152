"""Many episodes at once against a model that takes its time: how much of the ideal is reached.

    python benchmarks/scale.py [ROW ...] [--scale 1.0]

Each row is `codeact run` as a user types it, with real sandboxes. The model is a server on loopback
that speaks the API, in its own process. The ideal is what the model's latency alone allows, once
warm: it counts from the server's first request to its last answer. CPU seconds are given for the
client, the server and the sandboxes. ``--scale 0.1`` plays a tenth of the episodes.
"""

# ruff: noqa: D103 (a program, not a library)

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import psutil
import uvloop

ROOT = Path(__file__).parent.parent
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
CELLS = ("a = 6", "b = a * 7", "print(a, b)", "sum(range(b))")
TASKS = 8
RAY = ("compute=ray",)
EXACT = ("model.tokens=exact",)
READ, SAMPLED = 1000, 20
"""Tokens of a first prompt, and of each answer."""
WANDB = ("tracker=wandb", "tracker.mode=offline")
LOOKED_AT = ["pid", "ppid", "name", "cmdline", "cpu_times", "memory_info"]


class Row(NamedTuple):
    """A run: so many episodes of so many turns, `at_once` of them, `latency` seconds a turn."""

    episodes: int
    at_once: int
    latency: float
    turns: int = 5
    executor: str = "local"
    words: tuple[str, ...] = ()
    goal: str = ""
    warm: int = 32
    tracker: tuple[str, ...] = ("tracker=none",)

    @property
    def ideal(self) -> float:
        return self.episodes / self.at_once * self.turns * self.latency


ROWS = {
    "2000-local": Row(2000, 500, 2.0, goal=">= 90 % of ideal", warm=500),
    "2000-wandb": Row(
        *(2000, 500, 2.0), goal="<= 2 % longer with start-up", warm=500, tracker=WANDB
    ),
    "2000-exact": Row(
        *(2000, 500, 2.0), goal="<= 3 % longer than 2000-local", warm=500, words=EXACT
    ),
    "2000-ray": Row(2000, 500, 2.0, words=RAY, goal=">= 85 % of ideal", warm=250),
    "200-local": Row(200, 200, 0.5, goal=">= 70 % of ideal", warm=200),
    "200-docker": Row(200, 200, 0.5, executor="docker", goal=">= 70 % of ideal", warm=200),
    "zero-latency": Row(1000, 16, 0.0, goal=">= 90 episodes/s"),
    "zero-latency-ray": Row(1000, 16, 0.0, words=RAY),
    "memory": Row(10_000, 1000, 2.0, turns=1, goal="<= 400 MB"),
}


class Answering(asyncio.Protocol):
    """HTTP for one connection, as lean as can be: what it costs is not what is measured."""

    moments: ClassVar[list[float]] = []
    bodies: ClassVar[list[bytes]] = []
    latency: ClassVar[float] = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self.buffer, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self.buffer) < whole:
                return
            body, self.buffer = self.buffer[end + 4 : whole], self.buffer[whole:]
            if b'"max_tokens":1,' not in body:  # which the check before a run asks for
                self.moments.append(time.monotonic())
            turn = min(body.count(b'"role":"assistant"'), len(self.bodies) - 1)
            loop = asyncio.get_running_loop()
            loop.call_later(self.latency, self.answer, self.bodies[turn])

    def answer(self, body: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(body)


def exact_tokens(turn: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What vLLM adds to an answer and to its choice; each prompt extends what came before."""
    drawn = random.Random(0)
    ids = [drawn.randrange(150_000) for _ in range(READ + 5 * turn * SAMPLED + SAMPLED)]
    found = [
        {"token": " word", "logprob": -drawn.random(), "bytes": [*b" word"], "top_logprobs": []}
        for _ in range(SAMPLED)
    ]
    asked = {"prompt_token_ids": ids[:-SAMPLED]}
    return asked, {"token_ids": ids[-SAMPLED:], "logprobs": {"content": found}}


def serve(latency: float, turns: int, exact: int, port: int = 0) -> None:
    """Answer each turn with a cell, and the last one with a proposal."""
    texts = [f"<thought> Next. </thought>\n<execute> {cell} </execute>" for cell in CELLS]
    for turn, text in enumerate([*texts[: turns - 1], "The answer is <solution> 42 </solution>"]):
        usage = {"prompt_tokens": READ, "completion_tokens": SAMPLED}
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        asked, sampled = exact_tokens(turn) if exact else ({}, {})
        body = json.dumps({"choices": [choice | sampled], "usage": usage, **asked}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        Answering.bodies.append(head.encode() + b"\r\n\r\n" + body)
    Answering.latency = latency

    async def run() -> None:
        listening = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port)
        print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        moments = Answering.moments
        print(json.dumps({"seconds": moments[-1] - moments[0] + latency, "requests": len(moments)}))

    uvloop.run(run())


@contextmanager
def server(row: Row) -> Iterator[subprocess.Popen[str]]:
    numbers = (row.latency, row.turns, int(row.words == EXACT))
    command = [sys.executable, __file__, "--serve", *map(str, numbers)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Meter:
    """CPU seconds and memory of a command's processes by what they are for, looked at often."""

    def __init__(self, client: int, model: int) -> None:
        self._client, self._model = client, model
        self._cpu: dict[int, tuple[str, float]] = {}
        self.client_mb = 0.0

    def look(self) -> None:
        found = {p.pid: p.info for p in psutil.process_iter(LOOKED_AT)}
        kinds = {pid: self._kind(pid, " ".join(i["cmdline"] or ())) for pid, i in found.items()}
        for pid, info in found.items():
            kind = kinds[pid]
            # The server's own times include those of the interpreters that it has forked.
            if kind == "sandbox" and kinds.get(info["ppid"]) == "sandbox":
                continue
            if kind and info["cpu_times"]:
                times = info["cpu_times"]
                spent = times.user + times.system
                if kind == "sandbox":
                    spent += times.children_user + times.children_system
                self._cpu[pid] = (kind, spent)
            if pid == self._client and info["memory_info"]:
                self.client_mb = max(self.client_mb, info["memory_info"].rss / 2**20)

    def _kind(self, pid: int, words: str) -> str | None:
        if pid == self._client:
            return "client"
        if pid == self._model:
            return "model"
        if "EpisodeWorker" in words:
            return "workers"
        if "raylet" in words or "gcs_server" in words or "ray/_private" in words:
            return "ray"
        return "sandbox" if "-sP" in words and "bwrap" not in words else None

    def seconds(self) -> dict[str, float]:
        total: dict[str, float] = {}
        for kind, spent in self._cpu.values():
            total[kind] = round(total.get(kind, 0.0) + spent, 1)
        return total


def measure(name: str, row: Row) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, server(row) as model:
        assert model.stdout is not None
        url = model.stdout.readline().strip()
        command = [
            *(sys.executable, "-m", "codeact", "run", "model=server", "model.name=m"),
            *(f"model.base_url={url}", f"model.concurrency={row.at_once}", "model.probe=false"),
            *("task=gsm8k", "task.sets.gsm8k.path=pkg://codeact.sample/tasks/gsm8k.jsonl"),
            *(f"samples={row.episodes // TASKS}", f"turns=max{5 if row.turns == 5 else 1}_p1"),
            *(f"executor={row.executor}", f"executor.warm={row.warm}"),
            *(f"run_dir={folder}/run", "progress_seconds=600", *row.tracker, *row.words),
            f"compute.concurrency={row.at_once}",
        ]
        if row.executor == "docker":
            command.append("executor.image=host")
        began = time.monotonic()
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)
        meter = Meter(run.pid, model.pid)
        while run.poll() is None:
            meter.look()
            time.sleep(0.5)
        wall = time.monotonic() - began
        if run.returncode:
            assert run.stderr is not None
            raise SystemExit(f"{name}: {run.stderr.read().decode()[-3000:]}")
        overall = json.loads(Path(folder, "run", "summary.json").read_text())["overall"]
        played = overall["counted"] == row.episodes and not overall["retried"]
        if not played or overall["turns"] != row.episodes * row.turns:
            raise SystemExit(f"{name}: not every episode went as written: {overall}")
        told, _ = model.communicate("")
    seconds = json.loads(told)["seconds"]
    found = {
        "row": name,
        "goal": row.goal,
        "seconds": round(seconds, 2),
        "with start-up": round(wall, 2),
        "episodes/s": round(row.episodes / seconds, 1),
        "client MB": round(meter.client_mb),
        "CPU s": meter.seconds(),
    }
    if row.latency:
        found["share of ideal"] = f"{row.ideal / seconds:.1%} of {row.ideal:g} s"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("rows", nargs="*", default=list(ROWS), help=", ".join(ROWS))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--serve", nargs="+", type=float, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        latency, *rest = chosen.serve
        serve(latency, *map(int, rest))
        return
    print(f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for name in chosen.rows:
        row = ROWS[name]
        episodes = max(row.at_once, int(row.episodes * chosen.scale) // TASKS * TASKS)
        print(json.dumps(measure(name, row._replace(episodes=episodes))), flush=True)


if __name__ == "__main__":
    main()
