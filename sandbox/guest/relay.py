"""A way to the sockets for a host that cannot reach them: many connections over one stream."""

import os
import select
import socket
import struct
import time
from typing import NoReturn

from . import BUILTINS

globals()["__builtins__"] = BUILTINS
MAX_QUEUED = 16 << 20  # What a session may leave unread at the relay when there is more for it.


class Relay:
    """Carries a distant host's connections over this process's stdin and stdout.

    A frame is the number of a lane and a size, four bytes each, and that many bytes, both ways. The
    host's first frame of a lane names the socket it leads to; an empty frame ends a lane. Lane 0
    brings the server's options. No lane waits for another, and the host is always read.
    """

    FRAME = struct.Struct(">II")

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.inbox, self.outbox = bytearray(), bytearray()
        self.lanes: dict[
            int, tuple[socket.socket, bytearray]
        ] = {}  # number: (socket, what it has yet to take)
        self.numbers: dict[int, int] = {}
        self.opened = 0  # The number of the newest lane: the host counts them.
        self.everyone, self.host = select.poll(), select.poll()
        for poll in (self.everyone, self.host):
            poll.register(0, select.POLLIN)
        self.host.register(1, select.POLLOUT)
        os.set_blocking(0, False)
        os.set_blocking(1, False)

    def run(self) -> NoReturn:
        while True:
            for fd, event in self.everyone.poll():
                if fd == 0:
                    self.from_host()
                elif fd in self.numbers:
                    if event & ~select.POLLOUT:
                        self.from_session(self.numbers[fd])
                    elif event & select.POLLOUT:
                        self.to_session(self.numbers[fd])
            while self.outbox:
                try:
                    del self.outbox[: os.write(1, self.outbox)]
                except BlockingIOError:
                    if any(fd == 0 for fd, _ in self.host.poll()):
                        self.from_host()

    def from_host(self) -> None:
        try:
            data = os.read(0, 1 << 18)
        except BlockingIOError:
            return
        if not data:
            os._exit(0)
        self.inbox += data
        while len(self.inbox) >= 8:
            number, size = self.FRAME.unpack_from(self.inbox)
            if len(self.inbox) < 8 + size:
                return
            body = bytes(self.inbox[8 : 8 + size])
            del self.inbox[: 8 + size]
            if number == 0:
                self.leave_options(body)
            elif number in self.lanes and body:
                if len(self.lanes[number][1]) > MAX_QUEUED:
                    self.outbox += self.FRAME.pack(number, 0)
                    self.end(number)
                    continue
                self.lanes[number][1].extend(body)
                self.to_session(number)
            elif number in self.lanes:
                self.end(number)
            elif number > self.opened:
                # Not a late frame for a lane that has ended here.
                self.opened = number
                self.open(number, f"{self.folder}/{body.decode()}")

    def leave_options(self, data: bytes) -> None:
        """Put the server's options where it looks for them, whole or not at all."""
        with open(f"{self.folder}/options.part", "wb") as file:
            file.write(data)
        os.rename(f"{self.folder}/options.part", f"{self.folder}/options")

    def open(self, number: int, path: str) -> None:
        lane = socket.socket(socket.AF_UNIX)
        for _ in range(6000):
            try:
                lane.connect(path)
                break
            except OSError:
                # The server is still importing. If it ends, the container ends, and so does this.
                time.sleep(0.01)
        lane.setblocking(False)
        self.lanes[number], self.numbers[lane.fileno()] = (lane, bytearray()), number
        self.everyone.register(lane, select.POLLIN)

    def from_session(self, number: int) -> None:
        try:
            data = self.lanes[number][0].recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.outbox += self.FRAME.pack(number, len(data)) + data
        if not data:
            self.end(number)

    def to_session(self, number: int) -> None:
        lane, pending = self.lanes[number]
        try:
            del pending[: lane.send(pending)]
        except BlockingIOError:
            pass
        except OSError:
            pending.clear()  # Its end will be read.
        self.everyone.modify(lane, select.POLLIN | (select.POLLOUT if pending else 0))

    def end(self, number: int) -> None:
        lane, _ = self.lanes.pop(number)
        self.everyone.unregister(lane)
        del self.numbers[lane.fileno()]
        lane.close()
