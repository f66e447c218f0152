"""What a session's cells print."""

import _thread
import io
import threading

from . import BUILTINS

globals()["__builtins__"] = BUILTINS
get_ident = _thread.get_ident


class Output(io.TextIOBase):
    """stdout of the cells: keeps the beginning, and only from threads that the cell started."""

    __module__ = "__main__"
    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, limit):
        self.limit = limit
        self.cell = 0
        self.born = {}
        self.begin()

    def begin(self):
        self.cell += 1
        self.parts = []
        self.room = self.limit

    def text(self):
        return "".join(self.parts)

    def writable(self):
        return True

    def fileno(self):
        return 1

    @property
    def buffer(self):
        return ByteOutput(self)

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self.room > 0 and (not self.born or self.born_in() == self.cell):
            self.parts.append(text[: self.room])
            self.room -= len(text)
        return len(text)

    def born_in(self):
        """Return the cell that the current thread belongs to."""
        return self.born.get(get_ident(), self.cell)

    def inherit(self, start):
        """Wrap a function that starts threads: a new thread belongs to the cell of its maker."""

        def start_thread(function, *args, **kwargs):
            cell = self.born_in()

            def run(*args, **kwargs):
                self.born[get_ident()] = cell
                try:
                    function(*args, **kwargs)
                finally:
                    self.born.pop(get_ident(), None)

            return start(run, *args, **kwargs)

        return start_thread

    def watch_threads(self):
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

    def __init__(self, output):
        self.output = output

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        self.output.write(data.decode("utf-8", "replace"))
        return len(data)
