"""What every executor shares: one server, started when needed and again when it died."""

import asyncio
import importlib.resources
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec

from codeact.exceptions import ExecutorUnavailable, SandboxFailure
from codeact.sandboxes.base import GRADER_MODULES, HostTool, Session
from codeact.sandboxes.guest_program import guest_digest
from codeact.sandboxes.server import Server
from codeact.sandboxes.session import GuestSession
from codeact.sandboxes.settings import AnyExecutorSettings

_IN_ORDER = ("clock", "crossing", "solution_side", "test_side", "programs")


class SandboxStats(msgspec.Struct, frozen=True):
    """How an executor does: its `sessions`, of at most `capacity`; `starts` of its server so far.

    Of `sandboxes`, `alive` have a server now.
    """

    kind: str
    sessions: int
    capacity: int
    starts: int
    alive: int
    sandboxes: int = 1

    def __add__(self, other: "SandboxStats") -> "SandboxStats":
        names = self.__struct_fields__[1:]
        return SandboxStats(self.kind, *(getattr(self, n) + getattr(other, n) for n in names))


class GuestSandbox(ABC):
    """An executor whose sessions live in a guest; subclasses say how a guest is started."""

    def __init__(self, settings: AnyExecutorSettings) -> None:
        self.settings: AnyExecutorSettings = settings
        self._server: Server | None = None
        self._starting: asyncio.Task[Server] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(settings.capacity)
        self._sessions: set[Session] = set()
        self._held_slots: set[asyncio.Future[None]] = set()
        self._closed = False
        self._starts = 0

    @property
    def facts(self) -> dict[str, Any]:
        """What a run's provenance says of where its cells ran, as JSON data."""
        return {"executor": self.settings.kind, "guest": guest_digest()}

    @property
    def live(self) -> int:
        """The number of sessions, including those that are starting or ending."""
        return len(self._sessions)

    @property
    def occupancy(self) -> SandboxStats:
        """How it does now."""
        alive = self._server is not None and self._server.alive
        kind, capacity = self.settings.kind, self.settings.capacity
        return SandboxStats(kind, self.live, capacity, self._starts, int(alive))

    @property
    def bound(self) -> str:
        """What bounds the memory of all sessions together, in words."""
        return "nothing"

    @abstractmethod
    async def launch(self) -> Server:
        """Start a guest; raises ExecutorUnavailable or SandboxFailure.

        It ends what it has started before it raises anything, CancelledError included.
        """

    async def session(
        self, *, setup: str = "", tools: Mapping[str, HostTool] | None = None
    ) -> GuestSession:
        """Start a session, when a slot is free."""
        if self._slots.locked():
            try:
                async with asyncio.timeout(self.settings.wait_seconds):
                    await self._slots.acquire()
            except TimeoutError:
                raise SandboxFailure(
                    f"all {self.settings.capacity} slots of the sandbox were in use for "
                    f"{self.settings.wait_seconds:g} s: raise executor.slots, or run fewer "
                    "episodes at a time"
                ) from None
        else:
            await self._slots.acquire()
        session = GuestSession(self, setup, tools)
        self._sessions.add(session)
        try:
            await session.open()
        except BaseException:
            await session.close()
            raise
        return session

    def release(self, session: Session, server: Server | None) -> None:
        """Take back a closed session's slot, and the server that it was in."""
        if session in self._sessions:
            self._sessions.discard(session)
            self._slots.release()

    def hold_slot(self, gone: Awaitable[None]) -> None:
        """Take one more slot out of use, as soon as one is free, until an interpreter is gone."""
        ended = asyncio.ensure_future(gone)

        async def hold() -> None:
            async with self._slots:
                await ended

        task = asyncio.ensure_future(hold())
        self._held_slots.add(task)
        task.add_done_callback(self._held_slots.discard)

    async def server(self, last: Server | None) -> Server:
        """Return a live server for a session, whose `last` one may have died."""
        if self._server is not None and self._server.alive:
            return self._server
        if self._closed:
            raise SandboxFailure("the sandbox is closed")
        try:
            return await self._started()
        except (ExecutorUnavailable, SandboxFailure) as error:
            # Before the first session this ends the command; later it is an episode's.
            raise SandboxFailure(
                f"the sandbox died and cannot be started again: {error}"
            ) from error

    async def start(self) -> None:
        """Start the first server; raises ExecutorUnavailable where it cannot run at all."""
        await self._started()

    async def _started(self) -> Server:
        """Wait for the start that all callers share; cancelling one of them does not end it."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start_server())
            self._starting.add_done_callback(_seen)
        return await asyncio.shield(self._starting)

    async def _start_server(self) -> Server:
        try:
            last, self._server = self._server, None
            if last is not None:
                await last.close()
            if self._closed:
                raise SandboxFailure("the sandbox is closed")
            self._server = await self.launch()
            self._starts += 1
            return self._server
        finally:
            self._starting = None

    async def close(self) -> None:
        """End every session and the server. Never raises.

        It runs once, and to its end even if the caller is cancelled.
        """
        self._closed = True
        if self._closing is None:
            self._closing = asyncio.create_task(self.end())
        await asyncio.shield(self._closing)

    async def end(self) -> None:
        """Do what `close` promises."""
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        server, self._server = self._server, None
        if server is not None:
            await server.close()
        await asyncio.gather(*[session.close() for session in self._sessions])


def _seen(start: "asyncio.Task[Server]") -> None:
    """Mark a failure as seen, in case no one waits for it any more."""
    if not start.cancelled():
        start.exception()


def guest_modules() -> list[list[str]]:
    """Return name and text of the modules that a guest loads beside its libraries."""
    folder = importlib.resources.files(GRADER_MODULES)
    return [
        [f"{GRADER_MODULES}.{name}", folder.joinpath(f"{name}.py").read_text("utf-8")]
        for name in _IN_ORDER
    ]
