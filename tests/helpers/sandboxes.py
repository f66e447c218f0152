"""What the sandbox's tests share: started executors, and a neighbour that notices disturbance."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from codeact.exceptions import ExecutorUnavailable, SandboxFailure
from codeact.sandboxes.base import HostTool, Session
from codeact.sandboxes.sandbox import GuestSandbox
from codeact.sandboxes.session import GuestSession
from codeact.sandboxes.settings import AnyExecutorSettings, DockerSettings, LocalSettings
from codeact.sandboxes.start import start_sandbox

EXECUTORS = ("local", "docker")
QUICK: dict[str, Any] = {
    "cell_seconds": 1.0,
    "grace_seconds": 1.5,
    "memory_mb": 256,
    "processes": 32,
    "disk_mb": 32,
    "slots": 16,
    "preload": ("sympy",),
}


def settings(kind: str, **changes: Any) -> AnyExecutorSettings:
    """Return settings with small limits; docker makes do with this machine's Python."""
    chosen = {**QUICK, **changes}
    if kind == "local":
        return LocalSettings(**chosen)
    return DockerSettings(**{"image": "host", "container_memory_mb": 8192, **chosen})


async def started(kind: str, **changes: Any) -> GuestSandbox:
    """Start an executor, or skip with its own reason."""
    if kind == "docker" and not os.environ.get("DOCKER_HOST"):
        pytest.skip("DOCKER_HOST is not set: launchers/docker_engine.sh start gives an engine")
    try:
        sandbox = await start_sandbox(settings(kind, **changes))
    except ExecutorUnavailable as error:
        if isinstance(error.__cause__, SandboxFailure):
            raise  # it can run here, and broke
        pytest.skip(str(error))
    assert isinstance(sandbox, GuestSandbox)
    return sandbox


class Neighbour:
    """A well-behaved session that computes and writes every 50 ms while others do as they like."""

    def __init__(self) -> None:
        self.beats = 0
        self.longest = 0.0
        self.failures: list[str] = []

    async def live(self, session: GuestSession) -> None:
        while True:
            began = time.monotonic()
            result = await session.execute(
                "open('beat', 'w').write('x' * 1000)\nbeats = globals().get('beats', 0) + 1\nbeats",
                seconds=30.0,  # How long it takes is for `longest` to say.
            )
            self.longest = max(self.longest, time.monotonic() - began)
            self.beats += 1
            if result.status != "ok" or not result.output.endswith(f": {self.beats}\n"):
                self.failures.append(f"{result.status}: {result.output[-300:]}")
            await asyncio.sleep(0.05)


@asynccontextmanager
async def neighbour_of(sandbox: GuestSandbox) -> AsyncIterator[Neighbour]:
    """Keep a neighbour alive beside the body, and check afterwards that it was left in peace."""
    neighbour = Neighbour()
    async with await sandbox.session() as session:
        life = asyncio.create_task(neighbour.live(session))
        await asyncio.sleep(0.2)
        try:
            yield neighbour
            await asyncio.sleep(0.2)
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)


class NoSandbox:
    """An executor whose server has died for good."""

    async def session(
        self, *, setup: str = "", tools: Mapping[str, HostTool] | None = None
    ) -> Session:
        raise SandboxFailure("there is none")

    async def close(self) -> None:
        """Nothing is held."""
