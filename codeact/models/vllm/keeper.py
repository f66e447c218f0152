"""Runs a server and ends it, with everything it started, when its owner is gone. A file of its own.

``python vllm_keeper.py LOG GRACE COMMAND...``: standard input is a pipe that the owner holds open
and never writes to; its end is the order to stop, which also comes when the owner is killed.
Lines on standard output tell the owner ``started PID`` and, once nothing of the server is left,
``ended STATUS`` (negative: the signal that ended it). GRACE is the time between TERM and KILL, in
seconds.

It needs only the standard library and is run by its path, so any node can run it. It does not stay
a child of its owner, because Ray kills the children of a worker that exits. On Linux, processes
that the server leaves behind become children of the keeper and are killed too, in any session. If
the keeper is killed, the kernel kills the server, and its parent, the guard, kills the rest. The
guard does nothing else.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_LOOK = 0.2
"""Seconds between two looks at the server."""
_CANNOT_START = 127
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36


def main(words: list[str]) -> int:
    """Keep the server until it ends or the owner does."""
    log, grace, *command = words
    if os.fork():
        return 0
    os.setsid()
    # Not those of its owner: a Ray worker has some blocked.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # Ray lowers the priority of its workers; to have it back takes privileges.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    _prctl(_SET_CHILD_SUBREAPER, 1)
    if keeper := os.fork():
        os.waitpid(keeper, 0)
        _kill_children()
        return 0
    # A fork does not inherit it.
    _prctl(_SET_CHILD_SUBREAPER, 1)
    return _keep(log, float(grace), command)


def _keep(log: str, grace: float, command: list[str]) -> int:
    with Path(log).open("ab") as output:
        try:
            server = _start(command, output.fileno())
        except OSError as error:
            output.write(f"{command[0]} cannot be started: {error}\n".encode())
            _tell(f"ended {_CANNOT_START}")
            return 0
    _tell(f"started {server}")
    status = _wait(server)
    if status is None:
        with contextlib.suppress(OSError):
            os.kill(server, signal.SIGTERM)
        status = _wait_until(server, time.monotonic() + grace)
    with contextlib.suppress(OSError):
        os.killpg(server, signal.SIGKILL)
    _kill_children()
    _tell(f"ended {-signal.SIGKILL if status is None else status}")
    return 0


def _start(command: list[str], output: int) -> int:
    keeper = os.getpid()

    def before_exec() -> None:
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(_CANNOT_START)

    return subprocess.Popen(  # noqa: S603 (the user's own command)
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=before_exec,  # noqa: PLW1509 (this process has one thread)
    ).pid


def _wait(server: int) -> int | None:
    """Wait for the end of the server, or of the owner (None)."""
    while (status := _reaped(server)) is None:
        readable, _, _ = select.select([0], [], [], _LOOK)
        if readable and not os.read(0, 1024):
            return _reaped(server)
    return status


def _wait_until(server: int, deadline: float) -> int | None:
    while (status := _reaped(server)) is None and time.monotonic() < deadline:
        time.sleep(_LOOK / 4)
    return status


def _reaped(server: int) -> int | None:
    """Collect whatever has ended; the server's status if it is among that."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == server:
                found = os.waitstatus_to_exitcode(ended[1])
    return found


def _kill_children() -> None:
    """Kill what is left, down to the last: orphans arrive here as their parents die."""
    while True:
        for child in _children():
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(_LOOK / 10)
        except ChildProcessError:
            return


def _children() -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name, in parentheses, may hold anything; the parent is the second field after it.
            parent = entry.read_text(errors="replace").rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.append(int(entry.parent.name))
    return found


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
