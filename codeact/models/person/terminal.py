"""The terminal of the person who takes part: reads their lines and shows them what happens.

Lines come from a terminal, with editing and history, or from a pipe or file, for scripts. The event
loop goes on meanwhile. What a model or a sandbox wrote is shown without control characters, which
could move the cursor or rewrite what stands there.
"""

import asyncio
import os
import re
import shlex
import signal
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

_CONTROL = re.compile("[^\n\t -~\u00a0-\u2027\u202f-\u2065\u206a-\U0010ffff]")
_BLOCK = 1 << 16
_ECHOED = 2000
"""Characters of a line that are shown again, where it was not typed here."""
_LONGEST = 1 << 20
"""Characters of one line, and of one text; what goes beyond is not read into it."""


class _Lines(Protocol):
    async def line(self, prompt: str) -> str | None: ...


class Terminal:
    """Standard input and output, as one person uses them.

    Once the person has `left` (end of input, Ctrl-D, Ctrl-C), every question is answered by None.
    """

    def __init__(self) -> None:
        there = sys.stdin is not None and not sys.stdin.closed
        self.left = not there
        self.is_terminal = there and sys.stdin.isatty() and sys.stdout.isatty()
        self._lines: _Lines = _Typed() if self.is_terminal else _Piped()
        self._asked: asyncio.Task[str | None] | None = None

    async def ask(self, prompt: str) -> str | None:
        """Return the next line without its end, None where the person has left."""
        if self.left:
            return None
        self._asked = asyncio.ensure_future(self._lines.line(prompt))
        try:
            line = await self._asked
        except asyncio.CancelledError:
            if not self.left:
                raise
            line = None
        finally:
            self._asked = None
        if line is None:
            self.left = True
        return line

    async def ask_text(self, prompt: str, *ends: str) -> str | None:
        """Return several lines: up to an empty one, or to one with one of `ends` in it.

        Within ``<execute>``, ``<solution>`` and a fence an empty line ends nothing. Leading empty
        lines do not count. None where the person has left without a word.
        """
        lines: list[str] = []
        size = 0
        while (line := await self.ask(prompt if not lines else "... ")) is not None:
            if not line.strip() and not _is_open(lines, ends):
                if lines:
                    break
                continue
            lines.append(line)
            size += len(line) + 1
            if any(end in line for end in ends) or size > _LONGEST:
                break
        return "\n".join(lines)[:_LONGEST] if lines else None

    async def edit(self, text: str) -> str | None:
        """Let the person change a text, in $VISUAL or $EDITOR where there is a terminal and one.

        Without one they type it anew. None where nothing came of it.
        """
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
        if self.is_terminal and editor:
            return await self._edit_in(shlex.split(editor), text)
        self.say("Type the message; an empty line ends it.")
        return await self.ask_text("edit> ", *ENDS)

    async def _edit_in(self, editor: list[str], text: str) -> str | None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "message.txt"
            file.write_text(text, encoding="utf-8")
            try:
                process = await asyncio.create_subprocess_exec(*editor, str(file))
                status = await process.wait()
                changed = file.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                self.say(f"{editor[0]} cannot be used: {error}")
                return None
        if status != 0:
            self.say(f"{editor[0]} ended with status {status}; the message is as it was")
            return None
        return changed.removesuffix("\n")

    def leave(self) -> None:
        """Take the person for gone, in the middle of a question too."""
        self.left = True
        if self._asked is not None:
            self._asked.cancel()

    def say(self, text: str) -> None:
        """Print a line of our own. Who no longer reads has left."""
        try:
            sys.stdout.write(f"{printable(text)}\n")
            sys.stdout.flush()
        except OSError:
            self.leave()

    def show(self, title: str, text: str) -> None:
        """Print a text of the episode under a title; in a frame where there is a terminal."""
        if not self.is_terminal:
            self.say(f"--- {title}\n{text}\n")
            return
        from rich.console import Console
        from rich.panel import Panel
        from rich.text import Text

        panel = Panel(Text(printable(text)), title=Text(printable(title)), title_align="left")
        Console(markup=False, emoji=False, highlight=False).print(panel)


ENDS = ("</execute>", "</solution>")
"""End a message of the policy."""


@cache
def terminal() -> Terminal:
    """Return the terminal of this process; there is one standard input."""
    return Terminal()


def printable(text: str) -> str:
    """Return a text in which control characters and reversals of direction are visible marks."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _is_open(lines: list[str], ends: tuple[str, ...]) -> bool:
    fences = sum(line.startswith("```") for line in lines)
    return fences % 2 == 1 or any(end.replace("/", "") in line for end in ends for line in lines)


class _Typed:
    """Lines of a terminal."""

    def __init__(self) -> None:
        self._prompts: PromptSession[str] | None = None

    async def line(self, prompt: str) -> str | None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.output.vt100 import Vt100_Output

        if self._prompts is None:
            output = Vt100_Output.from_pty(sys.stdout)
            output.enable_cpr = False  # not every terminal answers these requests
            self._prompts = PromptSession(output=output)
        try:
            return await self._prompts.prompt_async(prompt, handle_sigint=False)
        except EOFError:
            return None
        except KeyboardInterrupt:
            # A key here, and no signal: whoever handles that for the command has to hear of it.
            signal.raise_signal(signal.SIGINT)
            return None


class _Piped:
    """Lines of a pipe, of a file, or of a terminal whose output goes elsewhere."""

    def __init__(self) -> None:
        self._read = b""
        self._ended = False

    async def line(self, prompt: str) -> str | None:
        sys.stdout.write(prompt)
        sys.stdout.flush()
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
        waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)
        while b"\n" not in self._read and not self._ended and len(self._read) <= _LONGEST:
            if waits:
                await _ready(descriptor)
            block = os.read(descriptor, _BLOCK)
            self._read += block
            self._ended = not block
        line, end, self._read = self._read.partition(b"\n")
        shown = line.decode("utf-8", "replace").removesuffix("\r") if line or end else None
        # What was typed elsewhere is not on this screen yet.
        sys.stdout.write(f"{printable((shown or '')[:_ECHOED])}\n")
        sys.stdout.flush()
        return shown


async def _ready(descriptor: int) -> None:
    """Wait until there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
