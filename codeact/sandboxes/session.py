"""A session from the host's side, the same for every executor.

Model-written code controls the guest, so nothing it sends is trusted. A frame that an honest guest
would never send ends the interpreter, with a notice in the cell's output. It counts as the policy's
own doing, never as an episode's failure. Such frames are

* a frame that is no message (see `frames`), or larger than what may come just now;
* a tool call while no cell runs, while another call is open, of an unknown tool, or with arguments
  over `tool_bytes`;
* the `_MOST_STRAYS`-th reply that matches no request, or one over `_IDLE_FRAME`; those before it
  are ignored. Request numbers are random, so a reply that comes early, late or twice is one;
* not reading: more than `tool_bytes` queued on its connection when another message is due. Over
  `docker exec` that waits in the guest's relay, in the container, which bounds it at 16 MB.

Tool calls over `tool_calls_per_cell` and `tool_calls_per_session` are refused by a ToolError, and
slowly, so that a cell which calls in a loop costs little. Times are measured here, on the host.
A reply holds a tool's result or error and a checked number, and nothing else that the guest sent.

One session can make the host hold at most

* one frame, of at most 6 x `output_bytes` in a cell, `value_bytes` in an evaluation, `_IDLE_FRAME`
  between them (`_SLACK` more each): as received, once more as parsed, and as text, which takes
  up to four bytes for one; or instead `frames.MOST_VALUES` values, some 20 MB;
* replies: `tool_bytes` and one message;
* one task of a tool, and one more while a cancelled tool is still ending.

With the default settings that is 60 MB at the worst moment. Of it, a cell's output of at
most `output_bytes` characters is kept. `tests/sandboxes/test_floods.py` measures the driver.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from msgspec import UNSET

from codeact.episode.effects import Execution, Status
from codeact.exceptions import SandboxFailure
from codeact.sandboxes import frames
from codeact.sandboxes.base import Evaluation, HostTool
from codeact.sandboxes.calls import LONGEST_ERROR, ToolCalls
from codeact.sandboxes.channel import Channel
from codeact.sandboxes.frames import Frame, FrameError
from codeact.sandboxes.server import Server, SessionAddress, SessionEnd
from codeact.sandboxes.session_host import SessionHost
from codeact.sandboxes.settings import ExecutorSettings

_MOST_STRAYS = 1000
_IDLE_FRAME = 1 << 16
_SLACK = 1 << 18
"""Room for the rest of a frame: an error's text, names, punctuation."""
_LATE = object()

_RequestKind = Literal["start", "execute", "evaluate"]


class _InterpreterLost(Exception):
    """The interpreter is gone: the status of its cell, and the reason in a few words."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class _Request(NamedTuple):
    """A request to the guest; its answer is a `Frame`, None if lost, or `_LATE`."""

    number: int
    do: _RequestKind
    answer: "asyncio.Future[Any]"


class GuestSession:
    """One interpreter in a guest; replaced by a fresh one when it is lost."""

    def __init__(
        self, sandbox: SessionHost, setup: str, tools: Mapping[str, HostTool] | None
    ) -> None:
        self._sandbox = sandbox
        self._settings = sandbox.settings
        self._setup = setup
        self._calls = ToolCalls(tools or {}, sandbox.settings, self._send)
        self._one_at_a_time = asyncio.Lock()
        self._server: Server | None = None
        self._channel: Channel | None = None
        self._address: SessionAddress | None = None
        self._greeting: asyncio.Future[Frame | None] | None = None
        self._request: _Request | None = None
        self._fault = ""
        self._strays = 0
        self._lost = False
        self._closed = False
        self._ending: asyncio.Future[SessionEnd | None] | None = None
        self._closing: asyncio.Future[None] | None = None

    # -- the interface

    async def execute(self, code: str, *, seconds: float | None = None) -> Execution:
        soft = self._settings.cell_seconds if seconds is None else seconds
        async with self._one_at_a_time:
            await self._ready()
            began = time.monotonic()
            try:
                answer = await self._ask("execute", soft, code=code)
            except _InterpreterLost as end:
                late = f"TimeoutError: Timed out after {soft:g} seconds.\n"
                return Execution(
                    output=(late if end.status == "timeout" else "") + _notice(end.why),
                    status=end.status,
                    seconds=time.monotonic() - began,
                    state_lost=True,
                )
            return await self._as_execution(answer, time.monotonic() - began)

    async def evaluate(self, source: str, *, seconds: float) -> Evaluation:
        async with self._one_at_a_time:
            await self._ready()
            try:
                answer = await self._ask("evaluate", seconds, source=source)
            except _InterpreterLost as end:
                error = (
                    f"TimeoutError: Timed out after {seconds:g} seconds."
                    if end.status == "timeout"
                    else f"SessionEnded: {end.why}"
                )
                return Evaluation(ok=False, error=error, status=end.status)
            value = None
            if answer.value is not UNSET:
                with contextlib.suppress(FrameError):
                    value = frames.value_of(bytes(answer.value))
            return Evaluation(
                ok=answer.ok is True,
                value=value,
                error=answer.error[:LONGEST_ERROR],
                status=answer.status or "error",
            )

    def retire(self) -> None:
        self._start_close()

    async def close(self) -> None:
        # A caller that is cancelled must not keep the interpreter alive or its slot in use.
        await asyncio.shield(self._start_close())

    def _start_close(self) -> asyncio.Future[None]:
        self._closed = True
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        return self._closing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def moved_internal(self) -> str:
        """The internal of IPython that moved, so that its own `run_cell` runs all; or nothing."""
        return str(self._server.facts.get("run_cell", "")) if self._server is not None else ""

    # -- start and end of the interpreter

    async def _close(self) -> None:
        try:
            await self._end()
        finally:
            self._sandbox.release(self, self._server)

    async def open(self) -> None:
        """Get an interpreter, and run the setup in it; raises SandboxFailure."""
        if self._ending is not None:
            # An interpreter occupies its slot until it is gone.
            await asyncio.shield(self._ending)
            self._ending = None
        server = self._server = await self._sandbox.server(self._server)
        self._greeting = asyncio.get_running_loop().create_future()
        self._fault, self._strays, self._lost = "", 0, False
        self._channel = await server.connect(
            self._on_frame, self._on_lost, _IDLE_FRAME, self._settings.tool_bytes + _IDLE_FRAME
        )
        self._address = await self._read_greeting(server, self._greeting)
        start = {"setup": self._setup, "tools": self._calls.described()}
        try:
            answer = await self._send_request("start", self._settings.start_seconds, **start)
        except _InterpreterLost as end:
            raise SandboxFailure(f"the session's setup ended its interpreter: {end.why}") from None
        if not answer.ok:
            await self._end()
            raise SandboxFailure(f"the session's setup failed:\n{answer.error[:LONGEST_ERROR]}")

    async def _read_greeting(
        self, server: Server, greeting: "asyncio.Future[Frame | None]"
    ) -> SessionAddress:
        """Wait for the greeting, which has the session's address; raises SandboxFailure."""
        seconds = self._settings.start_seconds
        try:
            address = _address(await asyncio.wait_for(greeting, seconds))
            server.expect(address)
        except (TimeoutError, ValueError):
            self._drop()
            if not await server.responds(self._settings.end_seconds):
                server.abandon()
            raise SandboxFailure(
                f"the sandbox server gave no interpreter within {seconds:g} s: raise "
                "executor.start_seconds, or run fewer episodes at a time"
            ) from None
        return address

    async def _ready(self) -> None:
        """Start an interpreter if there is none; raises SandboxFailure."""
        if self._closed:
            raise SandboxFailure("the session is closed")
        if self._channel is None:
            await self.open()
        self._calls.begin_cell()

    async def _ask(self, do: _RequestKind, soft: float, **fields: Any) -> Frame:
        answer = await self._send_request(
            do, soft + self._settings.grace_seconds, seconds=soft, **fields
        )
        if self._calls.failure is not None:
            raise self._calls.failure
        return answer

    async def _send_request(self, do: _RequestKind, hard: float, **fields: Any) -> Frame:
        """Send a request and wait for its answer; raises _InterpreterLost or SandboxFailure."""
        assert self._channel is not None
        loop = asyncio.get_running_loop()
        # Random, so that no process of an earlier cell can guess it.
        number = int.from_bytes(os.urandom(6), "big")
        answer: asyncio.Future[Any] = loop.create_future()
        request = self._request = _Request(number, do, answer)
        timer = loop.call_later(hard, _settle, answer, _LATE)
        if self._lost:
            answer.set_result(None)
        self._channel.max_frame = _largest_frame(self._settings, do)
        try:
            self._channel.send({"id": number, "do": do, **fields})
            got = await answer
        except asyncio.CancelledError:
            # The cell may still be running: its reply must not be taken for that of the next.
            self._hang_up()
            raise
        finally:
            timer.cancel()
            if self._request is request:
                self._request = None
        if isinstance(got, Frame):
            return got
        await self._raise_lost(late=got is _LATE)
        raise AssertionError

    async def _raise_lost(self, *, late: bool) -> None:
        """Find out how the interpreter was lost, and raise that."""
        fault = self._fault
        gone = await self._end()
        if self._calls.failure is not None:
            raise self._calls.failure
        if late and gone is not None:
            raise _InterpreterLost("timeout", "time limit")
        if gone is None:
            raise SandboxFailure(
                "the sandbox server died or hangs; the session is lost with it "
                "(`codeact sandbox check` tests this machine)"
            )
        if gone.reason == "memory":
            limit = self._settings.memory_mb
            raise _InterpreterLost("oom", f"out of memory: the limit is {limit} MB")
        # It may have ended by itself before we ended it.
        raise _InterpreterLost(
            "killed", str(gone) if gone.reason == "processes" else fault or str(gone)
        )

    async def _end(self) -> SessionEnd | None:
        """End the interpreter, if there is one, and wait until it is gone."""
        self._hang_up()
        return None if self._ending is None else await asyncio.shield(self._ending)

    def _hang_up(self) -> None:
        server, address = self._server, self._address
        self._drop()
        if server is not None and address is not None:
            server.kill(address)
            self._ending = asyncio.ensure_future(self._gone(server, address))

    async def _gone(self, server: Server, address: SessionAddress) -> SessionEnd | None:
        gone = await server.end_of(address, self._settings.end_seconds)
        if gone is not None and gone.reason == "slow":
            self._sandbox.hold_slot(server.when_gone(address))
        return gone

    def _drop(self) -> None:
        channel, self._channel, self._address = self._channel, None, None
        if channel is not None:
            channel.abort()
        self._calls.drop()

    def _send(self, message: dict[str, Any]) -> None:
        if self._channel is not None:
            self._channel.send(message)

    # -- messages of the guest

    def _on_frame(self, body: bytes) -> None:
        try:
            frame = frames.read(body)
        except FrameError as error:
            self._break(str(error))
            return
        request = self._request
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_result(frame)
        elif frame.call is not UNSET:
            self._on_call(request, frame)
        elif request is not None and frame.id == request.number and not request.answer.done():
            self._on_answer(request, frame)
        else:
            self._strays += 1
            if self._strays >= _MOST_STRAYS or len(body) > _IDLE_FRAME:
                self._break("it sent replies to no request")

    def _on_answer(self, request: _Request, frame: Frame) -> None:
        if frame.status is UNSET and request.do != "start":
            self._break("it sent what is not a message")
            return
        if self._channel is not None:
            self._channel.max_frame = _IDLE_FRAME
        self._calls.end()
        request.answer.set_result(frame)

    def _on_call(self, request: _Request | None, frame: Frame) -> None:
        if request is None or request.answer.done():
            self._break("it called a tool while no cell was running")
        elif why := self._calls.take(frame, counted=request.do == "execute"):
            self._break(why)

    def _on_lost(self, why: str) -> None:
        self._lost = True
        self._fault = self._fault or ("" if why == "the connection ended" else why)
        if self._greeting is not None:
            _settle(self._greeting, None)
        if self._request is not None:
            _settle(self._request.answer, None)

    def _break(self, why: str) -> None:
        """End an interpreter that breaks the protocol; its cell's output says `why`."""
        self._fault = self._fault or why
        if self._server is not None and self._address is not None:
            self._server.kill(self._address)
        if self._channel is not None:
            self._channel.abort(why)

    # -- the end of a cell

    async def _as_execution(self, answer: Frame, seconds: float) -> Execution:
        text = answer.output[: self._settings.output_bytes]
        if answer.broken:
            with contextlib.suppress(SandboxFailure):
                await self._end()
            text += ("" if text.endswith("\n") or not text else "\n") + _notice("it was damaged")
        return Execution(
            output=text,
            status=answer.status or "error",
            seconds=seconds,
            state_lost=answer.broken,
        )


def _address(greeting: Frame | None) -> SessionAddress:
    """Read a greeting; raises ValueError if it is none."""
    if greeting is None or greeting.slot is UNSET or greeting.generation is UNSET:
        raise ValueError("no greeting")
    return SessionAddress(greeting.slot, greeting.generation)


def _largest_frame(settings: ExecutorSettings, do: _RequestKind) -> int:
    """Return the largest frame allowed meanwhile: JSON takes up to six bytes for one."""
    answer = 6 * settings.output_bytes if do == "execute" else settings.value_bytes
    return max(answer, settings.tool_bytes) + _SLACK


def _settle(future: "asyncio.Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)


def _notice(why: str) -> str:
    return f"[The Python interpreter was stopped ({why}); variables, imports and files are lost.]"
