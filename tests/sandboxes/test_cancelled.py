"""Starts, sessions, relaunches and ends that are cancelled at any await leave nothing behind."""

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Coroutine, Generator
from pathlib import Path
from types import CoroutineType
from typing import Any

import psutil
import pytest

from codeact.sandboxes.control_group import PREFIX as GROUP
from codeact.sandboxes.control_group import _group_folder, _groups, _mounts
from codeact.sandboxes.owner import OWNER, this_owner
from codeact.sandboxes.sandbox import GuestSandbox
from codeact.sandboxes.start import start_sandbox
from tests.conftest import engine_where_named
from tests.helpers.sandboxes import EXECUTORS, settings, started

QUICK: dict[str, Any] = {"preload": (), "slots": 3, "warm": 1, "end_seconds": 5.0}
LATER = (0.0, 0.1, 0.5)
"""Seconds into a start, which goes on in a task of its own while its caller waits at one await."""
Point = tuple[tuple[str, int], ...]


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A folder for the sockets of this file's sandboxes alone."""
    with tempfile.TemporaryDirectory(prefix="h ", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture(params=EXECUTORS)
def kind(request: pytest.FixtureRequest) -> str:
    engine_where_named(request)
    return str(request.param)


class Stepped:
    """Runs a coroutine in its task, and cancels that at one of its awaits."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: Point | None, later: float) -> None:
        self.work, self.at, self.later = work, at, later
        self.points: list[Point] = []

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        steps = self.work.__await__()
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                wanted = steps.throw(error) if error is not None else steps.send(value)
            except StopIteration as end:
                return end.value
            point = where(self.work)
            if point == self.at:
                self.at = None
                loop = asyncio.get_running_loop()
                loop.call_later(self.later, task.cancel) if self.later else task.cancel()
            if point not in self.points:
                self.points.append(point)
            value, error = None, None
            try:
                value = yield wanted
            except BaseException as thrown:
                error = thrown


def where(work: Any) -> Point:
    """Return at which await a coroutine is, and those that it waits for."""
    lines = []
    while isinstance(work, CoroutineType) and work.cr_frame is not None:
        lines.append((work.cr_code.co_qualname, work.cr_frame.f_lineno))
        work = work.cr_await
    return tuple(lines)


async def awaits_of(work: Coroutine[Any, Any, Any]) -> list[Point]:
    stepped = Stepped(work, None, 0)
    await stepped
    return stepped.points


async def cancelled(work: Coroutine[Any, Any, Any], at: Point, later: float) -> Any:
    """Run something and cancel it there; return what it has come to, if it has."""

    async def run() -> Any:
        return await Stepped(work, at, later)

    with contextlib.suppress(asyncio.CancelledError):
        return await asyncio.create_task(run())
    return None


def containers() -> list[str]:
    if not os.environ.get("DOCKER_HOST"):
        return []
    words = ["docker", "ps", "--all", "--quiet", "--filter", f"label={OWNER}={this_owner()}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def groups() -> list[str]:
    """Return the control groups that this process has made."""
    mine = f"{GROUP}{os.getpid()}.*"
    own = _groups("/proc/self/cgroup")
    parents = {
        _group_folder(mount, own.get(c, "/"))
        for mount in _mounts("/proc/self/mountinfo")
        for c in mount.controllers or {""}
    }
    return [str(found) for parent in parents if parent for found in parent.glob(mine)]


EARLIER = set[int]()
"""Processes that other tests had started before, such as the one that runs commands."""


@pytest.fixture(autouse=True)
def those_of_others() -> None:
    EARLIER.update(child.pid for child in psutil.Process().children(recursive=True))


def children() -> list[str]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.pid not in EARLIER and child.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(child.cmdline()[:4]))
    return found


async def nothing_is_left(folder: Path) -> None:
    def left() -> list[str]:
        return [*map(str, folder.iterdir()), *groups(), *children(), *containers()]

    for _ in range(600):
        if not (found := await asyncio.to_thread(left)):
            return
        await asyncio.sleep(0.05)
    assert found == []


async def test_a_start(kind: str, own_folder: Path) -> None:
    chosen = settings(kind, **QUICK)
    await (await started(kind, **QUICK)).close()

    async def start() -> None:
        await (await start_sandbox(chosen)).close()

    points = await awaits_of(start())
    assert len(points) > 3
    for point in points:
        for later in LATER if point[-1][0].endswith("._started") else LATER[:1]:
            await cancelled(start(), point, later)
            await nothing_is_left(own_folder)


async def test_sessions_and_relaunches(kind: str, own_folder: Path) -> None:
    sandbox = await started(kind, **QUICK)

    async def use() -> None:
        async with await sandbox.session() as session:
            assert (await session.execute("1 + 1")).output == "Out[1]: 2\n"

    try:
        for broken in (False, True):
            await lose_server(sandbox, broken)
            points = await awaits_of(use())
            for point in points:
                for later in LATER if point[-1][0].endswith("._started") else LATER[:1]:
                    await lose_server(sandbox, broken)
                    await cancelled(use(), point, later)
            await all_slots_are_free(sandbox)
            await asyncio.gather(*[use() for _ in range(6)])
    finally:
        await sandbox.close()
    await nothing_is_left(own_folder)


async def test_an_end(kind: str, own_folder: Path) -> None:
    async def end() -> None:
        sandbox = await started(kind, **QUICK)
        session = await sandbox.session()
        for later in LATER[:2]:
            task = asyncio.create_task(sandbox.close())
            await asyncio.sleep(later)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        del session

    await end()
    await nothing_is_left(own_folder)


@pytest.mark.parametrize("later", LATER)
def test_the_loop_ends(kind: str, own_folder: Path, later: float) -> None:
    """Every task is cancelled, those of the sandbox's own included."""

    async def leave() -> None:
        task = asyncio.create_task(start_sandbox(settings(kind, **QUICK)))
        await asyncio.sleep(later)
        if task.done():
            # A fast machine has started it by then: it is the caller's to close.
            await (await task).close()

    asyncio.run(leave())
    asyncio.run(nothing_is_left(own_folder))


async def all_slots_are_free(sandbox: GuestSandbox) -> None:
    for _ in range(600):
        if sandbox.live == 0:
            break
        await asyncio.sleep(0.05)
    assert sandbox.live == 0
    assert sandbox._slots._value == 3


async def lose_server(sandbox: GuestSandbox, broken: bool) -> None:
    """Have the next session need a new server."""
    if broken and sandbox._server is not None:
        sandbox._server.abandon()
