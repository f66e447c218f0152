"""Renders by a stranger's chat template in a process of its own, with bounds.

Jinja's sandbox keeps a template from everything but text. A template can still loop or fill the
memory, so the process has limits, no environment, and an end after some seconds. Parent and child
exchange one line of JSON for each conversation; run as a module, this is the child.
"""

import os
import resource
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from codeact.collection.templates import (
    LEAST_ALLOWED,
    CompiledTemplate,
    Rendered,
    TemplateFailure,
    allowed_characters,
)
from codeact.exceptions import ConfigError

SECONDS = 20.0
"""The longest that one conversation may take; a usual one takes a thousandth of a second."""
START_SECONDS = 60.0
MEMORY = 1 << 30
"""Bytes of address space of the child."""
_ESCAPED = 6
"""Bytes that JSON needs for one character at most: an escape, or four of UTF-8."""


class _Start(msgspec.Struct):
    """The first line to the child."""

    source: str
    tokens: dict[str, Any]
    variables: dict[str, Any]


class _Answer(msgspec.Struct):
    """A line from the child: an error, or a text."""

    error: str = ""
    marks_generation: bool = False
    rendered: Rendered | None = None


class TemplateProcess:
    """A template in a process of its own; a context manager.

    Raises `ConfigError`, with the `name` of the template, where it cannot be compiled, takes more
    than so many `seconds` for a conversation, or its process ends.
    """

    def __init__(
        self,
        name: str,
        source: str,
        tokens: Mapping[str, Any],
        variables: Mapping[str, Any],
        *,
        seconds: float = SECONDS,
    ) -> None:
        self._name, self._seconds = name, seconds
        self._start = _Start(source, dict(tokens), dict(variables))
        self._process: subprocess.Popen[bytes] | None = None
        self.marks_generation = self._started().marks_generation

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def render(self, messages: Sequence[Mapping[str, Any]]) -> Rendered:
        """Return the text of a conversation; raises `TemplateFailure` where there is none."""
        allowed = _ESCAPED * allowed_characters(messages) + LEAST_ALLOWED
        answer = self._ask(msgspec.json.encode(messages), self._seconds, allowed)
        if answer.rendered is None:
            raise TemplateFailure(answer.error or "the template gave no text")
        text, spans = answer.rendered.text, answer.rendered.generated
        if any(not 0 <= start <= end <= len(text) for start, end in spans):
            raise TemplateFailure("the template's process gave spans outside its text")
        return answer.rendered

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> _Answer:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "codeact.collection.rendering"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        answer = self._ask(msgspec.json.encode(self._start), START_SECONDS, LEAST_ALLOWED)
        if answer.error:
            self.close()
            raise ConfigError(f"{self._name}: is no template: {answer.error}")
        return answer

    def _ask(self, line: bytes, seconds: float, allowed: int) -> _Answer:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            content = _line(process.stdout.fileno(), seconds, allowed)
            return msgspec.json.decode(content, type=_Answer)
        except TimeoutError as error:
            self.close()
            raise ConfigError(
                f"{self._name}: takes more than {seconds:g} seconds for one conversation"
            ) from error
        except (OSError, ValueError) as error:
            self.close()
            raise ConfigError(
                f"{self._name}: its process ended; it may use {MEMORY >> 20:,} MiB of memory"
            ) from error


def _line(file: int, seconds: float, allowed: int) -> bytes:
    """Read one line; raises `TimeoutError`, and `OSError` where it is too long or has no end."""
    pieces: list[bytes] = []
    length, end = 0, time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        while not pieces or not pieces[-1].endswith(b"\n"):
            if not selector.select(max(end - time.monotonic(), 0)):
                raise TimeoutError
            piece = os.read(file, 1 << 16)
            length += len(piece)
            if not piece or length > allowed:
                raise OSError("the process ended, or says too much")
            pieces.append(piece)
    return b"".join(pieces)


def _serve() -> None:
    """Compile the template of the first line, and render the messages of every other one."""
    start = msgspec.json.decode(sys.stdin.buffer.readline(), type=_Start)
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    try:
        template = CompiledTemplate(start.source, start.tokens)
    except (TemplateFailure, MemoryError) as error:
        _say(_Answer(error=str(error) or "it needs too much memory"))
        return
    _say(_Answer(marks_generation=template.marks_generation))
    for line in sys.stdin.buffer:
        try:
            messages = msgspec.json.decode(line, type=list[dict[str, Any]])
            _say(_Answer(rendered=template.render(messages, start.variables)))
        except TemplateFailure as error:
            _say(_Answer(error=str(error)))


def _say(answer: _Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve()
