"""What /proc and the control group tell of processes."""

import os
import resource

from . import BUILTINS

globals()["__builtins__"] = BUILTINS
PAGE = resource.getpagesize()


def pid_namespace(pid: int | str) -> str:
    """Return what names the process namespace of a process, or nothing."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def statm(pid: int | str) -> tuple[int, int]:
    """Return a process's address space and resident set, in pages."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            pages, resident = file.read().split()[:2]
        return int(pages), int(resident)
    except (OSError, ValueError):
        return 0, 0


def open_files(pid: int | str) -> int:
    """Return how many descriptors a process has open; 0 where the kernel does not count them."""
    try:
        return os.stat(f"/proc/{pid}/fd").st_size
    except OSError:
        return 0


def open_sockets(pid: int | str) -> list[int]:
    """Return the inodes of a process's sockets."""
    found = []
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if target.startswith("socket:["):
                found.append(int(target[8:-1]))
    except OSError:
        pass
    return found


def uid_lives(uid: int) -> bool:
    """Tell whether any process of a uid is left, zombies included."""
    try:
        os.getpriority(os.PRIO_USER, uid)
    except OSError:
        return False
    # gVisor's kernel gives a priority for uids that no process has.
    return not IN_GVISOR or any(uid_of(pid) == uid for pid in os.listdir("/proc") if pid.isdigit())


def uid_of(pid: int | str) -> int:
    """Return the real uid of a process, or -1 if it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return int(file.read().partition(b"\nUid:\t")[2].split(None, 1)[0])
    except (OSError, ValueError, IndexError):
        return -1


def in_gvisor() -> bool:
    """Tell whether the kernel is gVisor's: it gives a priority for a uid that no process has."""
    try:
        os.getpriority(os.PRIO_USER, (1 << 31) - 1)
    except OSError:
        return False
    return True


def container_oom_kills() -> int:
    """Return how many processes of this container the kernel has killed for want of memory."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        try:
            with open(path) as file:
                return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
        except OSError:
            continue
    return 0


IN_GVISOR = in_gvisor()
