"""Frames between host and guest: a big-endian length of four bytes, then JSON.

The guest side is untrusted: a frame larger than what may come just now ends the connection, and so
does a guest that does not read what it is sent. `frames` parses the contents.
"""

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any, cast

import msgspec

LENGTH = struct.Struct(">I")
_AT_ONCE = 8192
_encode = json.JSONEncoder(separators=(",", ":")).encode
_encode_quickly = msgspec.json.Encoder().encode


class Channel(asyncio.BufferedProtocol):
    """One connection to the guest; passes on each frame as it arrives, in the event loop.

    It has its own buffer, because the one that asyncio makes for every read costs more than all
    the rest. It holds one incoming frame of at most `max_frame` bytes; its owner sets that to what
    it expects. Of messages to send it holds `max_queued` bytes and one more message.
    """

    def __init__(
        self,
        on_frame: Callable[[bytes], None],
        on_lost: Callable[[str], None],
        max_frame: int,
        max_queued: int,
    ) -> None:
        self.max_frame = max_frame
        self._max_queued = max_queued
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._buffer = bytearray()
        self._arrival = memoryview(bytearray(_AT_ONCE))
        self._transport: asyncio.Transport | None = None
        self._ended = False
        self._fault = "the connection ended"

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; what is sent on a lost connection is dropped."""
        if self._transport is None or self._ended:
            return
        if self._transport.get_write_buffer_size() > self._max_queued:
            self.abort("it does not read its connection")
            return
        data = _encoded(message)
        self._transport.write(LENGTH.pack(len(data)) + data)

    def abort(self, why: str = "the connection ended") -> None:
        """Close the connection at once; frames not passed on yet are dropped."""
        if self._ended:
            return
        self._ended = True
        self._fault = why
        self._buffer.clear()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._transport = None
        self._on_lost(self._fault)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._arrival

    def buffer_updated(self, nbytes: int) -> None:
        self.feed(self._arrival[:nbytes])

    def feed(self, data: bytes | memoryview) -> None:
        """Take in bytes from the guest."""
        if self._ended:
            return
        buffer = self._buffer
        buffer += data
        while len(buffer) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(buffer)
            if size > self.max_frame:
                self.abort("it sent a frame that is larger than any that may come")
                return
            end = LENGTH.size + size
            if len(buffer) < end:
                return
            with memoryview(buffer) as view:
                body = bytes(view[LENGTH.size : end])
            del buffer[:end]
            self._on_frame(body)


def _encoded(message: dict[str, Any]) -> bytes:
    """Encode a message; a tool's result may hold what only Python's JSON has, such as NaN."""
    if "reply" not in message:
        try:
            return _encode_quickly(message)
        except UnicodeEncodeError:
            pass
    return _encode(message).encode()
