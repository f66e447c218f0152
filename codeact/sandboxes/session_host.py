"""What a session needs of the sandbox that it belongs to."""

from collections.abc import Awaitable
from typing import Protocol

from codeact.sandboxes.base import Session
from codeact.sandboxes.server import Server
from codeact.sandboxes.settings import ExecutorSettings


class SessionHost(Protocol):
    """Provides servers for sessions, and takes their slots back."""

    @property
    def settings(self) -> ExecutorSettings: ...

    async def server(self, last: Server | None) -> Server:
        """Return a live server, where the `last` one may have died; raises SandboxFailure."""
        ...

    def release(self, session: Session, server: Server | None) -> None:
        """Take back the slot of a closed session, and the server that it was in."""
        ...

    def hold_slot(self, gone: Awaitable[None]) -> None:
        """Take a slot out of use until an interpreter that was given up is gone."""
        ...
