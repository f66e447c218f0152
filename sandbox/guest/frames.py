"""Frames between host and guest: a big-endian length of four bytes, then JSON."""

import codecs
import json
import os
import signal
import struct
from typing import Any

from . import BUILTINS
from .signals import pthread_sigmask

globals()["__builtins__"] = BUILTINS
DECODE = json.JSONDecoder().decode
TO_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
LENGTH = struct.Struct(">I")
MAX_REQUEST = 64 << 20
# Bound here once: what a cell does to the modules is then its own problem.
read, write = os.read, os.write


def half_a_pair(error: UnicodeError) -> tuple[str, int]:
    """Write half of a surrogate pair, which UTF-8 has no bytes for, as six plain characters."""
    assert isinstance(error, UnicodeEncodeError)
    halves = error.object[error.start : error.end]
    return "".join(f"\\\\u{ord(half):04x}" for half in halves), error.end


codecs.register_error("half_a_pair", half_a_pair)


def encode(value: object) -> bytes:
    """Return a value as JSON; raises ValueError or TypeError if it is not data."""
    return TO_JSON(value).encode("utf-8", "half_a_pair")


class Channel:
    """Length-prefixed JSON over a socket; a frame that is half read survives a signal."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.buffer = bytearray()

    def fileno(self) -> int:
        return self.fd

    def send(self, message: dict[str, Any]) -> None:
        """Send a whole frame; the alarm of the soft limit waits until it is out."""
        data = encode(message)
        view = memoryview(LENGTH.pack(len(data)) + data)
        pthread_sigmask(signal.SIG_BLOCK, (signal.SIGALRM,))
        try:
            while view:
                view = view[write(self.fd, view) :]
        finally:
            pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGALRM,))

    def receive(self) -> Any:
        """Return the next message; raise EOFError when the other side is gone."""
        while True:
            message = self.take()
            if message is not None:
                return message
            self.fill()

    def fill(self) -> None:
        data = read(self.fd, 1 << 18)
        if not data:
            raise EOFError
        self.buffer += data

    def take(self) -> Any:
        """Return the next message if all of it has come, else None."""
        if len(self.buffer) < 4:
            return None
        (size,) = LENGTH.unpack_from(self.buffer)
        if size > MAX_REQUEST:
            raise EOFError
        if len(self.buffer) < 4 + size:
            return None
        data = bytes(self.buffer[4 : 4 + size])
        del self.buffer[: 4 + size]
        return DECODE(data.decode())
