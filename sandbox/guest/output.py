"""What a session's cells print."""

import _thread
import io
import threading
from collections.abc import Callable
from typing import Any

from . import BUILTINS

globals()["__builtins__"] = BUILTINS
get_ident = _thread.get_ident


class Output(io.TextIOBase):
    """stdout of the cells: keeps the beginning, of this cell and the threads that it started."""

    __module__ = "__main__"
    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.cell = 0
        self.born: dict[int, int] = {}  # thread: cell
        self.begin()

    def begin(self) -> None:
        self.cell += 1
        self.parts: list[str] = []
        self.room = self.limit

    def text(self) -> str:
        return "".join(self.parts)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1

    @property
    def buffer(self) -> "ByteOutput":
        return ByteOutput(self)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self.room > 0 and (not self.born or self.born_in() == self.cell):
            self.parts.append(text[: self.room])
            self.room -= len(text)
        return len(text)

    def born_in(self) -> int:
        """Return the cell that the current thread belongs to."""
        return self.born.get(get_ident(), self.cell)

    def inherit(self, start: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function that starts threads: a new thread belongs to the cell of its maker."""

        def start_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            cell = self.born_in()

            def run(*args: Any, **kwargs: Any) -> None:
                self.born[get_ident()] = cell
                try:
                    function(*args, **kwargs)
                finally:
                    self.born.pop(get_ident(), None)

            return start(run, *args, **kwargs)

        return start_thread

    def watch_threads(self) -> None:
        for module, name in (
            (_thread, "start_new_thread"),
            (_thread, "start_joinable_thread"),
            (threading, "_start_new_thread"),
            (threading, "_start_joinable_thread"),
        ):
            if hasattr(module, name):
                setattr(module, name, self.inherit(getattr(module, name)))


class ByteOutput(io.RawIOBase):
    """What ``sys.stdout.buffer`` is: bytes into the same text."""

    __module__ = "__main__"

    def __init__(self, output: Output) -> None:
        self.output = output

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        text = bytes(data)
        self.output.write(text.decode("utf-8", "replace"))
        return len(text)
