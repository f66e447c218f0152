"""One interpreter: it answers its host's requests and asks it for tools."""

import functools
import itertools
import linecache
import os
import resource
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable
from typing import Any, NoReturn

from . import BUILTINS
from .cells import Cells
from .frames import DECODE, Channel, encode
from .options import Options
from .output import Output
from .signals import DEFAULT, get_handler, set_handler

globals()["__builtins__"] = BUILTINS
HERE = __file__.rpartition("/")[0] + "/"
TOOLS = "<tools>"
"""The file name of code that a setup compiles for tools which live in the session."""
# Bound here once: what a cell does to the modules is then its own problem.
getpid, fstat, pread, waitid = os.getpid, os.fstat, os.pread, os.waitid
children_gone = functools.partial(resource.getrusage, resource.RUSAGE_CHILDREN)
setitimer = signal.setitimer

Request = dict[str, Any]
Answer = dict[str, Any]


class ToolError(RuntimeError):
    """A tool on the host failed, or could not be called."""

    __module__ = "__main__"


class Session:
    """One interpreter, in a process of its own, serving one connection."""

    def __init__(self, cells: Cells, options: Options, folder: str) -> None:
        self.channel: Channel
        self.cells = cells
        self.shell = cells.shell
        self.options = options
        self.folder = folder
        self.output = Output(options["limits"]["output_bytes"])
        self.tools: dict[str, Any] = {}
        self.calls = itertools.count(1)
        self.one_call = threading.Lock()  # Whoever holds it may read from the host.
        self.one_frame = threading.Lock()
        self.busy = False  # Whether the host waits for an answer; only then it takes calls.
        self.alarm: TimeoutError | None = None
        self.pid = os.getpid()
        self.stdin, self.stderr = sys.stdin, sys.stderr
        self.stdout: os.stat_result | None = None  # what fd 1 is, when it is a file of ours

    def prepare(self) -> None:
        """Do all that can be done before there is a host to talk to."""
        self.output.watch_threads()
        self.set_streams(self.output)
        original = getattr(self.shell, "_get_exc_info", None)
        if original is None:
            return  # A canary has said so; tracebacks of tool calls then show frames of ours.

        def without_our_frames(exc_tuple: Any = None) -> Any:
            # The cell is over; writing its traceback is not its time.
            self.stop_alarm()
            etype, value, trace = original(exc_tuple)
            return etype, value, cut(trace)

        self.shell._get_exc_info = without_our_frames

    def serve(self) -> None:
        """Answer requests until the host hangs up."""
        while True:
            try:
                with self.one_call:
                    request = self.channel.receive()
            except (EOFError, OSError):
                return
            action = {"start": self.start, "execute": self.execute, "evaluate": self.evaluate}
            # A reply to a tool call that was interrupted comes late, and has no "do".
            if request.get("do") in action:
                self.busy = True
                answer = action[request["do"]](request)
                if getpid() != self.pid:
                    os._exit(0)  # A fork that the cell made: its parent answers.
                with self.one_frame:
                    self.busy = False
                    self.channel.send({"id": request["id"], **answer})
                if answer.get("broken"):
                    return

    def start(self, request: Request) -> Answer:
        for tool in request["tools"]:
            self.tools[tool["name"]] = self.make_tool(tool["name"], tool["doc"])
        if self.tools:
            self.tools["ToolError"] = ToolError
        self.shell.user_ns.update(self.tools)
        self.shell.user_ns_hidden.update(self.tools)
        source = request["setup"]
        if not source:
            return {"ok": True}
        linecache.cache["<setup>"] = (len(source), None, source.splitlines(True), "<setup>")
        try:
            exec(compile(source, "<setup>", "exec"), self.shell.user_ns)
        except BaseException:
            return {"ok": False, "error": traceback.format_exc()[-20_000:]}
        return {"ok": True}

    # -- cells

    def execute(self, request: Request) -> Answer:
        self.output.begin()
        self.set_streams(self.output)
        printed = self.fresh_stdout()
        broken = False
        self.set_alarm(request["seconds"])
        try:
            try:
                status = "ok" if self.cells.run(request["code"]) else "error"
            finally:
                self.stop_alarm()
        except BaseException as error:
            # IPython shows the cell's exceptions. One that comes through means that IPython itself
            # is broken, or that the alarm came while it was writing.
            broken = not (self.alarm and isinstance(error, TimeoutError))
            status = "error"
            self.output.write(f"{type(error).__name__}: {error}\n")
        if self.alarm is not None:
            # Whoever caught the exception, the cell did not end in time.
            status = "timeout"
        limit = self.output.limit
        text = self.output.text().encode("utf-8", "backslashreplace")[:limit]
        if printed and len(text) < limit:
            try:
                text += pread(1, limit - len(text), 0) if fstat(1).st_size else b""
            except OSError:
                pass  # The cell has closed it.
        return {
            "output": text.decode("utf-8", "replace"),
            "status": status,
            "broken": broken,
        }

    def fresh_stdout(self) -> bool:
        """Put a new, nameless file at fd 1: what child processes of this cell print.

        Processes that earlier cells left behind keep the file of their cell. If there never was a
        child process, the last file is used again.
        """
        for fd in (0, 2):
            try:
                os.fstat(fd)
            except OSError:
                self.point(fd, os.open("/dev/null", os.O_RDWR))
        if self.untouched():
            return True
        self.stdout = None
        try:
            self.point(1, os.open(self.folder, os.O_TMPFILE | os.O_RDWR | os.O_APPEND, 0o600))
        except OSError:
            self.point(1, os.open("/dev/null", os.O_RDWR))
            return False
        self.stdout = fstat(1)
        return True

    def untouched(self) -> bool:
        """Tell whether fd 1 is our last file, still empty, and no other process can have it."""
        try:
            now, ours = fstat(1), self.stdout
            if ours is None or now.st_size:
                return False
            if (now.st_ino, now.st_dev) != (ours.st_ino, ours.st_dev):
                return False
            if get_handler(signal.SIGCHLD) is not DEFAULT or children_gone().ru_minflt:
                return False
            waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        except OSError:
            pass
        return False

    def set_streams(self, output: Output) -> None:
        """Put the streams back in place, whatever the last cell did to them."""
        streams: Any = sys
        streams.stdout = streams.__stdout__ = output
        streams.stderr = streams.__stderr__ = self.stderr
        streams.stdin = streams.__stdin__ = self.stdin

    @staticmethod
    def point(fd: int, target: int) -> None:
        if target != fd:
            os.dup2(target, fd)
            os.close(target)
        else:
            os.set_inheritable(fd, True)

    # -- the soft limit

    def set_alarm(self, seconds: float) -> None:
        self.alarm = None
        self.seconds = seconds
        set_handler(signal.SIGALRM, self.on_alarm)
        setitimer(signal.ITIMER_REAL, seconds)

    @staticmethod
    def stop_alarm() -> None:
        setitimer(signal.ITIMER_REAL, 0)

    def on_alarm(self, *_: object) -> NoReturn:
        self.alarm = TimeoutError(f"Timed out after {self.seconds:g} seconds.")
        raise self.alarm

    # -- for graders

    def evaluate(self, request: Request) -> Answer:
        """Run a source as a plain program in its own namespace, and return its RESULT."""
        self.set_streams(Output(0))
        self.point(1, os.open("/dev/null", os.O_RDWR))
        self.stdout = None
        namespace = dict(self.tools)
        self.set_alarm(request["seconds"])
        try:
            try:
                exec(compile(request["source"], "<string>", "exec"), namespace)
            finally:
                self.stop_alarm()
        except BaseException as error:
            status = "timeout" if self.alarm is not None else "error"
            return {"ok": False, "value": None, "error": describe(error), "status": status}
        return {"ok": True, "value": self.plain(namespace), "error": "", "status": "ok"}

    def plain(self, namespace: dict[str, Any]) -> Any:
        """Return RESULT as the JSON value it is, or None."""
        try:
            data = encode(namespace.get("RESULT"))
            fits = len(data) <= self.options["limits"]["value_bytes"]
            return DECODE(data.decode()) if fits else None
        except BaseException:
            return None

    # -- tools

    def make_tool(self, name: str, doc: str) -> Callable[..., Any]:
        def tool(*args: Any, **kwargs: Any) -> Any:
            return self.call(name, args, kwargs)

        tool.__name__ = tool.__qualname__ = name
        tool.__doc__ = doc
        tool.__module__ = "__main__"
        return tool

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if getpid() != self.pid:
            raise ToolError(f"{name} cannot be called from a child process")
        try:
            data = encode({"args": args, "kwargs": kwargs})
        except (TypeError, ValueError, RecursionError) as error:
            raise ToolError(f"{name} takes plain data only: {error}") from None
        limit = self.options["limits"]["tool_bytes"]
        if len(data) > limit:
            raise ToolError(f"the arguments of {name} are over {limit} bytes")
        with self.one_call:
            number = next(self.calls)
            with self.one_frame:
                if not self.busy:
                    raise ToolError(f"{name} can be called while a cell runs, and only then")
                self.channel.send({"call": name, "id": number, "args": args, "kwargs": kwargs})
            while True:
                reply = self.channel.receive()
                if reply.get("reply") == number:
                    break
        if "error" in reply:
            raise ToolError(reply["error"])
        return reply["result"]


def cut(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Take frames of this program, and of tools in the session, off a traceback's inner end."""
    last, step = None, trace
    while step is not None:
        if not step.tb_frame.f_code.co_filename.startswith((HERE, TOOLS)):
            last = step
        step = step.tb_next
    if last is not None:
        last.tb_next = None
    return trace


def describe(error: BaseException) -> str:
    """Return an exception as one line, whatever its `__str__` does."""
    try:
        return f"{type(error).__name__}: {error}"[:20_000]
    except BaseException:
        return type(error).__name__
