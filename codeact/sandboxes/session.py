"""A session from the host's side, the same for every executor.

The guest is the policy's, and all it sends is what an enemy says. What an honest guest could not
have sent ends the interpreter, with a notice in the cell's output: it is the policy's own doing,
never an episode's failure. That is

* a frame that is no message (see `frames`), or larger than what may come just now;
* the call of a tool while no cell runs, while another call is open, of a tool that the session has
  not, or with arguments over `tool_bytes`;
* the `_MOST_STRAYS`-th answer to nothing, or one over `_IDLE_FRAME`; up to there they are ignored.
  Numbers of requests are drawn at random, so an answer that comes early, late or twice is one;
* not reading: more than `tool_bytes` queued on its connection when another message is due. Over
  `docker exec` that waits in the guest's relay, in the container, which bounds it at 16 MB.

Calls of tools over `tool_calls_per_cell` and `tool_calls_per_session` are refused by a ToolError
and paced, so that a cell which tries again and again costs next to nothing. Times are measured
here. Replies hold a tool's result or error and a checked number, nothing else that the guest sent.

So all that one session can make the host hold is

* one frame, of at most 6 x `output_bytes` in a cell, `value_bytes` in an evaluation, `_IDLE_FRAME`
  between them (`_SLACK` more each): as it comes, once more as it is read, and as text, which
  takes up to four bytes for one; or in its place `frames.MOST_VALUES` values, some 20 MB;
* replies: `tool_bytes` and one message;
* one task of a tool, and one more while a tool that was cancelled does not end.

With the settings as they come that is 60 MB at the worst moment. Of it, a cell's output of at
most `output_bytes` characters is kept. `tests/sandboxes/test_floods.py` measures the driver.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from msgspec import UNSET

from codeact.episode.effects import Execution, Status
from codeact.exceptions import SandboxFailure
from codeact.sandboxes import frames
from codeact.sandboxes.base import Evaluation, HostTool
from codeact.sandboxes.calls import LONGEST_ERROR, Calls
from codeact.sandboxes.channel import Channel
from codeact.sandboxes.frames import Frame, FrameError
from codeact.sandboxes.server import Gone, Place, Server
from codeact.sandboxes.settings import ExecutorSettings

if TYPE_CHECKING:
    from codeact.sandboxes.sandbox import GuestSandbox

_MOST_STRAYS = 1000
_IDLE_FRAME = 1 << 16
_SLACK = 1 << 18
"""For what is beside the output or the value: an error's text, names, punctuation."""
_LATE = object()

_Do = Literal["start", "execute", "evaluate"]


class _Ended(Exception):
    """The interpreter is gone: what its cell counts as, and why in a few words."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class _Request(NamedTuple):
    """What the guest is asked to do, and what it answers: a `Frame`, None if lost, or late."""

    number: int
    do: _Do
    answer: "asyncio.Future[Any]"


class GuestSession:
    """One interpreter in a guest; replaced by a fresh one when it is lost."""

    def __init__(
        self, sandbox: "GuestSandbox", setup: str, tools: Mapping[str, HostTool] | None
    ) -> None:
        self._sandbox = sandbox
        self._settings: ExecutorSettings = sandbox.settings
        self._setup = setup
        self._calls = Calls(tools or {}, sandbox.settings, self._send)
        self._one_at_a_time = asyncio.Lock()
        self._server: Server | None = None
        self._channel: Channel | None = None
        self._place: Place | None = None
        self._greeting: asyncio.Future[Frame | None] | None = None
        self._request: _Request | None = None
        self._fault = ""
        self._strays = 0
        self._lost = False
        self._closed = False
        self._ending: asyncio.Future[Gone | None] | None = None
        self._closing: asyncio.Future[None] | None = None

    # -- the interface

    async def execute(self, code: str, *, seconds: float | None = None) -> Execution:
        soft = self._settings.cell_seconds if seconds is None else seconds
        async with self._one_at_a_time:
            await self._ready()
            began = time.monotonic()
            try:
                answer = await self._ask("execute", soft, code=code)
            except _Ended as end:
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
            except _Ended as end:
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
        self._end_of_it()

    async def close(self) -> None:
        # Who gives up waiting does not keep the interpreter alive, nor its slot taken.
        await asyncio.shield(self._end_of_it())

    def _end_of_it(self) -> asyncio.Future[None]:
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

    # -- an interpreter's life

    async def _close(self) -> None:
        try:
            await self._end()
        finally:
            self._sandbox.release(self, self._server)

    async def open(self) -> None:
        """Get an interpreter, and run the setup in it; raises SandboxFailure."""
        if self._ending is not None:
            # An interpreter takes up its slot until it is gone.
            await asyncio.shield(self._ending)
            self._ending = None
        server = self._server = await self._sandbox.server(self._server)
        self._greeting = asyncio.get_running_loop().create_future()
        self._fault, self._strays, self._lost = "", 0, False
        self._channel = await server.connect(
            self._on_frame, self._on_lost, _IDLE_FRAME, self._settings.tool_bytes + _IDLE_FRAME
        )
        self._place = await self._meet(server, self._greeting)
        start = {"setup": self._setup, "tools": self._calls.described()}
        try:
            answer = await self._send_request("start", self._settings.start_seconds, **start)
        except _Ended as end:
            raise SandboxFailure(f"the session's setup ended its interpreter: {end.why}") from None
        if not answer.ok:
            await self._end()
            raise SandboxFailure(f"the session's setup failed:\n{answer.error[:LONGEST_ERROR]}")

    async def _meet(self, server: Server, greeting: "asyncio.Future[Frame | None]") -> Place:
        """Wait for the greeting, and learn by it which place to listen for; or SandboxFailure."""
        seconds = self._settings.start_seconds
        try:
            place = _place(await asyncio.wait_for(greeting, seconds))
            server.expect(place)
        except (TimeoutError, ValueError):
            self._drop()
            if not await server.answers(self._settings.end_seconds):
                server.abandon()
            raise SandboxFailure(
                f"the sandbox server gave no interpreter within {seconds:g} s"
            ) from None
        return place

    async def _ready(self) -> None:
        """See to it that there is an interpreter; raises SandboxFailure."""
        if self._closed:
            raise SandboxFailure("the session is closed")
        if self._channel is None:
            await self.open()
        self._calls.begin_cell()

    async def _ask(self, do: _Do, soft: float, **fields: Any) -> Frame:
        answer = await self._send_request(
            do, soft + self._settings.grace_seconds, seconds=soft, **fields
        )
        if self._calls.failure is not None:
            raise self._calls.failure
        return answer

    async def _send_request(self, do: _Do, hard: float, **fields: Any) -> Frame:
        """Send a request and wait for its answer; raises _Ended or SandboxFailure."""
        assert self._channel is not None
        loop = asyncio.get_running_loop()
        # No process that an earlier cell left behind can tell what the next number is.
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
            # What it goes on to do is nobody's business any more, and the next answer not its.
            self._hang_up()
            raise
        finally:
            timer.cancel()
            if self._request is request:
                self._request = None
        if isinstance(got, Frame):
            return got
        await self._explain(late=got is _LATE)
        raise AssertionError

    async def _explain(self, *, late: bool) -> None:
        """The interpreter is lost: find out how, and raise it."""
        fault = self._fault
        gone = await self._end()
        if self._calls.failure is not None:
            raise self._calls.failure
        if late and gone is not None:
            raise _Ended("timeout", "time limit")
        if gone is None:
            raise SandboxFailure("the sandbox server died or hangs; the session is lost with it")
        if gone.reason == "memory":
            limit = self._settings.memory_mb
            raise _Ended("oom", f"out of memory: the limit is {limit} MB")
        # Hung up on, it may have gone by itself before it was ended.
        raise _Ended("killed", str(gone) if gone.reason == "processes" else fault or str(gone))

    async def _end(self) -> Gone | None:
        """End the interpreter, if there is one, and wait until it is gone."""
        self._hang_up()
        return None if self._ending is None else await asyncio.shield(self._ending)

    def _hang_up(self) -> None:
        server, place = self._server, self._place
        self._drop()
        if server is not None and place is not None:
            server.kill(place)
            self._ending = asyncio.ensure_future(self._gone(server, place))

    async def _gone(self, server: Server, place: Place) -> Gone | None:
        gone = await server.end_of(place, self._settings.end_seconds)
        if gone is not None and gone.reason == "slow":
            self._sandbox.owe(server.when_gone(place))
        return gone

    def _drop(self) -> None:
        channel, self._channel, self._place = self._channel, None, None
        if channel is not None:
            channel.abort()
        self._calls.drop()

    def _send(self, message: dict[str, Any]) -> None:
        if self._channel is not None:
            self._channel.send(message)

    # -- what the guest says

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
                self._break("it sent answers to what nobody asked")

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
        """End an interpreter that does what no honest one would; its cell is told `why`."""
        self._fault = self._fault or why
        if self._server is not None and self._place is not None:
            self._server.kill(self._place)
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


def _place(greeting: Frame | None) -> Place:
    """Read a greeting; raises ValueError if it is none."""
    if greeting is None or greeting.slot is UNSET or greeting.generation is UNSET:
        raise ValueError("no greeting")
    return Place(greeting.slot, greeting.generation)


def _largest_frame(settings: ExecutorSettings, do: _Do) -> int:
    """Return the largest frame that may come meanwhile: JSON takes up to six bytes for one."""
    answer = 6 * settings.output_bytes if do == "execute" else settings.value_bytes
    return max(answer, settings.tool_bytes) + _SLACK


def _settle(future: "asyncio.Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)


def _notice(why: str) -> str:
    return f"[The Python interpreter was stopped ({why}); variables, imports and files are lost.]"
