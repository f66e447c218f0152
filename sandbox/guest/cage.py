"""What a session may do: limits, system calls, capabilities, namespaces."""

import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import struct

from . import BUILTINS
from .frames import LENGTH
from .options import Limits

globals()["__builtins__"] = BUILTINS
LIBC = ctypes.CDLL(None, use_errno=True)
MUST_BE_BOUND = [getattr(resource, f"RLIMIT_{name}") for name in ("AS", "FSIZE", "NOFILE", "CORE")]
# System calls that sessions may not make: (x86_64, aarch64). They hold memory that no process is
# charged for, reach into other processes, outlive their maker, or open large parts of the kernel.
# fmt: off
DENIED = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190),
    "mq_open": (240, 180), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "personality": (135, 92),
    "vmsplice": (278, 75), "splice": (275, 76), "tee": (276, 77), "sendfile": (40, 71),
}
# fmt: on
CLONE, CLONE3 = (56, 220), (435, 435)
SOCKET, SOCKETPAIR, SETSOCKOPT = (41, 198), (53, 199), (54, 208)
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
NEW_NAMESPACES = 0x7E020080
PROTOCOLS = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP)
BUFFER_SIZES = (7, 8, 32, 33)  # SO_SNDBUF, SO_RCVBUF, and both with FORCE.
ZEROCOPY = 60


def filter_program() -> bytes:
    """Assemble the BPF program: no call of the list, no namespaces, plain sockets only.

    A unix socket is a stream, because what a datagram socket holds can be hidden from the watch.
    A buffer keeps its default size: a request to change it succeeds and does nothing.
    """
    column, arch = ARCHITECTURES[platform.machine()]
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    only_bits, first, second, third = 0x54, 16, 24, 32
    allow, refuse, absent = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
    pretend = 0x00050000
    code = [(load, 0, 0, 4), (equal, 1, 0, arch), (answer, 0, 0, refuse), (load, 0, 0, 0)]
    # The x32 calls of x86_64 would be a way around the numbers below.
    code += [(at_least, 0, 1, 0x40000000), (answer, 0, 0, refuse)]
    for numbers in DENIED.values():
        code += [(equal, 0, 1, numbers[column]), (answer, 0, 0, refuse)]
    # clone3 hides its flags from filters; the C library falls back to clone without it.
    code += [(equal, 0, 1, CLONE3[column]), (answer, 0, 0, absent)]
    code += [(equal, 0, 4, CLONE[column]), (load, 0, 0, 16)]
    code += [(any_bit, 0, 1, NEW_NAMESPACES), (answer, 0, 0, refuse), (answer, 0, 0, allow)]
    plain = [(load, 0, 0, first), (equal, 5, 0, socket.AF_INET), (equal, 4, 0, socket.AF_INET6)]
    plain += [(equal, 0, 7, socket.AF_UNIX), (load, 0, 0, second), (only_bits, 0, 0, 0xF)]
    plain += [(equal, 5, 4, socket.SOCK_STREAM), (load, 0, 0, third)]
    plain += [(equal, len(PROTOCOLS) - i, 0, known) for i, known in enumerate(PROTOCOLS)]
    plain += [(answer, 0, 0, refuse), (answer, 0, 0, allow)]
    for numbers in (SOCKET, SOCKETPAIR):
        code += [(equal, 0, len(plain), numbers[column]), *plain]
    option = [(load, 0, 0, second), (equal, 0, 8, socket.SOL_SOCKET), (load, 0, 0, third)]
    option += [(equal, 5 - i, 0, kind) for i, kind in enumerate(BUFFER_SIZES)]
    option += [(equal, 0, 2, ZEROCOPY), (answer, 0, 0, refuse), (answer, 0, 0, pretend)]
    code += [(equal, 0, len(option), SETSOCKOPT[column]), *option, (answer, 0, 0, allow)]
    return b"".join(struct.pack("=HBBI", *line) for line in code)


class Program(ctypes.Structure):
    """A BPF program as the kernel wants it."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


# Made before any fork: a session then has only to hand it over.
PROGRAM = None
if platform.machine() in ARCHITECTURES:
    PROGRAM = Program(len(filter_program()) // 8, filter_program())


def no_way_back() -> None:
    """Give up new privileges and the system calls on the list, for good."""
    if LIBC.prctl(38, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if PROGRAM is not None and LIBC.prctl(22, 2, ctypes.byref(PROGRAM), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def bounds_of(limits: Limits, base_address_space: int) -> dict[int, int]:
    """Return what one process may take, by the kernel's numbers for its kinds."""
    megabyte = 1 << 20
    bounds = {
        "AS": base_address_space + limits["memory_mb"] * megabyte,
        "FSIZE": limits["disk_mb"] * megabyte,
        "NPROC": limits["processes"],
        "NOFILE": limits["files"],
        "CORE": 0,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
        "SIGPENDING": 256,
        "NICE": 20,  # Back to normal, not above: a crowd is put last, and hurried when it must end.
        "RTPRIO": 0,
    }
    found = {}
    for name, bound in bounds.items():
        kind = getattr(resource, "RLIMIT_" + name)
        hard = resource.getrlimit(kind)[1]
        found[kind] = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
    return found


def set_limits(bounds: dict[int, int]) -> None:
    """Set limits for this process; the watch bounds what all processes of a uid take."""
    for kind, bound in bounds.items():
        try:
            resource.setrlimit(kind, (bound, bound))
        except (OSError, ValueError):
            # gVisor's kernel does not have all of them; the watch counts processes there.
            if kind in MUST_BE_BOUND:
                raise


def keep_capabilities(mask: int) -> None:
    """Give up all of this process's capabilities but those of the mask."""
    header = struct.pack("=Ii", 0x20080522, 0)
    sets = ctypes.create_string_buffer(24)
    if LIBC.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    # Effective, permitted and inheritable ones, twice over; nothing is to be inheritable.
    masks = (mask, mask, 0, mask >> 32, mask >> 32, 0)
    words = [word & bits for word, bits in zip(struct.unpack("=6I", sets.raw), masks, strict=True)]
    if LIBC.capset(header, struct.pack("=6I", *words)):
        raise OSError(ctypes.get_errno(), "capset")


def drop_bounding_set() -> None:
    """Make sure that no program gains a capability, in this process and all its forks."""
    for capability in range(64):
        if LIBC.prctl(24, capability, 0, 0, 0):
            if ctypes.get_errno() == errno.EINVAL:
                return  # There are no more.
            raise OSError(ctypes.get_errno(), "the bounding set of capabilities")


def mount_tmpfs(folder: str, flags: int, data: str) -> None:
    """Mount a new tmpfs on a folder; `flags` are the kernel's for mount(2)."""
    if LIBC.mount(b"tmpfs", folder.encode(), b"tmpfs", flags, data.encode()):
        raise OSError(ctypes.get_errno(), "mount", folder)


def fork_apart() -> int:
    """Fork a child that is the first process of user, process and mount namespaces of its own.

    For servers that are not root: all sessions have one uid, and this keeps them apart. A new
    process namespace starts with the next child of who asks for it, so the child is a grandchild;
    its pid comes through a pipe. Raises OSError where there are no namespaces.
    """
    here, there = os.pipe2(os.O_CLOEXEC)
    middle = os.fork()
    if middle == 0:
        try:
            own_namespaces()
            pid = os.fork()
        except OSError:
            os._exit(1)
        if pid == 0:
            os.close(here)
            os.close(there)
            return 0
        os.write(there, LENGTH.pack(pid))
        os._exit(0)
    os.close(there)
    os.waitpid(middle, 0)
    data = os.read(here, 4)
    os.close(here)
    if len(data) < 4:
        raise OSError("no namespaces")
    return int(LENGTH.unpack(data)[0])


def own_namespaces() -> None:
    """Move this process into new user, process, mount and IPC namespaces."""
    if LIBC.unshare(0x10000000 | 0x20000000 | 0x20000 | 0x08000000):
        raise OSError(ctypes.get_errno(), "unshare")
    LIBC.prctl(4, 1, 0, 0, 0)  # The maps are only for who may look at the process.
    for name, text in (("setgroups", "deny"), ("uid_map", "1000 0 1"), ("gid_map", "1000 0 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    LIBC.prctl(4, 0, 0, 0, 0)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends."""
    LIBC.prctl(1, int(signal.SIGKILL), 0, 0, 0)


def be_root_again() -> None:
    """Take root's uids back after acting with a session's."""
    os.setresuid(0, 0, 0)
    # The kernel forgets this wish with every change of uid.
    die_with_parent()
