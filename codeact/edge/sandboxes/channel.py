"""Frames between host and guest: a big-endian length of four bytes, then JSON.

The guest side is untrusted: a frame that is too large or is not JSON ends the connection.
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
_decode_quickly = msgspec.json.Decoder().decode


class Channel(asyncio.BufferedProtocol):
    """One connection to the guest; hands each message on as it comes, in the event loop.

    It brings its own buffer: asyncio's, made anew for every read, costs more than all else here.
    """

    def __init__(
        self,
        on_message: Callable[[dict[str, Any]], None],
        on_lost: Callable[[str], None],
        max_frame: int,
    ) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._max_frame = max_frame
        self._buffer = bytearray()
        self._arrival = memoryview(bytearray(_AT_ONCE))
        self._transport: asyncio.Transport | None = None
        self._fault = "the connection ended"

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; what is sent on a lost connection is dropped."""
        if self._transport is not None:
            data = _encoded(message)
            self._transport.write(LENGTH.pack(len(data)) + data)

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_lost(self._fault)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._arrival

    def buffer_updated(self, nbytes: int) -> None:
        self.feed(self._arrival[:nbytes])

    def feed(self, data: bytes | memoryview) -> None:
        """Take in what came from the guest."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(buffer)
            if size > self._max_frame:
                self._refuse(f"a frame of {size} bytes is over the limit")
                return
            end = LENGTH.size + size
            if len(buffer) < end:
                return
            body = bytes(buffer[LENGTH.size : end])
            del buffer[:end]
            message = _decoded(body)
            if not isinstance(message, dict):
                self._refuse("it sent what is not a message")
                return
            self._on_message(message)

    def _refuse(self, why: str) -> None:
        self._fault = why
        self._buffer.clear()
        self.abort()


def _encoded(message: dict[str, Any]) -> bytes:
    """Write a message; a tool's result may hold what only Python's JSON knows, such as NaN."""
    if "reply" not in message:
        try:
            return _encode_quickly(message)
        except UnicodeEncodeError:
            pass
    return _encode(message).encode()


def _decoded(body: bytes) -> object:
    """Read a message; None if it is none."""
    try:
        return _decode_quickly(body)
    except (msgspec.DecodeError, RecursionError):
        # Half of a surrogate pair, for one, is nothing to msgspec.
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            return None
