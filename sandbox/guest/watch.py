"""The watch: how much memory and how many processes each session has."""

import os

from . import BUILTINS
from .options import Options
from .processes import PAGE, open_files, open_sockets, pid_namespace, statm, uid_of
from .slots import Slot
from .sockets import SocketMemory

globals()["__builtins__"] = BUILTINS
DESCRIPTOR = 8192  # What the watch counts for an open one: a pipe over its user's share has that.
UNREMARKABLE = 8 << 20  # Bytes in the sockets of all sessions, beneath which nobody asks whose.


class Watch:
    """Knows which process belongs to which slot, and what a slot's processes use."""

    def __init__(
        self, options: Options, slots: list[Slot], sockets: SocketMemory | None, *, uids: bool
    ) -> None:
        self.options, self.slots, self.sockets, self.uids = options, slots, sockets, uids
        self.by_pid: dict[int, Slot] = {}
        self.by_namespace: dict[str, Slot] = {}
        self.base_pages = 0  # the server's address space before its first fork

    def used(self) -> dict[Slot, tuple[int, int]]:
        """Return bytes of memory and number of processes, by slot.

        The bytes are what is resident, and what the kernel holds for open descriptors and in
        sockets.
        """
        used: dict[Slot, tuple[int, int]] = {}
        held = self.held_in_sockets()
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            slot = self.by_pid.get(int(name)) or self.slot_of(name)
            if slot is None or slot.state != "live":
                continue
            pages, resident = statm(name)
            # A fork of ours shares what the server had loaded; a program started anew does not.
            own = resident - slot.inherited if pages >= self.base_pages else resident
            size, count = used.get(slot, (held.get(slot, 0), 0))
            used[slot] = size + max(0, own) * PAGE + open_files(name) * DESCRIPTOR, count + 1
        return used

    def held_in_sockets(self) -> dict[Slot, int]:
        """Return the bytes that the kernel holds in sockets, by slot."""
        if self.sockets is None:
            return {}
        by_uid, by_inode = self.sockets.held()
        if self.uids:
            first = self.options["uid"] + 1
            return {
                self.slots[uid - first]: size
                for uid, size in by_uid.items()
                if 0 <= uid - first < len(self.slots)
            }
        if not self.options["apart"] or sum(by_uid.values()) < UNREMARKABLE:
            return {}
        # One uid for all: whose a socket is can be told by who has it open.
        held: dict[Slot, int] = {}
        for name in os.listdir("/proc"):
            slot = self.slot_of(name) if name.isdigit() else None
            if slot is not None and slot.state == "live":
                for inode in open_sockets(name):
                    held[slot] = held.get(slot, 0) + by_inode.pop(inode, 0)
        if held:
            # Sockets that nobody has open are on their way between sockets; whoever has most, sent
            # them.
            held[max(held, key=held.__getitem__)] += sum(by_inode.values())
        return held

    def slot_of(self, pid: str) -> Slot | None:
        """Return the slot that a process belongs to, by its uid or its namespace."""
        if not self.uids:
            return self.by_namespace.get(pid_namespace(pid)) if self.options["apart"] else None
        number = uid_of(pid) - self.options["uid"] - 1
        return self.slots[number] if 0 <= number < len(self.slots) else None
