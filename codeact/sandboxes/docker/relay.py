"""Many connections over one stream, for a guest whose sockets are not reachable from the host.

The unix sockets of a container on another machine, or under a runtime with a kernel of its own,
are not in a folder of ours. There `docker exec` runs ``guest --relay`` beside the guest, and the
connections of all its sessions are lanes of that one stream. It costs one more copy in each
direction, and one start of a Python per container. A frame is the lane's number and a size, four
bytes each, then the data. The first frame of a lane names its socket; an empty frame ends it.
"""

import asyncio
import contextlib
import os
import select
import socket
import ssl
import struct
import threading
from typing import Any, cast

from codeact.sandboxes.channel import Channel

FRAME = struct.Struct(">II")
STREAM = struct.Struct(">BxxxI")
"""The header of stdout and stderr in an attached stream of an engine."""
_STDERR = 2
_CHUNK = 1 << 16


class Relay(asyncio.Protocol):
    """The host's end of the stream."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._lanes: dict[int, _Lane] = {}
        self._opened = 0
        self._stream = bytearray()
        self._frames = bytearray()
        self.errors = b""

    @classmethod
    async def attach(cls, stream: Any) -> "Relay":
        """Use the stream of a process that docker-py has started."""
        loop = asyncio.get_running_loop()
        _, relay = await loop.create_connection(cls, sock=_plain_socket(stream))
        return relay

    def connect(self, name: str, protocol: Channel) -> None:
        """Open a lane to a socket of the guest; raises OSError when the stream has ended."""
        if self._transport is None:
            raise ConnectionError(f"the relay ended: {self.errors.decode(errors='replace')[-500:]}")
        self._opened += 1
        lane = _Lane(self, self._opened, protocol)
        self._lanes[lane.number] = lane
        self.send(lane.number, name.encode())
        protocol.connection_made(lane)

    def send(self, number: int, data: bytes) -> None:
        """Send a frame; frames after the end of the stream are dropped."""
        if self._transport is not None:
            self._transport.write(FRAME.pack(number, len(data)) + data)

    def end(self, number: int) -> None:
        """Remove a lane; its protocol gets `connection_lost` soon after."""
        lane = self._lanes.pop(number, None)
        if lane is not None:
            asyncio.get_running_loop().call_soon(lane.protocol.connection_lost, None)

    def close(self) -> None:
        """Close the stream, which ends the process at the other end and every lane."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for number in list(self._lanes):
            self.end(number)

    def data_received(self, data: bytes) -> None:
        stream = self._stream
        stream += data
        while len(stream) >= STREAM.size:
            kind, size = STREAM.unpack_from(stream)
            end = STREAM.size + size
            if len(stream) < end:
                break
            part = stream[STREAM.size : end]
            del stream[:end]
            if kind == _STDERR:
                self.errors = (self.errors + part)[-4000:]
            else:
                self._frames += part
        self._deal()

    def _deal(self) -> None:
        frames = self._frames
        while len(frames) >= FRAME.size:
            number, size = FRAME.unpack_from(frames)
            end = FRAME.size + size
            if len(frames) < end:
                return
            data = bytes(frames[FRAME.size : end])
            del frames[:end]
            lane = self._lanes.get(number)
            if not data:
                self.end(number)
            elif lane is not None:
                lane.protocol.feed(data)


class _Lane(asyncio.Transport):
    """One connection, as its protocol sees it."""

    def __init__(self, relay: Relay, number: int, protocol: Channel) -> None:
        super().__init__()
        self.number = number
        self.protocol = protocol
        self._relay = relay

    def write(self, data: Any) -> None:
        if data:
            self._relay.send(self.number, bytes(data))

    def get_write_buffer_size(self) -> int:
        """Return 0: data for a session waits in the guest's relay, which bounds it."""
        return 0

    def abort(self) -> None:
        self._relay.send(self.number, b"")
        self._relay.end(self.number)

    close = abort


def _plain_socket(stream: Any) -> socket.socket:
    """Return a socket that an event loop can use, for any kind of connection to the engine."""
    inner = getattr(stream, "_sock", stream)
    if isinstance(inner, socket.socket) and not isinstance(inner, ssl.SSLSocket):
        plain = socket.socket(fileno=os.dup(inner.fileno()))
        stream.close()
    else:
        plain, other = socket.socketpair()
        threading.Thread(target=_pump, args=(inner, stream, other), daemon=True).start()
    plain.setblocking(False)
    return plain


def _pump(remote: Any, owner: Any, near: socket.socket) -> None:
    """Copy in both directions between an encrypted stream and a socket, until either ends.

    One thread does both, because an encrypted stream is not thread-safe. The guest's relay
    reads whatever it is writing, so waiting to write here ends.
    """
    with contextlib.suppress(OSError, ValueError), near:
        while True:
            pending = getattr(remote, "pending", lambda: 0)()
            ready, _, _ = select.select([remote, near], [], [], 0 if pending else None)
            if pending or remote in ready:
                data = remote.recv(_CHUNK)
                if not data:
                    return
                near.sendall(data)
            if near in ready:
                data = near.recv(_CHUNK)
                if not data:
                    break
                remote.sendall(data)
    with contextlib.suppress(Exception):
        remote.close()
    del owner
