"""A running guest, as its owner sees it: started, connected to, told to end sessions, dead."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import tempfile
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
from codeact.sandboxes.owner import this_owner
from codeact.sandboxes.sweep import OWNER_FILE, PREFIX

OPTIONS_FILE = "options"
"""Where the guest looks for its options, among its sockets."""
_CONTROL_FRAME = 1 << 16
_CONTROL_QUEUE = 1 << 20
_UID_SPAN = 4096


class Gone(msgspec.Struct, frozen=True):
    """How a session ended: `reason` is asked, memory, processes, exit, signal, or slow.

    A session that is slow to end is nobody's any more, but still takes up its slot.
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
            return "it does not end"
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

    async def last_words(self) -> str:
        """Return the end of its log, for an error message."""
        ...


class Way(Protocol):
    """How the guest's sockets are reached from here."""

    async def join(self, door: str, protocol: Channel) -> None:
        """Connect to a socket by its name; raises OSError."""
        ...

    def close(self) -> None: ...


class _Sockets:
    """The usual way: the sockets lie in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def join(self, door: str, protocol: Channel) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: protocol, str(self._folder / door))

    def close(self) -> None:
        pass


class Place(msgspec.Struct, frozen=True):
    """Where a session lives in its server; a slot is used again, a generation is not."""

    slot: int
    generation: int


class Server:
    """The host's end of one guest. It owns all there is of it: see `close`.

    That is the folder with the guest's sockets, the process or container, and the control group.
    Should this process be killed, the janitor removes folder and group.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_short_tmp()))
        (self.folder / OWNER_FILE).write_text(this_owner())
        JANITOR.watch(str(self.folder))
        self.group: ControlGroup | None = None
        self.uid_base = 100_000_000 + random.SystemRandom().randrange(400_000) * _UID_SPAN
        self.facts: dict[str, Any] = {}
        self.alive = False
        self._process: Process | None = None
        self._way: Way = _Sockets(self.folder)
        self._control: Channel | None = None
        self._ready: asyncio.Future[dict[str, Any]] | None = None
        self._pong: asyncio.Future[bool] | None = None
        self._ends: dict[Place, asyncio.Future[Gone | None]] = {}
        self._closing: asyncio.Future[None] | None = None

    def leave_options(self, options: bytes) -> None:
        """Put the guest's options where it finds them, and nobody else."""
        path = self.folder / OPTIONS_FILE
        path.touch(0o600)
        path.write_bytes(options)

    def own(self, process: Process) -> None:
        """Take a process over: `close` ends it."""
        self._process = process

    def join_group(self, group: ControlGroup | None) -> None:
        """Take a control group over: `close` removes it."""
        self.group = group
        if group is not None:
            JANITOR.watch(str(self.folder), group.folders)

    async def start(self, process: Process, seconds: float, way: Way | None = None) -> None:
        """Wait until the guest answers; raises SandboxFailure with its log if it does not.

        Whatever it raises, the caller has to close the server.
        """
        self.own(process)
        self._way = way or self._way
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        deadline = loop.time() + seconds
        while self._control is None:
            try:
                control = Channel(self._on_frame, self._on_lost, _CONTROL_FRAME, _CONTROL_QUEUE)
                await self._way.join("control", control)
                self._control = control
            except OSError:
                if loop.time() > deadline or not await process.alive():
                    words = await process.last_words()
                    raise SandboxFailure(
                        f"the sandbox server did not start within {seconds:g} s; its log ends:\n"
                        f"{words or '(empty)'}"
                    ) from None
                await asyncio.sleep(0.01)
        self.alive = True
        try:
            self.facts = await asyncio.wait_for(self._ready, seconds)
        except (TimeoutError, ConnectionError):
            words = await process.last_words()
            raise SandboxFailure(f"the sandbox server ended as it started:\n{words}") from None

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
            await self._way.join("sessions", channel)
        except OSError as error:
            # The socket or its folder is gone: nobody will ever reach this server again.
            self.abandon()
            raise SandboxFailure(f"the sandbox server cannot be reached: {error}") from error
        return channel

    def expect(self, place: Place) -> None:
        """Listen for the end of a session; raises ValueError if it is another one's place."""
        if place in self._ends:
            raise ValueError(f"{place} is taken")
        self._ends[place] = asyncio.get_running_loop().create_future()
        if not self.alive:
            self._ends[place].set_result(None)

    def kill(self, place: Place) -> None:
        """Ask for the end of a session; harmless when it has ended."""
        if self._control is not None:
            self._control.send({"kill": place.slot, "generation": place.generation})

    async def end_of(self, place: Place, seconds: float) -> Gone | None:
        """Wait for the end of a session; None means that the server itself is dead or hung.

        One that is not gone after `seconds` is given up alone if the server still answers and has
        other sessions: `when_gone` then tells when its slot is free.
        """
        future = self._ends.get(place)
        if future is None:
            return None
        try:
            gone = await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            others = len(self._ends) > 1
            answers = others and await self.answers(seconds)
            # It may have come while we asked.
            if answers and not future.done():
                return Gone("slow", 0)
            if not answers:
                self.abandon()
            gone = future.result()
        self._ends.pop(place, None)
        return gone

    async def when_gone(self, place: Place) -> None:
        """Wait until a session that was given up is gone, or its server."""
        if (future := self._ends.get(place)) is not None:
            await asyncio.shield(future)
            self._ends.pop(place, None)

    async def answers(self, seconds: float) -> bool:
        """Tell whether the server does anything at all within so many seconds."""
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
        """Give the server up; `close` must still be called."""
        if self._control is not None:
            self._control.abort()
        self._on_lost("abandoned")

    async def close(self) -> None:
        """End the guest and remove what it had. Never raises.

        Who stops waiting does not stop it: it is done all the same, and once.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._ready is not None:
            # Nobody waits for that any more, nor for what went wrong with it.
            self._ready.cancel()
        self.abandon()
        self._way.close()
        try:
            if self._process is not None:
                await self._process.stop()
            if self.group is not None:
                await self.group.remove()
        except asyncio.CancelledError:
            # The event loop itself ends: what is left is the janitor's, when this process ends.
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
            end = self._ends.get(Place(frame.gone, frame.generation))
            if end is not None and not end.done():
                end.set_result(Gone(frame.reason, frame.code))

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


def _short_tmp() -> str:
    """Return a folder for sockets: their paths may have 107 bytes only."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= 60 else os.path.realpath("/tmp")  # noqa: S108
