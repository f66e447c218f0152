"""How far downloads have come: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from contextlib import AbstractContextManager
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_SECONDS = 10.0
"""Between two lines about one file."""


class DownloadProgress(AbstractContextManager["DownloadProgress"]):
    """Called with a file's name, the bytes of it that are there, and its size (None: unknown)."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = None
        self._tasks: dict[str, TaskID] = {}
        self._next: dict[str, float] = {}
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=console,
            )

    def __call__(self, name: str, done: int, total: int | None) -> None:
        if self._bar is not None:
            self._bar.start()
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(name, total=total)
            self._bar.update(self._tasks[name], completed=done, total=total)
            return
        now = time.monotonic()
        if done == total or now >= self._next.setdefault(name, now + _SECONDS):
            self._next[name] = now + _SECONDS
            of = "" if total is None or done == total else f" of {total / 1e6:,.1f}"
            sys.stderr.write(f"{name}: {done / 1e6:,.1f}{of} MB\n")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()
