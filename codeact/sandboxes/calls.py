"""Host tools as a session calls them: one call at a time, and a limited number.

A reply holds a tool's result, or its error as a bounded text, and a number that was checked. It
holds nothing else that the guest sent.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET

from codeact.exceptions import EpisodeFailure
from codeact.sandboxes import frames
from codeact.sandboxes.base import HostTool
from codeact.sandboxes.frames import Frame, FrameError
from codeact.sandboxes.settings import ExecutorSettings

LONGEST_ERROR = 20_000
"""Characters of an error's text, in either direction."""
_PACE_SECONDS = 0.01


class ToolCalls:
    """The tools of one session, and the call that is open; it outlives a lost interpreter.

    `failure` is a tool's failure that the cell did not cause; it is raised to the cell's caller.
    """

    def __init__(
        self,
        tools: Mapping[str, HostTool],
        settings: ExecutorSettings,
        send: Callable[[dict[str, Any]], None],
    ) -> None:
        self._tools = dict(tools)
        self._settings = settings
        self._send = send
        self._open: asyncio.Task[None] | None = None
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._of_cell = 0
        self._in_all = 0
        self.failure: EpisodeFailure | None = None

    def described(self) -> list[dict[str, str]]:
        """Return the names and docstrings that the guest makes functions from."""
        return [{"name": n, "doc": tool.__doc__ or ""} for n, tool in self._tools.items()]

    def begin_cell(self) -> None:
        """Reset the count of calls for the next cell."""
        self._of_cell = 0
        self.failure = None

    def take(self, frame: Frame, *, counted: bool) -> str:
        """Begin the call that a frame asks for; return how it breaks the protocol, or ``""``."""
        if self._open is not None:
            return "it called a tool while another call was open"
        name, number = frame.call or "", frame.id
        if name not in self._tools or number is UNSET:
            return "it sent what is not a message"
        if frame.args is UNSET or frame.kwargs is UNSET:
            return "it sent what is not a message"
        args, kwargs = bytes(frame.args), bytes(frame.kwargs)
        if len(args) + len(kwargs) > self._settings.tool_bytes:
            return "it called a tool with more than it may send"
        refusal = self._count() if counted else ""
        work = self._refuse(refusal) if refusal else self._serve(name, args, kwargs)
        self._number = number
        self._open = asyncio.ensure_future(work)
        self._tasks.add(self._open)
        self._open.add_done_callback(self._tasks.discard)
        return ""

    def end(self) -> None:
        """Cancel an open call, whose cell has ended; a thread of it may still be waiting."""
        if self._open is not None:
            self._open.cancel()
            self._reply({"error": "the cell that called it has ended"})

    def drop(self) -> None:
        """Cancel all calls of an interpreter that is gone."""
        self._open = None
        for task in self._tasks:
            task.cancel()

    def _count(self) -> str:
        """Count a call of a cell; return why it is one too many, or an empty text."""
        settings = self._settings
        self._of_cell += 1
        self._in_all += 1
        if self._in_all > settings.tool_calls_per_session:
            return f"an episode may call tools {settings.tool_calls_per_session} times, not more"
        if self._of_cell > settings.tool_calls_per_cell:
            return f"a cell may call tools {settings.tool_calls_per_cell} times, not more"
        return ""

    async def _refuse(self, why: str) -> None:
        """Refuse a call after a pause, because a cell may call in a loop."""
        await asyncio.sleep(_PACE_SECONDS)
        self._reply({"error": why})

    async def _serve(self, name: str, args: bytes, kwargs: bytes) -> None:
        """Run the tool and send back its result or error."""
        this = asyncio.current_task()
        if earlier := self._tasks - {this}:
            # A cancelled call may still be ending.
            await asyncio.wait(earlier)
        reply: dict[str, Any]
        try:
            reply = {"result": await self._perform(name, args, kwargs)}
        except EpisodeFailure as failure:
            self.failure = failure
            reply = {"error": str(failure)[:LONGEST_ERROR]}
        except Exception as error:
            reply = {"error": (str(error) or type(error).__name__)[:LONGEST_ERROR]}
        if self._open is this:
            self._reply(reply)

    async def _perform(self, name: str, args: bytes, kwargs: bytes) -> Any:
        try:
            values, named = frames.value_of(args), frames.value_of(kwargs)
        except FrameError as error:
            raise ValueError(f"the arguments of {name} cannot be taken: {error}") from None
        if not isinstance(values, list) or not isinstance(named, dict):
            raise TypeError(f"the arguments of {name} cannot be taken: they are no list and names")
        seconds = self._settings.tool_seconds
        clock = asyncio.timeout(seconds)
        try:
            async with clock:
                result = await self._tools[name](*values, **named)
        except TimeoutError as error:
            if clock.expired():
                raise ValueError(f"{name} took longer than {seconds:g} seconds") from error
            raise
        size, limit = len(json.dumps(result)), self._settings.tool_bytes
        if size > limit:
            raise ValueError(f"the result of {size} bytes is over the limit of {limit}")
        return result

    def _reply(self, reply: dict[str, Any]) -> None:
        """Send the reply of the open call, which is then closed."""
        self._open = None
        self._send({"reply": self._number, **reply})
