"""What every executor shares: one server, started when needed and again when it died."""

import asyncio
import hashlib
import importlib.resources
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact.edge.sandboxes.base import HostTool
from codeact.edge.sandboxes.server import Server
from codeact.edge.sandboxes.session import GuestSession
from codeact.edge.sandboxes.settings import AnyExecutorSettings
from codeact.exceptions import ExecutorUnavailable, SandboxFailure

GRADER_MODULES = "codeact.edge.graders.guest"
"""Programs of the graders' that every guest loads: only their text is known here."""
_IN_ORDER = ("clock", "crossing", "solution_side", "test_side", "programs")


class GuestSandbox(ABC):
    """An executor whose sessions live in a guest; subclasses say how a guest is started."""

    def __init__(self, settings: AnyExecutorSettings) -> None:
        self.settings: AnyExecutorSettings = settings
        self._server: Server | None = None
        self._starting = asyncio.Lock()
        self._slots = asyncio.Semaphore(settings.capacity)
        self._sessions: set[GuestSession] = set()
        self._closed = False
        self._tried = 0
        self._refusal: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What a run's provenance says of where its cells ran, as JSON data."""
        return {"executor": self.settings.kind, "guest": guest_digest()}

    @property
    def live(self) -> int:
        """How many sessions there are, those that are starting or ending included."""
        return len(self._sessions)

    @abstractmethod
    async def launch(self) -> Server:
        """Start a guest; raises ExecutorUnavailable or SandboxFailure."""

    async def session(
        self, *, setup: str = "", tools: Mapping[str, HostTool] | None = None
    ) -> GuestSession:
        """Start a session, when a slot is free."""
        if self._slots.locked():
            try:
                await asyncio.wait_for(self._slots.acquire(), self.settings.wait_seconds)
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

    def release(self, session: GuestSession, server: Server | None) -> None:
        """Take back a closed session's slot, and the server that it was in."""
        if session in self._sessions:
            self._sessions.discard(session)
            self._slots.release()

    async def server(self, last: Server | None) -> Server:
        """Return a live server for a session, whose `last` one may have died."""
        if self._server is not None and self._server.alive:
            return self._server
        tried = self._tried
        async with self._starting:
            if self._closed:
                raise SandboxFailure("the sandbox is closed")
            if self._refusal is not None and tried != self._tried:
                # It was tried while this session waited for its turn to.
                raise SandboxFailure(self._refusal)
            if self._server is not None and not self._server.alive:
                await self._server.close()
                self._server = None
            if self._server is None:
                try:
                    self._server = await self.launch()
                    self._refusal = None
                except (ExecutorUnavailable, SandboxFailure) as error:
                    # Before the first session this ends the command; later it is an episode's.
                    self._tried += 1
                    self._refusal = f"the sandbox cannot be started again: {error}"
                    raise SandboxFailure(self._refusal) from error
            return self._server

    async def start(self) -> None:
        """Start the first server; raises ExecutorUnavailable where it cannot run at all."""
        self._server = await self.launch()

    async def close(self) -> None:
        """End every session and the server. Never raises."""
        self._closed = True
        server, self._server = self._server, None
        if server is not None:
            await server.close()
        await asyncio.gather(*[session.close() for session in self._sessions])


def guest_modules() -> list[list[str]]:
    """Return name and text of the modules that a guest loads beside its libraries."""
    folder = importlib.resources.files(GRADER_MODULES)
    return [
        [f"{GRADER_MODULES}.{name}", folder.joinpath(f"{name}.py").read_text("utf-8")]
        for name in _IN_ORDER
    ]


def guest_digest() -> str:
    """Return what tells one version of the guest program from another."""
    return hashlib.sha256(guest_program().read_bytes()).hexdigest()[:16]


def guest_program() -> Path:
    """Return the guest's file: in an installed package, or in the source tree."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "_data" / "sandbox" / "guest.py"
    return installed if installed.is_file() else package.parent / "sandbox" / "guest.py"
