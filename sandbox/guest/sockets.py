"""How much memory the kernel holds in sockets, and for whom."""

import socket
import struct
from collections.abc import Iterator

from . import BUILTINS
from .options import Limits

globals()["__builtins__"] = BUILTINS


class SocketMemory:
    """What the kernel holds in the sockets of this network namespace, as it tells over netlink.

    An upper estimate. Data is charged to the socket that sent it, as long as that is open; data
    from a closed socket counts as a full buffer of the socket that received it.
    """

    HEADER = struct.Struct("=IHHII")
    ERROR, DONE = 2, 3
    LISTENING = 10

    def __init__(self, netlink: socket.socket, buffer: int) -> None:
        self.netlink = netlink
        self.sequence = 0
        self.buffer = buffer
        self.internet: tuple[tuple[int, int], ...] = ()

    @classmethod
    def where_known(cls) -> "SocketMemory | None":
        """Return an instance, or None where the kernel does not tell."""
        try:
            netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 4)
            netlink.settimeout(5.0)
            found = cls(netlink, 2 * default_buffer())
            list(found.dump(found.of_unix()))
        except OSError:
            return None
        kinds = [
            (family, protocol)
            for family in (socket.AF_INET, socket.AF_INET6)
            for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP)
        ]
        found.internet = tuple(kind for kind in kinds if found.knows(*kind))
        return found

    def knows(self, family: int, protocol: int) -> bool:
        try:
            list(self.dump(self.of_internet(family, protocol)))
        except OSError:
            return False
        return True

    def held(self) -> tuple[dict[int, int], dict[int, int]]:
        """Return bytes by uid, and by inode."""
        by_uid: dict[int, int] = {}
        by_inode: dict[int, int] = {}
        try:
            sockets = list(self.unix_sockets())
            for kind in self.internet:
                sockets += self.internet_sockets(*kind)
        except OSError:
            sockets = []  # Interrupted, or out of memory: the next look tries again.
        for uid, inode, size in sockets:
            by_uid[uid] = by_uid.get(uid, 0) + size
            by_inode[inode] = by_inode.get(inode, 0) + size
        return by_uid, by_inode

    def unix_sockets(self) -> Iterator[tuple[int, int, int]]:
        entries = []
        for body in self.dump(self.of_unix()):
            _, _, state, _, inode = struct.unpack_from("=BBBBI", body)
            entries.append((state, inode, attributes(body, 16)))
        known = {inode for _, inode, _ in entries}
        for state, inode, found in entries:
            (queued,) = struct.unpack_from("=I", found.get(4, bytes(4)))
            (peer,) = struct.unpack_from("=I", found.get(2, bytes(4)))
            (uid,) = struct.unpack_from("=I", found.get(7, b"\xff" * 4))
            size = struct.unpack_from("=3I", found.get(5, bytes(12)))[2]
            if state == self.LISTENING:
                size += queued * self.buffer  # So many that nobody has accepted yet.
            elif queued and peer not in known:
                size += self.buffer
            yield uid, inode, size

    def internet_sockets(self, family: int, protocol: int) -> Iterator[tuple[int, int, int]]:
        for body in self.dump(self.of_internet(family, protocol)):
            uid, inode = struct.unpack_from("=II", body, 64)
            memory = struct.unpack_from("=6I", attributes(body, 72).get(7, bytes(24)))
            yield uid, inode, memory[0] + max(memory[2], memory[5])

    @staticmethod
    def of_unix() -> bytes:
        """Ask for peers, queues, memory and owner of all unix sockets."""
        everything = 0xFFFFFFFF
        return struct.pack("=BBHII", socket.AF_UNIX, 0, 0, everything, 0) + struct.pack(
            "=III", 0x74, everything, everything
        )

    @staticmethod
    def of_internet(family: int, protocol: int) -> bytes:
        return struct.pack("=BBBBI48x", family, protocol, 1 << 6, 0, 0xFFFFFFFF)

    def dump(self, request: bytes) -> Iterator[bytes]:
        """Yield the bodies of the answer; raises OSError where the kernel has none."""
        size = self.HEADER.size
        self.sequence += 1
        header = self.HEADER.pack(size + len(request), 20, 0x301, self.sequence, 0)
        self.netlink.send(header + request)
        while True:
            data = self.netlink.recv(1 << 17)
            start = 0
            while start + size <= len(data):
                length, kind, _, sequence, _ = self.HEADER.unpack_from(data, start)
                body = data[start + size : start + length]
                start += length + 3 & ~3
                if sequence != self.sequence:
                    continue  # It belongs to an answer that was not read to its end.
                if kind == self.DONE:
                    return
                if kind == self.ERROR:
                    raise OSError(-struct.unpack_from("=i", body)[0], "sock_diag")
                yield body


def attributes(body: bytes, start: int) -> dict[int, bytes]:
    """Return the netlink attributes of a message, by their numbers."""
    found = {}
    while start + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, start)
        if length < 4:
            break
        found[kind] = body[start + 4 : start + length]
        start += length + 3 & ~3
    return found


def default_buffer() -> int:
    """Return the size of a socket buffer that nobody has changed, in bytes."""
    with socket.socket(socket.AF_UNIX) as one:
        return one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def fewer_files(limits: Limits) -> int:
    """Return how many descriptors a process may have where the watch cannot see into sockets.

    All processes of a session with as many full sockets then hold about its memory limit, or the
    least number of descriptors with which libraries still work.
    """
    return max(64, (limits["memory_mb"] << 20) // limits["processes"] // (2 * default_buffer()))
