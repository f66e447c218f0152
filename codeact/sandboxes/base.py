"""What a sandbox is: a place that starts sessions, each a persistent Python REPL."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, Self

import msgspec

from codeact.episode.effects import Execution, Status

HostTool = Callable[..., Awaitable[Any]]
"""A function on the host that a session may call; arguments and result are JSON values."""
GRADER_MODULES = "codeact.graders.guest"
"""Programs of the graders that every guest loads; the sandboxes read only their text."""


class Evaluation(msgspec.Struct, frozen=True):
    """What a plain program did in a session: see `Session.evaluate`."""

    ok: bool
    value: Any = None
    """The JSON value left in the variable ``RESULT``; None if there is none, it is not JSON, or it
    is too large. Text in it can be encoded, and so can `error`."""
    error: str = ""
    """``TypeName: message`` of what it raised, or how its process ended."""
    status: Status = "ok"


class Session(Protocol):
    """One interpreter, used by one episode or one grading."""

    async def execute(self, code: str, *, seconds: float | None = None) -> Execution:
        """Run a cell; `seconds` overrides the executor's limit per cell.

        A cell that fails, hangs or kills its interpreter is an `Execution` with that status.
        Raises `SandboxFailure` when the sandbox itself is broken.
        """
        ...

    async def evaluate(self, source: str, *, seconds: float) -> Evaluation:
        """Run trusted or untrusted source as a plain program: no IPython, no echo, no output.

        It gets a namespace of its own, which holds nothing but the session's tools, in the
        session's process. Raises `SandboxFailure` when the sandbox itself is broken.
        """
        ...

    def retire(self) -> None:
        """Start to close it without waiting; the sandbox finishes that."""
        ...

    async def close(self) -> None:
        """End the interpreter and delete its files. Never raises."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


class Sandbox(Protocol):
    """An executor that has been started."""

    async def session(
        self, *, setup: str = "", tools: Mapping[str, HostTool] | None = None
    ) -> Session:
        """Start a session.

        `setup` is trusted code that runs before the first visible cell, which is ``In[1]``.
        `tools` become functions in its namespace, called back over the session's own channel.
        Raises `SandboxFailure`.
        """
        ...

    async def close(self) -> None:
        """End every session and the server. Never raises."""
        ...
