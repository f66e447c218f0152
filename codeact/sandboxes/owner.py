"""Who started what: everything we start carries its owner, so that leftovers can be told."""

import os
import socket

from codeact.processes import boot_id, pid_namespace, started_at

OWNER, ROLE = "codeact.owner", "codeact.role"


def this_owner() -> str:
    """Name this process so that no other one is taken for it, at any time.

    That is host, boot, pid, start time and pid namespace: two containers may have a host's name
    and its boot in common, and pid 7 of one is not pid 7 of the other.
    """
    pid = os.getpid()
    return f"{socket.gethostname()}/{boot_id()}/{pid}/{started_at(pid)}/{pid_namespace()}"


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
    if boot != boot_id():
        return False
    if parts[4:] not in ([], [pid_namespace()]):
        return True
    return process_lives(pid, started)


def process_lives(pid: str, started: str) -> bool:
    """Tell whether the process of this pid namespace that started then is alive."""
    return started_at(pid) == started
