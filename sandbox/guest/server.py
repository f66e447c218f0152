"""The server: keeps children waiting, watches live ones, ends and cleans up after dead ones."""

import gc
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
import types
from collections.abc import Callable

from . import BUILTINS
from .cage import (
    LIBC,
    be_root_again,
    bounds_of,
    drop_bounding_set,
    fork_apart,
    keep_capabilities,
    mount_tmpfs,
)
from .child import Inherited, become_session, furnish
from .folders import wiped
from .frames import LENGTH, Channel
from .options import Options
from .processes import PAGE, container_oom_kills, pid_namespace, statm, uid_lives
from .shell import import_libraries, into_huge_pages, make_cells
from .slots import Reason, Slot, State
from .sockets import SocketMemory, fewer_files
from .watch import Watch

globals()["__builtins__"] = BUILTINS
FEW = 8  # Children that are waiting: with more than this, the next is in no hurry.
MANY = 16  # With so many children, large pages are about to pay.
CROWD = 8  # A session with more processes than this is the last to get a processor.
LONGEST_PAUSE = 1.0  # Seconds between two looks of the watch, however long each takes.
monotonic = time.monotonic


class Server:
    """Keeps warm children, watches live ones, ends and cleans up after dead ones."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.uids = bool(options["uid"]) and os.geteuid() == 0
        self.slots = [
            Slot(n, f"{options['slot_root']}/{n}", options["uid"] + 1 + n if self.uids else None)
            for n in range(options["slots"])
        ]
        self.waiting = 0
        self.dying: set[Slot] = set()
        self.free = self.slots[::-1]
        self.control: Channel
        self.wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.taken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.next_look = self.next_fork = 0.0
        self.forks = 0
        self.resident = 0  # pages that a fork has of it from now on
        self.full = False  # whether there is no child to be forked ahead of need
        self.oom_kills = container_oom_kills()
        self.sockets = SocketMemory.where_known()
        self.watch = Watch(options, self.slots, self.sockets, uids=self.uids)

    # -- beginning

    def run(self) -> None:
        self.make_slots()
        loaded = self.load()
        self.watch.base_pages, self.resident = statm("self")
        self.bounds = bounds_of(self.options["limits"], self.watch.base_pages * PAGE)
        if self.sockets is None:
            files = resource.RLIMIT_NOFILE
            self.bounds[files] = min(self.bounds[files], fewer_files(self.options["limits"]))
        self.listen()
        signal.set_wakeup_fd(self.wakeup[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        if not select.select([self.control_door], [], [], self.options["patience"])[0]:
            return
        self.control = Channel(self.control_door.accept()[0].detach())
        self.refill(1)
        facts = {"pid": os.getpid(), "uids": self.uids, "run_cell": self.cells.failed}
        self.control.send({"ready": loaded, **facts})
        # The first session begins meanwhile.
        self.refill(pace=0.0)
        self.loop()

    def load(self) -> list[str]:
        """Make all that sessions inherit; returns which of the libraries are installed."""
        loaded = import_libraries(self.options["preload"])
        gc.disable()
        for name, source in self.options["modules"]:
            module = sys.modules[name] = types.ModuleType(name)
            exec(compile(source, f"<{name}>", "exec"), module.__dict__)
        self.options["modules"] = []
        self.cells = make_cells(self.options["scratch"])
        LIBC.prctl(4, 0, 0, 0, 0)
        gc.collect()
        gc.freeze()
        gc.enable()
        return loaded

    def make_slots(self) -> None:
        limits = self.options["limits"]
        for slot in self.slots:
            os.makedirs(slot.folder, 0o700, exist_ok=True)
            if self.options["mount"]:
                uid = slot.uid or 0
                data = f"size={limits['disk_mb']}m,nr_inodes={limits['inodes']},mode=700"
                data += f",uid={uid},gid={uid}"
                mount_tmpfs(slot.folder, 6, data)
            elif slot.uid is not None and os.stat(slot.folder).st_uid != slot.uid:
                os.chown(slot.folder, slot.uid, slot.uid)
        if self.uids:
            # Mounting is done. In a user namespace of its own, a session drops the set itself.
            drop_bounding_set()
            keep_capabilities(~(1 << 21 | 1 << 8))

    def listen(self) -> None:
        """Open the two sockets where the owner finds them and sessions do not."""
        folder, owner = self.options["sockets"], self.options["owner"]
        if os.geteuid() == 0 and owner:
            os.chown(folder, 0, 0)
        doors = []
        for name in ("control", "sessions"):
            door = socket.socket(socket.AF_UNIX)
            door.bind(f"{folder}/{name}")
            door.listen(4096)
            doors.append(door)
            if os.geteuid() == 0 and owner:
                os.chown(f"{folder}/{name}", owner, owner)
        if os.geteuid() == 0 and owner:
            os.chown(folder, owner, owner)
        self.control_door, self.session_door = doors

    # -- the loop

    def move(self, slot: Slot, state: State) -> None:
        """Note a slot's new state, so that nothing has to search a thousand of them."""
        self.waiting += (state == "waiting") - (slot.state == "waiting")
        slot.state = state
        (self.dying.add if state == "dying" else self.dying.discard)(slot)
        if state == "free":
            self.free.append(slot)

    def loop(self) -> None:
        poll = select.poll()
        for source in (self.control, self.wakeup[0], self.taken[0]):
            poll.register(source, select.POLLIN)
        while True:
            busy = bool(self.dying)
            next_event = self.next_look if self.full else min(self.next_look, self.next_fork)
            pause = 0.005 if busy else max(0.0, next_event - time.monotonic())
            ready = {fd for fd, _ in poll.poll(pause * 1000 + 1)}
            if self.control.fileno() in ready and not self.obey():
                return
            if self.taken[0] in ready:
                self.note_taken()
            if self.wakeup[0] in ready:
                drain(self.wakeup[0])
            self.reap()
            for slot in list(self.dying):
                self.finish(slot)
            self.refill()
            if time.monotonic() >= self.next_look:
                self.look()

    def obey(self) -> bool:
        """Do what the host asks; returns False when the host is gone."""
        try:
            self.control.fill()
            self.note_taken()
            while (message := self.control.take()) is not None:
                if "ping" in message:
                    self.control.send({"pong": message["ping"]})
                    continue
                slot = self.slots[message["kill"]]
                if slot.generation == message["generation"] and slot.state == "live":
                    self.end(slot, "asked")
        except (EOFError, OSError):
            return False
        return True

    def note_taken(self) -> None:
        data = drain(self.taken[0])
        for offset in range(0, len(data) - len(data) % 4, 4):
            slot = self.slots[LENGTH.unpack_from(data, offset)[0]]
            if slot.state == "waiting":
                self.move(slot, "live")

    def refill(self, most: int | None = None, *, pace: float = 0.02) -> None:
        """Keep some children waiting, as long as there are free slots: `most`, or all of `warm`.

        When many are taken at once, new ones come `pace` seconds apart, unless few are left:
        the sessions that were asked for come first.
        """
        warm = most or self.options["warm"]
        self.full = True
        while self.free and self.waiting < warm:
            if self.waiting > min(warm // 4, FEW) and time.monotonic() < self.next_fork:
                self.full = False
                break
            if self.forks == MANY:
                into_huge_pages()
                _, self.resident = statm("self")
            if not self.fork(self.free[-1]):
                break
            self.next_fork = time.monotonic() + pace

    def fork(self, slot: Slot) -> bool:
        if not wiped(slot.folder, slot.uid):
            return False
        slot.generation += 1
        try:
            pid = fork_apart() if self.options["apart"] else os.fork()
        except OSError:
            return False
        if pid == 0:
            try:
                if self.options["apart"]:
                    furnish(self.options, slot)
                become_session(self.inherited(), slot)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        slot.pid, slot.group, slot.reason, slot.last = pid, pid, None, False
        slot.inherited = self.resident
        self.forks += 1
        self.move(self.free.pop(), "waiting")
        self.watch.by_pid[pid] = slot
        if self.options["apart"]:
            self.watch.by_namespace[pid_namespace(pid)] = slot
        return True

    def inherited(self) -> Inherited:
        """Return what a child has from here, and what it must not keep."""
        not_its = [self.control_door.fileno(), self.control.fileno(), *self.wakeup, self.taken[0]]
        if self.sockets is not None:
            not_its.append(self.sockets.netlink.fileno())
        return Inherited(
            self.options, self.cells, self.bounds, self.session_door, self.taken[1], not_its
        )

    # -- the end of sessions

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            slot = self.watch.by_pid.pop(pid, None)
            if slot is not None:
                self.end(slot, None, status)

    def end(self, slot: Slot, reason: Reason | None, status: int | None = None) -> None:
        """Kill all that is left of a session; `finish` frees the slot once it is dead."""
        slot.reason = slot.reason or reason
        if status is not None:
            slot.pid = 0
            code = os.waitstatus_to_exitcode(status)
            killed = code == -signal.SIGKILL
            if killed and slot.reason in (None, "asked") and self.one_more_oom_kill():
                # The host may have noticed first, and asked to end what was dead already.
                slot.reason = "memory"
            elif slot.reason is None or (slot.reason == "asked" and not killed):
                slot.reason = "exit" if code >= 0 else "signal"
            slot.code = code
        if slot.state == "waiting":
            self.note_taken()
        if slot.state != "dying":
            slot.told = slot.state == "live"
            self.move(slot, "dying")
        self.kill_all(slot)

    def one_more_oom_kill(self) -> bool:
        """Tell whether the kernel has killed somebody for want of memory since the last time."""
        before, self.oom_kills = self.oom_kills, container_oom_kills()
        return self.oom_kills > before

    def kill_all(self, slot: Slot) -> None:
        """Kill every process of a slot with one call.

        With the slot's uid as effective uid, ``kill(-1)`` reaches its processes and no others;
        they in turn may not signal a process whose real and saved uids are not theirs.
        """
        # The call looks at every process, and those that are dying need the processor.
        slot.next_kill = monotonic() + 0.02
        if slot.uid is None:
            for kill, target in ((os.killpg, slot.group), (os.kill, slot.pid)):
                try:
                    if target:
                        kill(target, signal.SIGKILL)
                except OSError:
                    pass
            return
        if slot.last:
            self.as_slot(slot.uid, os.setpriority, os.PRIO_USER, slot.uid, 0)
        self.as_slot(slot.uid, os.kill, -1, signal.SIGKILL)

    def as_slot(self, uid: int, function: Callable[..., None], *args: int) -> None:
        os.setresuid(self.options["uid"], uid, 0)
        try:
            function(*args)
        except OSError:
            pass
        finally:
            be_root_again()

    def finish(self, slot: Slot) -> None:
        """Free a dying slot if its processes are gone and its files could be wiped."""
        if slot.pid or (slot.uid is not None and uid_lives(slot.uid)):
            if monotonic() >= slot.next_kill:
                self.kill_all(slot)
            return
        if not wiped(slot.folder, slot.uid):
            return
        self.move(slot, "free")
        if self.options["apart"]:
            known = self.watch.by_namespace
            self.watch.by_namespace = {ns: s for ns, s in known.items() if s is not slot}
        if slot.told:
            gone = {"gone": slot.number, "generation": slot.generation}
            self.control.send({**gone, "reason": slot.reason, "code": slot.code})

    # -- the watch

    def look(self) -> None:
        """End the sessions that are over their limits, and put the crowded ones last."""
        # Its processor time: a busy machine does not make the watch look less often.
        began = time.process_time()
        limits = self.options["limits"]
        for slot, (size, count) in self.watch.used().items():
            if size > limits["memory_mb"] << 20:
                self.end(slot, "memory")
            elif count > limits["processes"]:
                self.end(slot, "processes")
            elif count > CROWD and slot.uid is not None:
                slot.last = True
                self.as_slot(slot.uid, os.setpriority, os.PRIO_USER, slot.uid, 19)
        pause = max(0.1, 20 * (time.process_time() - began))
        self.next_look = time.monotonic() + min(LONGEST_PAUSE, pause)


def drain(fd: int) -> bytes:
    """Return all that is in a pipe that does not block."""
    data = b""
    while True:
        try:
            part = os.read(fd, 65536)
        except BlockingIOError:
            return data
        if not part:
            return data
        data += part
