"""The last lines of a terminal, redrawn in place by a thread that alone writes to it.

Nothing but that thread waits where a terminal is slow, or stopped with Ctrl-S. After each frame the
cursor stands where the frame begins, so that one sequence erases it whatever its lines have become:
when a window changes its size, some terminals wrap lines anew and others cut them. No mode of the
terminal is changed, so there is none to restore if the process is killed.
"""

import io
import os
import queue
import re
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

SECONDS = 1.0
"""Between two frames."""
_ENDING = 5.0
"""Seconds that the last frame may take."""
_CONTROL = re.compile("[^\n\t -~\u00a0-\u2027\u202f-\u2065\u206a-\U0010ffff]")
_ERASE = "\r\x1b[J"
_PLAIN = str.maketrans({"━": "#", "─": ".", "·": "-", "–": "-", "…": "~", "×": "x"})
"""What is drawn where the terminal's encoding lacks a character."""

Draw = Callable[[int, int], list[Text]]
"""Returns a frame's lines for a width and a height, in columns and lines."""


class Screen:
    """Shows what `draw` returns beneath the lines that are printed."""

    def __init__(self, console: Console, draw: Draw, seconds: float = SECONDS) -> None:
        self._console = console
        self._stream: TextIO = console.file  # type: ignore[assignment]
        self._draw = draw
        self._seconds = seconds
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="live display", daemon=True)
        self._replaced: list[tuple[str, TextIO, _PrintedLines]] = []

    def start(self) -> None:
        """Begin to draw; what others write to the same terminal is printed above from now on."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                lines = _PrintedLines(self.print, stream)
                self._replaced.append((name, stream, lines))
                setattr(sys, name, lines)
        self._thread.start()

    def print(self, text: str) -> None:
        """Have lines printed above the frame."""
        self._lines.put(text)

    def stop(self) -> None:
        """Draw a last frame, which stays, and leave the cursor below it."""
        for name, stream, lines in self._replaced:
            lines.finish()
            if getattr(sys, name) is lines:
                setattr(sys, name, stream)
        self._replaced.clear()
        self._lines.put(None)
        self._thread.join(_ENDING)

    def _work(self) -> None:
        try:
            while True:
                printed, goes_on = self._printed()
                self._write(printed, goes_on=goes_on)
                if not goes_on:
                    return
        except OSError:
            return  # the terminal is gone

    def _printed(self) -> tuple[str, bool]:
        """Wait for lines or for the next frame; returns the lines, and whether it goes on."""
        printed = ""
        try:
            line = self._lines.get(timeout=self._seconds)
            while line is not None:
                printed += f"{line}\n"
                line = self._lines.get_nowait()
        except queue.Empty:
            return printed, True
        return printed, False

    def _write(self, printed: str, *, goes_on: bool) -> None:
        if not printed and goes_on and _is_in_background(self._stream):
            return
        width, height = self._console.size
        lines = self._draw(max(1, width - 1), max(1, height - 1))
        with self._console.capture() as captured:
            for line in lines:
                self._console.print(line, no_wrap=True, overflow="crop", crop=True)
        drawn = captured.get().rstrip("\n")
        if goes_on:
            back = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
            drawn += f"{back}\r"
        else:
            drawn += "\n"
        text = f"{_ERASE}{_CONTROL.sub('·', printed)}{drawn}"
        try:
            text.encode(self._stream.encoding or "utf-8")
        except UnicodeEncodeError:
            text = text.translate(_PLAIN)
            text = text.encode(self._stream.encoding, "replace").decode(self._stream.encoding)
        self._stream.write(text)
        self._stream.flush()


def _is_in_background(stream: TextIO) -> bool:
    """Whether another job of the shell has the terminal now."""
    try:
        return os.tcgetpgrp(stream.fileno()) != os.getpgrp()
    except (OSError, ValueError):
        return False  # it is not the process's own terminal


class _PrintedLines(io.TextIOBase):
    """A stream whose whole lines are printed above the frame."""

    def __init__(self, show: Callable[[str], None], stream: TextIO) -> None:
        self._show = show
        self._stream = stream
        self._begun = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        if whole:
            self._show("\n".join(whole))
        return len(text)

    def finish(self) -> None:
        """Print a line that has no end yet."""
        if self._begun:
            self._show(self._begun)
            self._begun = ""
