"""A session from the host's side, the same for every executor."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from codeact.edge.sandboxes.base import Evaluation, HostTool
from codeact.edge.sandboxes.channel import Channel
from codeact.edge.sandboxes.server import Gone, Place, Server
from codeact.edge.sandboxes.settings import ExecutorSettings
from codeact.episode.effects import Execution, Status
from codeact.exceptions import EpisodeFailure, SandboxFailure

if TYPE_CHECKING:
    from codeact.edge.sandboxes.sandbox import GuestSandbox

_STRAY_FRAMES = 1000
_LATE = object()


class _Ended(Exception):
    """The interpreter is gone: what its cell counts as, and why in a few words."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class GuestSession:
    """One interpreter in a guest; replaced by a fresh one when it is lost."""

    def __init__(
        self, sandbox: "GuestSandbox", setup: str, tools: Mapping[str, HostTool] | None
    ) -> None:
        self._sandbox = sandbox
        self._settings: ExecutorSettings = sandbox.settings
        self._setup = setup
        self._tools = dict(tools or {})
        self._ids = itertools.count(1)
        self._one_at_a_time = asyncio.Lock()
        self._server: Server | None = None
        self._channel: Channel | None = None
        self._place: Place | None = None
        self._greeting: asyncio.Future[Any] | None = None
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._failure: EpisodeFailure | None = None
        self._fault = ""
        self._strays = 0
        self._lost = False
        self._closed = False
        self._closing: asyncio.Future[None] | None = None

    # -- the interface

    async def execute(self, code: str, *, seconds: float | None = None) -> Execution:
        soft = self._settings.cell_seconds if seconds is None else seconds
        began = time.monotonic()
        async with self._one_at_a_time:
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
            return await self._as_execution(answer)

    async def evaluate(self, source: str, *, seconds: float) -> Evaluation:
        async with self._one_at_a_time:
            try:
                answer = await self._ask("evaluate", seconds, source=source)
            except _Ended as end:
                error = (
                    f"TimeoutError: Timed out after {seconds:g} seconds."
                    if end.status == "timeout"
                    else f"SessionEnded: {end.why}"
                )
                return Evaluation(ok=False, error=error, status=end.status)
            return Evaluation(
                ok=answer.get("ok") is True,
                value=answer.get("value"),
                error=str(answer.get("error", "")),
                status=_status(answer),
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

    # -- an interpreter's life

    async def _close(self) -> None:
        try:
            await self._end()
        finally:
            self._sandbox.release(self, self._server)

    async def open(self) -> None:
        """Get an interpreter, and run the setup in it; raises SandboxFailure."""
        loop = asyncio.get_running_loop()
        self._server = await self._sandbox.server(self._server)
        self._greeting = loop.create_future()
        self._fault, self._strays, self._lost = "", 0, False
        self._channel = await self._server.connect(
            self._on_message, self._on_lost, _max_frame(self._settings)
        )
        try:
            greeting = await asyncio.wait_for(self._greeting, self._settings.start_seconds)
            place = Place(greeting["slot"], greeting["generation"])
        except (TimeoutError, KeyError, TypeError):
            self._server.abandon()
            self._drop()
            raise SandboxFailure("the sandbox server gave no interpreter: it hangs") from None
        self._server.expect(place)
        self._place = place
        tools = [{"name": n, "doc": tool.__doc__ or ""} for n, tool in self._tools.items()]
        try:
            answer = await self._request(
                {"do": "start", "setup": self._setup, "tools": tools},
                self._settings.start_seconds,
            )
        except _Ended as end:
            raise SandboxFailure(f"the session's setup ended its interpreter: {end.why}") from None
        if not answer.get("ok"):
            await self._end()
            raise SandboxFailure(f"the session's setup failed:\n{answer.get('error')}")

    async def _ask(self, do: str, soft: float, **fields: Any) -> dict[str, Any]:
        if self._closed:
            raise SandboxFailure("the session is closed")
        if self._channel is None:
            await self.open()
        self._failure = None
        answer = await self._request(
            {"do": do, "seconds": soft, **fields}, soft + self._settings.grace_seconds
        )
        if self._failure is not None:
            raise self._failure
        return answer

    async def _request(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and wait for its answer; raises _Ended or SandboxFailure."""
        assert self._channel is not None
        loop = asyncio.get_running_loop()
        number = next(self._ids)
        answer: asyncio.Future[Any] = loop.create_future()
        self._answers[number] = answer
        timer = loop.call_later(seconds, _settle, answer, _LATE)
        if self._lost:
            answer.set_result(None)
        try:
            self._channel.send({"id": number, **message})
            got = await answer
        except asyncio.CancelledError:
            # What it goes on to do is nobody's business any more, and the next answer not its.
            self._hang_up()
            raise
        finally:
            timer.cancel()
            self._answers.pop(number, None)
        if isinstance(got, dict):
            return got
        await self._explain(late=got is _LATE)
        raise AssertionError

    async def _explain(self, *, late: bool) -> None:
        """The interpreter is lost: find out how, and raise it."""
        fault = self._fault
        gone = await self._end()
        if self._failure is not None:
            raise self._failure
        if late and gone is not None:
            raise _Ended("timeout", "time limit")
        if gone is None:
            raise SandboxFailure("the sandbox server died or hangs; the session is lost with it")
        if gone.reason == "memory":
            limit = self._settings.memory_mb
            raise _Ended("oom", f"out of memory: the limit is {limit} MB")
        raise _Ended("killed", fault if gone.reason == "asked" and fault else str(gone))

    async def _end(self) -> Gone | None:
        """End the interpreter, if there is one, and wait until it is gone."""
        server, place = self._server, self._place
        self._hang_up()
        if server is None or place is None:
            return None
        return await server.end_of(place, self._settings.end_seconds)

    def _hang_up(self) -> None:
        if self._server is not None and self._place is not None:
            self._server.kill(self._place)
        self._drop()

    def _drop(self) -> None:
        channel, self._channel, self._place = self._channel, None, None
        if channel is not None:
            channel.abort()
        for call in self._calls:
            call.cancel()

    # -- what the guest says

    def _on_message(self, message: dict[str, Any]) -> None:
        if "call" in message:
            call = asyncio.ensure_future(self._serve_call(message))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            return
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_result(message)
            return
        number = message.get("id")
        answer = self._answers.get(number) if isinstance(number, int) else None
        if answer is not None:
            _settle(answer, message)
            return
        self._strays += 1
        if self._strays > _STRAY_FRAMES and self._channel is not None:
            self._fault = "it broke its connection"
            self._channel.abort()

    def _on_lost(self, why: str) -> None:
        self._lost = True
        self._fault = self._fault or ("" if why == "the connection ended" else why)
        if self._greeting is not None:
            _settle(self._greeting, None)
        for answer in self._answers.values():
            _settle(answer, None)

    async def _serve_call(self, message: dict[str, Any]) -> None:
        """Perform a tool call and send its result back, or what went wrong."""
        channel, reply = self._channel, {"reply": message.get("id")}
        try:
            result = await self._call(message)
        except EpisodeFailure as failure:
            # Not the cell's doing: whoever waits for the cell is to hear of it.
            self._failure = failure
            reply["error"] = str(failure)
        except TimeoutError:
            limit_s = self._settings.tool_seconds
            reply["error"] = f"{message.get('call')} took longer than {limit_s:g} seconds"
        except Exception as error:
            reply["error"] = str(error) or type(error).__name__
        else:
            reply["result"] = result
        if channel is not None:
            channel.send(reply)

    async def _call(self, message: dict[str, Any]) -> Any:
        tool = self._tools.get(str(message["call"]))
        args, kwargs = message.get("args"), message.get("kwargs")
        if tool is None or not isinstance(args, list) or not isinstance(kwargs, dict):
            raise ValueError("no such tool")
        result = await asyncio.wait_for(tool(*args, **kwargs), self._settings.tool_seconds)
        size, limit = len(json.dumps(result)), self._settings.tool_bytes
        if size > limit:
            raise ValueError(f"the result of {size} bytes is over the limit of {limit}")
        return result

    async def _as_execution(self, answer: dict[str, Any]) -> Execution:
        output, seconds = answer.get("output"), answer.get("seconds")
        text = output if isinstance(output, str) else ""
        text = text[: self._settings.output_bytes]
        lost = answer.get("broken") is True
        if lost:
            with contextlib.suppress(SandboxFailure):
                await self._end()
            text += ("" if text.endswith("\n") or not text else "\n") + _notice("it was damaged")
        return Execution(
            output=text,
            status=_status(answer),
            seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
            state_lost=lost,
        )


def _max_frame(settings: ExecutorSettings) -> int:
    """Return the largest frame a guest may send: JSON takes up to six bytes for one."""
    return 6 * max(settings.output_bytes, settings.tool_bytes, settings.value_bytes) + 65536


def _settle(future: "asyncio.Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)


def _status(answer: dict[str, Any]) -> Status:
    status = answer.get("status")
    if status == "ok":
        return "ok"
    return "timeout" if status == "timeout" else "error"


def _notice(why: str) -> str:
    return f"[The Python interpreter was stopped ({why}); variables, imports and files are lost.]"
