"""Who started what: everything we start carries its owner, so that leftovers can be told."""

import contextlib
import os
import socket
from pathlib import Path

OWNER, ROLE = "codeact.owner", "codeact.role"


def this_owner() -> str:
    """Name this process so that no other one is taken for it, at any time.

    That is host, boot, pid, start time and pid namespace: two containers may have a host's name
    and its boot in common, and pid 7 of one is not pid 7 of the other.
    """
    pid = os.getpid()
    return f"{socket.gethostname()}/{_boot()}/{pid}/{_started(pid)}/{pid_namespace()}"


def labels(role: str) -> dict[str, str]:
    """Return the labels of what this process starts."""
    return {OWNER: this_owner(), ROLE: role}


def owner_lives(owner: str) -> bool:
    """Tell whether an owner may be alive; one that cannot be looked at from here counts as alive.

    Owners without a pid namespace, as older versions wrote them, are looked for in this one.
    """
    parts = owner.split("/")
    if len(parts) not in (4, 5):
        return True
    host, boot, pid, started = parts[:4]
    if host != socket.gethostname():
        return True
    if boot != _boot():
        return False
    if parts[4:] not in ([], [pid_namespace()]):
        return True
    return process_lives(pid, started)


def process_lives(pid: str, started: str) -> bool:
    """Tell whether the process of this pid namespace that started then is alive."""
    return _started(pid) == started


def pid_namespace() -> str:
    """Return the number of this process's pid namespace; ``none`` where there is no such thing."""
    with contextlib.suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink()).partition("[")[2].rstrip("]")
    return "none"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _started(pid: int | str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "gone"
