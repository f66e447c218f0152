"""How a fork of the server becomes a session: its cage, its host, its service."""

import fcntl
import os
import resource
import signal
import socket
import sys
import tempfile
from typing import NamedTuple

from . import BUILTINS
from .cage import (
    LIBC,
    die_with_parent,
    drop_bounding_set,
    keep_capabilities,
    mount_tmpfs,
    no_way_back,
    set_limits,
)
from .cells import Cells
from .frames import LENGTH, Channel
from .options import Options
from .session import Session
from .signals import DEFAULT, set_handler
from .slots import Slot

globals()["__builtins__"] = BUILTINS


class Inherited(NamedTuple):
    """What a child has from the server."""

    options: Options
    cells: Cells
    bounds: dict[int, int]
    door: socket.socket  # where hosts of sessions connect
    taken: int  # the pipe that tells the server that one has
    not_its: list[int]  # descriptors that it must not keep


def furnish(options: Options, slot: Slot) -> None:
    """Mount a session's own folder, in its own namespaces, and hide what is the server's."""
    limits, root = options["limits"], options["slot_root"]
    data = f"size={limits['disk_mb']}m,nr_inodes={limits['inodes']},mode=755"
    mount_tmpfs(root, 6, data)
    os.mkdir(slot.folder, 0o700)
    for hidden in ("/run", "/dev/shm"):
        mount_tmpfs(hidden, 7, "size=4k,mode=755")
    drop_bounding_set()
    keep_capabilities(0)


def become_session(inherited: Inherited, slot: Slot) -> None:
    """Turn this fresh child into a caged session, wait for a host, and serve it."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        set_handler(number, DEFAULT)
    set_handler(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    try:
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(score, b"1000")
        os.close(score)
    except OSError:
        pass
    for fd in inherited.not_its:
        os.close(fd)
    if slot.uid is not None:
        os.setgroups([])
        os.setresgid(slot.uid, slot.uid, slot.uid)
        os.setresuid(slot.uid, slot.uid, slot.uid)
    LIBC.prctl(4, 0, 0, 0, 0)
    if not inherited.options["apart"]:
        die_with_parent()
    set_limits(inherited.bounds)
    os.chdir(slot.folder)
    for name in ("HOME", "TMPDIR", "MPLCONFIGDIR"):
        os.environ[name] = slot.folder
    tempfile.tempdir = None
    sys.path.insert(0, "")
    if "numpy" in sys.modules:
        # A number of its own: left to itself, numpy takes three times as long to draw one.
        sys.modules["numpy"].random.seed(int.from_bytes(os.urandom(4), "little"))
    no_way_back()
    meet(inherited, slot)


def meet(inherited: Inherited, slot: Slot) -> None:
    """Accept one host, hide the connection from careless code, and serve."""
    session = Session(inherited.cells, inherited.options, slot.folder)
    session.prepare()
    for fd in (0, 1, 2):
        session.point(fd, os.open("/dev/null", os.O_RDWR))
    accepted, _ = inherited.door.accept()
    os.write(inherited.taken, LENGTH.pack(slot.number))
    os.close(inherited.taken)
    os.close(inherited.door.fileno())
    high = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1
    fd = fcntl.fcntl(accepted.fileno(), fcntl.F_DUPFD_CLOEXEC, high)
    accepted.close()
    session.channel = Channel(fd)
    session.channel.send({"slot": slot.number, "generation": slot.generation})
    session.serve()
