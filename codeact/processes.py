"""Which process is meant, so that no later one is taken for it."""

import os
from pathlib import Path


def boot_id() -> str:
    """Return the kernel's name for this machine's current boot; empty where it gives none."""
    return _line("/proc/sys/kernel/random/boot_id")


def pid_namespace() -> str:
    """Return the number of this process's pid namespace; empty where there are none.

    Two containers may have a host's name and its boot in common, and pid 7 of one is not pid 7 of
    the other.
    """
    try:
        return str(Path("/proc/self/ns/pid").readlink()).partition("[")[2].rstrip("]")
    except OSError:
        return ""


def started_at(pid: int | str) -> str:
    """Return when a process started, in ticks since the machine did; empty where there is none."""
    words = _line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return words[19] if len(words) > 19 else ""


def exists(pid: int) -> bool:
    """Tell whether there is such a process, for systems that do not say when one started."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
