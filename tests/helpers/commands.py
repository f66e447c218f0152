"""Runs codeact as a user does, in a process of its own that has its imports behind it.

Two thirds of what a short run costs are imports. A process that has done them, and has composed one
configuration, forks for each command: environment, folder, output and exit status are the command's
own. A test of a command's imports, or of how an interpreter ends, starts one instead (`launch`).
"""

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

# Not W&B, which makes folders and decisions as it is imported.
IMPORTED = (
    "codeact.commands.run.playing",
    "codeact.commands.collect",
    "codeact.experiment.replay",
    "codeact.sandboxes.local",
    "codeact.tools.alfworld.households",
    *(f"codeact.datasets.{name}.task" for name in ("gsm8k", "hotpotqa", "mbpp", "theoremqa")),
    "aiohttp",
    "uvloop",
    "pandas",
)
WORDS = [sys.executable, "-m", "codeact"]


def codeact(
    *words: str, env: Mapping[str, str] | None = None, seconds: float = 300, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which is to come in `seconds`; `given` is its standard input."""
    with tempfile.TemporaryDirectory() as folder:
        out, err, source = Path(folder, "out"), Path(folder, "err"), Path(folder, "in")
        source.write_text(given)
        status = _begun(words, out, err, source, env).wait(seconds)
        return subprocess.CompletedProcess(words, status, out.read_text(), err.read_text())


class Begun:
    """A command that has begun, in a session of its own; as of Popen, what tests use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, None while there is none."""
        return self._ask(0)

    def wait(self, seconds: float = 300) -> int:
        """Wait for the end; what takes longer is killed with all that it has started."""
        status = self._ask(seconds)
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ask(self, seconds: float) -> int | None:
        if self.returncode is None:
            self.returncode = _asked({"pid": self.pid, "seconds": seconds})
        return self.returncode


def begin(*words: str, out: Path, err: Path, env: Mapping[str, str] | None = None) -> Begun:
    """Begin a command that is to be watched, interrupted or killed."""
    for file in (out, err):
        file.touch()
    return _begun(words, out, err, Path(os.devnull), env)


def _begun(
    words: Sequence[str], out: Path, err: Path, source: Path, env: Mapping[str, str] | None
) -> Begun:
    request = {
        "words": words,
        "env": dict(os.environ if env is None else env),
        "folder": str(Path.cwd()),
        "out": str(out),
        "err": str(err),
        "in": str(source),
    }
    return Begun(_asked(request))


def _asked(request: dict[str, Any]) -> Any:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(request).encode() + b"\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


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
    """Fork for each command among the lines of `requests`, and write the process's number; for one
    of those numbers, write how that ended, as Popen says it.
    """
    for name in IMPORTED:
        import_module(name)
    # Hydra looks for its plug-ins once, and its parser learns as it reads.
    compose_config = import_module("codeact.experiment.config.compose").compose_config
    compose_config(import_module("codeact.experiment.config.compose").Invocation("run"))
    # What a fork never looks through or takes apart stays in the pages that it shares.
    gc.collect()
    gc.freeze()
    # Unbuffered, or a fork would hold what of the next line has been read.
    while line := requests.readline():
        request = json.loads(line)
        if "pid" in request:
            answer = waited(request["pid"], request["seconds"])
        else:
            if "compute=ray" in request["words"]:
                import_module("ray")  # which most commands do without
            if (answer := os.fork()) == 0:
                become(request)
        os.write(1, json.dumps(answer).encode() + b"\n")


def become(request: dict[str, Any]) -> None:
    """Be the command; ends as an interpreter does, except that it leaves its modules whole.

    To take hundreds of modules apart costs a third of a second, more than most commands do.
    """
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

    status = main()
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def waited(pid: int, seconds: float) -> int | None:
    """Wait for a process; one that takes longer is killed with all that it has started.

    In no seconds at all, nothing is killed: None says that it goes on.
    """
    if not seconds:
        found, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None
    late = threading.Timer(seconds, os.killpg, (pid, signal.SIGKILL))
    late.start()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    late.cancel()
    return status


if __name__ == "__main__":
    serve(open(0, "rb", buffering=0, closefd=False))  # noqa: SIM115
