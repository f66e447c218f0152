"""The host's handle of one guest: starts it, connects to it, ends its sessions and itself."""

import asyncio
import contextlib
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import UNSET

from codeact.exceptions import SandboxFailure
from codeact.sandboxes import frames
from codeact.sandboxes.channel import Channel
from codeact.sandboxes.control_group import ControlGroup
from codeact.sandboxes.janitor import JANITOR
from codeact.sandboxes.owned_folder import new_folder

OPTIONS_FILE = "options"
"""Where the guest looks for its options, among its sockets."""
_CONTROL_FRAME = 1 << 16
_CONTROL_QUEUE = 1 << 20
_UID_SPAN = 4096


class SessionEnd(msgspec.Struct, frozen=True):
    """How a session ended: `reason` is asked, memory, processes, exit, signal, or slow.

    A slow session has been given up, but still occupies its slot.
    """

    reason: str
    code: int

    def __str__(self) -> str:
        if self.reason == "memory":
            return "out of memory"
        if self.reason == "processes":
            return "too many processes"
        if self.reason == "exit":
            return "it exited"
        if self.reason == "slow":
            return "it did not end in time"
        if self.code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-self.code).name}"
        return "it was killed"


class Process(Protocol):
    """The process or container that a guest runs in."""

    async def alive(self) -> bool: ...

    async def stop(self) -> None:
        """End it and remove what it left. Never raises."""
        ...

    async def log_tail(self) -> str:
        """Return the end of its log, for an error message."""
        ...


class Transport(Protocol):
    """Connects to the guest's sockets."""

    async def connect(self, name: str, channel: Channel) -> None:
        """Connect to a socket by its name; raises OSError."""
        ...

    def close(self) -> None: ...


class _SocketTransport:
    """The usual transport: the sockets are in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def connect(self, name: str, channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: channel, str(self._folder / name))

    def close(self) -> None:
        pass


class SessionAddress(msgspec.Struct, frozen=True):
    """Which session of a server is meant. A slot is used again, a generation is not."""

    slot: int
    generation: int


class Server:
    """The host's end of one guest; `close` removes everything it owns.

    It owns the folder with the guest's sockets, the process or container, and the control group.
    If this process is killed, the janitor removes folder and group.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or new_folder()
        self.group: ControlGroup | None = None
        self.uid_base = 100_000_000 + random.SystemRandom().randrange(400_000) * _UID_SPAN
        self.facts: dict[str, Any] = {}
        self.alive = False
        self._process: Process | None = None
        self._transport: Transport = _SocketTransport(self.folder)
        self._control: Channel | None = None
        self._ready: asyncio.Future[dict[str, Any]] | None = None
        self._pong: asyncio.Future[bool] | None = None
        self._ends: dict[SessionAddress, asyncio.Future[SessionEnd | None]] = {}
        self._closing: asyncio.Future[None] | None = None

    def write_options(self, options: bytes) -> None:
        """Write the guest's options, whole or not at all, to a file for the guest's eyes only."""
        part = self.folder / f"{OPTIONS_FILE}.part"
        part.touch(0o600)
        part.write_bytes(options)
        part.rename(self.folder / OPTIONS_FILE)

    def own(self, process: Process) -> None:
        """Take ownership of a process: `close` ends it."""
        self._process = process

    def join_group(self, group: ControlGroup | None) -> None:
        """Take ownership of a control group: `close` removes it."""
        self.group = group
        if group is not None:
            JANITOR.watch(str(self.folder), group.folders)

    async def start(
        self, process: Process, seconds: float, transport: Transport | None = None
    ) -> None:
        """Wait until the guest responds; raises SandboxFailure with its log if it does not.

        The caller must close the server after any error.
        """
        self.own(process)
        self._transport = transport or self._transport
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        deadline = loop.time() + seconds
        while self._control is None:
            try:
                control = Channel(self._on_frame, self._on_lost, _CONTROL_FRAME, _CONTROL_QUEUE)
                await self._transport.connect("control", control)
                self._control = control
            except OSError:
                if loop.time() > deadline or not await process.alive():
                    log = await process.log_tail()
                    raise SandboxFailure(
                        f"the sandbox server did not start within {seconds:g} s "
                        f"(executor.start_seconds); its log ends:\n{log or '(empty)'}"
                    ) from None
                await asyncio.sleep(0.01)
        self.alive = True
        try:
            self.facts = await asyncio.wait_for(self._ready, seconds)
        except (TimeoutError, ConnectionError):
            log = await process.log_tail()
            raise SandboxFailure(
                f"the sandbox server ended while it started; its log ends:\n{log or '(empty)'}"
            ) from None

    async def connect(
        self,
        on_frame: Callable[[bytes], None],
        on_lost: Callable[[str], None],
        max_frame: int,
        max_queued: int,
    ) -> Channel:
        """Open a session's connection; the first message on it is the greeting."""
        channel = Channel(on_frame, on_lost, max_frame, max_queued)
        try:
            await self._transport.connect("sessions", channel)
        except OSError as error:
            # The socket or its folder is gone: this server cannot be reached again.
            self.abandon()
            raise SandboxFailure(
                f"the sandbox server cannot be reached: {error}; the next session starts a new one"
            ) from error
        return channel

    def expect(self, address: SessionAddress) -> None:
        """Listen for the end of a session; raises ValueError if the address is already in use."""
        if address in self._ends:
            raise ValueError(f"{address} is in use")
        self._ends[address] = asyncio.get_running_loop().create_future()
        if not self.alive:
            self._ends[address].set_result(None)

    def kill(self, address: SessionAddress) -> None:
        """Ask for the end of a session; harmless when it has ended."""
        if self._control is not None:
            self._control.send({"kill": address.slot, "generation": address.generation})

    async def end_of(self, address: SessionAddress, seconds: float) -> SessionEnd | None:
        """Wait for the end of a session; None means that the server itself is dead or hung.

        A session that is still there after `seconds` is given up. If the server responds and has
        other sessions, only this one is: `when_gone` then waits until its slot is free.
        """
        future = self._ends.get(address)
        if future is None:
            return None
        try:
            gone = await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            others = len(self._ends) > 1
            responds = others and await self.responds(seconds)
            # The end may have been reported meanwhile.
            if responds and not future.done():
                return SessionEnd("slow", 0)
            if not responds:
                self.abandon()
            gone = future.result()
        self._ends.pop(address, None)
        return gone

    async def when_gone(self, address: SessionAddress) -> None:
        """Wait until a session that was given up is gone, or its server."""
        if (future := self._ends.get(address)) is not None:
            await asyncio.shield(future)
            self._ends.pop(address, None)

    async def responds(self, seconds: float) -> bool:
        """Return whether the server responds to a ping within `seconds`."""
        if self._control is None:
            return False
        if self._pong is None or self._pong.done():
            self._pong = asyncio.get_running_loop().create_future()
            self._control.send({"ping": 1})
        try:
            return await asyncio.wait_for(asyncio.shield(self._pong), seconds)
        except TimeoutError:
            return False

    def abandon(self) -> None:
        """Give up on the server; `close` must still be called."""
        if self._control is not None:
            self._control.abort()
        self._on_lost("abandoned")

    async def close(self) -> None:
        """End the guest and remove what it owned. Never raises.

        It runs once, and to its end even if the caller is cancelled.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._ready is not None:
            # No one waits for it any more, so its error is not needed.
            self._ready.cancel()
        self.abandon()
        self._transport.close()
        try:
            if self._process is not None:
                await self._process.stop()
            if self.group is not None:
                await self.group.remove()
        except asyncio.CancelledError:
            # The event loop itself ends: the janitor removes the rest when this process ends.
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        shutil.rmtree(self.folder, ignore_errors=True)
        JANITOR.forget(str(self.folder))

    def _on_frame(self, body: bytes) -> None:
        try:
            frame = frames.read_server(body)
        except frames.FrameError:
            self.abandon()
            return
        if frame.ready is not UNSET:
            if self._ready is not None and not self._ready.done():
                facts = {"pid": frame.pid, "uids": frame.uids, "run_cell": frame.run_cell[:200]}
                self._ready.set_result({"ready": frame.ready, **facts})
        elif frame.pong is not UNSET:
            if self._pong is not None and not self._pong.done():
                self._pong.set_result(True)
        elif frame.gone is not UNSET:
            end = self._ends.get(SessionAddress(frame.gone, frame.generation))
            if end is not None and not end.done():
                end.set_result(SessionEnd(frame.reason, frame.code))

    def _on_lost(self, why: str) -> None:
        self.alive = False
        self._control = None
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(ConnectionError(why))
        if self._pong is not None and not self._pong.done():
            self._pong.set_result(False)
        for end in self._ends.values():
            if not end.done():
                end.set_result(None)
