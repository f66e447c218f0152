"""Who started what: everything we start carries its owner, so that leftovers can be told."""

import os
import socket
from pathlib import Path

OWNER, ROLE = "codeact.owner", "codeact.role"


def this_owner() -> str:
    """Name this process so that no later one is taken for it: host, boot, pid, start time."""
    return f"{socket.gethostname()}/{_boot()}/{os.getpid()}/{_started(os.getpid())}"


def labels(role: str) -> dict[str, str]:
    """Return the labels of what this process starts."""
    return {OWNER: this_owner(), ROLE: role}


def owner_lives(owner: str) -> bool:
    """Tell whether an owner may be alive; one on another machine counts as alive."""
    try:
        host, boot, pid, started = owner.rsplit("/", 3)
    except ValueError:
        return True
    if host != socket.gethostname():
        return True
    return boot == _boot() and _started(int(pid)) == started


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "gone"
