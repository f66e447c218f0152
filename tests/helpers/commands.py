"""Runs codeact as a user does, in a process of its own that has its imports behind it.

Two thirds of what a short run costs are imports. A process that has done them, and nothing else,
forks for each command: environment, folder, output and exit status are the command's own. What is
killed, interrupted or looks at its imports starts an interpreter instead (`launch`).
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

# Not W&B, which makes folders and decisions as it is imported.
IMPORTED = ("codeact.commands.run.playing", "aiohttp", "uvloop", "hydra", "pandas")
WORDS = [sys.executable, "-m", "codeact"]


def codeact(
    *words: str, env: Mapping[str, str] | None = None, seconds: float = 300, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which is to come in `seconds`; `given` is its standard input."""
    with tempfile.TemporaryDirectory() as folder:
        out, err, source = Path(folder, "out"), Path(folder, "err"), Path(folder, "in")
        source.write_text(given)
        request = {
            "words": words,
            "env": dict(os.environ if env is None else env),
            "folder": str(Path.cwd()),
            "seconds": seconds,
            "out": str(out),
            "err": str(err),
            "in": str(source),
        }
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request).encode() + b"\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(words, status, out.read_text(), err.read_text())


def launch(*words: str, **options: Any) -> "subprocess.Popen[Any]":
    """Start a command in an interpreter of its own."""
    return subprocess.Popen([*WORDS, *words], **options)


@cache
def _server() -> "subprocess.Popen[bytes]":
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).absolute())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert server.stdin is not None
    atexit.register(server.stdin.close)
    return server


def serve(requests: IO[bytes]) -> None:
    """Fork for each line of `requests`, and write how that ended, as Popen says it."""
    for name in IMPORTED:
        import_module(name)
    # Unbuffered, or a fork would hold what of the next line has been read.
    while line := requests.readline():
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(request)
        os.write(1, b"%d\n" % waited(pid, request["seconds"]))


def become(request: dict[str, Any]) -> None:
    """Be the command; ends as an interpreter does, with all that it does then."""
    os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    for target, name in ((1, request["out"]), (2, request["err"])):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, target)
        os.close(file)
    source = os.open(request["in"], os.O_RDONLY)
    os.dup2(source, 0)
    os.close(source)
    sys.argv = ["codeact", *request["words"]]
    from codeact.cli import main

    raise SystemExit(main())


def waited(pid: int, seconds: float) -> int:
    """Wait for a process; one that takes longer is killed with all that it has started."""
    late = threading.Timer(seconds, os.killpg, (pid, signal.SIGKILL))
    late.start()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    late.cancel()
    return status


if __name__ == "__main__":
    serve(open(0, "rb", buffering=0, closefd=False))  # noqa: SIM115
