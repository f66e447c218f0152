"""A driver that is flooded by one session's frames, and measures itself: memory and loop lag.

    python -m tests.helpers.floods local|docker [NAME=VALUE of the executor's settings…]

It prints a JSON object by flood: megabytes at most beyond those before, the loop's longest lag in
seconds, how many tasks there were at most, and what became of the cell.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from codeact.exceptions import EpisodeFailure
from codeact.sandboxes.sandbox import GuestSandbox
from tests.helpers.sandboxes import started

PRELUDE = """
import json, os, stat, struct, sys, time
def is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False
fd = max(filter(is_socket, map(int, os.listdir("/proc/self/fd"))))
def raw(data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
def framed(body):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return struct.pack(">I", len(body)) + body
def send(body):
    raw(framed(body))
def number():
    frame = sys._getframe()
    while not isinstance(frame.f_locals.get("request"), dict):
        frame = frame.f_back
    return frame.f_locals["request"]["id"]
def call(name, *args, id=1, **kwargs):
    return {"call": name, "id": id, "args": args, "kwargs": kwargs}
"""
"""What an attacker writes first: where the connection is, and which request is being answered."""

FLOODS = {
    "99,000 calls": "one = framed(call('slow'))\nfor _ in range(99_000): raw(one)\ntime.sleep(1)",
    "30 ids of 20 MB": (
        'body = framed(b\'{"call":"slow","args":[],"kwargs":{},"id":"\' + b\'x\' * (20 << 20)'
        " + b'\"}')\nfor _ in range(30): raw(body)\ntime.sleep(1)"
    ),
    "small frames": "many = framed({}) * 10_000\nwhile True: raw(many)",
    "frames byte by byte": "one = framed({})\nwhile True:\n    for b in one: raw(bytes([b]))",
    "half a frame": "raw(struct.pack('>I', 5 << 20) + b'[' * (4 << 20))\ntime.sleep(9)",
    "a million lists, 6 MB": (
        "body = framed(b'{\"id\":1,\"value\":[' + b'[],' * (2 << 20) + b'0]}')\n"
        "for _ in range(9): raw(body)\ntime.sleep(1)"
    ),
    "brackets, 6 MB": (
        "body = framed(b'{\"id\":1,\"value\":' + b'[' * (6 << 20))\n"
        "for _ in range(9): raw(body)\ntime.sleep(1)"
    ),
    "digits, 6 MB": (
        "body = framed(b'{\"id\":' + b'9' * (6 << 20) + b'}')\n"
        "for _ in range(9): raw(body)\ntime.sleep(1)"
    ),
    "answers, 6 MB": (
        "body = framed(b'{\"id\":1,\"output\":\"' + b'x' * (6 << 20) + b'\"}')\n"
        "for _ in range(30): raw(body)\ntime.sleep(1)"
    ),
    "its own answer, 6 MB": (
        'body = \'{"id":%d,"status":"ok","output":"\\U0001f600\' % number()\n'
        "send(body.encode() + b'x' * (6 << 20) + b'\"}')\ntime.sleep(1)"
    ),
    "never reads": "one = framed(call('big'))\nwhile True:\n    raw(one)\n    time.sleep(0.02)",
    "calls in a row": "while True:\n    try: quick()\n    except ToolError: pass",
}


async def quick() -> str:
    return "x"


async def slow() -> str:
    await asyncio.sleep(5)
    return "x"


async def big() -> str:
    return "x" * 1_000_000


class Watch:
    """Looks at the event loop every few milliseconds."""

    def __init__(self) -> None:
        self.lag = 0.0
        self.tasks = 0

    async def live(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(0.005)
            self.lag = max(self.lag, loop.time() - began - 0.005)
            self.tasks = max(self.tasks, len(asyncio.all_tasks()))


def megabytes(field: str) -> float:
    """Read one of this process's sizes: VmRSS now, VmHWM at most."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


async def flood(sandbox: GuestSandbox, cell: str) -> dict[str, Any]:
    """Play one flood; the cell has two seconds."""
    tools = {"quick": quick, "slow": slow, "big": big}
    async with await sandbox.session(setup=PRELUDE, tools=tools) as session:
        watch = Watch()
        life = asyncio.create_task(watch.live())
        await asyncio.sleep(0.05)
        watch.lag = 0.0
        await asyncio.to_thread(Path("/proc/self/clear_refs").write_text, "5")
        before = megabytes("VmRSS")
        try:
            result = await session.execute(cell, seconds=2.0)
            end = f"{result.status}: {result.output[-120:]}"
        except EpisodeFailure as failure:
            end = repr(failure)
        peak = megabytes("VmHWM") - before
        life.cancel()
    return {"mb": round(peak, 1), "lag": round(watch.lag, 4), "tasks": watch.tasks, "end": end}


async def main() -> None:
    changes = dict(word.split("=", 1) for word in sys.argv[2:])
    sandbox = await started(sys.argv[1], preload=(), memory_mb=512, **changes)
    try:
        found = {name: await flood(sandbox, cell) for name, cell in FLOODS.items()}
        async with await sandbox.session() as session:
            assert (await session.execute("1 + 1")).output == "Out[1]: 2\n"
    finally:
        await sandbox.close()
    sys.stdout.write(json.dumps(found, indent=2))


if __name__ == "__main__":
    uvloop.run(main())
