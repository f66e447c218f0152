"""The part of a vLLM server that runs on its node: a Ray actor with GPUs and the process."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from codeact.models.vllm import keeper as vllm_keeper

GRACE = 10.0
"""Seconds that a server has to end by itself."""
_PORTS = range(20_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections: a port stays free meanwhile."""
_TAIL = 64 * 2**10


class Launch(msgspec.Struct, frozen=True):
    """How to start a server: `words` come after the interpreter, `env` on top of the node's own.

    `label` names the log. `folder` is the working directory, where the node has it.
    """

    words: tuple[str, ...]
    env: dict[str, str]
    label: str
    log_dir: str
    folder: str
    python: str | None
    loopback: bool


class ServerLocation(msgspec.Struct, frozen=True):
    """Where a server runs; `node` is Ray's id, `command` was started there."""

    host: str
    port: int
    node: str
    log: str
    command: tuple[str, ...]

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class ServerStatus(msgspec.Struct, frozen=True):
    """A server's status; `exit_status` is None while it runs, and negative after a signal."""

    exit_status: int | None
    last_line: str
    """Of its log."""


class ServerHost:
    """Starts a server under a keeper, which ends it when this process is gone."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._location: ServerLocation | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._told = b""
        self._pid: int | None = None
        self._status: int | None = None
        threading.Thread(target=self._end_with_node, args=(os.getppid(),), daemon=True).start()

    def _end_with_node(self, raylet: int) -> None:
        """Let go of the server when Ray's own process on this node, our parent, is gone.

        Ray ends its workers then only where their new parent is the process 1.
        """
        while os.getppid() == raylet:
            time.sleep(1.0)
        os._exit(1)

    def start(self, before: ServerLocation | None) -> ServerLocation:
        """Start the server, where it was `before` if it ran before. Raises `OSError`."""
        launch = self._launch
        host = "127.0.0.1" if launch.loopback else _address()
        if before is None:
            port, log = _free_port(host), self._new_log()
        else:
            port, log = before.port, before.log
            _wait_until_free(host, port)
        python = launch.python or sys.executable
        command = (python, *launch.words, "--host", host, "--port", str(port))
        self._run(command, log)
        self._location = ServerLocation(host, port, _node(), log, command)
        return self._location

    def _new_log(self) -> str:
        folder = Path(self._launch.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        # A folder that the user named may hold the logs of other runs.
        stamp = time.strftime("%Y%m%d-%H%M%S")
        return str(folder / f"{self._launch.label}-{stamp}-{os.getpid()}.log")

    def _run(self, command: tuple[str, ...], log: str) -> None:
        launch = self._launch
        # Ray's own variables are about this process, not about what it starts.
        ours = ("RAY_", "OMP_NUM_THREADS")
        env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        # The working directory is the user's; its files are not modules of vLLM.
        env |= {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", **launch.env}
        keeper = [sys.executable, "-I", "-S", vllm_keeper.__file__, log, str(GRACE)]
        self._told, self._pid, self._status = b"", None, None
        self._keeper = subprocess.Popen(  # noqa: S603 (the user's own command)
            [*keeper, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            cwd=launch.folder if Path(launch.folder).is_dir() else None,
        )
        assert self._keeper.stdout is not None
        os.set_blocking(self._keeper.stdout.fileno(), False)
        self._keeper.wait()

    def status(self) -> ServerStatus:
        """Return the server's status."""
        self._listen()
        lines = self.log_end(1).splitlines()
        return ServerStatus(self._status, lines[-1] if lines else "")

    def _listen(self) -> None:
        """Read what the keeper has reported."""
        if self._keeper is None or self._status is not None:
            return
        assert self._keeper.stdout is not None
        gone = False
        with contextlib.suppress(BlockingIOError):
            while not gone:
                heard = os.read(self._keeper.stdout.fileno(), 4096)
                self._told, gone = self._told + heard, not heard
        for word, value in (line.split() for line in self._told.decode().splitlines()):
            if word == "started":
                self._pid = int(value)
            else:
                self._status = int(value)
        if gone and self._status is None:
            self._replace_keeper()

    def _replace_keeper(self) -> None:
        """Somebody killed the keeper, and the kernel the server: its children are still there."""
        self._status = -signal.SIGKILL
        if self._pid is not None:
            with contextlib.suppress(OSError):
                os.killpg(self._pid, signal.SIGKILL)

    def log_end(self, lines: int) -> str:
        """The last lines of the log that are not empty."""
        if self._location is None:
            return ""
        try:
            with Path(self._location.log).open("rb") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL))
                text = stream.read().decode(errors="replace")
        except OSError as error:
            return f"(the log cannot be read: {error})"
        return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])

    def stop(self) -> None:
        """End the server and wait until nothing of it is left."""
        if self._keeper is None:
            return
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        deadline = time.monotonic() + GRACE + 5
        while self._status is None and time.monotonic() < deadline:
            self._listen()
            time.sleep(0.05)


def _address() -> str:
    import ray

    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _free_port(host: str) -> int:
    for port in random.sample(_PORTS, 200):
        if _is_free(host, port):
            return port
    raise OSError(f"{host}: no free port among {_PORTS.start} to {_PORTS.stop}")


def _wait_until_free(host: str, port: int) -> None:
    """Wait for a server whose actor was killed: its keeper is ending it."""
    deadline = time.monotonic() + GRACE + 5
    while not _is_free(host, port):
        if time.monotonic() > deadline:
            raise OSError(f"{host}:{port} is still in use")
        time.sleep(0.1)


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the server binds: what is left of closed connections does not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
