"""Runs a whole program in a process of its own, with real descriptors, and reads what it writes.

Its standard input is a file, its standard output a pipe: whatever it reads or writes them with, and
when, its exit handlers included, is what the interpreter itself makes of it.
"""

import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from codeact.graders.guest.clock import ProcessorMeter, bound_processor_time

_LOOK_S = 0.1
"""How long a look at a program that writes nothing is put off."""
_AFTER_END_S = 1.0
"""How long to read on after a program's end, when children of its still have its output open."""
_AT_ONCE = 1 << 16
_LAST_WORDS = 2000


def run_program(source: str, given: str, seconds: float, most_bytes: int) -> dict[str, Any]:
    """Run a program on an input; return its output, its seconds, and what was wrong with it."""
    bound_processor_time(seconds)
    Path("solution.py").write_text(source, "utf-8", "surrogatepass")
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
        stdin.write(given.encode("utf-8", "surrogatepass"))
        stdin.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-X", "utf8", "-B", "solution.py"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        watch = _Watch(process, seconds, most_bytes)
        try:
            watch.follow()
        finally:
            process.kill()
            process.wait()
        why = watch.why or _why(process.returncode, stderr)
    text = b"".join(watch.parts).decode("utf-8", "replace")
    return {"output": text, "seconds": watch.seconds, "why": why}


class _Watch:
    """Reads a program's output until it ends, or its time does."""

    def __init__(self, process: "subprocess.Popen[bytes]", seconds: float, most: int) -> None:
        self.process = process
        self.limit = seconds
        self.room = most
        self.parts: list[bytes] = []
        self.meter = ProcessorMeter(process.pid)
        self.seconds = 0.0
        self.why = ""
        assert process.stdout is not None
        self.pipe = process.stdout.fileno()
        os.set_blocking(self.pipe, False)

    def follow(self) -> None:
        is_open = True
        while not self.why:
            is_open = is_open and self.read(_LOOK_S)
            # The meter has to look before the process is reaped: then its account is gone.
            self.seconds = self.meter.seconds()
            if self.process.poll() is not None:
                break
            if self.seconds >= self.limit:
                self.why = f"TimeoutError: Timed out after {self.limit:g} seconds."
            if not is_open:
                time.sleep(0.002)
        until = time.monotonic() + _AFTER_END_S
        while is_open and not self.why and time.monotonic() < until:
            is_open = self.read(0.0)

    def read(self, wait: float) -> bool:
        """Read what there is, or wait for it; tell whether there may be more."""
        if not select.select([self.pipe], [], [], wait)[0]:
            return wait > 0
        part = os.read(self.pipe, _AT_ONCE)
        self.room -= len(part)
        if self.room < 0:
            self.why = "the output is longer than any answer"
        self.parts.append(part)
        return bool(part)


def _why(status: int, stderr: IO[bytes]) -> str:
    """Say why a program that ended so did not end well, or nothing."""
    if status == 0:
        return ""
    if status < 0:
        return f"the program was killed by signal {-status}"
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - _LAST_WORDS))
    words = stderr.read().decode("utf-8", "replace").strip()
    return f"exit status {status}: {words.splitlines()[-1] if words else ''}".rstrip(": ")
