"""Names the process that started something, so that leftovers of dead processes are found."""

import os
import socket

from codeact.processes import boot_id, pid_namespace, started_at

OWNER, ROLE = "codeact.owner", "codeact.role"


def this_owner() -> str:
    """Return a name of this process that no other process ever has.

    It has host, boot, pid, start time and pid namespace: two containers may share host name and
    boot, and pid 7 of one is not pid 7 of the other.
    """
    pid = os.getpid()
    return f"{socket.gethostname()}/{boot_id()}/{pid}/{started_at(pid)}/{pid_namespace()}"


def labels(role: str) -> dict[str, str]:
    """Return the labels of what this process starts."""
    return {OWNER: this_owner(), ROLE: role}


def owner_lives(owner: str) -> bool:
    """Return whether an owner may be alive; one that is not visible here counts as alive.

    Owners without a pid namespace, as older versions wrote them, are looked up in ours.
    """
    parts = owner.split("/")
    if len(parts) not in (4, 5):
        return True
    host, boot, pid, started = parts[:4]
    if host != socket.gethostname():
        return True
    if boot != boot_id():
        return False
    if parts[4:] not in ([], [pid_namespace()]):
        return True
    return process_lives(pid, started)


def process_lives(pid: str, started: str) -> bool:
    """Return whether the process of this pid namespace with this start time is alive."""
    return started_at(pid) == started
