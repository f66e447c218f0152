"""The processes of households, from the host's side: starts, bounds and ends them.

What comes from a process is checked: it runs third-party code that an untrusted policy acts on.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from codeact.exceptions import ToolFailure
from codeact.tools.alfworld.settings import AlfworldSettings

ENGINE = Path(__file__).with_name("engine.py")
_SERVER = Path(__file__).with_name("server.py")
_LONGEST_ANSWER = 1 << 20
_LONGEST_COMMAND = 200
"""No command that a game knows is as long, so a longer one may be cut: it stays unknown."""
_LAST_SECONDS = 5.0
_LAST_WORDS = 2000
"""Characters of a server's error output that a message has."""


class EngineAnswer(msgspec.Struct, frozen=True):
    """What a household says, and whether its task is solved now."""

    text: str
    won: bool


class _Greeting(msgspec.Struct, frozen=True):
    pid: Annotated[int, msgspec.Meta(gt=1)]
    """Never a number that stands for several processes: it will be killed."""


class _Fault(msgspec.Struct, frozen=True):
    error: str


_Said = TypeVar("_Said", EngineAnswer, _Greeting)


class HouseholdProcess:
    """A process that holds one game."""

    def __init__(
        self,
        settings: AlfworldSettings,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._writer = writer
        self._kill: Callable[[], None] = _nothing
        self._end = ""

    async def greet(self) -> None:
        """Hear which process it is, before it can do anything else; raises `ToolFailure`."""
        greeting = await self._answer(_Greeting, self._settings.start_seconds, "its start")
        self._kill = _killer(greeting.pid)

    async def load(self, packed: str) -> str:
        """Load a game; returns its first words. Raises `ToolFailure` if it is none."""
        seconds = self._settings.start_seconds
        return (await self._ask({"load": packed}, seconds, "loading its game")).text

    async def command(self, text: str) -> EngineAnswer:
        """Do something in the household; raises `ToolFailure` when its process is lost.

        One at a time, and none must be cancelled: the next would take its answer.
        """
        asked = {"command": text[:_LONGEST_COMMAND]}
        return await self._ask(asked, self._settings.step_seconds, "a command")

    def close(self) -> None:
        """End the process."""
        self._end = self._end or "it was ended"
        self._writer.close()
        self._kill()
        self._kill = _nothing

    async def _ask(self, asked: Mapping[str, str], seconds: float, what: str) -> EngineAnswer:
        if self._end:
            raise self._lost(self._end)
        self._writer.write(msgspec.json.encode(asked) + b"\n")
        return await self._answer(EngineAnswer, seconds, what)

    async def _answer(self, kind: type[_Said], seconds: float, what: str) -> _Said:
        try:
            async with asyncio.timeout(seconds):
                line = await self._reader.readuntil()
            try:
                return msgspec.json.decode(line, type=kind)
            except msgspec.ValidationError:
                told = msgspec.json.decode(line, type=_Fault)
        except TimeoutError:
            raise self._lost(f"{what} took longer than {seconds:g} s") from None
        except (asyncio.IncompleteReadError, OSError):
            bounds = self._settings
            raise self._lost(
                f"it was killed or ended during {what} (its bounds are alfworld.memory_mb="
                f"{bounds.memory_mb} and alfworld.cpu_seconds={bounds.cpu_seconds})"
            ) from None
        except (asyncio.LimitOverrunError, msgspec.MsgspecError) as error:
            raise self._lost(f"it sent what is no answer to {what}: {error}") from None
        raise self._lost(f"{what} failed: {told.error}")

    def _lost(self, why: str) -> ToolFailure:
        self._end = why
        self.close()
        return ToolFailure(f"the process of an ALFWorld game is lost: {why}")


class HouseholdServer:
    """The process that has the engine loaded, and forks one for each household.

    It is started on first use, and again when it has died. Its households die with it.
    """

    def __init__(self, settings: AlfworldSettings, engine: Path = ENGINE) -> None:
        self._settings = settings
        self._engine = engine
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._errors: asyncio.Task[bytes] | None = None

    @property
    def started(self) -> bool:
        """Whether it has been of use yet."""
        return self._process is not None

    async def household(self) -> HouseholdProcess:
        """Fork a process that waits for its game; raises `ToolFailure`."""
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                await self.close()
                await self._start()
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            with theirs:
                assert self._control is not None
                try:
                    socket.send_fds(self._control, [b"."], [theirs.fileno()])
                except OSError as error:
                    ours.close()
                    raise ToolFailure(f"what starts ALFWorld games has died: {error}") from None
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LONGEST_ANSWER)
        household = HouseholdProcess(self._settings, reader, writer)
        try:
            await household.greet()
        except BaseException:
            household.close()
            raise
        return household

    async def close(self) -> None:
        """End it, and every household with it. Never raises."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._errors is not None:
            # A household that outlives its server for a moment holds the other end.
            await asyncio.wait([self._errors], timeout=_LAST_SECONDS)
            self._errors.cancel()
        self._process = self._control = self._errors = None

    async def _start(self) -> None:
        """Start the server and wait until its engine is loaded; raises `ToolFailure`."""
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        bounds = [self._settings.memory_mb << 20, self._settings.cpu_seconds]
        words = [_SERVER, theirs.fileno(), self._engine, *bounds]
        with theirs:
            # Nothing of ours is for third-party code: no variables, no working directory.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                *map(str, words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                cwd="/",
                env={"LANG": "C.UTF-8"},
                start_new_session=True,
            )
        assert self._process.stderr is not None
        self._errors = asyncio.create_task(_last_words(self._process.stderr))
        seconds = self._settings.start_seconds
        try:
            async with asyncio.timeout(seconds):
                ready = await asyncio.get_running_loop().sock_recv(self._control, 1)
        except TimeoutError:
            await self.close()
            raise ToolFailure(f"ALFWorld's engine is not loaded after {seconds:g} s") from None
        if not ready:
            said = (await self._errors).decode(errors="replace").strip()
            await self.close()
            raise ToolFailure(f"ALFWorld's engine cannot be loaded: {said}")


async def _last_words(stream: asyncio.StreamReader) -> bytes:
    """Read a stream to its end, so that its writer is never held up; returns the last of it."""
    kept = b""
    while part := await stream.read(1 << 16):
        kept = (kept + part)[-_LAST_WORDS:]
    return kept


def _nothing() -> None:
    """Kill a process that has not greeted yet, or is killed already."""


def _killer(pid: int) -> Callable[[], None]:
    """Return what kills this process, and never a later one of the same number."""
    if sys.platform != "linux":
        return lambda: _kill_by_number(pid)
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return _nothing  # it is gone already

    def kill() -> None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)

    return kill


def _kill_by_number(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
