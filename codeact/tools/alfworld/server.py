"""A program of its own: loads the game engine once, and forks a process for each game.

``python -I server.py CONTROL ENGINE MEMORY_BYTES CPU_SECONDS``: CONTROL is the number of an open
unix socket. Each byte that arrives there brings a connection, on which a new process then serves
one game. ENGINE is a Python file that defines `Household`. It imports nothing of codeact, so that a
game's process holds nothing of a run: no keys, no files, no sockets of others.

On a connection, both sides send JSON objects, one a line. The process begins with ``{"pid": N}``.
``{"load": GAME}`` and ``{"command": TEXT}`` are answered by ``{"text": TEXT, "won": true|false}``,
or by ``{"error": TEXT}``, after which the process ends.
"""

import ctypes
import gc
import importlib.util
import json
import os
import resource
import signal
import socket
import sys
from typing import Any

_LONGEST = 1 << 22
_KILL_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_MOST_FILES = 64
_GRACE_SECONDS = 5


def main(words: list[str]) -> int:
    """Fork until the other side hangs up."""
    control = socket.socket(fileno=int(words[0]))
    engine = _module(words[1])
    bounds = int(words[2]), int(words[3])
    # Nobody waits for the children; the kernel removes them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # What is shared with the children stays shared as long as no collection touches it.
    gc.collect()
    gc.freeze()
    control.sendall(b".")
    own = os.getpid()
    while True:
        data, connections, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            return 0
        if os.fork() == 0:
            control.close()
            _live(engine, connections[0], own, bounds)
        os.close(connections[0])


def _module(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("engine", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _live(engine: Any, connection: int, parent: int, bounds: tuple[int, int]) -> None:
    """Serve one game in this process, which then ends."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_KILL_WITH_PARENT, signal.SIGKILL)
        if os.getppid() == parent:
            _bound(*bounds)
            _serve(engine, socket.socket(fileno=connection))
            status = 0
    finally:
        os._exit(status)


def _bound(memory: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    signal.signal(signal.SIGXCPU, _out_of_time)
    # Processor time is counted from the fork on.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + _GRACE_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_FILES, _MOST_FILES))


def _out_of_time(*_: object) -> None:
    raise TimeoutError("the game's processor time is used up")


def _serve(engine: Any, connection: socket.socket) -> None:
    stream = connection.makefile("rwb")

    def say(**words: Any) -> None:
        stream.write(json.dumps(words).encode() + b"\n")
        stream.flush()

    say(pid=os.getpid())
    household = engine.Household()
    try:
        while line := stream.readline(_LONGEST):
            asked = json.loads(line)
            if "load" in asked:
                say(text=household.load(asked["load"]), won=False)
            else:
                text, won = household.command(asked["command"])
                say(text=text, won=won)
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}"[:1000])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
